"""Two configurations compared replica by replica, both with the same random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from numa_sim.errors import StatisticsError
from numa_sim.statistics.interval import Interval, interval_of_mean, student_t
from numa_sim.statistics.samples import Chance, checked_fraction, checked_values, generator

__all__ = ["Comparison", "Paired", "compare", "paired", "permutation_p", "ratio_interval"]


@dataclass(frozen=True, repr=False)
class Paired:
    """How samples `a` and `b` differ, pair by pair.

    Attributes
    ----------
    difference : Interval
        Mean of a - b.
    ratio : Interval or None
        Mean of a over mean of b; None if b may be 0, where no bounded interval exists.
    variance_reduction : float
        Variance the mean difference would have of independent samples, over the one it has: how many times more
        replicas an unpaired comparison needs.  Below 1 pairing did harm; infinite if all differences are equal.
    p_value : float
        Student's paired test: how likely so large a mean difference is if there is none.  1 for a single pair.
    """

    difference: Interval
    ratio: Interval | None
    variance_reduction: float
    p_value: float

    def __repr__(self) -> str:
        """Difference, ratio and what pairing gained."""
        ratio = f", ratio {self.ratio}" if self.ratio else ""
        return f"difference {self.difference!r}{ratio}, variance reduction {self.variance_reduction:.3g}"


def paired(a: Any, b: Any, confidence: float = 0.95) -> Paired:
    """Compare samples taken with common random numbers: ``a[i]`` and ``b[i]`` are of the same replica.

    Parameters
    ----------
    a, b : array-like [n]
        One value per replica.
    confidence : float
        Of the intervals.

    Raises
    ------
    StatisticsError
        If they are not of equal length, empty, or not finite numbers in one dimension.

    Notes
    -----
    The interval of the difference is Student's of the differences, that of the ratio Fieller's.
    """
    checked_fraction(confidence)
    first, second = _pairs(a, b)
    differences = first - second
    difference = interval_of_mean(differences, confidence)
    n = len(differences)
    reduction = 1.0
    if n > 1:
        apart = float(first.var(ddof=1) + second.var(ddof=1))
        together = 0.0 if difference.half_width == 0 else float(differences.var(ddof=1))
        reduction = apart / together if together else math.inf if apart else 1.0
    return Paired(difference, _fieller(first, second, confidence), reduction, _student_p(difference, differences))


def ratio_interval(a: Any, b: Any, confidence: float = 0.95) -> Interval:
    """Mean of `a` over mean of `b`, sampled in pairs, with Fieller's interval.

    Raises
    ------
    StatisticsError
        As `paired`; also if b may be 0, so that no bounded interval exists.

    References
    ----------
    Fieller, E. C. (1954). Some problems in interval estimation. J. Royal Statistical Society B 16(2).
    """
    checked_fraction(confidence)
    interval = _fieller(*_pairs(a, b), confidence)
    if interval is None:
        raise StatisticsError("b", "its mean may be 0: a ratio to it has no bounded interval")
    return interval


@dataclass(frozen=True, repr=False)
class Comparison:
    """Which of two configurations is better, if that can be said.

    Attributes
    ----------
    names : tuple of str
        What the two are called.
    paired : Paired
        First minus second.
    better : str or None
        Name of the better one; None if the interval of the difference includes 0.
    """

    names: tuple[str, str]
    paired: Paired
    better: str | None

    def __repr__(self) -> str:
        """Say which is better, and the difference it rests on."""
        a, b = self.names
        verdict = "no difference shown" if self.better is None else f"{self.better} is better"
        return f"{verdict}; {a} - {b}: {self.paired!r}"


def compare(
    a: Any,
    b: Any,
    names: tuple[str, str] = ("a", "b"),
    prefer: Literal["lower", "higher"] = "lower",
    confidence: float = 0.95,
) -> Comparison:
    """Say which of two configurations is better, only if the interval of their difference excludes 0.

    Parameters
    ----------
    a, b : array-like [n]
        One value per replica, in the same order of replicas.
    names : tuple of str
        What to call them.
    prefer : {"lower", "higher"}
        Which values are better: lower ones (times, faults) or higher ones (hits).
    confidence : float
        Of the interval.

    Raises
    ------
    StatisticsError
        As `paired`, or if `prefer` is neither.
    """
    if prefer not in ("lower", "higher"):
        raise StatisticsError("prefer", f"must be lower or higher, not {prefer!r}")
    answer = paired(a, b, confidence)
    better = None
    if answer.difference.excludes(0):
        better = names[0] if (answer.difference.estimate < 0) == (prefer == "lower") else names[1]
    return Comparison(names, answer, better)


def permutation_p(a: Any, b: Any, rng: Chance = 0) -> float:
    """How likely so large a mean difference of pairs is if `a` and `b` were exchangeable; assumes no distribution.

    Signs of the differences are flipped in every way for up to 13 pairs, else in 9999 random ways (`rng`: a seed, a
    SeedSequence or a Generator).

    Raises
    ------
    StatisticsError
        As `paired`.
    """
    from scipy.stats import permutation_test

    first, second = _pairs(a, b)
    if len(first) < 2 or (first == second).all():
        return 1.0
    answer = permutation_test(
        (first - second,), np.mean, permutation_type="samples", n_resamples=9999, vectorized=True, rng=generator(rng)
    )
    return float(answer.pvalue)


def _pairs(a: Any, b: Any) -> tuple[Any, Any]:
    first, second = checked_values(a, "a"), checked_values(b, "b")
    if len(first) != len(second):
        raise StatisticsError("b", f"has {len(second)} values and a has {len(first)}; they are compared in pairs")
    return first, second


def _student_p(difference: Interval, differences: Any) -> float:
    """Two-sided p-value of the mean difference."""
    from scipy.special import stdtr

    n = len(differences)
    if n < 2:
        return 1.0
    if difference.half_width == 0:
        return 0.0 if difference.estimate else 1.0
    t = abs(difference.estimate) * math.sqrt(n) / float(differences.std(ddof=1))
    return float(2 * stdtr(n - 1, -t))


def _fieller(a: Any, b: Any, confidence: float) -> Interval | None:
    """Ratios r for which the mean of a - r b is not significantly different from 0; None unless they are bounded."""
    n = len(a)
    mean_a, mean_b = float(a.mean()), float(b.mean())
    if n < 2:
        return Interval(mean_a / mean_b, -math.inf, math.inf, n, confidence) if mean_b else None
    rest = a - mean_a / mean_b * b if mean_b else a
    if np.abs(rest).max() <= 1e-12 * np.abs(a).max():  # nothing but rounding
        rest = np.zeros(n)
    scale = student_t(confidence, n - 1) ** 2 / n
    (v_rr, v_rb), (_, v_bb) = scale * np.cov(rest, b)
    square = mean_b**2 - v_bb
    if square <= 0:
        return None
    ratio, root = mean_a / mean_b, math.sqrt(v_rb**2 + square * v_rr)
    return Interval(ratio, ratio - (v_rb + root) / square, ratio - (v_rb - root) / square, n, confidence)
