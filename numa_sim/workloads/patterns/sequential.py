"""Page after page, from the first to the last and round again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numa_sim.compiled import entry, rule
from numa_sim.workloads.patterns.source import AccessSource, Binding
from numa_sim.workloads.streams import Draws


@rule
def fill_sequential(out: Any, start: int, pages: int, page: int, write: int, lines: int, compute_ns: int) -> int:
    """Fill `out` with successive pages from `page` on; return the page that comes next."""
    for i in range(len(out)):
        out[i].vpn = start + page
        out[i].compute_ns = compute_ns
        out[i].lines = lines
        out[i].write = write
        page += 1
        if page == pages:
            page = 0
    return page


@rule
def draw_writes(out: Any, first: int, share: float, block: Any, at: int) -> tuple[int, int]:
    """Decide by chance which accesses from `first` on write; stop when `block` is used up.

    Returns
    -------
    tuple of int
        First access still undecided, next unused number of `block`.
    """
    while first < len(out) and at < len(block):
        out[first].write = 1 if block[at] < share else 0
        first += 1
        at += 1
    return first, at


_fill_sequential = entry(fill_sequential)
_draw_writes = entry(draw_writes)


class Writes:
    """Chooses reads and writes: a fixed answer for shares 0 and 1, else a draw per access."""

    __slots__ = ("_draws", "_share", "fixed")

    def __init__(self, binding: Binding) -> None:
        self.fixed = 1 if binding.write >= 1.0 else 0
        self._share = float(binding.write)
        self._draws = Draws(binding.rng) if 0.0 < binding.write < 1.0 else None

    def choose(self, accesses: Any) -> None:
        """Set `write` in every record of `accesses` (already `fixed` there)."""
        draws = self._draws
        if draws is None:
            return
        first = 0
        while first < len(accesses):
            draws.ready()
            first, draws.at = _draw_writes(accesses, first, self._share, draws.block, draws.at)


class _Sequential(AccessSource):
    def __init__(self, binding: Binding) -> None:
        super().__init__(binding.count)
        self._binding = binding
        self._writes = Writes(binding)
        self._page = 0

    def _fill(self, accesses: Any) -> int:
        b = self._binding
        self._page = _fill_sequential(
            accesses, b.start_vpn, b.pages, self._page, self._writes.fixed, b.lines, b.compute_ns
        )
        self._writes.choose(accesses)
        return len(accesses)


@dataclass(frozen=True, slots=True)
class sequential:  # noqa: N801 - patterns read like the functions users call
    """Touch one page after the other; after the last comes the first.  Default length: one pass."""

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of the pages of `binding` in order."""
        return _Sequential(binding)
