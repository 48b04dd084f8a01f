"""Which page caches which swap slot: the address space swapper_space of mm/swap_state.c (spec 6.6).

A page in it belongs to swapper_space; ``page.index`` is its swap entry, and ``swap_cache`` finds it by slot.  It holds
one use of the slot and has one reference for it.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.filemap import add_to_page_cache, add_to_page_cache_locked, remove_inode_page
from numa_sim.kernel.swapfile import slot_index, swap_duplicate, swap_free
from numa_sim.kernel.v2_4_0.swap import BUG_IN_A_CACHE, report_bug
from numa_sim.state.constants import KERNEL_2_4_0, MAPPING_NONE, MAPPING_SWAP, NIL, PG_arch_1, PG_error, PG_uptodate
from numa_sim.state.counters import SWAP_CACHE_ADD, SWAP_CACHE_DEL
from numa_sim.state.event_codes import EV_LEAVE_SWAP_CACHE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@part
def find_swap_cache(k: Kernel, entry: int) -> int:
    """The page that caches `entry`, NIL if none; takes no reference."""
    return k.swap_cache[slot_index(k, entry)] - 1


@rule
def lookup_swap_cache(k: Kernel, entry: int) -> int:
    """The page that caches `entry`, with one more reference; NIL if none."""
    pfn = find_swap_cache(k, entry)
    if pfn != NIL:
        k.pages[pfn].count += 1
    return pfn


@rule
def add_to_swap_cache(k: Kernel, pfn: int, entry: int) -> int:
    """Put a page of no mapping into the swap cache, locked and neither DIRTY nor UPTODATE.

    @2.4.0 and @2.2 the page is UPTODATE already, keeps DIRTY, and the caller has accounted for the cache's use of the
    slot.

    Returns
    -------
    int
        1 = done; 0 = the slot is not in use (-ENOENT) or has a page already (-EEXIST).
    """
    if k.vm[0].profile <= KERNEL_2_4_0:
        page = k.pages[pfn]
        if page.mapping != MAPPING_NONE:
            report_bug(k, pfn, BUG_IN_A_CACHE)
            return 0
        page.flags &= ~(PG_error | PG_arch_1)
        page.flags |= PG_uptodate
        add_to_page_cache_locked(k, pfn, MAPPING_SWAP, entry)
    else:
        if swap_duplicate(k, entry) == 0:
            return 0
        if find_swap_cache(k, entry) != NIL:
            swap_free(k, entry)
            return 0
        add_to_page_cache(k, pfn, MAPPING_SWAP, entry)
    k.swap_cache[slot_index(k, entry)] = pfn + 1
    k.vm[0].nr_swapcache_pages += 1
    count(k, k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node, SWAP_CACHE_ADD, 1)
    return 1


@rule
def leave_swap_cache(k: Kernel, pfn: int) -> int:
    """Take a locked page out of the cache (`__delete_from_swap_cache`); its slot's use and its reference stay.

    Returns
    -------
    int
        The swap entry it had.
    """
    entry = k.pages[pfn].index
    remove_inode_page(k, pfn)
    k.swap_cache[slot_index(k, entry)] = 0
    k.vm[0].nr_swapcache_pages -= 1
    count(k, k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node, SWAP_CACHE_DEL, 1)
    log_event(k, EV_LEAVE_SWAP_CACHE, pfn, entry)
    return entry
