"""Means over the steady part of one run's time series."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from numa_sim.errors import StatisticsError
from numa_sim.results.readable import readable_interval, readable_ns
from numa_sim.statistics import BatchMeans, Interval, batch_means, batch_ratio, mser5

__all__ = ["SteadyMean", "steady_mean"]

_NS_PER_S: Final = 1_000_000_000
_PER_ACCESS: Final = {"mean_latency_ns": ("latency_ns", "queue_ns"), "mean_queue_ns": ("queue_ns",)}
"""Columns that are means over accesses, and the sums they are made of."""
_ACCESSES: Final = ("accesses_local", "accesses_remote")


@dataclass(frozen=True, repr=False)
class SteadyMean:
    """Mean of one column over the steady part of a run.

    Attributes
    ----------
    column : str
        What it is the mean of.
    unit : str
        Its unit, ``1/s`` for the rate of a counter.
    start_ns, end_ns : int
        Simulated time over which it was taken, ns.
    batches : BatchMeans
        The mean, its interval, and whether the interval can be believed.
    """

    column: str
    unit: str
    start_ns: int
    end_ns: int
    batches: BatchMeans

    @property
    def interval(self) -> Interval:
        """The mean and its interval."""
        return self.batches.interval

    def __repr__(self) -> str:
        """Mean, interval, and when the steady state began."""
        value = readable_interval(self.interval, self.unit)
        unit = "" if self.unit in ("ns", "1") else f" {self.unit}"
        doubt = "" if self.batches.independent else ", too narrow: the run is too short"
        return (
            f"{self.column}: {value}{unit} ({100 * self.interval.confidence:.6g} %, {self.interval.n} batches of "
            f"{self.batches.batch_size} samples from {readable_ns(self.start_ns)} on{doubt})"
        )


def steady_mean(series: Any, column: str, node: int | None = None, confidence: float = 0.95) -> SteadyMean:
    """Mean of a column of a node time series over its steady part; see `numa_sim.results.run.Run.steady`."""
    if column in ("t_ns", "node") or column not in series.column_names:
        near = ", ".join(difflib.get_close_matches(column, series.column_names, n=3, cutoff=0.5))
        raise StatisticsError(column, "is no column of the time series" + (f" (near: {near})" if near else ""))
    times, rows = _samples(series, node)
    regular = _regular(times)
    metadata = series.schema.field(column).metadata or {}
    unit = metadata.get(b"unit", b"").decode()
    try:
        if column in _PER_ACCESS:
            return _per_access(series, column, times, rows, regular, confidence)
        values = _column(series, column)[rows].sum(1)
        if _counts(column, metadata.get(b"description", b"").decode()):
            values = np.diff(values) * (_NS_PER_S / np.diff(times))
            begins, unit = times[:-1], f"{unit}/s"
        else:
            values, begins = values[1:], times[:-1]
        values = values[:regular]
        cut = mser5(values)
        return SteadyMean(
            column, unit, int(begins[cut]), int(times[regular]), batch_means(values[cut:], None, confidence)
        )
    except StatisticsError as error:
        raise StatisticsError(column, f"{error.message}; sample more often (run.sample) or run longer") from error


def _per_access(series: Any, column: str, times: Any, rows: Any, regular: int, confidence: float) -> SteadyMean:
    """Mean per access: samples without any access say nothing, and are left out."""
    spent, accesses = (
        np.diff(sum(_column(series, name)[rows].sum(1) for name in names))[:regular]
        for names in (_PER_ACCESS[column], _ACCESSES)
    )
    known = np.flatnonzero(accesses)
    cut = mser5(spent[known] / accesses[known])
    used = known[cut:]
    batches = batch_ratio(spent[used], accesses[used], None, confidence)
    return SteadyMean(column, "ns", int(times[used[0]]), int(times[used[-1] + 1]), batches)


def _counts(column: str, about: str) -> bool:
    """Whether a column only grows; the kernel's ``nr_`` counters are levels."""
    return about.endswith("since boot") and not column.startswith("nr_")


def _samples(series: Any, node: int | None) -> tuple[Any, Any]:
    """Times of the samples, int64 [samples], and the rows of the nodes asked for, int64 [samples, nodes]."""
    nodes = _column(series, "node")
    known = np.unique(nodes)
    if node is not None and node not in known:
        raise StatisticsError("node", f"there is no node {node!r} (allowed: {', '.join(map(str, known))})")
    wanted = known if node is None else np.array([node])
    rows = np.flatnonzero(np.isin(nodes, wanted)).reshape(-1, max(len(wanted), 1))
    return _column(series, "t_ns")[rows[:, 0]], rows


def _regular(times: Any) -> int:
    """How many intervals between samples to use: all but a last one cut short by the end of the run."""
    steps = np.diff(times)
    return len(steps) - 1 if len(steps) > 1 and steps[-1] < steps[:-1].min() else len(steps)


def _column(series: Any, name: str) -> Any:
    return series.column(name).to_numpy()
