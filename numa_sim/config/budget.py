"""Table ``[run.budget]``: what a run may take before it is given up as one that never ends."""

from __future__ import annotations

from pydantic import Field

from numa_sim.config.quantities import PositiveTime, Section


class Budget(Section):
    """Table ``[run.budget]``; simulated time is limited by ``run.until``, which is an end like any other."""

    events: int | None = Field(
        None, ge=1, le=10**15, description="kernel events, or steps of the simulation if those are more; else no limit"
    )
    wall: PositiveTime | None = Field(None, description="time of the host; else no limit")
