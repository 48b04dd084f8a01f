"""One long run: where its warm-up ends, and how well its mean is known although its values are correlated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from numa_sim.errors import StatisticsError
from numa_sim.statistics.interval import Interval, interval_of_mean
from numa_sim.statistics.pairs import ratio_interval
from numa_sim.statistics.samples import checked_fraction, checked_values

__all__ = ["BatchMeans", "batch_means", "batch_ratio", "mser5"]

_OF_FIVE: Final = 5
_LEAST_BATCHES_OF_FIVE: Final = 10
_LAST_IGNORED: Final = 5
"""Truncation so close to the end leaves so few batches that they may agree by chance."""

_COUNTS: Final = (32, 16, 8)
"""Numbers of batches to try."""
_ONE_IN_TEN: Final = 1.2815515655446004
"""Quantile of the normal distribution that one value in ten exceeds."""


def mser5(series: Any) -> int:
    """Number of values at the beginning of `series` that belong to its warm-up.

    The marginal standard error rule on means of five values each: the warm-up ends where the standard error of what
    remains, counted as if it were independent, is least.

    Parameters
    ----------
    series : array-like [n]
        One run's values in order of time, at least 50.

    Returns
    -------
    int
        A multiple of 5, at most half of `n`; ``series[mser5(series):]`` is the steady part.

    Raises
    ------
    StatisticsError
        If the series shows no steady state (the least standard error lies in its second half, which is what a trend or
        a late change gives), if it is too short, or not finite numbers in one dimension.

    References
    ----------
    White, K. P. (1997). An effective truncation heuristic for bias reduction in simulation output. Simulation 69(6).
    Spratt, S. C. (1998). Heuristics for the startup problem. Master's thesis, University of Virginia.
    White, Cobb and Spratt (2000). A comparison of five steady-state truncation heuristics for simulation. WSC.
    """
    values = checked_values(series, "series", at_least=_OF_FIVE * _LEAST_BATCHES_OF_FIVE)
    count = len(values) // _OF_FIVE
    batches = values[: count * _OF_FIVE].reshape(count, _OF_FIVE)
    means = (batches - np.median(values)).mean(1)  # near 0, so that little is lost in the differences of sums below
    error = _marginal_error(means)[:-_LAST_IGNORED]
    first = int(np.argmax(error <= error.min() * (1 + 1e-9)))
    if 2 * first > count:
        raise StatisticsError(
            "series", f"no steady state in {len(values)} values: the standard error is least after {first * _OF_FIVE}"
        )
    return first * _OF_FIVE


def _marginal_error(means: Any) -> Any:
    """Sum of squared deviations of ``means[d:]``, over the square of their number, for every d."""
    left = np.arange(len(means), 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum(means[::-1] ** 2)[::-1]
    return np.maximum(squares - sums**2 / left, 0) / left**2


@dataclass(frozen=True, repr=False)
class BatchMeans:
    """Mean of a correlated series.

    Attributes
    ----------
    interval : Interval
        Of the mean; ``n`` is the number of batches.
    batch_size : int
        Values per batch.
    lag1 : float
        Correlation of neighbouring batch means.
    independent : bool
        Whether that correlation could be chance.  If not, the series is too short and the interval too narrow.
    """

    interval: Interval
    batch_size: int
    lag1: float
    independent: bool

    def __repr__(self) -> str:
        """Show the interval, and whether it can be believed."""
        doubt = "" if self.independent else ", too narrow: neighbouring batches are correlated, the series is too short"
        return f"{self.interval!r} in batches of {self.batch_size}{doubt}"


def batch_means(series: Any, batches: int | None = None, confidence: float = 0.95) -> BatchMeans:
    """Mean of a steady series and its interval, by means of non-overlapping batches.

    Parameters
    ----------
    series : array-like [n]
        One run's values in order of time, warm-up removed (`mser5`).
    batches : int, optional
        How many batches, at least 2; else the most of 32, 16 and 8 whose means show no correlation (von Neumann's
        ratio, one-sided, 10 %), or 8 with ``independent=False`` if even those do.
    confidence : float
        Of the interval.

    Returns
    -------
    BatchMeans
        Values that fill no batch are left out at the beginning.

    Raises
    ------
    StatisticsError
        If there are fewer values than batches (8 if that is not given), or not finite numbers in one dimension.

    References
    ----------
    Schmeiser, B. (1982). Batch size effects in the analysis of simulation output. Operations Research 30(3): more than
    some 30 batches gain nothing.
    Fishman, G. S. (1978). Grouping observations in digital simulation. Management Science 24(5): the test.
    """
    checked_fraction(confidence)
    if batches is not None and (isinstance(batches, bool) or not isinstance(batches, int) or batches < 2):
        raise StatisticsError("batches", f"must be a whole number of at least 2, not {batches!r}")
    values = checked_values(series, "series", at_least=batches or _COUNTS[-1])
    count = batches or _count(values)
    means = _grouped(values, count)
    return BatchMeans(
        interval_of_mean(means, confidence), len(values) // count, _lag_one(means), not _are_correlated(means)
    )


def batch_ratio(numerator: Any, denominator: Any, batches: int | None = None, confidence: float = 0.95) -> BatchMeans:
    """Ratio of the sums of two steady series of one run, such as time per access, with an interval by batches.

    Parameters
    ----------
    numerator, denominator : array-like [n]
        Values of the same steps, such as what all accesses of a step took and how many there were.
    batches : int, optional
        As in `batch_means`; if not given, they are chosen by what each step's numerator differs from the mean ratio.
    confidence : float
        Of the interval, which is Fieller's.

    Raises
    ------
    StatisticsError
        As `batch_means`; also if they differ in length, or the denominator may be 0.
    """
    above, below = checked_values(numerator, "numerator"), checked_values(denominator, "denominator")
    if len(above) != len(below):
        raise StatisticsError("denominator", f"has {len(below)} values and the numerator has {len(above)}")
    if not below.sum():
        raise StatisticsError("denominator", "its sum is 0")
    residual = batch_means(above - below * (above.sum() / below.sum()), batches, confidence)
    count = residual.interval.n
    interval = ratio_interval(_grouped(above, count), _grouped(below, count), confidence)
    return BatchMeans(interval, residual.batch_size, residual.lag1, residual.independent)


def _count(values: Any) -> int:
    """The most batches whose means are not correlated; else the fewest."""
    counts = [count for count in _COUNTS if count <= len(values)]
    return next((count for count in counts if not _are_correlated(_grouped(values, count))), counts[-1])


def _grouped(values: Any, count: int) -> Any:
    size = len(values) // count
    return values[len(values) - count * size :].reshape(count, size).mean(1)


def _are_correlated(means: Any) -> bool:
    """Von Neumann's test: are neighbours closer to each other than independent values would be?"""
    k = len(means)
    deviations = means - means.mean()
    squares = float((deviations**2).sum())
    if k < 3 or squares <= 1e-24 * float((means**2).sum()):  # equal but for rounding
        return False
    closeness = 1 - float((np.diff(means) ** 2).sum()) / (2 * squares)
    return closeness > _ONE_IN_TEN * math.sqrt((k - 2) / (k * k - 1))


def _lag_one(values: Any) -> float:
    """Correlation of neighbours in `values`, float64 [n]; 0 if all are equal."""
    deviations = values - values.mean()
    squares = float((deviations**2).sum())
    return float((deviations[1:] * deviations[:-1]).sum()) / squares if squares else 0.0
