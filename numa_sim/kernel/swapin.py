"""Swap-in read-ahead: swapin_readahead of mm/memory.c @2.4.37 (spec 6.7), for private and for shared memory."""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.kernel.swap_state import find_swap_cache, read_swap_cache_async
from numa_sim.kernel.swapfile import valid_swaphandles
from numa_sim.state.answers import ALLOC_RECLAIM, FAULT_RECLAIM
from numa_sim.state.constants import NIL, NR_ZONES
from numa_sim.state.counters import SWAP_RA
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

READ_AHEAD_GIVEN_UP: Final = 2
"""Value of ``task.fault_major`` once there was no memory for read-ahead."""


@rule
def swapin_readahead(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """Start reads of the aligned block of slots around `entry` (spec 6.7); 0, or FAULT_RECLAIM to be called again."""
    if k.vm[0].swap_readahead == 0:
        return 0
    first, n = valid_swaphandles(k, entry)
    for offset in range(first, first + n):
        neighbour = (entry & 0xFF) | offset << 8
        ahead = neighbour != entry and find_swap_cache(k, neighbour) == NIL
        pfn = read_swap_cache_async(k, t, neighbour, vma, vpn)
        if pfn == ALLOC_RECLAIM:
            return FAULT_RECLAIM
        if pfn < 0:
            k.tasks[t].fault_major = READ_AHEAD_GIVEN_UP
            return 0
        if ahead:
            count(k, page_zone(k, pfn) // NR_ZONES, SWAP_RA, 1)
        free_pages(k, pfn, 0)
    return 0
