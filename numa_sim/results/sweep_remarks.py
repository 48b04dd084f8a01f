"""What must be known before a sweep's means are believed: runs that were cut short, replicas that are all equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from numa_sim.results.readable import plural
from numa_sim.results.sweep_factors import grouped_points, named_points, selected_points

if TYPE_CHECKING:
    from numa_sim.results.sweep import Sweep
    from numa_sim.statistics import Interval

__all__ = [
    "ALL_EQUAL",
    "CUT_SHORT",
    "ENDED",
    "any_all_equal",
    "cut_short",
    "has_cut_short",
    "how_runs_ended",
]

ENDED: Final = {"ok": "all tasks finished", "oom": "a task was killed for lack of memory", "until": "time limit"}
"""What the ways mean in which a run ends."""
CUT_SHORT: Final = "*"
"""Marks a mean over runs of which some were cut short."""
ALL_EQUAL: Final = "± 0: all replicas are equal."


def how_runs_ended(states: Iterable[str | None]) -> Counter[str]:
    """How many runs ended in each way but the end of all their tasks; none if all ended by their time limit.

    A sweep whose runs all last equally long compares what happened in that time: nothing was cut short.
    """
    every = Counter(state or "ok" for state in states)
    return Counter() if set(every) == {"until"} else Counter({s: n for s, n in every.items() if s != "ok"})


def cut_short(sweep: Sweep, where: Mapping[str, Any] | None = None) -> list[str]:
    """A sentence for each way but the usual one in which runs ended: how many, and at which points."""
    rows = _endings(sweep, where)
    said = []
    for state, n in sorted(how_runs_ended(state for _, state in rows).items()):
        at = named_points(sweep.design, list(dict.fromkeys(point for point, how in rows if how == state)))
        why = f"{state} ({ENDED.get(state, 'not all tasks finished')})"
        said.append(
            f"{n} of {plural(len(rows), 'run')} ended by {why}, at {at}. Times and counts of a run cut short are no "
            "measure beside those of runs that finished."
        )
    return said


def has_cut_short(sweep: Sweep, by: Sequence[str], where: Mapping[str, Any] | None = None) -> list[bool]:
    """Whether runs of a row were cut short, for each row of `Sweep.intervals` with the same `by` and `where`."""
    rows = _endings(sweep, where)
    ways = how_runs_ended(state for _, state in rows)
    short = {point for point, state in rows if state in ways}
    groups = grouped_points(sweep.design, selected_points(sweep.design, where or {}), by)
    return [bool(short.intersection(points)) for points in groups.values()]


def any_all_equal(intervals: Iterable[Interval]) -> bool:
    """Whether a mean over several replicas has an interval of no width."""
    return any(interval.n > 1 and interval.half_width == 0 for interval in intervals)


def _endings(sweep: Sweep, where: Mapping[str, Any] | None) -> list[tuple[int, str | None]]:
    """Point and ending of each finished run."""
    points = selected_points(sweep.design, where or {})
    columns = (sweep.table.column(name).to_pylist() for name in ("point", "exit_state"))
    return [(point, state) for point, state in zip(*columns, strict=True) if point in points]
