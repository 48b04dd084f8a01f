"""The swap cache: mm/swap_state.c and the sharing rules of mm/swapfile.c, @2.4.37 (spec 5.4, 6.6).

Which page caches which slot is in `numa_sim.kernel.swapper_space`; here is who may have a cached page to himself, and
how pages get in by reading and out by writing or unmapping.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import block_flushpage
from numa_sim.kernel.filemap import (
    in_swap_cache,
    page_cache_release,
    try_lock_page,
    unlock_page,
    users,
)
from numa_sim.kernel.page_io import rw_swap_page
from numa_sim.kernel.pgtable import alloc_page_vma
from numa_sim.kernel.swap import lru_cache_del
from numa_sim.kernel.swapfile import (
    slot_index,
    swap_entry_free,
    swap_free,
    swap_info_get,
    swp_offset,
    vm_swap_full,
)
from numa_sim.kernel.swapper_space import add_to_swap_cache, find_swap_cache, leave_swap_cache, lookup_swap_cache
from numa_sim.kernel.v2_4_0.page_io import rw_swap_page as rw_swap_page_2_4_0
from numa_sim.state.answers import ALLOC_FAIL
from numa_sim.state.constants import (
    BUFFERS_NONE,
    GFP_HIGHUSER,
    IO_READ,
    IO_WRITE,
    KERNEL_2_2,
    KERNEL_2_4_0,
    NIL,
    PG_dirty,
    PG_locked,
    PG_reserved,
)
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
def is_page_shared(k: Kernel, pfn: int) -> bool:
    """Whether anybody but the caller has the page, by reference or by swap slot (is_page_shared @2.4.0).

    The cache's reference and its use of the slot count for nobody, nor do buffers (@2.2 I/O under way does).
    """
    page = k.pages[pfn]
    if page.flags & PG_reserved != 0:
        return True
    if in_swap_cache(k, pfn):
        references = page.count if k.vm[0].profile == KERNEL_2_2 else users(k, pfn)
        return references + k.swap_map[slot_index(k, page.index)] - 2 > 1
    return page.count > 1


@rule
def can_share_swap_page(k: Kernel, pfn: int) -> int:
    """1 if a write may go to this locked page itself: nobody else has it, neither by PTE nor by swap slot."""
    page = k.pages[pfn]
    if page.count == 1:
        return 1 if page.flags & PG_reserved == 0 else 0
    if k.vm[0].profile <= KERNEL_2_4_0:
        # With buffers on it the page is copied (do_wp_page @2.4.0; @2.2 with I/O under way).
        return 1 if page.count == 2 and in_swap_cache(k, pfn) and not is_page_shared(k, pfn) else 0
    if page.count > 3 or (page.count == 3 and page.buffers == BUFFERS_NONE) or not in_swap_cache(k, pfn):
        return 0
    return 1 if _sole_slot_user(k, pfn) and users(k, pfn) == 2 else 0


@rule
def free_page_and_swap_cache(k: Kernel, pfn: int) -> None:
    """Drop a PTE's reference, and the cached copy with it if nobody else wants that."""
    if in_swap_cache(k, pfn) and try_lock_page(k, pfn):
        if k.vm[0].profile > KERNEL_2_4_0:
            remove_exclusive_swap_page(k, pfn)
        elif not is_page_shared(k, pfn):
            lru_cache_del(k, pfn)
            delete_from_swap_cache(k, pfn)
        unlock_page(k, pfn)
    page_cache_release(k, pfn)


@rule
def free_swap_and_cache(k: Kernel, entry: int) -> None:
    """Drop a PTE's swap entry; a cached copy only the cache uses goes too, any if swap is more than half full.

    @2.4.0 and @2.2 the copy stays until reclaim meets it (spec C-12).
    """
    if k.vm[0].profile <= KERNEL_2_4_0:
        swap_free(k, entry)
        return
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
def read_swap_cache_async(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """The cached page of `entry`, with a reference; if there is none, a new page whose read has just been started.

    It comes under the policy for page `vpn` of area `vma`, for which it is read (NIL: the task's).

    Restartable: on ALLOC_RECLAIM nothing has changed, and after reclaim the caller calls again.

    Returns
    -------
    int
        pfn, ALLOC_RECLAIM, or ALLOC_FAIL (no memory, or the slot is no longer in use).
    """
    pfn = lookup_swap_cache(k, entry)
    if pfn != NIL:
        return pfn
    pfn = alloc_page_vma(k, t, GFP_HIGHUSER, vma, vpn)
    if pfn < 0:
        return pfn
    if add_to_swap_cache(k, pfn, entry) == 0:
        page_cache_release(k, pfn)
        return ALLOC_FAIL
    rw_swap_page(k, IO_READ, pfn)
    return pfn


@rule
def swap_writepage(k: Kernel, pfn: int) -> None:
    """swapper_space's writepage: drop a page only the cache uses instead of writing it (not @2.4.0), else write it."""
    if k.vm[0].profile == KERNEL_2_4_0:
        rw_swap_page_2_4_0(k, IO_WRITE, pfn, 0)
        return
    if remove_exclusive_swap_page(k, pfn) != 0:
        unlock_page(k, pfn)
        return
    k.pages[pfn].flags |= PG_locked
    rw_swap_page(k, IO_WRITE, pfn)
