"""Points that fill a space evenly, by `scipy.stats.qmc`, as values the sampled fields can hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from numa_sim.config.model import Config
from numa_sim.config.reader import set_at
from numa_sim.config.schema import allowed_values, node_at
from numa_sim.config.sweep import Range, Sample
from numa_sim.errors import ConfigError
from numa_sim.units import (
    PAGE_BYTES,
    format_bandwidth,
    format_bytes,
    format_ns,
    parse_bandwidth,
    parse_bytes,
    parse_ns,
)
from numa_sim.workloads.streams import stream

__all__ = ["sampled_values"]

_UNITS: Final[dict[str, tuple[Callable[[str], int], Callable[[int], str]]]] = {
    "B": (parse_bytes, format_bytes),
    "ns": (parse_ns, format_ns),
    "B/s": (parse_bandwidth, format_bandwidth),
}
_DIGITS: Final = 6  # of a sampled number that is no integer


def sampled_values(sample: Sample, base: Config, place: str) -> list[tuple[Any, ...]]:
    """Values of each point, in the order of the ranges.

    They follow from ``run.seed`` and where the table stands.  Sizes are whole pages if both ends are, other quantities
    whole base units; integers are rounded, other numbers have six significant digits.

    Raises
    ------
    ConfigError
        If a field cannot be sampled, or an end is not one of its values.
    """
    spans = [_span(path, ends, base, f"{place}.ranges.{path}") for path, ends in sample.ranges.items()]
    unit_cube = _points(sample, len(spans), base.run.seed, place)
    return [tuple(span.at(float(share)) for span, share in zip(spans, row, strict=True)) for row in unit_cube]


def _points(sample: Sample, dimensions: int, seed: int, place: str) -> Any:
    """Points of the unit cube, one a row."""
    from scipy.stats import qmc

    rng = stream(seed, f"sweep/{place}")
    if sample.method == "sobol":
        return qmc.Sobol(dimensions, rng=rng).random_base2(sample.points.bit_length() - 1)
    if sample.method == "halton":
        return qmc.Halton(dimensions, rng=rng).random(sample.points)
    return qmc.LatinHypercube(dimensions, rng=rng).random(sample.points)


@dataclass(frozen=True)
class _Span:
    """A range in base units, and how a number in it is written."""

    low: float
    high: float
    log: bool
    write: Callable[[float], Any]

    def at(self, share: float) -> Any:
        """The value at `share` of the way."""
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        return self.write(min(max(value, self.low), self.high))


def _span(path: str, ends: Range, base: Config, place: str) -> _Span:
    document = base.document()
    node = node_at(set_at(document, path, None, base.origin), base.document())
    kind, unit = (node or {}).get("type"), (node or {}).get("x-unit")
    if unit not in _UNITS and kind not in ("integer", "number"):
        wanted = ("a size, a time, a bandwidth or a number; others go into sweep.grid",)
        raise ConfigError(base.origin, place, "cannot be sampled", wanted)
    low, high = (
        _number(end, kind, unit, base, f"{place}.{name}", allowed_values(node))
        for name, end in (("from", ends.from_), ("to", ends.to))
    )
    if low >= high:
        raise ConfigError(base.origin, f"{place}.to", f"{ends.to} is not above {ends.from_}", ("a larger value",))
    if ends.scale == "log" and low <= 0:
        raise ConfigError(base.origin, f"{place}.from", "has no logarithm", ("more than 0", 'scale = "linear"'))
    return _Span(low, high, ends.scale == "log", _writer(low, high, kind, unit))


def _number(end: Any, kind: Any, unit: Any, base: Config, place: str, allowed: tuple[str, ...]) -> float:
    """An end of a range in base units."""
    try:
        if unit in _UNITS:
            return end if type(end) is int and base.from_python else _UNITS[unit][0](end)
        if isinstance(end, str) or (kind == "integer" and not isinstance(end, int)):
            raise ValueError(f"{end!r} is no {kind}")
    except (ValueError, TypeError) as problem:
        raise ConfigError(base.origin, place, str(problem).split(" (allowed")[0], allowed) from None
    return float(end) if kind == "number" else int(end)


def _writer(low: float, high: float, kind: Any, unit: Any) -> Callable[[float], Any]:
    """How a number of a range is rounded and written."""
    if unit == "B" and low % PAGE_BYTES == 0 and high % PAGE_BYTES == 0:
        return lambda value: format_bytes(round(value / PAGE_BYTES) * PAGE_BYTES)
    if unit in _UNITS:
        show = _UNITS[unit][1]
        return lambda value: show(round(value))
    if kind == "integer":
        return round
    return lambda value: float(f"{value:.{_DIGITS}g}")
