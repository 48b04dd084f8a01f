"""Tables ``[[workload]]``: tasks, each running a program of operations or replaying a recorded trace."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.limits import Limits
from numa_sim.config.mempolicy import MemPolicy
from numa_sim.config.program import Operation
from numa_sim.config.program_check import check_program
from numa_sim.config.quantities import CpuList, Section, ShortTime, Time, refuse

MAX_TASKS = 4096


class Trace(Section):
    """A recorded trace of page accesses that the task replays."""

    file: str = Field(min_length=1, description="trace file, relative to the configuration file")
    format: Literal["numa_sim", "lackey", "lackey+strace", "oracleGeneral", "csv", "damon"] = Field(
        "numa_sim",
        description="numa_sim: run-length form (.npz); lackey: valgrind text; oracleGeneral: libCacheSim; csv; "
        "damon: records of damo, replayed at their times",
    )
    strace: str | None = Field(
        None, min_length=1, description="log of strace -f of the same run as the lackey text (lackey+strace)"
    )
    target: int | None = Field(
        None, ge=0, le=(1 << 64) - 1, description="target_id of the record to replay, if there are several (damon)"
    )
    write: float = Field(0.0, ge=0.0, le=1.0, description="share of the pages that accesses write, not read (damon)")
    mappings: Literal["anonymous", "recorded"] = Field(
        "anonymous", description="recorded: areas and permissions as recorded; anonymous: all private, rw"
    )
    cache_hit: ShortTime = Field(1, description="CPU time of each access of a record: they hit the CPU's caches")
    limit: int | None = Field(None, ge=1, le=10**12, description="records replayed; else all")
    instructions: bool = Field(True, description="false: instruction fetches are left out")

    @model_validator(mode="after")
    def _calls_are_recorded(self) -> Self:
        if (self.strace is not None) != (self.format == "lackey+strace"):
            raise refuse("strace is for the format lackey+strace, and that needs it", ("lackey+strace",), "strace")
        for name, given in (("target", self.target is not None), ("write", self.write > 0)):
            if given and self.format != "damon":
                raise refuse(f"{name} is for the format damon", ("damon",), name)
        if self.mappings == "recorded" and self.format not in ("numa_sim", "lackey+strace"):
            raise refuse(f"the format {self.format} records no calls", ("anonymous",), "mappings")
        return self


class Workload(Section):
    """One kind of task: a program or a trace, in `count` copies."""

    name: str = Field(min_length=1, max_length=64, description="name in reports; copies get a number each")
    count: int = Field(1, ge=1, le=MAX_TASKS, description="copies")
    cpus: CpuList | None = Field(None, min_length=1, description='CPUs it may run on, like "0-3"; else all')
    nice: int = Field(0, ge=-20, le=19, description="nice value: above 0 it doubles badness when memory runs out")
    start: Time = Field(0, description="when it starts")
    root: bool = Field(False, description="it runs as uid 0: it may swapon and swapoff, and is killed later for memory")
    limits: Limits = Limits()
    policy: MemPolicy | None = Field(None, description="from which nodes its memory comes, as with numactl")
    program: Annotated[tuple[Operation, ...], Field(strict=False)] | None = Field(
        None, min_length=1, max_length=10_000, description="operations"
    )
    trace: Trace | None = Field(None, description="recorded trace instead of a program")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.program is None) == (self.trace is None):
            raise refuse("exactly one of program and trace must be given", ("program", "trace"))
        if self.program is not None:
            check_program(self.program, "program")
        return self

    def task_names(self) -> tuple[str, ...]:
        """Names of its tasks: copies are numbered."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{copy}" for copy in range(self.count))
