"""One buddy allocator for all memory: the free lists of mm/page_alloc.c @2.2.1 (spec 2.2, 2.3, 2.5).

Six lists (blocks of 1 to 32 pages) serve the whole machine.  They hang from one zone record, `FREE_AREA`; a frame's own
zone says where it is, counts its free pages (for who watches) and keeps its pair bits.  A request for DMA takes the
first block on a list whose page DMA reaches.

Ours, as in `numa_sim.kernel.buddy`: largest blocks that nobody has used are not linked but kept as frame ranges of
their zones (`zone.virgin_start`, `zone.virgin_end`); they are the tail of the last list, the highest frame first.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.free_list import add_block, del_block
from numa_sim.state.constants import MAX_ORDER, NIL, NR_ZONES, ZONE_DMA
from numa_sim.state.counters import PGALLOC
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

FREE_AREA: Final = 0
"""The zone record whose ``free_head`` and ``nr_free`` are the machine's."""
NR_MEM_LISTS: Final = 6
TOP_ORDER: Final = NR_MEM_LISTS - 1
TOP_PAGES: Final = 1 << TOP_ORDER


@part
def _zone_of(k: Kernel, pfn: int) -> int:
    """Zone record of a frame."""
    return int(k.section_zone[pfn >> k.vm[0].section_shift])


@rule
def can_dma(k: Kernel, pfn: int) -> bool:
    """Whether ISA devices reach the frame (PG_DMA)."""
    return bool(k.zones[_zone_of(k, pfn)].index == ZONE_DMA)


@part
def _mark_used(k: Kernel, pfn: int, order: int) -> int:
    """Toggle the bit of the block's pair; what it was (1 = exactly one of the two was free at this order).

    Pairs lie in one zone, because zones begin at multiples of the largest block.
    """
    zone = k.zones[_zone_of(k, pfn)]
    at = zone.map_start[order] + ((pfn - zone.start_pfn) >> (order + 1))
    old: int = k.buddy_map[at]
    k.buddy_map[at] = 1 - old
    return old


@part
def _take_virgin(k: Kernel, dma: int) -> int:
    """The highest block nobody has used; with `dma` one that DMA reaches.  NIL if there is none."""
    for zone_id in range(k.zones.shape[0] - 1, -1, -1):
        zone = k.zones[zone_id]
        if zone.nr_virgin == 0 or (dma != 0 and zone_id % NR_ZONES != ZONE_DMA):
            continue
        run = zone.nr_virgin - 1
        pfn = zone.virgin_end[run] - TOP_PAGES
        zone.virgin_end[run] = pfn
        if pfn == zone.virgin_start[run]:
            zone.nr_virgin = run
        k.zones[FREE_AREA].nr_free[TOP_ORDER] -= 1
        return pfn
    return NIL


@part
def _take_block(k: Kernel, order: int, dma: int) -> int:
    """Take the first block of a list, with `dma` the first that DMA reaches; NIL if there is none."""
    pfn: int = k.zones[FREE_AREA].free_head[order]
    while pfn != NIL and dma != 0 and not can_dma(k, pfn):
        pfn = k.pages[pfn].list_next + 0
    if pfn != NIL:
        del_block(k, FREE_AREA, pfn, order)
        return pfn
    return _take_virgin(k, dma) if order == TOP_ORDER else NIL


@part
def _expand(k: Kernel, pfn: int, order: int, current: int) -> int:
    """Split a block down to `order`; the low halves stay free, the highest part is handed out."""
    while current > order:
        current -= 1
        add_block(k, FREE_AREA, pfn, current)
        _mark_used(k, pfn, current)
        pfn += 1 << current
    return pfn


@rule
def rmqueue(k: Kernel, order: int, dma: int) -> int:
    """Take a block of 2**order pages; the count of its first page becomes 1 (RMQUEUE @2.2.1).

    Parameters
    ----------
    dma : int
        1: only memory that DMA reaches will do.

    Returns
    -------
    int
        First frame, or NIL.
    """
    current = order
    pfn = NIL
    while current < NR_MEM_LISTS and pfn == NIL:
        if k.zones[FREE_AREA].nr_free[current] != 0:
            pfn = _take_block(k, current, dma)
        current += 1
    if pfn == NIL:
        return NIL
    current -= 1
    if current != TOP_ORDER:
        _mark_used(k, pfn, current)
    pfn = _expand(k, pfn, order, current)
    zone = k.zones[_zone_of(k, pfn)]
    zone.free_pages -= 1 << order
    k.vm[0].nr_free_pages -= 1 << order
    k.pages[pfn].count = 1
    k.pages[pfn].order = order
    count(k, zone.node, PGALLOC, 1 << order)
    return pfn


@rule
def insert_block(k: Kernel, pfn: int, order: int) -> None:
    """Give a block to the lists, merging it with free buddies on the way up (free_pages_ok @2.2.1)."""
    zone = k.zones[_zone_of(k, pfn)]
    zone.free_pages += 1 << order
    k.vm[0].nr_free_pages += 1 << order
    index = pfn - zone.start_pfn
    while order < TOP_ORDER and _mark_used(k, zone.start_pfn + index, order) != 0:
        del_block(k, FREE_AREA, zone.start_pfn + (index ^ (1 << order)), order)
        index &= ~(1 << order)
        order += 1
    add_block(k, FREE_AREA, zone.start_pfn + index, order)


def free_blocks(k: Kernel, order: int) -> list[int]:
    """First frames of the machine's free blocks of one order, list head first, virgin blocks included (reads only)."""
    blocks = []
    pfn = int(k.zones[FREE_AREA].free_head[order])
    while pfn != NIL:
        blocks.append(pfn)
        pfn = int(k.pages[pfn].list_next)
    if order == TOP_ORDER:
        for zone in reversed(list(k.zones)):
            for run in reversed(range(int(zone.nr_virgin))):
                start, end = int(zone.virgin_start[run]), int(zone.virgin_end[run])
                blocks += range(end - TOP_PAGES, start - 1, -TOP_PAGES)
    return blocks


def blocks_by_zone(k: Kernel) -> list[list[int]]:
    """How many free blocks of each order lie in each zone (reads only; virgin blocks are counted, not walked)."""
    counts = [[0] * MAX_ORDER for _ in k.zones]
    for order in range(NR_MEM_LISTS):
        pfn = int(k.zones[FREE_AREA].free_head[order])
        while pfn != NIL:
            counts[int(k.section_zone[pfn >> int(k.vm[0].section_shift)])][order] += 1
            pfn = int(k.pages[pfn].list_next)
    for zone, blocks in zip(k.zones, counts, strict=True):
        for run in range(int(zone.nr_virgin)):
            blocks[TOP_ORDER] += int(zone.virgin_end[run] - zone.virgin_start[run]) // TOP_PAGES
    return counts
