"""The swap cache: mm/swap_state.c and the sharing rules of mm/swapfile.c, @2.4.37 (spec 5.4, 6.6).

A page in it belongs to swapper_space; ``page.index`` is its swap entry, and ``swap_cache`` finds it by slot.  It holds
one use of the slot and has one reference for it.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import block_flushpage
from numa_sim.kernel.filemap import (
    add_to_page_cache,
    in_swap_cache,
    page_cache_release,
    remove_inode_page,
    try_lock_page,
    unlock_page,
    users,
)
from numa_sim.kernel.page_io import rw_swap_page
from numa_sim.kernel.pgtable import alloc_for_task
from numa_sim.kernel.swapfile import (
    slot_index,
    swap_duplicate,
    swap_entry_free,
    swap_free,
    swap_info_get,
    swp_offset,
    vm_swap_full,
)
from numa_sim.state.constants import (
    ALLOC_FAIL,
    BUFFERS_NONE,
    EV_LEAVE_SWAP_CACHE,
    GFP_HIGHUSER,
    IO_READ,
    IO_WRITE,
    MAPPING_SWAP,
    NIL,
    SWAP_CACHE_ADD,
    SWAP_CACHE_DEL,
    PG_dirty,
    PG_locked,
    PG_reserved,
)
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

__all__ = [
    "add_to_swap_cache",
    "can_share_swap_page",
    "delete_from_swap_cache",
    "find_swap_cache",
    "free_page_and_swap_cache",
    "free_swap_and_cache",
    "leave_swap_cache",
    "lookup_swap_cache",
    "read_swap_cache_async",
    "remove_exclusive_swap_page",
    "swap_writepage",
    "vm_swap_full",
]


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

    Returns
    -------
    int
        1 = done; 0 = the slot is not in use (-ENOENT) or has a page already (-EEXIST).
    """
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


@rule
def delete_from_swap_cache(k: Kernel, pfn: int) -> None:
    """Take a locked page out of the cache, give back the cache's use of the slot and its reference."""
    block_flushpage(k, pfn)
    swap_free(k, leave_swap_cache(k, pfn))
    page_cache_release(k, pfn)


@part
def _sole_slot_user(k: Kernel, pfn: int) -> bool:
    """Whether only the cache uses the page's slot."""
    entry = k.pages[pfn].index
    return swap_info_get(k, entry) != NIL and k.swap_map[slot_index(k, entry)] == 1


@rule
def remove_exclusive_swap_page(k: Kernel, pfn: int) -> int:
    """Drop a locked page from the cache if only the cache and the caller use it; 1 = dropped (it is DIRTY then)."""
    if not in_swap_cache(k, pfn) or users(k, pfn) != 2 or not _sole_slot_user(k, pfn):
        return 0
    delete_from_swap_cache(k, pfn)
    k.pages[pfn].flags |= PG_dirty
    return 1


@rule
def can_share_swap_page(k: Kernel, pfn: int) -> int:
    """1 if a write may go to this locked page itself: nobody else has it, neither by PTE nor by swap slot."""
    page = k.pages[pfn]
    if page.count == 1:
        return 1 if page.flags & PG_reserved == 0 else 0
    if page.count > 3 or (page.count == 3 and page.buffers == BUFFERS_NONE) or not in_swap_cache(k, pfn):
        return 0
    return 1 if _sole_slot_user(k, pfn) and users(k, pfn) == 2 else 0


@rule
def free_page_and_swap_cache(k: Kernel, pfn: int) -> None:
    """Drop a PTE's reference, and the cached copy with it if nobody else wants that."""
    if in_swap_cache(k, pfn) and try_lock_page(k, pfn):
        remove_exclusive_swap_page(k, pfn)
        unlock_page(k, pfn)
    page_cache_release(k, pfn)


@rule
def free_swap_and_cache(k: Kernel, entry: int) -> None:
    """Drop a PTE's swap entry; a cached copy only the cache uses goes too, any if swap is more than half full."""
    type_ = swap_info_get(k, entry)
    if type_ == NIL or swap_entry_free(k, type_, swp_offset(entry)) != 1:
        return
    pfn = find_swap_cache(k, entry)
    if pfn == NIL or not try_lock_page(k, pfn):
        return
    k.pages[pfn].count += 1
    if users(k, pfn) == 2 or vm_swap_full(k):
        delete_from_swap_cache(k, pfn)
        k.pages[pfn].flags |= PG_dirty
    unlock_page(k, pfn)
    page_cache_release(k, pfn)


@rule
def read_swap_cache_async(k: Kernel, t: int, entry: int) -> int:
    """The cached page of `entry`, with a reference; if there is none, a new page whose read has just been started.

    Restartable: on ALLOC_RECLAIM nothing has changed, and after reclaim the caller calls again.

    Returns
    -------
    int
        pfn, ALLOC_RECLAIM, or ALLOC_FAIL (no memory, or the slot is no longer in use).
    """
    pfn = lookup_swap_cache(k, entry)
    if pfn != NIL:
        return pfn
    pfn = alloc_for_task(k, t, GFP_HIGHUSER)
    if pfn < 0:
        return pfn
    if add_to_swap_cache(k, pfn, entry) == 0:
        page_cache_release(k, pfn)
        return ALLOC_FAIL
    rw_swap_page(k, IO_READ, pfn)
    return pfn


@rule
def swap_writepage(k: Kernel, pfn: int) -> None:
    """swapper_space's writepage: drop a page only the cache uses instead of writing it, else start the write."""
    if remove_exclusive_swap_page(k, pfn) != 0:
        unlock_page(k, pfn)
        return
    k.pages[pfn].flags |= PG_locked
    rw_swap_page(k, IO_WRITE, pfn)
