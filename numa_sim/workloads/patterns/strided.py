"""Pages a fixed distance apart, as a loop over a column or a field of large records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numa_sim.compiled import entry, rule
from numa_sim.workloads.patterns.sequential import Writes
from numa_sim.workloads.patterns.source import MAX_PAGES, AccessSource, Binding, require


@rule
def fill_strided(
    out: Any, start: int, pages: int, page: int, stride: int, write: int, lines: int, compute_ns: int
) -> int:
    """Fill `out` with every `stride`-th page from `page` on; return the page that comes next (stride < pages)."""
    for i in range(len(out)):
        out[i].vpn = start + page
        out[i].compute_ns = compute_ns
        out[i].lines = lines
        out[i].write = write
        page += stride
        if page >= pages:
            page -= pages
    return page


_fill_strided = entry(fill_strided)


class _Strided(AccessSource):
    def __init__(self, binding: Binding, stride_pages: int) -> None:
        super().__init__(-(-binding.pages // stride_pages) if binding.accesses is None else binding.accesses)
        self._binding = binding
        self._stride = stride_pages % binding.pages
        self._writes = Writes(binding)
        self._page = 0

    def _fill(self, accesses: Any) -> int:
        b = self._binding
        self._page = _fill_strided(
            accesses, b.start_vpn, b.pages, self._page, self._stride, self._writes.fixed, b.lines, b.compute_ns
        )
        self._writes.choose(accesses)
        return len(accesses)


@dataclass(frozen=True, slots=True)
class strided:  # noqa: N801 - patterns read like the functions users call
    """Touch every `stride_pages`-th page, counting on from the start after the end.

    The place is kept modulo the number of pages: a stride that divides it visits the same pages in every pass, one
    prime to it visits them all.  Default length: one pass.

    Parameters
    ----------
    stride_pages : int
        Pages from one access to the next, 1 or more.
    """

    stride_pages: int

    def __post_init__(self) -> None:
        require(1 <= self.stride_pages <= MAX_PAGES, "strided.stride", f"{self.stride_pages} pages", "1 or more")

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of the strided pages of `binding`."""
        return _Strided(binding, self.stride_pages)
