"""Page of rank k with probability proportional to 1 / k**s, drawn by rejection-inversion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numa_sim.compiled import entry, rule
from numa_sim.workloads.patterns.sequential import Writes
from numa_sim.workloads.patterns.source import AccessSource, Binding, require
from numa_sim.workloads.patterns.spread import bits_for, spread
from numa_sim.workloads.streams import Draws

SCRAMBLE_KEY = 0x5BD1E995
"""Ranks are spread over the pages the same way in every run: popular pages stay comparable between seeds."""


@rule
def area(x: float, s: float) -> float:
    """Integral of ``t**-s`` from 1 to `x`, exact through s = 1."""
    log_x = math.log(x)
    t = (1.0 - s) * log_x
    if abs(t) < 1e-8:
        return log_x * (1.0 + t / 2.0)
    return math.expm1(t) / (1.0 - s)


@rule
def inverse_area(a: float, s: float) -> float:
    """Return `x` with ``area(x, s) == a``."""
    t = a * (1.0 - s)
    if t < -1.0:
        t = -1.0  # rounding at the far end for s > 1
    if abs(t) < 1e-8:
        return math.exp(a * (1.0 - t / 2.0))
    return math.exp(math.log1p(t) / (1.0 - s))


@rule
def fill_zipf(
    out: Any,
    first: int,
    start: int,
    pages: int,
    s: float,
    bits: int,
    key: int,
    area_first: float,
    area_last: float,
    squeeze: float,
    write: int,
    lines: int,
    compute_ns: int,
    block: Any,
    at: int,
) -> tuple[int, int]:
    """Fill `out` from `first` on until it is full or `block` is used up; return the next index of both.

    Rejection-inversion (W. Hörmann and G. Derflinger, ACM TOMACS 6(3), 1996): invert the area under the continuous
    ``x**-s``, round to the nearest rank, and reject where the hat exceeds the histogram; `squeeze` accepts most
    draws without another logarithm.  Needs 1.0x numbers an access and no table.  ``bits`` 0 = ranks in page order.
    """
    while first < len(out) and at < len(block):
        a = area_last + block[at] * (area_first - area_last)
        at += 1
        x = inverse_area(a, s)
        rank = int(x + 0.5)
        if rank < 1:
            rank = 1
        elif rank > pages:
            rank = pages
        if rank - x > squeeze and a < area(rank + 0.5, s) - math.exp(-s * math.log(rank)):
            continue
        page = rank - 1
        if bits > 0:
            page = spread(page, pages, bits, key)
        out[first].vpn = start + page
        out[first].compute_ns = compute_ns
        out[first].lines = lines
        out[first].write = write
        first += 1
    return first, at


_fill_zipf = entry(fill_zipf)


class _Zipf(AccessSource):
    def __init__(self, binding: Binding, s: float, scramble: bool) -> None:
        super().__init__(binding.count)
        self._binding = binding
        # The write draws need a stream of their own: how many numbers a rank takes varies.
        self._writes = Writes(binding)
        self._draws = Draws(binding.rng.spawn(1)[0])
        self._s = s
        self._bits = bits_for(binding.pages) if scramble else 0
        self._area_first = float(area(1.5, s) - 1.0)
        self._area_last = float(area(binding.pages + 0.5, s))
        self._squeeze = float(2.0 - inverse_area(area(2.5, s) - math.exp(-s * math.log(2.0)), s))

    def _fill(self, accesses: Any) -> int:
        b, draws = self._binding, self._draws
        done = 0
        while done < len(accesses):
            draws.ready()
            done, draws.at = _fill_zipf(
                accesses,
                done,
                b.start_vpn,
                b.pages,
                self._s,
                self._bits,
                SCRAMBLE_KEY,
                self._area_first,
                self._area_last,
                self._squeeze,
                self._writes.fixed,
                b.lines,
                b.compute_ns,
                draws.block,
                draws.at,
            )
        self._writes.choose(accesses)
        return done


@dataclass(frozen=True, slots=True)
class zipf:  # noqa: N801 - patterns read like the functions users call
    """Touch pages at random, the k-th most popular with probability proportional to ``k**-s``.

    Default length: as many accesses as pages.  Logarithms and exponentials come from the C library, the same for
    compiled and plain Python on one machine; another C library may round a draw in 10**15 differently.

    Parameters
    ----------
    s : float
        Skew, above 0 up to 20; 1 is allowed, 0.99 is customary for key-value stores.
    scramble : bool
        True spreads the popular pages over the whole region, the same way in every run; False makes page k-1 the
        k-th most popular.
    """

    s: float
    scramble: bool = True

    def __post_init__(self) -> None:
        require(0.0 < self.s <= 20.0, "zipf.s", f"{self.s}", "above 0, up to 20")

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of zipf-distributed pages of `binding`."""
        return _Zipf(binding, float(self.s), self.scramble)
