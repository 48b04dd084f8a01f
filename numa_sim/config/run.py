"""Table ``[run]``: how long, with which seed, and what is recorded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.quantities import PositiveTime, Section, refuse, time

Recording = Literal["buddy"]
"""What `Run.observe` can name."""


class Run(Section):
    """Table ``[run]``."""

    until: PositiveTime | None = Field(None, description="when the run ends at the latest; else with its last task")
    seed: int = Field(0, ge=0, le=(1 << 63) - 1, description="root of every random stream")
    sample: Annotated[int, time(low=1000)] = Field(10_000_000, description="interval of the time series")
    snapshot: PositiveTime | None = Field(
        None, description="interval at which the texts of /proc are kept in the run folder; else only those of the end"
    )
    check: Literal["none", "cheap", "full"] = Field(
        "none", description="invariants: none; cheap: at every sample; full: after every event"
    )
    fault_latency: bool = Field(False, description="true: a histogram of how long page faults take, by task and kind")
    observe: Annotated[tuple[Recording, ...], Field(strict=False)] = Field(
        (), description="what else is recorded; buddy: free blocks of each zone and order, at every sample"
    )
    record_events: int = Field(0, ge=0, le=1_000_000_000, description="events kept in events.parquet")

    @model_validator(mode="after")
    def _observed_once(self) -> Self:
        for name in self.observe:
            if self.observe.count(name) > 1:
                raise refuse(f"{name} stands twice", ("each once",), "observe")
        return self
