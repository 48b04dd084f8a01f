"""A chain of pointers through every page: the classic memory latency test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numa_sim.compiled import entry, rule
from numa_sim.workloads.patterns.sequential import Writes
from numa_sim.workloads.patterns.source import AccessSource, Binding
from numa_sim.workloads.patterns.spread import bits_for, spread


@rule
def fill_pointer_chase(
    out: Any, start: int, pages: int, step: int, bits: int, key: int, write: int, lines: int, compute_ns: int
) -> int:
    """Fill `out` with the pages the chain visits from its `step`-th link on; return the next step."""
    for i in range(len(out)):
        out[i].vpn = start + spread(step, pages, bits, key)
        out[i].compute_ns = compute_ns
        out[i].lines = lines
        out[i].write = write
        step += 1
        if step == pages:
            step = 0
    return step


_fill_pointer_chase = entry(fill_pointer_chase)


class _PointerChase(AccessSource):
    def __init__(self, binding: Binding) -> None:
        super().__init__(binding.count)
        self._binding = binding
        self._bits = bits_for(binding.pages)
        self._key = int(binding.rng.integers(1 << self._bits))
        self._writes = Writes(binding)
        self._step = 0

    def _fill(self, accesses: Any) -> int:
        b = self._binding
        self._step = _fill_pointer_chase(
            accesses,
            b.start_vpn,
            b.pages,
            self._step,
            self._bits,
            self._key,
            self._writes.fixed,
            b.lines,
            b.compute_ns,
        )
        self._writes.choose(accesses)
        return len(accesses)


@dataclass(frozen=True, slots=True)
class pointer_chase:  # noqa: N801 - patterns read like the functions users call
    """Touch every page once in an order that looks random, then again in the same order.

    The links form one cycle through all pages: link i is page f(i) for a bijection f drawn once per touch, so no
    table of links is kept.  Default length: one pass.
    """

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of the pages of `binding` in chain order."""
        return _PointerChase(binding)
