"""A list of free blocks of one order: in and out (mm/page_alloc.c; `add_mem_queue`, `remove_mem_queue` @2.2.1).

The lists hang from a zone record, one for each order.  Every kernel's buddy allocator links blocks so: newest first,
and out from wherever a block stands.
"""

from __future__ import annotations

from numa_sim.compiled import part
from numa_sim.state.constants import NIL, PG_buddy
from numa_sim.state.kernel import Kernel


@part
def add_block(k: Kernel, zone_id: int, pfn: int, order: int) -> None:
    """Insert a block at the head of its order's list."""
    zone = k.zones[zone_id]
    page = k.pages[pfn]
    head = zone.free_head[order]
    page.list_prev = NIL
    page.list_next = head
    page.order = order
    page.flags |= PG_buddy
    if head != NIL:
        k.pages[head].list_prev = pfn
    zone.free_head[order] = pfn
    zone.nr_free[order] += 1


@part
def del_block(k: Kernel, zone_id: int, pfn: int, order: int) -> None:
    """Unlink a block, wherever it stands, from its order's list."""
    zone = k.zones[zone_id]
    page = k.pages[pfn]
    before = page.list_prev + 0
    after = page.list_next + 0
    if before == NIL:
        zone.free_head[order] = after
    else:
        k.pages[before].list_next = after
    if after != NIL:
        k.pages[after].list_prev = before
    page.flags &= ~PG_buddy
    zone.nr_free[order] -= 1
