"""Which pages are in memory, and which were used: what replacement policies are told (ours, see `numa_sim.policies`).

2.4 has no list of all pages that could go.  Anonymous ones are found through all page tables at once, as a reverse map
would let it; pages of files, and swap-cache pages no page table knows any more, through the LRU lists, which they are
all on.

A page is named by its address space and virtual page number, since a victim is chosen by use, not by frame.  A page of
a file has its mapping for an address space (``FIRST_FILE + mapping``) and its index for a page number; a swap-cache
page that is left alone has swapper_space and its slot.  A page that several processes map is named after the first.

Simplified: looking costs no simulated time; only entries found used do, where accessed bits are looked at.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import is_reserved
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import in_page_cache, in_swap_cache, note_use
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.kernel.swap_state import find_swap_cache
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.state.constants import (
    BUFFERS_DIRTY,
    BUFFERS_REDIRTIED,
    FIRST_FILE,
    NIL,
    PAGE_NAME_SHIFT,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_MAPPED,
    PG_dirty,
)
from numa_sim.state.kernel import Kernel

FOUND_MAPPED: Final = 1
"""Of a page found: it has a PTE; else it is in the swap cache, read ahead or on its way out."""
FOUND_USED: Final = 2
"""Its accessed bit was set."""
FOUND_DIRTY: Final = 4
"""Its dirty bit is set; of a file's page: it, or its buffer, is dirty."""
FOUND_CACHED: Final = 8
"""It was found on the LRU lists: the kernel sees its uses itself (read, write, faults)."""

_NAME, _PFN, _STATE, _PLACE = 0, 1, 2, 3
"""Columns of ``k.found``: a row is a page found; only ``k.found[pfn, _PLACE]`` is the row where a frame was entered."""


@part
def _row_of(k: Kernel, pfn: int, n: int) -> int:
    """Row of a frame that is among the `n` found so far, NIL if it is not."""
    row = k.found[pfn, _PLACE]
    return row if row < n and k.found[row, _PFN] == pfn else NIL


@part
def _enter(k: Kernel, name: int, pfn: int, state: int, n: int) -> int:
    """Enter a page; how many there are then."""
    row = _row_of(k, pfn, n)
    if row != NIL:
        k.found[row, _STATE] |= state
        return n
    k.found[n, _NAME] = name
    k.found[n, _PFN] = pfn
    k.found[n, _STATE] = state
    k.found[pfn, _PLACE] = n
    return n + 1


@part
def _note(k: Kernel, name: int, pte: int, clear_bits: int, n: int) -> int:
    """Enter the anonymous page of one PTE, if it is in memory; the use of a file's page is noted with its frame."""
    if pte & PTE_MAPPED == 0:
        pfn = find_swap_cache(k, pte)
        return n if pfn == NIL else _enter(k, name, pfn, 0, n)
    pfn = pte >> PAGE_SHIFT
    if pfn == k.vm[0].zero_pfn or is_reserved(k, pfn) != 0:
        return n
    used = clear_bits != 0 and pte & PTE_ACCESSED != 0
    if used:
        charge(k, k.costs[0].scan_pte_ns)
    if in_page_cache(k, pfn):
        if used:
            note_use(k, pfn)
        return n
    state = FOUND_MAPPED
    if pte & PTE_DIRTY != 0:
        state |= FOUND_DIRTY
    if used:
        state |= FOUND_USED
    return _enter(k, name, pfn, state, n)


@rule
def _find_in_mm(k: Kernel, mm: int, clear_bits: int, n: int) -> int:
    """The anonymous pages of one address space, from row `n` on."""
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
                    if pte != 0:
                        n = _note(k, mm << PAGE_NAME_SHIFT | at, pte, clear_bits, n)
                        if clear_bits != 0 and pte & PTE_MAPPED != 0 and pte & PTE_ACCESSED != 0:
                            k.tables[row, at & (span - 1)] = pte & ~PTE_ACCESSED
                            used += 1
            vpn = stop
        vma = k.vmas[vma].vm_next
    if used > 0:
        # Or CPUs that have the entries would not set the bits again.
        flush_tlb_mm(k, mm)
    return n


@rule
def _find_on_list(k: Kernel, pfn: int, files: int, n: int) -> int:
    """The pages of files, and those of the swap cache that no PTE has named, from `pfn` on to the tail of a list."""
    while pfn != NIL:
        page = k.pages[pfn]
        if (files != 0 and in_page_cache(k, pfn)) or (in_swap_cache(k, pfn) and _row_of(k, pfn, n) == NIL):
            state = FOUND_CACHED
            if page.flags & PG_dirty != 0 or page.buffers == BUFFERS_DIRTY or page.buffers == BUFFERS_REDIRTIED:
                state |= FOUND_DIRTY
            n = _enter(k, (FIRST_FILE + page.mapping) << PAGE_NAME_SHIFT | page.index, pfn, state, n)
        pfn = page.lru_next + 0
    return n


@rule
def find_pages(k: Kernel, clear_bits: int, files: int) -> int:
    """Write every page that could go to ``k.found`` (name, pfn, FOUND_*); how many.

    Parameters
    ----------
    clear_bits : int
        1: accessed bits are read and cleared, the TLBs of address spaces that had some are flushed, and the current
        task pays for each.
    files : int
        1: pages of files, too.

    Returns
    -------
    int
        Rows written: anonymous pages in the order of the page tables, then others in that of the LRU lists.
    """
    n = 0
    for mm in range(1, k.mms.shape[0]):
        if k.mms[mm].used != 0 and k.mms[mm].pgd != NIL:
            n = _find_in_mm(k, mm, clear_bits, n)
    n = _find_on_list(k, k.vm[0].active_head + 0, files, n)
    return _find_on_list(k, k.vm[0].inactive_head + 0, files, n)
