"""Unmapping pages that have grown old: the swap_out half of mm/vmscan.c @2.4.0 (spec 5.1 to 5.3).

Each call looks at one address space: the one with the most of its quota (``mm.swap_cnt``) left.  A page is unmapped
when a visit finds it unused and its age is 0; pages that are on no list are aged here.  No I/O starts.

Kept quirks: one address space per call and one PTE passed over when its quota ends (spec C-4); the accessed bit is
cleared without a TLB flush (C-8); with no swap slot left the PTE is restored and nothing is shrunk (C-16).
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import is_reserved
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import (
    in_swap_cache,
    node_of,
    page_cache_release,
    set_page_dirty,
    try_lock_page,
    unlock_page,
)
from numa_sim.kernel.hiwater import update_hiwater_rss
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.rmap import page_remove_rmap
from numa_sim.kernel.swapfile import get_swap_page, swap_duplicate
from numa_sim.kernel.swapper_space import add_to_swap_cache
from numa_sim.kernel.tlb import flush_tlb_page
from numa_sim.kernel.v2_4_0.swap import age_page_down_ageonly, age_page_up, deactivate_page
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.constants import (
    MAPPING_NONE,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_PROTNONE,
    VM_LOCKED,
    VM_RESERVED,
    PG_active,
    PG_dirty,
)
from numa_sim.state.counters import SWAP_OUT_PTES
from numa_sim.state.event_codes import EV_TRY_TO_SWAP_OUT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

SWAP_SHIFT: Final = 5
SWAP_MIN: Final = 8
"""An address space's quota per round: 1 in 2**SWAP_SHIFT of its pages, at least SWAP_MIN."""


@part
def _swap_entry_for(k: Kernel, pfn: int, dirty: bool) -> int:
    """Where the contents of a locked page without PTE shall be: swap entry, 0 = can be forgotten, NIL = nowhere."""
    page = k.pages[pfn]
    if in_swap_cache(k, pfn):
        if dirty:
            set_page_dirty(k, pfn)
        swap_duplicate(k, page.index)
        return page.index + 0
    if not dirty:
        return 0
    if page.mapping != MAPPING_NONE:
        set_page_dirty(k, pfn)
        return 0
    entry = get_swap_page(k)
    if entry == 0:
        return NIL
    # The slot's first use is the cache's, the PTE adds its own.
    add_to_swap_cache(k, pfn, entry)
    page.flags |= PG_dirty
    swap_duplicate(k, entry)
    return entry


@rule
def try_to_swap_out(k: Kernel, mm: int, vpn: int, row: int, index: int) -> int:
    """Look at one present PTE; unmap its page if it was not used since the last look and has grown old.

    Returns
    -------
    int
        1 = the quota of `mm` is used up (the PTE was not looked at), 0 = go on.
    """
    if k.mms[mm].swap_cnt == 0:
        return 1
    k.mms[mm].swap_cnt -= 1
    pte = k.tables[row, index]
    pfn = pte >> PAGE_SHIFT
    page = k.pages[pfn]
    charge(k, k.costs[0].scan_pte_ns)
    was_active = page.flags & PG_active != 0
    if pte & PTE_ACCESSED != 0:
        k.tables[row, index] = pte & ~PTE_ACCESSED
        age_page_up(k, pfn)
        return 0
    if not was_active:
        # refill_inactive_scan does not meet it.
        age_page_down_ageonly(k, pfn)
    if page.age > 0 or not try_lock_page(k, pfn):
        return 0

    set_pte(k, row, index, 0)
    flush_tlb_page(k, mm, vpn)
    entry = _swap_entry_for(k, pfn, pte & PTE_DIRTY != 0)
    if entry == NIL:
        set_pte(k, row, index, pte)
        unlock_page(k, pfn)
        return 0
    set_pte(k, row, index, entry)
    unlock_page(k, pfn)
    update_hiwater_rss(k, mm)
    k.mms[mm].rss -= 1
    page_remove_rmap(k, pfn)
    deactivate_page(k, pfn)
    charge(k, k.costs[0].unmap_pte_ns)
    log_event(k, EV_TRY_TO_SWAP_OUT, vpn, pfn)
    count(k, node_of(k, pfn), SWAP_OUT_PTES, 1)
    page_cache_release(k, pfn)
    return 0


@part
def _holds_a_page(k: Kernel, pte: int) -> bool:
    """Whether a PTE maps a page that swap_out may unmap."""
    if pte & (PTE_PRESENT | PTE_PROTNONE) == 0:
        return False
    pfn = pte >> PAGE_SHIFT
    return pfn != k.vm[0].zero_pfn and is_reserved(k, pfn) == 0


@part
def _swap_out_table(k: Kernel, mm: int, row: int, vpn: int, end: int) -> int:
    """Look at the PTEs of [vpn, end), all in one leaf table; 1 = the quota is used up (swap_out_pmd)."""
    mask = (1 << k.vm[0].entry_bits) - 1
    while vpn < end:
        k.mms[mm].swap_address = vpn + 1
        if _holds_a_page(k, k.tables[row, vpn & mask]) and try_to_swap_out(k, mm, vpn, row, vpn & mask) != 0:
            return 1
        vpn += 1
    return 0


@part
def _swap_out_vma(k: Kernel, mm: int, vma: int, vpn: int) -> int:
    """Look at one area from page `vpn` on, leaf table by leaf table; 1 = the quota is used up."""
    area = k.vmas[vma]
    if area.vm_flags & (VM_LOCKED | VM_RESERVED) != 0:
        return 0
    span = 1 << k.vm[0].entry_bits
    while vpn < area.vm_end:
        stop = min((vpn // span + 1) * span, area.vm_end)
        row = leaf_row(k, mm, vpn)
        if row != NIL and _swap_out_table(k, mm, row, vpn, stop) != 0:
            return 1
        vpn = stop
    return 0


@part
def _swap_out_mm(k: Kernel, mm: int) -> int:
    """Look at one address space from its cursor on; at its end the cursor goes back to 0 and its round is over."""
    vpn = k.mms[mm].swap_address
    vma = find_vma(k, mm, vpn)
    while vma != NIL:
        if _swap_out_vma(k, mm, vma, max(vpn, k.vmas[vma].vm_start)) != 0:
            return 1
        vma = k.vmas[vma].vm_next
    k.mms[mm].swap_address = 0
    k.mms[mm].swap_cnt = 0
    return 0


@part
def _largest_quota(k: Kernel) -> int:
    """The address space with pages and the most quota left, the first of equals; NIL if all quotas are used up."""
    best = NIL
    most = 0
    mm = k.mms[0].mmlist_next + 0
    while mm != 0:
        if k.mms[mm].rss > 0 and k.mms[mm].swap_cnt > most:
            most = k.mms[mm].swap_cnt + 0
            best = mm
        mm = k.mms[mm].mmlist_next + 0
    return best


@part
def _new_round(k: Kernel) -> None:
    """Every address space with pages gets a quota again."""
    mm = k.mms[0].mmlist_next + 0
    while mm != 0:
        if k.mms[mm].rss > 0:
            k.mms[mm].swap_cnt = max(k.mms[mm].rss >> SWAP_SHIFT, SWAP_MIN)
        mm = k.mms[mm].mmlist_next + 0


@rule
def swap_out(k: Kernel) -> int:
    """Visit one address space: age its pages, unmap the old ones (the kernel's priority and gfp have no effect).

    Costs go to the current task.  Off with ``vm.pageout = 0``.

    Returns
    -------
    int
        1 = it used up its quota, 0 = it came to its end first, or there is none.
    """
    if k.vm[0].pageout == 0:
        return 0
    mm = _largest_quota(k)
    if mm == NIL:
        _new_round(k)
        mm = _largest_quota(k)
        if mm == NIL:
            return 0
    return _swap_out_mm(k, mm)
