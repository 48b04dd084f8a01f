"""Reader of DAMON's records as damo stores them (JSON, plain or compressed with zlib), replayed as page accesses.

A file is a list of records: what one target was seen to access.  Each has the sampling and aggregation interval
(``intervals``) and a list of snapshots with ``start_time`` and ``end_time`` (ns); a snapshot is a list of regions, from
``start`` to ``end`` (bytes), with ``nr_accesses``: in how many sampling intervals of the aggregation interval the page
that was looked at had been accessed.  Numbers may be texts, with commas; times texts with units, and have decimals
(``4.500 ms``), of which parts of a nanosecond are dropped.  What else damo 3 writes (``damos_stats``,
``intervals_goal``, ``age``, ``sz_filter_passed``, ...) is not needed.

What a record does not say is assumed.  Every page of a region is accessed alike: once in each of ``nr_accesses``
sampling intervals, which are spread evenly over the snapshot and begin with another one for each page; in order of the
addresses; one cache line, reading unless told otherwise.  The first access to a page writes it (the page had contents).
Times are the record's: no page is accessed before its time, but a machine that is too slow falls behind (open loop).
Physical addresses are taken for virtual ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from numa_sim.errors import TraceFormatError
from numa_sim.state.constants import PAGE_SHIFT, PAGE_SIZE
from numa_sim.workloads.traces.growing_map import GrowingMap
from numa_sim.workloads.traces.items import CHUNK, READ, USER_PAGES, WRITE, Item, Runs, Wait, touching_flags
from numa_sim.workloads.traces.json_text import JsonText

_UNITS_NS = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip
_MOST_SAMPLES = 1_000_000
_KEPT_BLOCKS = 16
_LONGEST_NUMBER = 24
_LONGEST_TIME = 80
_PART_OF_TIME = r"([\d,]+)(\.\d+)?\s*(ns|us|ms|[smhd])\s*"


class _Record(NamedTuple):
    """What stands around a record's snapshots; how many sampling intervals a snapshot has, 0 = not said."""

    number: int
    target: Any
    samples: int
    snapshots: int


class _Snapshot(NamedTuple):
    start_ns: int
    end_ns: int
    regions: Any  # i8 [n, 3]: first page, pages, nr_accesses


def read_damon(
    path: Path, *, instructions: bool = True, target: int | None = None, write: float = 0.0
) -> Iterator[Item]:
    """Yield mappings, runs and waits of one record of a file; the file is read twice, a snapshot at a time.

    Parameters
    ----------
    path : Path
        The records.
    instructions : bool
        Without meaning here; every reader takes it.
    target : int, optional
        ``target_id`` of the record; needed if there are several.
    write : float
        Share of the pages, 0 to 1, that every access writes; the others are read.

    Raises
    ------
    TraceFormatError
        The text is no JSON (with the character), or not that of records (with record, snapshot and region).
    """
    record = _chosen(path, _records(path), target)
    mappings = GrowingMap(touching_flags(instructions))
    began_ns = ended_ns = None
    samples = record.samples or _most_accesses(path, record)
    for snapshot in _snapshots(path, record, samples):
        began_ns = snapshot.start_ns if began_ns is None else began_ns
        ended_ns = snapshot.end_ns
        blocks = _Blocks(snapshot.regions)
        for sample in range(samples):
            passed_ns = (snapshot.end_ns - snapshot.start_ns) * sample // samples
            yield Wait(snapshot.start_ns - began_ns + passed_ns)
            for vpn, nr_accesses, phase in blocks:
                used = vpn[(sample * nr_accesses + phase) % samples < nr_accesses]
                if len(used):
                    runs = Runs(used, np.ones(len(used), np.int64), _flags(used, write))
                    yield from mappings.observe(runs)
                    yield runs
    if began_ns is not None and ended_ns is not None:
        yield Wait(ended_ns - began_ns)


def _flags(vpn: Any, write: float) -> Any:
    """What is done to each page: it is read, or, always the same ones, written."""
    written = _scattered(vpn, 20) & 0xFFFF < round(write * 0x10000)
    return np.where(written, np.uint8(WRITE), np.uint8(READ))


def _scattered(vpn: Any, shift: int) -> Any:
    """A number for each page, far from its neighbours': multiplied by the golden ratio."""
    return (vpn.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(shift)).astype(np.int64)


class _Blocks:
    """The accessed pages of a snapshot, a block at a time: page numbers, nr_accesses, and a number that says when."""

    def __init__(self, regions: Any) -> None:
        self._regions = regions[regions[:, 2] > 0]
        few = int(self._regions[:, 1].sum()) <= _KEPT_BLOCKS * CHUNK
        self._kept = [self._block(part) for part in self._parts()] if few else None

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        return iter(self._kept) if self._kept is not None else map(self._block, self._parts())

    def _parts(self) -> Iterator[list[tuple[int, int, int]]]:
        """The regions cut into lists of `CHUNK` pages."""
        part: list[tuple[int, int, int]] = []
        room = CHUNK
        for row in self._regions:
            first, pages, nr_accesses = row.tolist()
            while pages:
                here = min(pages, room)
                part.append((first, here, nr_accesses))
                first, pages, room = first + here, pages - here, room - here
                if room == 0:
                    yield part
                    part, room = [], CHUNK
        if part:
            yield part

    @staticmethod
    def _block(part: list[tuple[int, int, int]]) -> tuple[Any, Any, Any]:
        first, pages, nr_accesses = np.array(part, np.int64).reshape(-1, 3).T
        vpn = np.repeat(first - (np.cumsum(pages) - pages), pages) + np.arange(pages.sum())
        return vpn, np.repeat(nr_accesses, pages), _scattered(vpn, 40)


def _records(path: Path) -> list[_Record]:
    """Go through the file for what stands around the snapshots."""
    found = []
    with JsonText(path) as text:
        for number in text.elements():
            around: dict[str, Any] = {"intervals": None, "target_id": None}
            snapshots = None
            for name in text.members():
                if name == "snapshots":
                    snapshots = 0
                    for _ in text.elements():
                        text.value()
                        snapshots += 1
                else:
                    around[name] = text.value()
            if snapshots is None:
                raise TraceFormatError(path, f"record {number}", "has no snapshots")
            samples = _samples(path, number, around["intervals"])
            found.append(_Record(number, around["target_id"], samples, snapshots))
        text.end()
    return found


def _chosen(path: Path, records: list[_Record], target: int | None) -> _Record:
    used = [record for record in records if record.snapshots]
    names = sorted({repr(record.target)[:40] for record in used})
    if target is not None:
        used = [record for record in used if str(record.target) == str(target)]
    if not used:
        why = "holds no snapshots" if target is None else f"has no target {target}; it has {', '.join(names) or 'none'}"
        raise TraceFormatError(path, "", why)
    if len(used) > 1:
        where = f"records {', '.join(str(record.number) for record in used[:9])}"
        raise TraceFormatError(path, where, f"choose one target of {', '.join(names)}; each must be one record")
    return used[0]


def _samples(path: Path, number: int, intervals: Any) -> int:
    """Sampling intervals per aggregation interval; 0 if the record does not say."""
    if intervals is None:
        return 0
    reading = _Reading(path, f"record {number}, intervals")
    sample, aggregate = (reading.time(reading.member(intervals, name), 1000) for name in ("sample_us", "aggr_us"))
    if not 0 < sample <= aggregate or aggregate // sample > _MOST_SAMPLES:
        reading.refuse(f"{sample} and {aggregate} ns: need 1 to {_MOST_SAMPLES} samples per aggregation")
    return aggregate // sample


def _most_accesses(path: Path, record: _Record) -> int:
    """The largest nr_accesses of a record, at least 1: what stands for the sampling intervals of one without any."""
    most = (int(snapshot.regions[:, 2].max(initial=1)) for snapshot in _snapshots(path, record, _MOST_SAMPLES))
    return max(most, default=1)


def _snapshots(path: Path, record: _Record, samples: int) -> Iterator[_Snapshot]:
    """Snapshots of one record; nr_accesses at most `samples`."""
    last_ns = 0
    with JsonText(path) as text:
        for number in text.elements():
            for name in text.members():
                if name != "snapshots":
                    text.value()
                    continue
                for index in text.elements():
                    value = text.value()
                    if number == record.number:
                        reading = _Reading(path, f"record {number}, snapshot {index}")
                        snapshot = reading.snapshot(value, samples)
                        if snapshot.start_ns < last_ns:
                            reading.refuse(f"begins at {snapshot.start_ns} ns, before the last one at {last_ns} ns")
                        last_ns = snapshot.start_ns
                        yield snapshot


class _Reading:
    """Checks what stands at one place of the file."""

    def __init__(self, path: Path, where: str) -> None:
        self._path = path
        self._where = where

    def refuse(self, why: str) -> NoReturn:
        raise TraceFormatError(self._path, self._where, why)

    def member(self, value: Any, name: str) -> Any:
        if not isinstance(value, dict) or name not in value:
            self.refuse(f"{str(value)[:40]!r} has no {name}")
        return value[name]

    def snapshot(self, value: Any, samples: int) -> _Snapshot:
        start, end = (self.time(self.member(value, name), 1) for name in ("start_time", "end_time"))
        if start >= end:
            self.refuse(f"ends at {end} ns, not after its start at {start} ns")
        listed = self.member(value, "regions")
        if not isinstance(listed, list):
            self.refuse(f"regions are {str(listed)[:40]!r}, no list")
        rows = [_Reading(self._path, f"{self._where}, region {i}").region(r, samples) for i, r in enumerate(listed)]
        return _Snapshot(start, end, np.array(rows, np.int64).reshape(-1, 3))

    def region(self, value: Any, samples: int) -> tuple[int, int, int]:
        start, end = (self.whole(self.member(value, name), USER_PAGES * PAGE_SIZE) for name in ("start", "end"))
        if start >= end:
            self.refuse(f"ends at {end}, not behind its start {start}")
        seen = self.member(value, "nr_accesses")
        if isinstance(seen, dict):
            if seen.get("samples") is not None:
                seen = seen["samples"]
            else:
                seen = round(self.whole(self.member(seen, "percent"), 100) * samples / 100)
        first = start >> PAGE_SHIFT
        pages = -(-end // PAGE_SIZE) - first
        return first, pages, min(self.whole(seen, _MOST_SAMPLES), samples)

    def whole(self, value: Any, most: int) -> int:
        """A number of 0 to `most`, maybe written as text with commas."""
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and value.replace(",", "").isdecimal():
            value = int(value.replace(",", ""))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not 0 <= value <= most:
            self.refuse(f"{str(value)[:40]!r} is no whole number of 0 to {most}")
        return int(value)

    def time(self, value: Any, unit_ns: int) -> int:
        """A time in ns: a number in units of `unit_ns`, or text like ``1 s 5 ms`` or ``4.500 ms``."""
        most = (1 << 63) - 1
        if isinstance(value, float) and 0 <= value * unit_ns < most:
            return int(value * unit_ns)
        if not isinstance(value, str) or not value[-1:].isalpha():
            return self.whole(value, most // unit_ns) * unit_ns
        if len(value) > _LONGEST_TIME or not re.fullmatch(rf"(?:{_PART_OF_TIME})+", value):
            self.refuse(f"{value[:40]!r} is no time in {', '.join(_UNITS_NS)}")
        total_ns = 0
        for number, decimals, unit in re.findall(_PART_OF_TIME, value):
            part_of_unit = int(decimals[1:] or 0) * _UNITS_NS[unit] // 10 ** max(len(decimals) - 1, 0)
            total_ns += self.whole(number, most) * _UNITS_NS[unit] + part_of_unit
        return self.whole(total_ns, most)
