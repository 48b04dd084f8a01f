"""What every function of this package asks of its arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from numa_sim.errors import StatisticsError

__all__ = ["Chance", "checked_fraction", "checked_values", "generator"]

Chance = int | np.random.SeedSequence | np.random.Generator
"""What randomness can be asked from: a seed gives the same answer each time."""


def generator(rng: Chance) -> np.random.Generator:
    """Return the generator of a seed, or the one given."""
    return rng if isinstance(rng, np.random.Generator) else np.random.Generator(np.random.PCG64DXSM(rng))


def checked_values(values: Any, what: str = "samples", at_least: int = 1) -> Any:
    """Return `values` as float64 [n].

    Raises
    ------
    StatisticsError
        If they are not numbers in one dimension, not finite, or fewer than `at_least`.
    """
    try:
        array = np.asarray(values)
        numbers = array.astype(np.float64) if array.dtype.kind in "biuf" or array.dtype == object else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise StatisticsError(what, "must be numbers")
    if numbers.ndim != 1:
        raise StatisticsError(what, f"must have one dimension, not the shape {numbers.shape}")
    if len(numbers) < at_least:
        has = f"has {len(numbers)} of the" if len(numbers) else "is empty,"
        raise StatisticsError(what, f"{has} {at_least} {'value' if at_least == 1 else 'values'} needed at least")
    if not np.isfinite(numbers).all():
        first = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise StatisticsError(what, f"value {first} is {numbers[first]}, not a finite number")
    return numbers


def checked_fraction(value: float, what: str = "confidence") -> float:
    """Return `value`, a number between 0 and 1, both excluded; StatisticsError for any other."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not 0 < value < 1:
        raise StatisticsError(what, f"must be between 0 and 1, not {value!r}")
    return float(value)
