"""Operations on the scheduler in a program: sched_yield, nice."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from numa_sim.config.quantities import Section


class SchedYield(Section):
    """Let the tasks run that wait for this CPU."""

    op: Literal["sched_yield"]


class Nice(Section):
    """Change the nice value; the run goes on with the old one if the task is not root and lowers it."""

    op: Literal["nice"]
    by: int = Field(ge=-40, le=40, description="what is added; the value stays from -20 to 19")
