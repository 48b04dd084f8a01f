"""Eviction of pages that a replacement policy chose (ours: `numa_sim.policies` instead of mm/vmscan.c's lists).

The steps are the kernel's own: unmap with TLB shoot-down, a slot in the swap cache, write, free after the write; a
fault in between finds the page in the swap cache.  Only the choice is somebody else's.  A page is named by its address
space and virtual page number, since a victim is chosen by use, not by frame.

Simplified: anonymous pages only; pages of files stay.  The reclaimer finds pages through all page tables at once, as a
reverse map would let it; time is charged for entries it finds used, where it looks at accessed bits, and for those it
unmaps.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import is_reserved
from numa_sim.kernel.buffer import try_to_release_page
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import in_page_cache, page_cache_release, set_page_dirty, try_lock_page, unlock_page, users
from numa_sim.kernel.memory import find_vma
from numa_sim.kernel.pgtable import get_pte, leaf_row
from numa_sim.kernel.swap_out import unmap_page
from numa_sim.kernel.swap_state import find_swap_cache, read_swap_cache_async
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.kernel.vmscan import free_cached_page, launder_page
from numa_sim.state.constants import (
    BUFFERS_NONE,
    KSWAPD,
    MAPPING_SWAP,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PGSCAN_DIRECT,
    PGSCAN_KSWAPD,
    PGSTEAL_DIRECT,
    PGSTEAL_KSWAPD,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    VM_LOCKED,
    PG_dirty,
    PG_locked,
)
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

FOUND_MAPPED: Final = 1
"""Of a page found: it has a PTE; else it is in the swap cache, read ahead or on its way out."""
FOUND_USED: Final = 2
"""Its accessed bit was set."""
FOUND_DIRTY: Final = 4
"""Its dirty bit is set."""
MM_SHIFT: Final = 40
"""A page found is named ``mm << MM_SHIFT | vpn``."""

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
"""It is mapped again."""
OUT_STAYS: Final = 4
"""Somebody holds it, or it cannot be written now."""
OUT_CLEAN: Final = 5
"""It need not be written (again), and was not to be freed yet."""


@part
def _note(k: Kernel, name: int, pte: int, clear_bits: int, n: int) -> int:
    """Enter the page of one PTE, if it is in memory, into row `n` of ``k.found``; how many rows there are then."""
    if pte & PTE_PRESENT == 0:
        pfn = find_swap_cache(k, pte)
        state = 0
    else:
        pfn = pte >> PAGE_SHIFT
        state = FOUND_MAPPED
        if pfn == k.vm[0].zero_pfn or is_reserved(k, pfn) != 0 or in_page_cache(k, pfn):
            return n
        if pte & PTE_DIRTY != 0:
            state |= FOUND_DIRTY
        if clear_bits != 0 and pte & PTE_ACCESSED != 0:
            state |= FOUND_USED
            charge(k, k.costs[0].scan_pte_ns)
    if pfn == NIL:
        return n
    k.found[n, 0] = name
    k.found[n, 1] = pfn
    k.found[n, 2] = state
    return n + 1


@rule
def _find_in_mm(k: Kernel, mm: int, clear_bits: int, n: int) -> int:
    """`find_pages` for one address space, from row `n` on."""
    span = 1 << k.vm[0].entry_bits
    used = 0
    vma = k.mms[mm].mmap
    while vma != NIL:
        vpn = k.vmas[vma].vm_start + 0
        end = k.vmas[vma].vm_end + 0
        while vpn < end:
            stop = min((vpn // span + 1) * span, end)
            row = leaf_row(k, mm, vpn)
            if row != NIL and k.table_info[row].used > 0:
                for at in range(vpn, stop):
                    pte = k.tables[row, at & (span - 1)]
                    if pte != 0 and n < k.found.shape[0]:
                        n = _note(k, mm << MM_SHIFT | at, pte, clear_bits, n)
                        if clear_bits != 0 and pte & PTE_PRESENT != 0 and pte & PTE_ACCESSED != 0:
                            k.tables[row, at & (span - 1)] = pte & ~PTE_ACCESSED
                            used += 1
            vpn = stop
        vma = k.vmas[vma].vm_next
    if used > 0:
        # Or CPUs that have the entries would not set the bits again.
        flush_tlb_mm(k, mm)
    return n


@rule
def find_pages(k: Kernel, clear_bits: int) -> int:
    """Write every user page in memory to ``k.found`` (name, pfn, FOUND_*), in the order of the page tables; how many.

    With `clear_bits` accessed bits are read and cleared, the TLBs of address spaces that had some are flushed, and
    the current task pays for each.
    """
    n = 0
    for mm in range(1, k.mms.shape[0]):
        if k.mms[mm].used != 0 and k.mms[mm].pgd != NIL:
            n = _find_in_mm(k, mm, clear_bits, n)
    return n


@part
def _count_for(k: Kernel, t: int, pfn: int, kswapd_counter: int, direct_counter: int) -> None:
    node = k.section_zone[pfn >> k.vm[0].section_shift] // NR_ZONES
    count(k, node, kswapd_counter if t == KSWAPD else direct_counter, 1)


@rule
def unmap_victim(k: Kernel, t: int, mm: int, vpn: int, write_always: int) -> int:
    """Unmap the page of `vpn` into the swap cache; with `write_always` it is dirty afterwards, whatever it was.

    Returns
    -------
    int
        Its pfn, or VICTIM_GONE, VICTIM_STAYS, VICTIM_FREED.
    """
    row = leaf_row(k, mm, vpn) if k.mms[mm].pgd != NIL else NIL
    if row == NIL:
        return VICTIM_GONE
    index = vpn & ((1 << k.vm[0].entry_bits) - 1)
    pte = k.tables[row, index]
    if pte == 0:
        return VICTIM_GONE
    if pte & PTE_PRESENT == 0:
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
    if k.vmas[vma].vm_flags & VM_LOCKED != 0 or not try_lock_page(k, pfn):
        return VICTIM_STAYS
    if write_always != 0:
        set_page_dirty(k, pfn)
    if not unmap_page(k, mm, vpn, row, index):
        return VICTIM_STAYS
    kept = k.pages[pfn].mapping == MAPPING_SWAP
    if not kept:
        _count_for(k, t, pfn, PGSTEAL_KSWAPD, PGSTEAL_DIRECT)
    page_cache_release(k, pfn)
    return pfn if kept else VICTIM_FREED


@rule
def write_or_free(k: Kernel, t: int, pfn: int, mm: int, vpn: int, entry: int, waiters: int, free: int) -> int:
    """Take an unmapped page of the swap cache one step out: write it if it is dirty, else free it if `free`.

    Parameters
    ----------
    mm, vpn, entry : int
        Whose page it was and its swap entry, by which it is recognised.
    waiters : int
        References of reclaimers that wait for it: the last of them frees the frame.

    Returns
    -------
    int
        OUT_*; pages freed are counted as pgsteal.
    """
    page = k.pages[pfn]
    if page.mapping != MAPPING_SWAP or page.index != entry:
        return OUT_GONE
    pte = get_pte(k, mm, vpn)
    if pte & PTE_PRESENT != 0 and pte >> PAGE_SHIFT == pfn:
        return OUT_RESCUED
    if not try_lock_page(k, pfn):
        return OUT_WRITING
    if users(k, pfn) != 1 + waiters:
        unlock_page(k, pfn)
        return OUT_STAYS
    if launder_page(k, t, pfn):
        if page.mapping != MAPPING_SWAP:
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
    if pte == 0 or pte & PTE_PRESENT != 0:
        return 0
    pfn = read_swap_cache_async(k, t, pte)
    if pfn >= 0:
        page_cache_release(k, pfn)
    return pfn
