"""Confidence intervals: the answer of most functions here, and the mean of replicas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numa_sim.errors import StatisticsError
from numa_sim.statistics.samples import checked_fraction, checked_values

__all__ = ["Interval", "interval_of_mean", "mean_interval", "precise_enough", "student_t"]


@dataclass(frozen=True, repr=False)
class Interval:
    """An estimate and the interval that covers the true value with the stated confidence.

    Attributes
    ----------
    estimate : float
        The estimate itself.
    low, high : float
        Ends of the interval; infinite where the data give no bound, as for the mean of a single sample.
    n : int
        Independent values it rests on: replicas, pairs or batches.
    confidence : float
        Share of such intervals that cover the true value.
    """

    estimate: float
    low: float
    high: float
    n: int
    confidence: float = 0.95

    @property
    def half_width(self) -> float:
        """Half the length; infinite if there is no interval."""
        return (self.high - self.low) / 2

    @property
    def relative_half_width(self) -> float:
        """Half width over the size of the estimate; 0 if both are 0, infinite if only the estimate is."""
        if self.half_width == 0:
            return 0.0
        return self.half_width / abs(self.estimate) if self.estimate else math.inf

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside."""
        return not self.low <= value <= self.high

    def __str__(self) -> str:
        """Estimate and interval alone: ``12.34 ± 0.41``, ``12.34 (11.90 to 13.15)`` or ``12.34``."""
        half = self.half_width
        if math.isinf(self.low) and math.isinf(self.high):
            return _plain(self.estimate)
        if half == 0:
            return f"{_plain(self.estimate)} ± 0"
        if math.isinf(half):
            return f"{_plain(self.estimate)} ({_plain(self.low)} to {_plain(self.high)})"
        decimals = _decimals(half)
        middle = (self.low + self.high) / 2
        if abs(middle - self.estimate) <= 1e-6 * max(half, abs(self.estimate)):
            return f"{_fixed(self.estimate, decimals)} ± {_fixed(half, decimals)}"
        low, high = _fixed(self.low, decimals), _fixed(self.high, decimals)
        return f"{_fixed(self.estimate, decimals)} ({low} to {high})"

    def __repr__(self) -> str:
        """Show it as ``12.34 ± 0.41 (95 %, n = 10)``; the half width has two digits."""
        if math.isinf(self.low) and math.isinf(self.high):
            return f"{self} (no interval, n = {self.n})"
        return f"{self} ({100 * self.confidence:.6g} %, n = {self.n})"


def mean_interval(samples: Any, confidence: float = 0.95) -> Interval:
    """Mean of independent samples, with Student's interval.

    Parameters
    ----------
    samples : array-like [n]
        One value per replica.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Interval
        Unbounded for a single sample, which says nothing about its spread; of width 0 if all samples are equal.

    Raises
    ------
    StatisticsError
        If there are no samples, or they are not finite numbers in one dimension.

    Notes
    -----
    Exact for normal samples; for others nearly so from some ten on, by the central limit theorem.  Samples must be
    independent: values of one run are not, see `batch_means`.
    """
    return interval_of_mean(checked_values(samples), checked_fraction(confidence))


def interval_of_mean(values: Any, confidence: float) -> Interval:
    """`mean_interval` of checked values."""
    n = len(values)
    if (values == values[0]).all():  # the mean of equal numbers may differ from them in its last bit
        mean = float(values[0])
        half = 0.0 if n > 1 else math.inf
    else:
        mean = float(values.mean())
        half = student_t(confidence, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, confidence)


def precise_enough(samples: Any, within: float, confidence: float = 0.95, at_least: int = 5) -> bool:
    """Whether the interval of the mean is narrow enough to stop adding replicas.

    Parameters
    ----------
    samples : array-like [n]
        One value per replica so far.
    within : float
        Largest half width allowed, as a share of the mean: 0.05 is 5 %.
    confidence : float
        Of the interval.
    at_least : int
        With fewer samples (and always with fewer than 2) the answer is no.

    Returns
    -------
    bool
        Also true when all samples are equal, and false for other samples whose mean is 0.

    Raises
    ------
    StatisticsError
        If samples are not finite numbers in one dimension, or `within` is not positive.

    Notes
    -----
    Stopping at the first yes prefers samples that happen to lie close together, so that the interval covers less often
    than it says: with 95 %, of normal samples, about 91 % if it may stop from 3 samples on, 93 % from 5 and 94 to 95 %
    from 10; the tests measure it.  Whoever asks must bound the number of replicas: a mean near 0 is never known to
    5 % of itself.
    """
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 < within < math.inf:
        raise StatisticsError("within", f"must be a positive number, not {within!r}")
    values = checked_values(samples, at_least=0)
    checked_fraction(confidence)
    if len(values) < max(at_least, 2):
        return False
    return interval_of_mean(values, confidence).relative_half_width <= within


def student_t(confidence: float, degrees: float) -> float:
    """Factor of the standard error in a two-sided interval: 12.706 for 95 % and 1 degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _decimals(half: float) -> int:
    """Decimals that show two digits of `half`; negative for digits before the point."""
    decimals = 1 - math.floor(math.log10(half))
    return decimals if round(half, decimals) < 10 ** (2 - decimals) else decimals - 1  # 9.96 is shown as 10


def _plain(value: float) -> str:
    """A number without anything that says how many of its digits count."""
    return _fixed(value, 0) if abs(value) < 1e12 and value == round(value) else f"{value:.6g}"


def _fixed(value: float, decimals: int) -> str:
    rounded = round(value, decimals) + 0.0  # no minus before a zero
    if abs(rounded) >= 1e12 or decimals > 9:
        return f"{value:.4g}"
    return f"{rounded:,.{max(decimals, 0)}f}".replace(",", " ")
