"""Mappings for traces that record none: memory is mapped in aligned blocks just before its first touch."""

from __future__ import annotations

from typing import Any

import numpy as np

from numa_sim.workloads.traces.items import FILL, MapCall, Runs

BLOCK_SHIFT = 9
BLOCK_PAGES = 1 << BLOCK_SHIFT
"""Pages mapped at a time: 2 MiB, aligned."""


class GrowingMap:
    """Maps what runs touch, and marks first touches.

    What memory held before is unknown, so every first touch counts as the write that filled the page (`FILL`).
    Needs 512 bytes for each block touched.
    """

    def __init__(self, touching: int) -> None:
        self._touching = touching
        self._touched: dict[int, Any] = {}

    def observe(self, runs: Runs) -> list[MapCall]:
        """Return the mappings `runs` need; set FILL in the runs that touch a page for the first time."""
        where = np.flatnonzero(runs.flags & self._touching)
        vpns, first = np.unique(runs.vpn[where], return_index=True)
        blocks, begin = np.unique(vpns >> BLOCK_SHIFT, return_index=True)
        bounds = [*begin.tolist(), len(vpns)]
        calls: list[MapCall] = []
        for i, block in enumerate(blocks.tolist()):
            low, high = bounds[i], bounds[i + 1]
            touched = self._touched.get(block)
            if touched is None:
                touched = self._touched[block] = np.zeros(BLOCK_PAGES, np.bool_)
                _extend(calls, block)
            pages = vpns[low:high] & (BLOCK_PAGES - 1)
            new = ~touched[pages]
            runs.flags[where[first[low:high][new]]] |= FILL
            touched[pages] = True
        return calls


def _extend(calls: list[MapCall], block: int) -> None:
    """Add `block` to `calls`, joined to the last one if it follows it."""
    start = block << BLOCK_SHIFT
    if calls and calls[-1].vpn + calls[-1].pages == start:
        calls[-1] = calls[-1]._replace(pages=calls[-1].pages + BLOCK_PAGES)
    else:
        calls.append(MapCall(start, BLOCK_PAGES, contents=True))
