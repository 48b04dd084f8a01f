"""Means over replicas of a sweep, and comparisons of two values of a factor, each with its interval.

Replicas of one number have the same seed in all points, and are independent of those of other numbers.  So whatever is
averaged over several points is averaged within each replica first, and the interval is that of the replicas' averages.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from numa_sim.errors import RunFolderError
from numa_sim.results.sweep_columns import METRIC_COLUMNS
from numa_sim.results.sweep_factors import grouped_points, selected_points, zipped_with
from numa_sim.results.sweep_folder import SweepDesign
from numa_sim.statistics import Comparison, Interval, compare, mean_interval

__all__ = ["NUMBERS", "checked_metric", "compared", "means", "means_by_point"]

NUMBERS: Final = tuple(figure.name for figure in METRIC_COLUMNS if figure.kind != "text")
"""Metrics that have means."""


def checked_metric(design: SweepDesign, metric: str) -> str:
    """Return the name of a metric that has means; RunFolderError with near ones for any other."""
    if metric in NUMBERS:
        return metric
    near = ", ".join(difflib.get_close_matches(metric, NUMBERS, n=4, cutoff=0.5))
    raise RunFolderError(design.folder, f"has no metric {metric!r} to average" + (f" (near: {near})" if near else ""))


def means(
    design: SweepDesign, table: Any, metric: str, by: Sequence[str], where: Mapping[str, Any], confidence: float
) -> list[tuple[tuple[Any, ...], Interval]]:
    """Mean of a metric for each combination of values of the factors `by`; see `numa_sim.results.sweep.Sweep.mean`."""
    values = _values(design, table, metric)
    groups = grouped_points(design, selected_points(design, where), by)
    return [(factors, _interval(_averages(values, points), confidence)) for factors, points in groups.items()]


def means_by_point(design: SweepDesign, table: Any, metric: str, confidence: float) -> dict[int, Interval]:
    """Mean of a metric at each point that has rows, in the order of the design."""
    values = _values(design, table, metric)
    return {point: _interval(values.get(point, {}), confidence) for point in sorted(set(table["point"].to_pylist()))}


def compared(
    design: SweepDesign,
    table: Any,
    metric: str,
    factor: str,
    pair: tuple[Any, Any],
    where: Mapping[str, Any],
    prefer: Literal["lower", "higher"],
    confidence: float,
) -> Comparison:
    """Compare two values of a factor; see `numa_sim.results.sweep.Sweep.compare`."""
    values = _values(design, table, metric)
    others = [name for name in design.factors if name != factor and name not in zipped_with(design, factor)]
    first, second = (
        grouped_points(design, selected_points(design, {**where, factor: value}), others) for value in pair
    )
    shared = [rest for rest in first if rest in second]
    if not shared:
        raise RunFolderError(design.folder, f"no points differ in nothing but {factor} = {pair[0]} and {pair[1]}")
    a, b = (_averages(values, [point for rest in shared for point in side[rest]]) for side in (first, second))
    replicas = [replica for replica in a if replica in b]
    if not replicas:
        raise RunFolderError(design.folder, f"no replica has {metric} for both {pair[0]} and {pair[1]}")
    names = (str(pair[0]), str(pair[1]))
    return compare([a[r] for r in replicas], [b[r] for r in replicas], names, prefer, confidence)


def _interval(samples: Mapping[int, float], confidence: float) -> Interval:
    """Interval over replicas; of none the mean is NaN."""
    if not samples:
        return Interval(math.nan, -math.inf, math.inf, 0, confidence)
    return mean_interval(list(samples.values()), confidence)


def _values(design: SweepDesign, table: Any, metric: str) -> dict[int, dict[int, float]]:
    """Values of a metric by point and replica."""
    checked_metric(design, metric)
    values: dict[int, dict[int, float]] = {}
    columns = (table.column(name).to_pylist() for name in ("point", "replica", metric))
    for point, replica, value in zip(*columns, strict=True):
        if value is not None:
            values.setdefault(point, {})[replica] = value
    return values


def _averages(values: Mapping[int, Mapping[int, float]], points: Sequence[int]) -> dict[int, float]:
    """Average over `points` of each replica that all of them have."""
    each = [values.get(point, {}) for point in points]
    complete = sorted(replica for replica in each[0] if all(replica in known for known in each))
    return {replica: math.fsum(known[replica] for known in each) / len(each) for replica in complete}
