"""What a span is: one row of whole numbers, its kind first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from numa_sim.observe.sampler import Column
from numa_sim.state.counters import TIME_PARTS
from numa_sim.state.event_codes import EVENTS
from numa_sim.units import format_ns

__all__ = ["COLUMNS", "DETAIL", "DETAILS", "KINDS", "Kind", "Timeline"]


class Kind(IntEnum):
    """What a span is about."""

    RUNNING = 0
    OFF_CPU = 1
    MINOR_FAULT = 2
    MAJOR_FAULT = 3
    FAILED_FAULT = 4
    UNFINISHED_FAULT = 5
    DIRECT_RECLAIM = 6
    PAGE_WAIT = 7
    REQUEST = 8
    DAEMON_WORK = 9
    INSTANT = 10


KINDS: Final = tuple(kind.name.lower() for kind in Kind)
FAULTS: Final = (Kind.MINOR_FAULT, Kind.MAJOR_FAULT, Kind.FAILED_FAULT, Kind.UNFINISHED_FAULT)

DETAILS: Final = tuple(dict.fromkeys(("", *TIME_PARTS, *EVENTS, "still running", "read", "write", "mapped by another")))
"""What the column ``detail`` may say: parts of time, events, and a few words more."""
DETAIL: Final = {name: number for number, name in enumerate(DETAILS)}

COLUMNS: Final = (
    Column("kind", "", "what the span is about"),
    Column("begin_ns", "ns", "simulated time at which it begins"),
    Column("end_ns", "ns", "simulated time at which it ends; of an instant, its begin"),
    Column("middle_ns", "ns", "running: switched to; off_cpu: runnable again; request: with the drive; else begin_ns"),
    Column("task", "1", "index of the task it belongs to, -1 = none"),
    Column("cpu", "1", "CPU it was on, -1 = none or many"),
    Column("node", "1", "node of the page or of the reclaim, -1 = unknown"),
    Column("disk", "1", "disk of a request, -1 = none"),
    Column("where", "1", "fault: address; page_wait: frame; request: first block (of 4 KiB); instant: first operand"),
    Column("pages", "1", "request: its pages; fault: 1 if a write; instant: second operand"),
    Column("scanned", "pages", "pages looked at by reclaim"),
    Column("freed", "pages", "pages freed by reclaim"),
    Column("detail", "", "why a CPU was left, how a fault was served, read or write, name of the event"),
    Column("request", "1", "request: its number; page_wait: number of the request that ended it; -1 = none"),
)
"""Columns of a timeline; ``kind`` and ``detail`` are kept as numbers (`KINDS`, `DETAILS`)."""
AT: Final = {column.name: at for at, column in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Timeline:
    """All spans of a run, in order of their begin; of those that begin together, the longest first.

    Parameters
    ----------
    rows : int64 [spans, columns]
        See `COLUMNS`.
    daemons : mapping of int to str
        Names of the kernel threads by their task index.
    from_ns, until_ns : int
        The window: spans that overlap it were kept.
    cut_ns : int
        Spans that end at this or later are missing because there were too many; -1: none is.
    dropped : int
        Spans that were dropped for that.
    lost_events : int
        Events of the kernel's log that were overwritten before anybody read them: faults in them are missing.
    """

    rows: Any
    daemons: Mapping[int, str]
    from_ns: int
    until_ns: int
    cut_ns: int = -1
    dropped: int = 0
    lost_events: int = 0

    @property
    def missing(self) -> str:
        """What of the window is not there, in words; empty if nothing is missing."""
        found = []
        if self.dropped:
            found.append(
                f"{self.dropped} spans that end at {format_ns(self.cut_ns)} or later are missing "
                "(narrow the window with run.timeline.from and until, or raise run.timeline.most)"
            )
        if self.lost_events:
            found.append(f"{self.lost_events} events found no room in the kernel's log: faults in them are missing")
        return "; ".join(found)

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self.rows)

    def column(self, name: str) -> Any:
        """Values of one column, int64 [spans]."""
        return self.rows[:, AT[name]]

    def of(self, *kinds: Kind) -> Any:
        """Rows of these kinds."""
        import numpy as np

        return self.rows[np.isin(self.rows[:, 0], [int(kind) for kind in kinds])]
