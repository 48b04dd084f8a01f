"""A run's access map as DAMON's records, in the form damo stores, so that its reports and heat maps read it.

One record for each process, its ``target_id`` the pid; one snapshot for each bin of the map while the process lived.

* **Regions.**  What is watched is what was accessed at any time of the run, in at most three parts: all but the two
  largest gaps, as DAMON takes an address space apart, if they are larger than all that was accessed.  In each snapshot
  neighbours of equal ``nr_accesses`` and age are one region; if there are too many, then those that differ by more and
  more (weighted means, as DAMON merges).
* **nr_accesses** is a whole number.  What rounding leaves is carried on to the next region, and to the next snapshot,
  so that sums are kept: a region of which one page in sixteen is accessed has a 1 in every sixteenth snapshot.
* **age** is the number of snapshots since a region's ``nr_accesses`` last changed by more than a tenth of the largest
  in the snapshot, or from or to nothing; that of joined regions is the mean.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from numa_sim.errors import RunFolderError
from numa_sim.results.run import Run
from numa_sim.units import format_ns

__all__ = ["MAX_REGIONS", "damon_file", "damon_records"]

MAX_REGIONS: Final = 1000
"""Regions of a snapshot, as DAMON's own default."""
MAX_RECORDED: Final = 300_000
"""Snapshots and their regions in a file of JSON: some 100 MB.  A compressed file may have ten times as many."""
_GAPS: Final = 2


class _Bins(NamedTuple):
    """The map's columns of one process."""

    t_ns: Any
    start: Any
    nr_accesses: Any


class _Grid(NamedTuple):
    """What is watched of a process: pieces side by side, in three parts at most; some are accessed, others gaps."""

    low: Any
    high: Any


def damon_file(run: Run, *, compress: bool = False, max_regions: int = MAX_REGIONS) -> bytes:
    """A file of `damon_records`: JSON, or (`compress`) that compressed with zlib, as ``damo record`` writes it.

    Raises
    ------
    RunFolderError
        As `damon_records`, and if the file would be larger than anybody wants.
    """
    most = 10 * MAX_RECORDED if compress else MAX_RECORDED
    text = (json.dumps(damon_records(run, max_regions=max_regions, most=most), indent=4) + "\n").encode()
    return zlib.compress(text) if compress else text


def damon_records(run: Run, *, max_regions: int = MAX_REGIONS, most: int | None = None) -> list[dict[str, Any]]:
    """DAMON's records of a run with an access map, of JSON types; numbers are texts, as damo writes them.

    Parameters
    ----------
    run : Run
        Recorded with ``run.observe = ["access_map"]``.
    max_regions : int
        Regions a snapshot may have, 3 or more.
    most : int, optional
        Snapshots and regions there may be in all.

    Raises
    ------
    RunFolderError
        If the run has no access map, or there are more than `most`.
    """
    if max_regions < _GAPS + 1:
        raise RunFolderError(run.folder or "<memory>", f"{max_regions} regions are not enough: 3 or more")
    table = run.access_map
    asked = {name.decode(): int(value) for name, value in table.schema.metadata.items() if name != b"format_version"}
    columns = {name: table[name].to_numpy() for name in ("t_ns", "process", "start", "nr_accesses")}
    records: list[dict[str, Any]] = []
    recorded = 0
    for process in np.unique(columns["process"]).tolist():
        mine = columns["process"] == process
        bins = _Bins(*(columns[name][mine] for name in ("t_ns", "start", "nr_accesses")))
        snapshots = []
        for start_ns, end_ns, regions in _snapshots(run, process, bins, asked, max_regions):
            snapshots.append(_snapshot(start_ns, end_ns, regions))
            recorded += 1 + len(regions)
            if most is not None and recorded > most:
                raise RunFolderError(run.folder or "<memory>", _too_much(run, asked["aggregate_ns"], most))
        records.append(
            {
                "kdamond_idx": 0,
                "context_idx": 0,
                "intervals": {
                    "sample_us": str(asked["sample_ns"] // 1000),
                    "aggr_us": str(asked["aggregate_ns"] // 1000),
                    "ops_update_us": str(asked["aggregate_ns"] // 1000),
                },
                "scheme_idx": None,
                "target_id": process,
                "scheme_filters": [],
                "snapshots": snapshots,
            }
        )
    return records


def _too_much(run: Run, aggregate_ns: int, most: int) -> str:
    """Why there is no file, and what to do."""
    end_ns = run.summary["run"]["end_ns"]
    return (
        f"has more than {most} snapshots and regions ({format_ns(end_ns)}, a snapshot each {format_ns(aggregate_ns)}): "
        "as DAMON's JSON too large (--format damon-compressed takes ten times as many; run it with a longer "
        "run.access_map.aggregate)"
    )


def _snapshot(start_ns: int, end_ns: int, regions: list[tuple[int, int, int, int]]) -> dict[str, Any]:
    """One snapshot in damo's form; a region is (start, end, nr_accesses, age)."""
    return {
        "start_time": str(start_ns),
        "end_time": str(end_ns),
        "regions": [
            {
                "start": str(start),
                "end": str(end),
                "nr_accesses": {"samples": nr_accesses, "percent": None},
                "age": {"usec": None, "aggr_intervals": str(age)},
                "sz_filter_passed": "0",
            }
            for start, end, nr_accesses, age in regions
        ],
        "total_bytes": str(sum(end - start for start, end, _, _ in regions)),
    }


def _snapshots(
    run: Run, process: int, bins: _Bins, asked: dict[str, int], max_regions: int
) -> Iterator[tuple[int, int, list[tuple[int, int, int, int]]]]:
    """Start, end and regions of each bin in which the process lived."""
    grid = _watched(np.unique(bins.start), asked["region_bytes"])
    most = asked["aggregate_ns"] // asked["sample_ns"]
    end_ns = run.summary["run"]["end_ns"]
    lives = [(task["start_ns"], task["end_ns"]) for task in run.summary["tasks"] if task["pid"] == process]
    began_ns, ended_ns = lives[0] if lives else (0, end_ns)
    first = began_ns // asked["aggregate_ns"]
    last = max(-(-max(ended_ns, began_ns) // asked["aggregate_ns"]), -(-int(bins.t_ns.max()) // asked["aggregate_ns"]))
    before = np.full(len(grid.low), -1.0)
    age = np.zeros(len(grid.low))
    carried = 0.0
    for number in range(first, last):
        low_ns, high_ns = (min(at * asked["aggregate_ns"], end_ns) for at in (number, number + 1))
        now = np.zeros(len(grid.low))
        here = bins.t_ns == high_ns
        np.add.at(now, np.searchsorted(grid.low, bins.start[here]), bins.nr_accesses[here])
        now = np.minimum(now, most)  # threads that access the same page at the same time count once
        same = (np.abs(now - before) <= now.max(initial=0.0) / 10) & ((now == 0) == (before == 0))
        age = np.where(same, age + 1, 0)
        before = now
        low, high, nr_accesses, ages = _merged(grid, now, age, max_regions)
        whole, carried = _rounded(nr_accesses, high - low, carried)
        regions = zip(low.tolist(), high.tolist(), whole, ages.round().astype(int).tolist(), strict=True)
        yield low_ns, high_ns, list(regions)


def _watched(starts: Any, region_bytes: int) -> _Grid:
    """The pieces of an address space, given the (sorted) regions that were accessed."""
    ends = starts + region_bytes
    gaps = starts[1:] - ends[:-1]
    widest = np.argsort(-gaps, kind="stable")[:_GAPS]
    between = np.flatnonzero(gaps > 0)
    between = between[~np.isin(between, widest[gaps[widest] > len(starts) * region_bytes])]
    low = np.concatenate([starts, ends[between]])
    high = np.concatenate([ends, starts[between + 1]])
    order = np.argsort(low, kind="stable")
    return _Grid(low[order], high[order])


def _merged(grid: _Grid, nr_accesses: Any, age: Any, max_regions: int) -> tuple[Any, Any, Any, Any]:
    """Regions: start, end, nr_accesses and age (means, by size) of neighbours that differ little enough."""
    low, high = grid
    differ = 0.0
    while True:
        joined = (low[1:] == high[:-1]) & (np.abs(np.diff(nr_accesses)) <= differ)
        if differ == 0.0:  # equal neighbours of different age stay apart as long as there is room
            joined &= np.diff(age) == 0
        first = np.flatnonzero(np.concatenate(([True], ~joined)))
        size = np.add.reduceat(high - low, first)
        nr_accesses, age = (np.add.reduceat(values * (high - low), first) / size for values in (nr_accesses, age))
        low, high = low[first], low[first] + size
        if len(low) <= max_regions:
            return low, high, nr_accesses, age
        differ = max(2 * differ, nr_accesses.max(initial=0.0) / 1024, 1e-9)


def _rounded(nr_accesses: Any, size: Any, carried: float) -> tuple[list[int], float]:
    """The next whole numbers above or below, so that sums are kept.

    What is left over (bytes times accesses) goes on to the next snapshot.
    """
    whole = []
    for value, length in zip(nr_accesses.tolist(), size.tolist(), strict=True):
        number = 0
        if value > 0:
            wanted = value + carried / length
            number = min(max(round(wanted), math.floor(value)), math.ceil(value))
            carried += (value - number) * length
        whole.append(number)
    return whole, carried
