"""Table ``[run]``: how long, with which seed, and what is recorded."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from numa_sim.config.budget import Budget
from numa_sim.config.quantities import PAGE_BYTES, PositiveTime, Section, Size, Time, refuse, size, time


class TimelineTable(Section):
    """Table ``[run.timeline]``: record who did what when."""

    start: Time = Field(0, alias="from", description="spans that end before this are left out")
    until: PositiveTime | None = Field(None, description="spans that begin at this or later are left out")
    most: int = Field(500_000, ge=1, le=50_000_000, description="spans kept at most, 112 bytes of memory each")

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        if self.until is not None and self.until <= self.start:
            raise refuse("ends before it begins", ("a time after from",), "until")
        return self


def _on_or_off(value: Any) -> Any:
    """``timeline = true`` is all of it, false none."""
    if value is True:
        return {}
    if value is None or value is False:
        return None
    if not isinstance(value, dict | TimelineTable):
        allowed = ("true", "false", "a table with keys from, until, most")
        raise refuse(f"{str(value)[:40]} is neither true, false nor a table", allowed)
    return value


Recording = Literal["buddy", "access_map"]
"""What `Run.observe` can name."""
MOST_SAMPLES = 1000


class AccessMap(Section):
    """Table ``[run.access_map]``: how finely accesses are recorded by time and address."""

    sample: Annotated[int, time(low=1000, high=3_600_000_000_000)] = Field(
        500_000, description="sampling interval: a page counts once in it, however often it is accessed; whole us"
    )
    aggregate: Annotated[int, time(low=1000, high=3_600_000_000_000)] = Field(
        10_000_000, description="time covered by a row: 1 to 1000 sampling intervals"
    )
    region: Annotated[int, size(PAGE_BYTES, 1 << 40)] = Field(
        1 << 16, description="memory covered by a row: a power of two of pages"
    )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.sample % 1000:
            raise refuse("is no whole number of microseconds", ("like 500us",), "sample")
        if self.aggregate % self.sample or self.aggregate > MOST_SAMPLES * self.sample:
            raise refuse("is no multiple of run.access_map.sample", (f"1 to {MOST_SAMPLES} times it",), "aggregate")
        if self.region & (self.region - 1):
            raise refuse("is no power of two", ("like 64KiB",), "region")
        return self


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
        (),
        description="what else is recorded; buddy: free blocks of each zone and order, at every sample; "
        "access_map: accesses by time and address, see [run.access_map]",
    )
    timeline: Annotated[
        TimelineTable | None, BeforeValidator(_on_or_off, json_schema_input_type=bool | TimelineTable | None)
    ] = Field(None, description="true, or a table: record who did what when, in spans.parquet and trace.pftrace")
    budget: Budget = Budget()
    keep_inputs: Size = Field(
        1 << 20,
        description="traces and swap headers up to this size are copied into the run folder",
    )
    record_events: int = Field(0, ge=0, le=1_000_000_000, description="events kept in events.parquet")
    access_map: AccessMap = AccessMap()

    @model_validator(mode="after")
    def _observed_once(self) -> Self:
        for name in self.observe:
            if self.observe.count(name) > 1:
                raise refuse(f"{name} stands twice", ("each once",), "observe")
        return self
