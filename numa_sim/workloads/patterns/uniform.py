"""Every page equally likely, each access independent of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numa_sim.compiled import entry, rule
from numa_sim.workloads.patterns.source import AccessSource, Binding
from numa_sim.workloads.streams import Draws


@rule
def fill_uniform(
    out: Any, first: int, start: int, pages: int, share: float, lines: int, compute_ns: int, block: Any, at: int
) -> tuple[int, int]:
    """Fill `out` from `first` on until it is full or `block` is used up; return the next index of both.

    One number decides both the page and whether it is written: what follows the point in ``u * pages`` is itself
    uniform in [0, 1) and independent of the page.  It keeps 53 - log2(pages) bits; the page's bias is below
    pages / 2**53.
    """
    while first < len(out) and at < len(block):
        place = block[at] * pages
        page = int(place)
        out[first].vpn = start + page
        out[first].compute_ns = compute_ns
        out[first].lines = lines
        out[first].write = 1 if place - page < share else 0
        first += 1
        at += 1
    return first, at


_fill_uniform = entry(fill_uniform)


class _Uniform(AccessSource):
    def __init__(self, binding: Binding) -> None:
        super().__init__(binding.count)
        self._binding = binding
        self._draws = Draws(binding.rng)
        self._share = float(binding.write)

    def _fill(self, accesses: Any) -> int:
        b, draws = self._binding, self._draws
        done = 0
        while done < len(accesses):
            draws.ready()
            done, draws.at = _fill_uniform(
                accesses, done, b.start_vpn, b.pages, self._share, b.lines, b.compute_ns, draws.block, draws.at
            )
        return done


@dataclass(frozen=True, slots=True)
class uniform:  # noqa: N801 - patterns read like the functions users call
    """Touch pages at random, all equally likely.  Default length: as many accesses as pages."""

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of random pages of `binding`."""
        return _Uniform(binding)
