"""Intervals of percentiles and of any other statistic."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from numa_sim.errors import StatisticsError
from numa_sim.statistics.interval import Interval
from numa_sim.statistics.samples import Chance, checked_fraction, checked_values, generator

__all__ = ["bootstrap_interval", "quantile_interval"]


def quantile_interval(samples: Any, q: float, confidence: float = 0.95) -> Interval:
    """A quantile of independent samples, between two of their order statistics.

    Parameters
    ----------
    samples : array-like [n]
        Values in any order.
    q : float
        Which quantile: 0.99 is the 99th percentile.
    confidence : float
        The interval covers at least as often.

    Returns
    -------
    Interval
        An end is infinite where the samples give no bound: of the 99th percentile, no upper one below 368 samples.

    Raises
    ------
    StatisticsError
        If there are no samples, they are not finite numbers in one dimension, or `q` is not between 0 and 1.

    Notes
    -----
    How many samples lie below the quantile is binomial, whatever their distribution.
    """
    from scipy.special import bdtr

    ordered = np.sort(checked_values(samples))
    checked_fraction(q, "q")
    tail = (1 - checked_fraction(confidence)) / 2
    n = len(ordered)
    at_most = bdtr(np.arange(n, dtype=np.float64), n, q)  # P(no more than i samples lie below the quantile)
    below = int(np.searchsorted(at_most, tail, side="right"))  # most i for which P(fewer than i) <= tail
    above = int(np.searchsorted(at_most, 1 - tail))  # least i for which P(more than i) <= tail
    low = float(ordered[below - 1]) if below > 0 else -math.inf
    high = float(ordered[above]) if above < n else math.inf
    return Interval(float(ordered[min(math.ceil(n * q), n) - 1]), low, high, n, confidence)


def bootstrap_interval(
    samples: Any, statistic: Callable[..., Any], confidence: float = 0.95, rng: Chance = 0, resamples: int = 9999
) -> Interval:
    """Interval of any statistic of independent samples, by the bias-corrected and accelerated bootstrap.

    Parameters
    ----------
    samples : array-like [n]
        Values, at least 2; intervals from fewer than some 20 are too narrow.
    statistic : callable
        Function of an array, with an argument ``axis`` like numpy's functions if it is to be quick.
    confidence : float
        Of the interval.
    rng : int, SeedSequence or Generator
        Of the resampling: the same seed gives the same interval.
    resamples : int
        How many times to resample.

    Raises
    ------
    StatisticsError
        If samples are fewer than 2, not finite numbers in one dimension, or the statistic is undefined for some.

    References
    ----------
    Efron, B. (1987). Better bootstrap confidence intervals. J. American Statistical Association 82.
    """
    from scipy.stats import DegenerateDataWarning, bootstrap

    values = checked_values(samples, at_least=2)
    checked_fraction(confidence)
    estimate = float(statistic(values))
    if (values == values[0]).all():
        return Interval(estimate, estimate, estimate, len(values), confidence)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # said as an error below
        ends = bootstrap(
            (values,), statistic, n_resamples=resamples, confidence_level=confidence, rng=generator(rng)
        ).confidence_interval
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        raise StatisticsError("statistic", "has no bootstrap interval: it is undefined or constant for these samples")
    return Interval(estimate, float(ends.low), float(ends.high), len(values), confidence)
