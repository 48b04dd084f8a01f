"""Numbers for people: rounded to three or four digits, with the unit that fits (exact ones are in the files)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numa_sim.statistics import Interval

__all__ = ["plural", "readable_bytes", "readable_count", "readable_interval", "readable_ns", "time_unit"]

_TIMES = ((10**9, "s"), (10**6, "ms"), (10**3, "µs"), (1, "ns"))
_COUNTS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def plural(n: int, noun: str) -> str:
    """A number and what it counts: ``plural(1, "run")`` is ``"1 run"``, ``plural(2, "run")`` ``"2 runs"``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def readable_ns(ns: float) -> str:
    """Format a time: ``readable_ns(1_234_567)`` is ``"1.23 ms"``."""
    scale, unit = time_unit(ns)
    return f"{_three_digits(ns / scale)} {unit}"


def time_unit(ns: float) -> tuple[int, str]:
    """Nanoseconds in, and name of, the largest unit of time not longer than `ns`."""
    return next(((scale, unit) for scale, unit in _TIMES if abs(ns) >= scale), (1, "ns"))


def readable_count(count: float) -> str:
    """Format a count: exact below 100 000, then ``"123 k"``, ``"1.23 M"``."""
    if abs(count) < 100_000:
        return f"{count:,.0f}".replace(",", " ")
    scale, unit = next((s, u) for s, u in _COUNTS if abs(count) >= s)
    return f"{_three_digits(count / scale)} {unit}"


def readable_bytes(size: float) -> str:
    """Format a size in binary units: ``readable_bytes(1536)`` is ``"1.5 KiB"``."""
    scale, unit = next(((s, u) for s, u in _SIZES if abs(size) >= s), (1, "B"))
    return f"{_three_digits(size / scale)} {unit}"


def readable_interval(interval: Interval, unit: str = "1") -> str:
    """Format an estimate and its interval: ``"88.2 ± 1.3 ms"`` for 88_200_000 ± 1_300_000 ns; counts as they are."""
    if unit != "ns":
        return str(interval)
    scale, name = time_unit(interval.estimate)
    ends = (interval.estimate / scale, interval.low / scale, interval.high / scale)
    return f"{replace(interval, estimate=ends[0], low=ends[1], high=ends[2])} {name}"


def _three_digits(value: float) -> str:
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
