"""Resource limits of a task: table ``limits`` of a ``[[workload]]``, and the operation ``setrlimit``."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from numa_sim.config.quantities import Quantity, Section
from numa_sim.units import format_bytes, parse_bytes

UNLIMITED: Final = "unlimited"
INFINITY: Final = (1 << 63) - 1
"""RLIM_INFINITY."""


def _parse(text: str) -> int:
    return INFINITY if text == UNLIMITED else parse_bytes(text)


def _show(limit: int) -> str:
    return UNLIMITED if limit == INFINITY else format_bytes(limit)


Limit = Annotated[int, Quantity(_parse, _show, "a size like '8MiB', or 'unlimited'", 0, INFINITY, "B")]
"""A resource limit, bytes."""


class Limits(Section):
    """Table ``limits``: what setrlimit(2) sets before the task starts; the defaults are init's."""

    stack: Limit = Field(8 << 20, description="RLIMIT_STACK: how large the stack may grow")
    data: Limit = Field(INFINITY, description="RLIMIT_DATA: program data and heap (brk)")
    as_: Limit = Field(INFINITY, alias="as", description="RLIMIT_AS: the whole address space")
    memlock: Limit = Field(INFINITY, description="RLIMIT_MEMLOCK: locked memory")
    core: Limit = Field(0, description="RLIMIT_CORE: a core file; below a page there is none")

    def given(self) -> dict[str, int]:
        """Each limit in bytes, by its name in `numa_sim.state.constants.RLIMITS`."""
        return {"stack": self.stack, "data": self.data, "as": self.as_, "memlock": self.memlock, "core": self.core}


class Setrlimit(Section):
    """Change a resource limit of the task."""

    op: Literal["setrlimit"]
    resource: Literal["stack", "data", "as", "memlock", "core"] = Field(description="which limit")
    limit: Limit = Field(description="the new limit")
