"""What must hold of the free lists of 2.2, taken again from what they count (see `numa_sim.kernel.debug_vm`)."""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import rule
from numa_sim.kernel.v2_2.buddy import FREE_AREA, NR_MEM_LISTS, TOP_ORDER
from numa_sim.state.constants import MAPPING_SWAP, NIL, PG_buddy, PG_locked
from numa_sim.state.kernel import Kernel


@rule
def free_lists_agree(k: Kernel) -> bool:
    """Whether the lists hold as many pages as the machine counts, and the zones together as well."""
    listed = 0
    for order in range(NR_MEM_LISTS):
        listed += k.zones[FREE_AREA].nr_free[order] << order
    placed = 0
    for z in range(k.zones.shape[0]):
        placed += k.zones[z].free_pages
    return bool(listed == k.vm[0].nr_free_pages and placed == listed)


@rule
def mark_free(k: Kernel, owners: np.ndarray) -> int:
    """Mark frames of free blocks with -1; a frame that should not be free, NIL if there is none.

    Seen as wrong: a misaligned or unmarked block, one that overlaps another, two buddies that are both free, a list of
    another length than counted.
    """
    shift = k.vm[0].section_shift
    free_in_zone = np.zeros(k.zones.shape[0], np.int64)
    for order in range(NR_MEM_LISTS):
        length = 0
        block = k.zones[FREE_AREA].free_head[order] + 0
        while block != NIL:
            page = k.pages[block]
            if block & ((1 << order) - 1) != 0 or page.flags & PG_buddy == 0 or page.order != order:
                return block
            buddy = block ^ (1 << order)
            within = order < TOP_ORDER and buddy < k.pages.shape[0]
            if within and k.pages[buddy].flags & PG_buddy != 0 and k.pages[buddy].order == order:
                return block
            for pfn in range(block, block + (1 << order)):
                if owners[pfn] != 0:
                    return pfn
                owners[pfn] = -1
            free_in_zone[k.section_zone[block >> shift]] += 1 << order
            length += 1
            block = page.list_next + 0
        if order == TOP_ORDER:
            for z in range(k.zones.shape[0]):
                zone = k.zones[z]
                for run in range(zone.nr_virgin):
                    owners[zone.virgin_start[run] : zone.virgin_end[run]] = -1
                    length += (zone.virgin_end[run] - zone.virgin_start[run]) >> TOP_ORDER
                    free_in_zone[z] += zone.virgin_end[run] - zone.virgin_start[run]
        if length != k.zones[FREE_AREA].nr_free[order]:
            return order
    for z in range(k.zones.shape[0]):
        if free_in_zone[z] != k.zones[z].free_pages:
            return k.zones[z].start_pfn + 0
    return NIL


@rule
def unlocked_slot_page(k: Kernel) -> int:
    """A page that has a slot's lock without being the locked page of that slot, NIL if there is none."""
    for a in range(k.swap_info.shape[0]):
        area = k.swap_info[a]
        if area.flags == 0:
            continue
        for offset in range(area.max):
            pfn = k.swap_lockmap[area.map_start + offset] - 1
            if pfn == NIL:
                continue
            page = k.pages[pfn]
            if page.flags & PG_locked == 0 or page.mapping != MAPPING_SWAP or page.index != (a << 1 | offset << 8):
                return pfn
    return NIL
