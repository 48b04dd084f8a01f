"""Eviction of pages that a replacement policy chose (ours: `numa_sim.policies` instead of mm/vmscan.c's lists).

The steps are the kernel's own: unmap with TLB shoot-down, a slot in the swap cache for anonymous pages, write, free
after the write; a use in between finds the page in its cache.  Only the choice is somebody else's.  Pages are named as
in `numa_sim.kernel.page_search`.

Simplified: of an anonymous page that several processes map, PTEs that lie at different addresses (mremap) are not
found, and it stays.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import try_to_release_page, write_buffer
from numa_sim.kernel.filemap import (
    find_page,
    in_page_cache,
    node_of,
    page_cache_release,
    set_page_dirty,
    try_lock_page,
    unlock_page,
    users,
)
from numa_sim.kernel.inode import get_block
from numa_sim.kernel.pageout import free_cached_page, launder_page
from numa_sim.kernel.pgtable import get_pte, leaf_row
from numa_sim.kernel.shmem_swap import shmem_writepage
from numa_sim.kernel.swap_out import unmap_page
from numa_sim.kernel.swap_state import find_swap_cache, read_swap_cache_async
from numa_sim.kernel.swapfile import slot_index
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.constants import (
    BUFFERS_BUSY,
    BUFFERS_DIRTY,
    BUFFERS_NONE,
    FIRST_FILE,
    GFP_IO_BIT,
    KSWAPD,
    MAPPING_NONE,
    MAPPING_SWAP,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PTE_MAPPED,
    VM_LOCKED,
    WRITEPAGE_SHMEM,
    PG_dirty,
    PG_locked,
)
from numa_sim.state.counters import (
    PGSCAN_DIRECT,
    PGSCAN_KSWAPD,
    PGSTEAL_DIRECT,
    PGSTEAL_KSWAPD,
    POLICY_FILE_VICTIMS,
    RECLAIM_BUFFER_WRITES,
)
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

VICTIM_GONE: Final = -1
"""The page is no longer in memory."""
VICTIM_STAYS: Final = -2
"""It cannot be unmapped now: locked, mlocked, or no swap slot is free."""
VICTIM_FREED: Final = -3
"""It had no contents to keep and is free already."""

OUT_GONE: Final = 0
"""It left memory, or its frame has another use by now."""
OUT_FREED: Final = 1
OUT_WRITING: Final = 2
"""It is under I/O."""
OUT_RESCUED: Final = 3
"""It is mapped again, or was used."""
OUT_STAYS: Final = 4
"""Somebody holds it, or it cannot be written now."""
OUT_CLEAN: Final = 5
"""It need not be written (again), and was not to be freed yet."""


@part
def _count_for(k: Kernel, t: int, pfn: int, kswapd_counter: int, direct_counter: int) -> None:
    node = k.section_zone[pfn >> k.vm[0].section_shift] // NR_ZONES
    count(k, node, kswapd_counter if t == KSWAPD else direct_counter, 1)


@part
def _unmap_pte(k: Kernel, mm: int, vpn: int, pfn: int) -> int:
    """Unmap the page if `vpn` of `mm` shows it: 1, or 0 if not, or NIL if it must stay (locked, no slot)."""
    row = leaf_row(k, mm, vpn) if k.mms[mm].pgd != NIL else NIL
    if row == NIL:
        return 0
    index = vpn & ((1 << k.vm[0].entry_bits) - 1)
    pte = k.tables[row, index]
    if pte & PTE_MAPPED == 0 or pte >> PAGE_SHIFT != pfn:
        return 0
    if not try_lock_page(k, pfn) or not unmap_page(k, mm, vpn, row, index):
        return NIL
    return 1


@rule
def _unmap_sharers(k: Kernel, mm: int, vpn: int, pfn: int) -> None:
    """Unmap an anonymous page that other address spaces have at the same place (after fork)."""
    for other in range(1, k.mms.shape[0]):
        if other != mm and k.mms[other].used != 0 and _unmap_pte(k, other, vpn, pfn) == 1:
            page_cache_release(k, pfn)


@rule
def _unmap_areas(k: Kernel, area: int, pgoff: int, pfn: int) -> bool:
    """Unmap page `pgoff` of a file from the areas of one of its lists; False if one of them must keep it."""
    while area != NIL:
        vma = k.vmas[area]
        vpn = vma.vm_start + pgoff - vma.vm_pgoff
        if vma.vm_start <= vpn < vma.vm_end:
            unmapped = NIL if vma.vm_flags & VM_LOCKED != 0 else _unmap_pte(k, vma.vm_mm, vpn, pfn)
            if unmapped == NIL:
                return False
            if unmapped == 1:
                page_cache_release(k, pfn)
        area = k.vmas[area].vm_next_share + 0
    return True


@rule
def _unmap_cached(k: Kernel, t: int, mapping: int, index: int, write_always: int) -> int:
    """`unmap_victim` for a page of a file, or a swap-cache page that no PTE names."""
    pfn = find_swap_cache(k, index) if mapping == MAPPING_SWAP else find_page(k, mapping, index)
    if pfn == NIL:
        return VICTIM_GONE
    _count_for(k, t, pfn, PGSCAN_KSWAPD, PGSCAN_DIRECT)
    on_disk = True
    if mapping != MAPPING_SWAP:
        count(k, node_of(k, pfn), POLICY_FILE_VICTIMS, 1)
        on_disk = get_block(k, mapping, index, 0) != NIL
        space = k.mappings[mapping]
        if not _unmap_areas(k, space.i_mmap + 0, index, pfn) or not _unmap_areas(
            k, space.i_mmap_shared + 0, index, pfn
        ):
            return VICTIM_STAYS
        if space.writepage == WRITEPAGE_SHMEM and (write_always != 0 or k.pages[pfn].flags & PG_dirty != 0):
            # It gets its swap slot now, as an anonymous page does.
            if not try_lock_page(k, pfn):
                return VICTIM_STAYS
            shmem_writepage(k, pfn)
            return pfn if k.pages[pfn].mapping == MAPPING_SWAP else VICTIM_STAYS
    # A page of a hole has nothing that could be written.
    if write_always != 0 and on_disk and k.pages[pfn].flags & PG_locked == 0:
        set_page_dirty(k, pfn)
    return pfn


@rule
def unmap_victim(k: Kernel, t: int, mm: int, vpn: int, write_always: int) -> int:
    """Unmap the page of `vpn`, an anonymous one into the swap cache.

    With `write_always` it is dirty afterwards, whatever it was.

    Returns
    -------
    int
        Its pfn, or VICTIM_GONE, VICTIM_STAYS, VICTIM_FREED.
    """
    if mm >= FIRST_FILE:
        return _unmap_cached(k, t, mm - FIRST_FILE, vpn, write_always)
    pte = get_pte(k, mm, vpn) if k.mms[mm].pgd != NIL else 0
    if pte == 0:
        return VICTIM_GONE
    if pte & PTE_MAPPED == 0:
        cached = find_swap_cache(k, pte)
        if cached == NIL:
            return VICTIM_GONE
        _count_for(k, t, cached, PGSCAN_KSWAPD, PGSCAN_DIRECT)
        if write_always != 0 and k.pages[cached].flags & PG_locked == 0:
            set_page_dirty(k, cached)
        return cached
    pfn = pte >> PAGE_SHIFT
    _count_for(k, t, pfn, PGSCAN_KSWAPD, PGSCAN_DIRECT)
    vma = find_vma(k, mm, vpn)
    if k.vmas[vma].vm_flags & VM_LOCKED != 0 or k.pages[pfn].flags & PG_locked != 0:
        return VICTIM_STAYS
    if write_always != 0:
        set_page_dirty(k, pfn)
    if _unmap_pte(k, mm, vpn, pfn) != 1:
        return VICTIM_STAYS
    kept = k.pages[pfn].mapping == MAPPING_SWAP
    if not kept:
        _count_for(k, t, pfn, PGSTEAL_KSWAPD, PGSTEAL_DIRECT)
    elif users(k, pfn) > 2:
        _unmap_sharers(k, mm, vpn, pfn)
    page_cache_release(k, pfn)
    return pfn if kept else VICTIM_FREED


@part
def _write_out(k: Kernel, t: int, pfn: int) -> bool:
    """Start writing a locked page: a dirty one by its mapping's method, one with a dirty buffer by that; whether."""
    if launder_page(k, t, pfn):
        return True
    if k.pages[pfn].buffers != BUFFERS_DIRTY or not in_page_cache(k, pfn) or k.tasks[t].reclaim_gfp & GFP_IO_BIT == 0:
        return False
    count(k, node_of(k, pfn), RECLAIM_BUFFER_WRITES, 1)
    write_buffer(k, pfn, 1)
    return True


@part
def _is_still(k: Kernel, pfn: int, mm: int) -> bool:
    """Whether a page belongs where it was unmapped: to its file, or to the swap cache (shared memory, too)."""
    mapping = k.pages[pfn].mapping
    if mm < FIRST_FILE:
        return mapping == MAPPING_SWAP
    owner = mm - FIRST_FILE
    if mapping == MAPPING_SWAP and owner != MAPPING_SWAP:
        return k.shmem_slots[slot_index(k, k.pages[pfn].index)].mapping == owner
    return mapping == owner


@rule
def write_or_free(
    k: Kernel, t: int, pfn: int, mm: int, vpn: int, index: int, used: int, waiters: int, free: int
) -> int:
    """Take an unmapped page of a cache one step out: write it if it is dirty, else free it if `free`.

    Parameters
    ----------
    mm, vpn, index : int
        Whose page it was and its index in its mapping (swap entry), by which it is recognised.
    used : int
        1: its frame has been used since it was chosen, which only matters for a page of a file.
    waiters : int
        References of reclaimers that wait for it: the last of them frees the frame.

    Returns
    -------
    int
        OUT_*; pages freed are counted as pgsteal.
    """
    page = k.pages[pfn]
    if page.index != index or not _is_still(k, pfn, mm):
        return OUT_GONE
    if mm >= FIRST_FILE:
        if used != 0:
            return OUT_RESCUED
    else:
        pte = get_pte(k, mm, vpn)
        if pte & PTE_MAPPED != 0 and pte >> PAGE_SHIFT == pfn:
            return OUT_RESCUED
    if page.buffers >= BUFFERS_BUSY or not try_lock_page(k, pfn):
        return OUT_WRITING
    if users(k, pfn) != 1 + waiters:
        unlock_page(k, pfn)
        return OUT_STAYS
    if _write_out(k, t, pfn):
        if page.mapping == MAPPING_NONE:
            _count_for(k, t, pfn, PGSTEAL_KSWAPD, PGSTEAL_DIRECT)  # nobody wanted the contents any more
            return OUT_FREED
        if page.flags & PG_locked != 0:
            return OUT_WRITING
        page.flags |= PG_locked  # a RAM-backed device has it already
    if free == 0:
        unlock_page(k, pfn)
        return OUT_CLEAN
    page.count += 1
    stripped = page.buffers == BUFFERS_NONE or try_to_release_page(k, pfn, k.tasks[t].reclaim_gfp)
    page_cache_release(k, pfn)
    if not stripped or page.flags & PG_dirty != 0:
        unlock_page(k, pfn)
        return OUT_STAYS
    _count_for(k, t, pfn, PGSTEAL_KSWAPD, PGSTEAL_DIRECT)
    free_cached_page(k, pfn)
    return OUT_FREED


@rule
def swap_in_ahead(k: Kernel, t: int, mm: int, vpn: int) -> int:
    """Start reading the page of `vpn` back, if it is in swap; restartable.

    Returns
    -------
    int
        ALLOC_RECLAIM, ALLOC_FAIL, or another number.
    """
    pte = get_pte(k, mm, vpn)
    if pte == 0 or pte & PTE_MAPPED != 0:
        return 0
    vma = find_vma(k, mm, vpn) if k.vm[0].nr_policies != 0 else NIL
    pfn = read_swap_cache_async(k, t, pte, vma, vpn)
    if pfn >= 0:
        page_cache_release(k, pfn)
    return pfn
