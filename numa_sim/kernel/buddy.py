"""The buddy allocator: mm/page_alloc.c @2.4.37 (`rmqueue`, `expand`, `__free_pages`, `__free_pages_ok`).

Per zone and order there is a list of free blocks and one byte per *pair* of buddies, toggled whenever one of the two
enters or leaves that order; the top order keeps no pairs.  Indexes are relative to the zone's start.

Ours: at boot the whole-block part of a zone is not linked block by block but kept as frame ranges
(`zone.virgin_start`, `zone.virgin_end`).  They are the tail of the top order's list, highest block first, exactly as
the kernel's own boot leaves them, so nobody can tell, except that memory nobody has used costs the host nothing.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.errors import InvariantViolation
from numa_sim.kernel.free_list import add_block, del_block
from numa_sim.kernel.locks import spin_for, zone_lock
from numa_sim.kernel.swap import lru_cache_del
from numa_sim.kernel.v2_2.buddy import insert_block as insert_block_2_2
from numa_sim.kernel.v2_4_0.pressure import page_was_freed
from numa_sim.state.constants import (
    BUFFERS_NONE,
    KERNEL_2_2,
    KERNEL_2_4_0,
    MAPPING_NONE,
    MAX_ORDER,
    NIL,
    PF_FREE_PAGES,
    PG_active,
    PG_buddy,
    PG_dirty,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_locked,
    PG_lru,
    PG_referenced,
    PG_reserved,
)
from numa_sim.state.counters import PGALLOC, PGFREE
from numa_sim.state.event_codes import EV_BAD_PAGE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel
from numa_sim.state.prefetch import prefetch

TOP_ORDER = MAX_ORDER - 1
TOP_PAGES = 1 << TOP_ORDER

_FETCHED_AHEAD = 24
"""Single frames come out of a block from its end: the host fetches the record of the frame this many below."""

BUG_NONE = 0
BUG_DOUBLE_FREE = 1
BUG_WRONG_ORDER = 2
BUG_MISALIGNED = 3
BUG_IN_USE = 4
BUG_NO_ZONE = 5
BUG_OBJECT = 11
BUGS = (
    "none",
    "page is free already, or is not the first page of an allocated block",
    "block freed with another order than it was allocated with",
    "first page of the block is not aligned to its order",
    "page still has a mapping, buffers, a lock or the active flag",
    "frame belongs to no zone, or the order is not 0..9",
    "page is put on an LRU list though it is on one",
    "page is put on an LRU list though nobody refers to it",
    "page is put on an LRU list without being locked",
    "page is put into a cache though it is in one",
    "the reverse map has no record left: more areas times generations of forks than it has room for",
    "no allocated object of this slab cache begins there",
)
"""What `vm.bug` says about the page `vm.bug_pfn`."""


def check_bug(k: Kernel) -> None:
    """Raise `InvariantViolation` if a free was refused since boot (the first one is kept)."""
    vm = k.vm[0]
    if vm.bug != BUG_NONE:
        raise InvariantViolation(BUGS[int(vm.bug)], int(vm.now_ns), f"page frame {int(vm.bug_pfn)}")


@rule
def page_zone(k: Kernel, pfn: int) -> int:
    """Zone id (node * NR_ZONES + zone index) of a frame, NIL in a hole."""
    return int(k.section_zone[pfn >> k.vm[0].section_shift])


@part
def _take_block(k: Kernel, zone_id: int, order: int) -> int:
    """Take the block at the head of a list that is known to hold one."""
    zone = k.zones[zone_id]
    pfn: int = zone.free_head[order]
    if pfn != NIL:
        del_block(k, zone_id, pfn, order)
        return pfn
    # Only the virgin tail of the top order's list is left: its highest block comes first.
    run = zone.nr_virgin - 1
    pfn = zone.virgin_end[run] - TOP_PAGES
    zone.virgin_end[run] = pfn
    if pfn == zone.virgin_start[run]:
        zone.nr_virgin = run
    zone.nr_free[order] -= 1
    return pfn


@part
def _toggle(k: Kernel, zone_id: int, index: int, order: int) -> int:
    """Toggle the pair's bit; return what it was (1 = exactly one of the two was free at this order)."""
    at = k.zones[zone_id].map_start[order] + (index >> (order + 1))
    old: int = k.buddy_map[at]
    k.buddy_map[at] = 1 - old
    return old


@part
def expand(k: Kernel, zone_id: int, pfn: int, order: int, current: int) -> int:
    """Split the block at `pfn` down from order `current` to `order`; the low halves stay free.

    Returns
    -------
    int
        First frame of the part to hand out: the highest (spec C-3).  `expand` @2.4.37.
    """
    start = k.zones[zone_id].start_pfn
    while current > order:
        current -= 1
        add_block(k, zone_id, pfn, current)
        _toggle(k, zone_id, pfn - start, current)
        pfn += 1 << current
    return pfn


@rule
def rmqueue(k: Kernel, zone_id: int, order: int) -> int:
    """Take a block of 2**order pages from a zone; count of its first page becomes 1.  `rmqueue` @2.4.37.

    Returns
    -------
    int
        First frame, or NIL when no list of this or a higher order holds a block.
    """
    zone = k.zones[zone_id]
    current = order
    while current < MAX_ORDER and zone.nr_free[current] == 0:
        current += 1
    if current >= MAX_ORDER:
        return NIL
    pfn = _take_block(k, zone_id, current)
    if current != TOP_ORDER:
        _toggle(k, zone_id, pfn - zone.start_pfn, current)
    zone.free_pages -= 1 << order
    pfn = expand(k, zone_id, pfn, order, current)
    spin_for(k, zone_lock(zone_id), k.costs[0].zone_lock_ns)
    page = k.pages[pfn]
    page.count = 1
    page.order = order
    count(k, zone.node, PGALLOC, 1 << order)
    prefetch(k.pages, (pfn - _FETCHED_AHEAD,))
    return pfn


@rule
def insert_block(k: Kernel, zone_id: int, pfn: int, order: int) -> None:
    """Give a block to the lists, merging it with free buddies on the way up: the last part of `__free_pages_ok`."""
    spin_for(k, zone_lock(zone_id), k.costs[0].zone_lock_ns)
    zone = k.zones[zone_id]
    index = pfn - zone.start_pfn
    zone.free_pages += 1 << order
    while order < TOP_ORDER:
        if _toggle(k, zone_id, index, order) == 0:
            break
        buddy = index ^ (1 << order)
        del_block(k, zone_id, zone.start_pfn + buddy, order)
        index &= ~(1 << order)
        order += 1
    add_block(k, zone_id, zone.start_pfn + index, order)


@rule
def refuse_free(k: Kernel, pfn: int, kind: int) -> None:
    """Note a free that must not happen; the first one stays in ``vm.bug``."""
    vm = k.vm[0]
    if vm.bug == BUG_NONE:
        vm.bug = kind
        vm.bug_pfn = pfn
    log_event(k, EV_BAD_PAGE, pfn, kind)


@rule
def _bad_free(k: Kernel, pfn: int, order: int) -> int:
    """Kind of bug that freeing this block now would be, or BUG_NONE."""
    if order < 0 or order >= MAX_ORDER or pfn < 0 or pfn >= k.vm[0].nr_frames:
        return BUG_NO_ZONE
    zone_id = page_zone(k, pfn)
    if zone_id == NIL:
        return BUG_NO_ZONE
    page = k.pages[pfn]
    if page.flags & PG_buddy != 0:
        return BUG_DOUBLE_FREE
    if page.order != order:
        return BUG_WRONG_ORDER
    if (pfn - k.zones[zone_id].start_pfn) & ((1 << order) - 1) != 0:
        return BUG_MISALIGNED
    if page.mapping != MAPPING_NONE or page.buffers != BUFFERS_NONE or page.flags & PG_locked != 0:
        return BUG_IN_USE
    if page.flags & (PG_active | PG_lru) == PG_active or page.flags & (PG_inactive_dirty | PG_inactive_clean) != 0:
        return BUG_IN_USE
    return BUG_NONE


@rule
def free_pages_ok(k: Kernel, pfn: int, order: int) -> None:
    """Free a block nobody refers to any more.  `__free_pages_ok` @2.4.37.

    Takes the page off the LRU lists and clears REFERENCED and DIRTY.  While the current task reclaims
    (PF_FREE_PAGES) the first block it frees is not given to the lists but kept for the task itself
    (`local_pfn`; off with ``vm.local_pages = 0``).

    A free that would corrupt the lists changes nothing: it sets ``vm.bug`` and logs EV_BAD_PAGE.  (The kernel panics
    on flags and mapping, but a wrong order silently corrupts its bitmaps; here the order is remembered per block.)
    """
    kind = _bad_free(k, pfn, order)
    if kind != BUG_NONE:
        refuse_free(k, pfn, kind)
        return
    vm = k.vm[0]
    page = k.pages[pfn]
    if page.flags & PG_lru != 0:
        lru_cache_del(k, pfn)
    page.flags &= ~(PG_referenced | PG_dirty)
    page.count = 0
    if vm.current_task != NIL:
        task = k.tasks[vm.current_task]
        if task.flags & PF_FREE_PAGES != 0 and task.local_pfn == NIL and vm.local_pages != 0 and vm.in_interrupt == 0:
            task.local_pfn = pfn
            task.local_order = order
            return
        task.cost_ns += k.costs[0].free_page_ns
    zone_id = page_zone(k, pfn)
    count(k, k.zones[zone_id].node, PGFREE, 1 << order)
    if vm.profile == KERNEL_2_2:
        insert_block_2_2(k, pfn, order)
        return
    insert_block(k, zone_id, pfn, order)
    if vm.profile == KERNEL_2_4_0:
        page_was_freed(k)


@rule
def is_reserved(k: Kernel, pfn: int) -> int:
    """1 if the frame was kept by the boot: marked RESERVED, or in its node's `mem_map`, which is not marked."""
    if k.pages[pfn].flags & PG_reserved != 0:
        return 1
    zone_id = page_zone(k, pfn)
    if zone_id == NIL:
        return 0
    node = k.nodes[k.zones[zone_id].node]
    if node.mem_map_start <= pfn < node.mem_map_end:
        return 1
    return 0


@rule
def free_pages(k: Kernel, pfn: int, order: int) -> None:
    """Drop one reference; with the last one the block is freed.  `__free_pages` @2.4.37.

    RESERVED pages are left alone.  A page without references is free already, or is not the first of its block:
    detected, see `free_pages_ok`.
    """
    if pfn < 0 or pfn >= k.vm[0].nr_frames:
        refuse_free(k, pfn, BUG_NO_ZONE)
        return
    page = k.pages[pfn]
    if page.count > 1:
        if is_reserved(k, pfn) == 0:
            page.count -= 1
        return
    if is_reserved(k, pfn) != 0:
        return
    if page.count < 1:
        refuse_free(k, pfn, BUG_DOUBLE_FREE)
        return
    free_pages_ok(k, pfn, order)


def free_blocks(k: Kernel, zone_id: int, order: int) -> list[int]:
    """First frames of the free blocks of one order, list head first, virgin blocks included (reads only)."""
    zone = k.zones[zone_id]
    blocks = []
    pfn = int(zone.free_head[order])
    while pfn != NIL:
        blocks.append(pfn)
        pfn = int(k.pages[pfn].list_next)
    if order == TOP_ORDER:
        for run in reversed(range(int(zone.nr_virgin))):
            start, end = int(zone.virgin_start[run]), int(zone.virgin_end[run])
            blocks += range(end - TOP_PAGES, start - 1, -TOP_PAGES)
    return blocks


def free_lists(k: Kernel, zone_id: int) -> dict[int, list[int]]:
    """`free_blocks` of every order that has any."""
    lists = {order: free_blocks(k, zone_id, order) for order in range(MAX_ORDER)}
    return {order: blocks for order, blocks in lists.items() if blocks}
