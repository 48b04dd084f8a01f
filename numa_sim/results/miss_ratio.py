"""Miss-ratio curves: which share of a trace's requests misses, over the size of memory.

Definitions are libCacheSim's (``cachesim --ignore-obj-size 1``, source at commit 0da6555), so that curves can be laid
over each other.

* A request is a record of the trace (a stay on a page) or an element of an array; each asks for one page.
* Every first request for a page misses, and counts.  Miss ratio = misses / all requests; nothing is warmed up.
* The working set is all pages of the trace; a size given as a fraction is that fraction of it, rounded down.
* LRU, FIFO: the page used, or brought, longest ago goes.  CLOCK (FIFO-Reinsertion) has one bit a page, clear when the
  page comes and set when it is used again; the hand clears it once before the page goes.

They differ in three things.  Of traces above 1 GiB libCacheSim estimates the working set, from every 11th or 101st
object; here it is counted.  Its mrcProfiler samples unless told ``--profiler-params=FIX_RATE,1,42``; here nothing is
sampled.  Its tools leave out requests of size 0, which here the reader of oracleGeneral does.

LRU is computed for all sizes in one pass, from stack distances (Mattson et al., 1970, with the tree of Fenwick): a
request misses in memories of no more pages than were used since its page's last use.  The other policies are those that
the machine runs, replayed once for each size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from numa_sim.compiled import entry, rule
from numa_sim.errors import ConfigError
from numa_sim.policies.registry import find
from numa_sim.policies.replay import PageTrace, replay
from numa_sim.results.frames import frame_library
from numa_sim.state.constants import PAGE_SIZE
from numa_sim.units import parse_bytes

__all__ = ["DEFAULT_SIZES", "MissRatioCurve", "lru_misses", "miss_ratio_curve"]

DEFAULT_SIZES: Final = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Fractions of the working set."""
_THEIR_NAMES: Final = {"lru": "LRU", "fifo": "FIFO", "clock": "Clock"}
_SIZES: Final = "pages, like 1000; bytes, like 64MiB; or a fraction of the working set above 0 and up to 1, like 0.25"


@dataclass(frozen=True, eq=False)
class MissRatioCurve:
    """Misses of one policy on one trace.

    Attributes
    ----------
    policy : str
        Its name.
    requests : int
        Of the trace.
    working_set : int
        Different pages of the trace.
    sizes : array of int64
        Sizes of memory, pages, ascending.
    misses : array of int64
        Requests that missed, for each size.
    """

    policy: str
    requests: int
    working_set: int
    sizes: Any
    misses: Any

    @property
    def miss_ratio(self) -> Any:
        """Share of the requests that missed, for each size (float64); 0 for a trace without any."""
        return self.misses / max(self.requests, 1)

    @property
    def table(self) -> Any:
        """One row for each size: pyarrow.Table; each field's metadata holds its ``unit`` and ``description``."""
        import pyarrow as pa

        columns = {
            "policy": ([self.policy] * len(self.sizes), "", "name of the policy"),
            "size_pages": (self.sizes, "pages", "memory"),
            "size_bytes": (self.sizes * PAGE_SIZE, "bytes", "memory"),
            "fraction": (self.sizes / max(self.working_set, 1), "1", "memory as a share of the working set"),
            "requests": (np.full(len(self.sizes), self.requests), "1", "records of the trace"),
            "misses": (self.misses, "1", "requests that missed, first ones included"),
            "miss_ratio": (self.miss_ratio, "1", "misses / requests"),
        }
        arrays = [pa.array(values) for values, _, _ in columns.values()]
        fields = [
            pa.field(name, array.type, metadata={"unit": unit, "description": about})
            for (name, (_, unit, about)), array in zip(columns.items(), arrays, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={"format_version": "1"}))

    def to_pandas(self) -> Any:
        """`table` as a pandas.DataFrame (needs pandas)."""
        frame_library("pandas")
        return self.table.to_pandas()

    def to_csv(self) -> str:
        """`table` as text, with a header line."""
        rows = self.table.to_pylist()
        lines = [",".join(self.table.column_names)]
        lines += [",".join(_shown(value) for value in row.values()) for row in rows]
        return "\n".join(lines) + "\n"

    def to_profile(self, trace: str = "") -> str:
        """The curve in the layout of libCacheSim's mrcProfiler, as its ``profile_mrc.py --plot-result`` reads it.

        As with ``--ignore-obj-size`` there, each object counts one byte: sizes and sums are of pages, and `miss_rate`
        and `byte_miss_rate` are the same.

        Parameters
        ----------
        trace : str
            What to call the trace.
        """
        lines = [
            "profiler: numa_sim",
            f"trace: {trace}",
            f"cache_algorithm: {_THEIR_NAMES.get(self.policy, self.policy)}",
            f"n_req: {self.requests}",
            f"sum_obj_size_req: {self.requests}",
            "wss_ratio\tcache_size\tmiss_rate\tbyte_miss_rate",
        ]
        for size, ratio in zip(self.sizes.tolist(), self.miss_ratio.tolist(), strict=True):
            lines.append(f"{size / max(self.working_set, 1):f}\t{size}B\t{ratio:f}\t{ratio:f}")
        return "\n".join(lines) + "\n"

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve as steps (`numa_sim.results.pictures.memory_curve`); return the axes."""
        from numa_sim.results.pictures import memory_curve

        return memory_curve.plot({self.policy: (self.sizes, self.miss_ratio)}, ax)

    def __repr__(self) -> str:
        if not len(self.sizes):
            return f"<MissRatioCurve {self.policy}: no sizes>"
        first, last = (f"{self.miss_ratio[at]:.4f} at {self.sizes[at]}" for at in (0, -1))
        return f"<MissRatioCurve {self.policy}: {first} pages, {last}, {self.requests} requests>"


def _shown(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def miss_ratio_curve(
    trace: Any,
    sizes: Sequence[int | float | str] | None = None,
    policy: str = "lru",
    *,
    format: str = "numa_sim",
    seed: int = 0,
    **options: Any,
) -> MissRatioCurve:
    """Miss ratio of `policy` on `trace` over sizes of memory.

    Parameters
    ----------
    trace : path, array of int, PageTrace, or pair of arrays
        Pages in the order of their use.
    sizes : sequence of int, float or str, optional
        Ints are pages, floats above 0 and up to 1 fractions of the working set, texts either or bytes with a unit;
        default twentieths of the working set.
    policy : str
        A name in `numa_sim.policies.names`: lru, fifo, clock, ...
    format : str
        Of a path: see `numa_sim.workloads.traces.FORMATS`; `options` are its reader's.
    seed : int
        For policies that draw.

    Raises
    ------
    ConfigError
        No such policy, or a size that is none, or one in which the policy frees no page and the program dies.
    TraceFormatError
        The file cannot be read.

    Examples
    --------
    >>> from numa_sim import miss_ratio_curve
    >>> miss_ratio_curve([1, 2, 3, 1, 2, 3], sizes=[2, 3]).misses.tolist()
    [6, 3]
    """
    name = find(policy, "policy").name
    asked = DEFAULT_SIZES if sizes is None else sizes
    for at, size in enumerate(asked):
        _pages(size, 1, f"sizes.{at}")  # refused before a long trace is read
    if isinstance(trace, str | Path):
        trace = PageTrace.read(trace, format, **options)
    accesses = PageTrace.of(trace)
    working_set = accesses.footprint
    pages = np.unique([_pages(size, working_set, f"sizes.{at}") for at, size in enumerate(asked)]).astype(np.int64)
    if name == "lru":
        misses = lru_misses(accesses.page, pages)
    else:
        misses = np.array([_faults(accesses, int(size), policy, seed) for size in pages], np.int64)
    return MissRatioCurve(name, len(accesses.page), working_set, pages, misses)


def _faults(accesses: PageTrace, frames: int, policy: str, seed: int) -> int:
    if not frames:
        return len(accesses.page)
    answer = replay(accesses, frames, policy, seed=seed)
    if answer.refused_at is not None:
        died = f"{policy!r} frees no page at request {answer.refused_at} in {frames} pages: the program dies"
        raise ConfigError("", "policy", died, ("another policy", "more memory"))
    return answer.faults


def _pages(size: int | float | str, working_set: int, path: str) -> int:
    """A size of memory in pages."""
    value: int | float
    try:
        if isinstance(size, str):
            value = _number(size)
        elif isinstance(size, float | np.floating):
            value = float(size)
        elif isinstance(size, int | np.integer) and not isinstance(size, bool):
            value = int(size)
        else:
            raise ValueError(f"got {type(size).__name__}")
    except ValueError as problem:
        raise ConfigError("", path, f"{str(size)[:40]!r} is no size: {problem}", (_SIZES,)) from None
    if isinstance(value, float):
        if not 0 < value <= 1:
            raise ConfigError("", path, f"{size} is no fraction", (_SIZES,))
        return int(value * working_set)
    if not 0 < value < 1 << 48:
        raise ConfigError("", path, f"{size} is out of range", (_SIZES,))
    return value


def _number(text: str) -> int | float:
    """A fraction, a number of pages, or bytes turned into whole pages."""
    text = text.strip()
    if text.isdecimal():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return parse_bytes(text) // PAGE_SIZE


def lru_misses(page: Any, sizes: Any) -> Any:
    """Misses of LRU for each of `sizes` (pages), exactly, in one pass: int64 array.

    Parameters
    ----------
    page : array of int64
        Requests, in order.
    sizes : array of int64
        Sizes of memory, pages.
    """
    distinct, dense = np.unique(np.asarray(page, np.int64), return_inverse=True)
    dense = np.ascontiguousarray(dense, np.int64)
    distances = np.zeros(len(distinct) + 1, np.int64)
    _stack_distances(dense, np.full(len(distinct), -1), np.zeros(len(dense) + 1, np.int64), distances)
    hits = np.concatenate(([0], np.cumsum(distances)))
    return len(dense) - hits[np.minimum(sizes, len(distinct))]


@rule
def stack_distances(page: Any, last: Any, tree: Any, distances: Any) -> None:
    """Count, for each distance, the requests for a page after that many others since its last use.

    Parameters
    ----------
    page : int64 [n]
        Pages, 0 to m - 1.
    last : int64 [m]
        -1; later the last use of each.
    tree : int64 [n + 1]
        Zeros; later a Fenwick tree with a 1 at each page's last use.
    distances : int64 [m + 1]
        Zeros; the answer.
    """
    seen = 0
    n = len(page)
    for now in range(n):
        before = last[page[now]]
        if before < 0:
            seen += 1
        else:
            older = 0
            at = before + 1
            while at > 0:
                older += tree[at]
                at -= at & -at
            distances[seen - older] += 1
            at = before + 1
            while at <= n:
                tree[at] -= 1
                at += at & -at
        at = now + 1
        while at <= n:
            tree[at] += 1
            at += at & -at
        last[page[now]] = now


_stack_distances = entry(stack_distances)
