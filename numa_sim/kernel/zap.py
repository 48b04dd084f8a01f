"""Dropping what page tables hold: `zap_page_range` of mm/memory.c @2.4.37 (spec 7.9)."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.filemap import set_page_dirty
from numa_sim.kernel.hiwater import update_hiwater_rss
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.rmap import page_remove_rmap
from numa_sim.kernel.swap_state import free_page_and_swap_cache, free_swap_and_cache
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_DIRTY, PTE_MAPPED
from numa_sim.state.kernel import Kernel


@rule
def zap_page_range(k: Kernel, mm: int, start: int, end: int) -> int:
    """Drop every page and swap slot of [start, end) (spec 7.9, zap_pte_range @2.4.37); return PTEs dropped."""
    bits = k.vm[0].entry_bits
    span = 1 << bits
    dropped = 0
    update_hiwater_rss(k, mm)
    vpn = start
    while vpn < end:
        stop = min(end, (vpn // span + 1) * span)
        row = leaf_row(k, mm, vpn) if k.mms[mm].pgd != NIL else NIL
        if row != NIL and k.table_info[row].used > 0:
            for at in range(vpn, stop):
                pte = k.tables[row, at & (span - 1)]
                if pte == 0:
                    continue
                set_pte(k, row, at & (span - 1), 0)
                dropped += 1
                if pte & PTE_MAPPED == 0:
                    free_swap_and_cache(k, pte)
                    continue
                pfn = pte >> PAGE_SHIFT
                if pfn == k.vm[0].zero_pfn:
                    continue
                if pte & PTE_DIRTY != 0:
                    set_page_dirty(k, pfn)
                k.mms[mm].rss -= 1
                page_remove_rmap(k, pfn)
                free_page_and_swap_cache(k, pfn)
        vpn = stop
    return dropped
