"""msync(2): what was stored through a mapping becomes dirty pages of the file (mm/filemap.c:filemap_sync @2.4.37)."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.filemap import set_page_dirty
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.tlb import flush_tlb_page
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_DIRTY, PTE_MAPPED
from numa_sim.state.kernel import Kernel


@rule
def filemap_sync(k: Kernel, mm: int, start: int, end: int) -> int:
    """Pass the DIRTY bits of [start, end)'s PTEs on to their pages (filemap_sync); return how many there were.

    Each PTE is flushed from the TLBs, so that the next store is seen again.
    """
    found = 0
    mask = (1 << k.vm[0].entry_bits) - 1
    vpn = start
    while vpn < end:
        row = leaf_row(k, mm, vpn) if k.mms[mm].pgd != NIL else NIL
        if row == NIL:
            vpn = (vpn | mask) + 1
            continue
        pte = k.tables[row, vpn & mask]
        if pte & PTE_MAPPED != 0 and pte & PTE_DIRTY != 0 and pte >> PAGE_SHIFT != k.vm[0].zero_pfn:
            set_pte(k, row, vpn & mask, pte & ~PTE_DIRTY)
            flush_tlb_page(k, mm, vpn)
            set_page_dirty(k, pte >> PAGE_SHIFT)
            found += 1
        vpn += 1
    return found
