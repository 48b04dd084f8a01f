"""The access map: which memory of which task was accessed when, and how often (``run.observe = ["access_map"]``).

Objective: the figures DAMON estimates by sampling accessed bits, here counted exactly, and without touching an
accessed bit, a TLB or a page: what is read is how far each task has come in its own list of accesses.

Rules.  Time is cut into sampling intervals, and those into bins (DAMON: aggregation intervals).  A page counts once in
a sampling interval in which it was accessed, however often.  A row is one region (an aligned block of pages) of one
task's memory in one bin; regions that were not accessed have no row.  ``page_samples`` sums over the region's pages in
how many sampling intervals each was accessed; divided by the region's pages it is ``nr_accesses``: what DAMON, which
looks at one page of the region drawn afresh in each sampling interval, counts on average.

An access belongs to the interval in which it was carried out; one that faults counts once, when it is through.  A
system call that copies from or to the task's memory counts as one access to each page.  Pages read ahead, scanned or
written to disk are not accessed.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from numa_sim.observe.sampler import Column, Series
from numa_sim.state.constants import PAGE_SHIFT

__all__ = ["ACCESS_COLUMNS", "NR_ACCESSES", "AccessMap"]

ACCESS_COLUMNS: Final = (
    Column("t_ns", "ns", "simulated time at which the bin ends"),
    Column("length_ns", "ns", "length of the bin: shorter than the others only if the run ended in it"),
    Column("samples", "1", "sampling intervals in the bin"),
    Column("task", "1", "the task: its place in the summary"),
    Column("process", "1", "pid of the task whose memory it is: of a thread, the task that made it"),
    Column("start", "bytes", "address of the region"),
    Column("bytes", "bytes", "its length"),
    Column("pages", "pages", "pages of it that were accessed"),
    Column("accesses", "1", "accesses to it"),
    Column("page_samples", "1", "sampling intervals in which a page was accessed, summed over the region's pages"),
)
"""One row per (bin, task, region accessed)."""
NR_ACCESSES: Final = Column("nr_accesses", "1", "page_samples per page of the region: 0 to samples, as DAMON counts")
"""A column of the table that is derived."""

_MANY: Final = 1 << 20
"""Pages noted before equal ones are put together."""


class _Uses:
    """Pages of one task in one bin: accesses of each, and sampling intervals in which it was accessed."""

    __slots__ = ("_at_once", "_fresh", "_n_fresh", "_n_noted", "_noted")

    def __init__(self) -> None:
        self._fresh: list[Any] = []  # accesses of this sampling interval: pages in any order
        self._n_fresh = 0
        self._at_once: list[tuple[Any, Any]] = []  # of this interval: distinct pages and their accesses
        self._noted: list[tuple[Any, Any, Any]] = []  # of the bin: pages, accesses, sampling intervals
        self._n_noted = 0

    def add(self, vpns: Any) -> None:
        self._fresh.append(vpns)
        self._n_fresh += len(vpns)
        if self._n_fresh > _MANY:
            self._count_fresh()

    def _count_fresh(self) -> None:
        if self._fresh:
            self._at_once.append(np.unique(np.concatenate(self._fresh), return_counts=True))
            self._fresh, self._n_fresh = [], 0

    def end_sample(self) -> None:
        self._count_fresh()
        if not self._at_once:
            return
        pages, accesses = _summed(*(np.concatenate(column) for column in zip(*self._at_once, strict=True)))
        self._at_once = []
        self._noted.append((pages, accesses, np.ones(len(pages), np.int64)))
        self._n_noted += len(pages)
        if self._n_noted > 2 * _MANY:
            self._noted = [self._sums()]
            self._n_noted = len(self._noted[0][0])

    def _sums(self) -> tuple[Any, Any, Any]:
        pages, accesses, samples = (np.concatenate(column) for column in zip(*self._noted, strict=True))
        return _summed(pages, accesses, samples)

    def regions(self, shift: int) -> tuple[Any, Any, Any, Any] | None:
        """Number, pages accessed, accesses and page samples of each region; None if nothing was accessed."""
        if not self._noted:
            return None
        pages, accesses, samples = self._sums()
        numbers, touched, all_accesses, page_samples = _summed(
            pages >> shift, np.ones(len(pages), np.int64), accesses, samples
        )
        return numbers, touched, all_accesses, page_samples


def _summed(keys: Any, *columns: Any) -> tuple[Any, ...]:
    """Distinct `keys` in order, and the sum of each column over equal keys."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[first], *(np.add.reduceat(column[order], first) for column in columns)


class AccessMap:
    """Collects the access map of one machine.

    Parameters
    ----------
    sample_ns, aggregate_ns : int
        Sampling interval and bin, ns.
    region_bytes : int
        Size of a region: a power of two of pages.

    Attributes
    ----------
    rows : Series
        See `ACCESS_COLUMNS`.
    """

    def __init__(self, sample_ns: int, aggregate_ns: int, region_bytes: int) -> None:
        self.sample_ns = sample_ns
        self.aggregate_ns = aggregate_ns
        self.region_bytes = region_bytes
        self.rows = Series(ACCESS_COLUMNS, 64)
        self._shift = region_bytes.bit_length() - 1 - PAGE_SHIFT
        self._uses: dict[tuple[int, int], _Uses] = {}
        self._bin_began_ns = 0
        self._samples = 0

    def add(self, task: int, process: int, vpns: Any) -> None:
        """Note accesses to these virtual pages (int64 array, kept) by `task` in the memory of `process`."""
        uses = self._uses.get((task, process))
        if uses is None:
            uses = self._uses[task, process] = _Uses()
        uses.add(vpns)

    def end_sample(self, now_ns: int) -> None:
        """A sampling interval ends; a bin too, if it is time."""
        self._samples += 1
        for uses in self._uses.values():
            uses.end_sample()
        if now_ns - self._bin_began_ns >= self.aggregate_ns:
            self._end_bin(now_ns)

    def finish(self, now_ns: int) -> None:
        """The run ends, maybe within a bin."""
        if now_ns > self._bin_began_ns:
            self._samples += (now_ns - self._bin_began_ns) % self.sample_ns != 0
            for uses in self._uses.values():
                uses.end_sample()
            self._end_bin(now_ns)

    def _end_bin(self, now_ns: int) -> None:
        for (task, process), uses in sorted(self._uses.items()):
            regions = uses.regions(self._shift)
            if regions is None:
                continue
            numbers, *sums = regions
            block = self.rows.block(len(numbers), False)
            block[:, :5] = (now_ns, now_ns - self._bin_began_ns, self._samples, task, process)
            block[:, 5] = numbers * self.region_bytes
            block[:, 6] = self.region_bytes
            for i, column in enumerate(sums, 7):
                block[:, i] = column
        self._uses.clear()
        self._bin_began_ns = now_ns
        self._samples = 0
