"""Writes to pages that may have several owners: `do_wp_page` of mm/memory.c, every kernel (spec 7.6).

After fork both processes map the same page, protected against writing although their areas allow it.  The first write
gives the writer a copy; who is left alone with the page writes to it as it is.  Who has a page is told by its count,
and, if it is in the swap cache, by the uses of its slot.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.filemap import in_swap_cache
from numa_sim.kernel.pgtable import alloc_page_vma, set_pte
from numa_sim.kernel.rmap import page_add_rmap, page_move_anon_rmap, page_remove_rmap
from numa_sim.kernel.swap import lru_cache_add
from numa_sim.kernel.swap_state import can_share_swap_page, delete_from_swap_cache
from numa_sim.kernel.tlb import flush_tlb_page
from numa_sim.state.answers import ALLOC_RECLAIM, FAULT_MINOR, FAULT_OOM, FAULT_RECLAIM
from numa_sim.state.constants import (
    GFP_HIGHUSER,
    KERNEL_2_2,
    KERNEL_2_4_0,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_RW,
    PG_locked,
)
from numa_sim.state.counters import COW_FAULTS, COW_REUSES, ZERO_PAGE_COW
from numa_sim.state.event_codes import EV_DO_WP_PAGE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@part
def page_for_fault(k: Kernel, t: int, vma: int, vpn: int) -> int:
    """A user page for task `t`, for page `vpn` of area `vma`: pfn, or the FAULT_* answer as a negative number."""
    pfn = alloc_page_vma(k, t, GFP_HIGHUSER, vma, vpn)
    if pfn >= 0:
        return pfn
    return -FAULT_RECLAIM if pfn == ALLOC_RECLAIM else -FAULT_OOM


@part
def add_anonymous_page(k: Kernel, pfn: int) -> None:
    """Put a page that was just made for a process on the LRU lists, if its kernel does so (late 2.4)."""
    if k.vm[0].vm_anon_lru != 0 and k.vm[0].profile > KERNEL_2_4_0:
        lru_cache_add(k, pfn)


@rule
def may_reuse(k: Kernel, pfn: int) -> bool:
    """Whether the writer is alone with the page, so that it need not be copied.

    2.2 and 2.4.0 see at once that a page of count 1 is the writer's; else they, as late 2.4 always, need it unlocked.
    """
    if pfn == k.vm[0].zero_pfn:
        return False
    sole = k.vm[0].profile <= KERNEL_2_4_0 and k.pages[pfn].count == 1
    return (sole or k.pages[pfn].flags & PG_locked == 0) and can_share_swap_page(k, pfn) != 0


@rule
def _reuse(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int) -> int:
    """Let the write go to the page itself.  2.2 takes it out of the swap cache, late kernels leave it there."""
    pte = k.tables[row, index]
    pfn = pte >> PAGE_SHIFT
    if k.vm[0].profile == KERNEL_2_2 and in_swap_cache(k, pfn):
        delete_from_swap_cache(k, pfn)
    set_pte(k, row, index, pte | PTE_RW | PTE_DIRTY | PTE_ACCESSED)
    page_move_anon_rmap(k, k.mms[mm].mmap_cache, vpn, pfn)
    flush_tlb_page(k, mm, vpn)
    k.tasks[t].cost_ns += k.costs[0].minor_fault_ns
    node = k.cpus[k.vm[0].current_cpu].node
    count(k, node, COW_FAULTS, 1)
    count(k, node, COW_REUSES, 1)
    log_event(k, EV_DO_WP_PAGE, vpn, pfn)
    return FAULT_MINOR


@rule
def do_wp_page(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int) -> int:
    """Write to a write-protected page: reuse it if nobody else has it, else copy it (ZERO_PAGE: a cleared page).

    2.2 allocates the copy before it looks, and gives it back if none is needed (nor does it matter then that there was
    none).  The allocation may sleep: the fault is then begun anew, so that what another thread has done to the entry
    meanwhile is seen.

    Returns
    -------
    int
        FAULT_MINOR, FAULT_RECLAIM, FAULT_OOM.
    """
    old = k.tables[row, index] >> PAGE_SHIFT
    if k.vm[0].profile != KERNEL_2_2 and may_reuse(k, old):
        return _reuse(k, t, mm, row, index, vpn)
    new = page_for_fault(k, t, k.mms[mm].mmap_cache, vpn)
    if k.vm[0].profile == KERNEL_2_2 and new != -FAULT_RECLAIM and may_reuse(k, old):
        if new >= 0:
            free_pages(k, new, 0)
        return _reuse(k, t, mm, row, index, vpn)
    if new < 0:
        return -new
    task = k.tasks[t]
    costs = k.costs[0]
    node = k.cpus[k.vm[0].current_cpu].node
    vma_prot = k.vmas[k.mms[mm].mmap_cache].vm_page_prot
    if old == k.vm[0].zero_pfn:
        k.tags[new] = 0
        k.mms[mm].rss += 1
        task.cost_ns += costs.minor_fault_ns + costs.clear_page_ns
        count(k, node, ZERO_PAGE_COW, 1)
    else:
        k.tags[new] = k.tags[old]
        task.cost_ns += costs.minor_fault_ns + costs.copy_page_ns
        count(k, node, COW_FAULTS, 1)
    add_anonymous_page(k, new)
    set_pte(k, row, index, new << PAGE_SHIFT | vma_prot | PTE_RW | PTE_DIRTY)
    page_add_rmap(k, k.mms[mm].mmap_cache, vpn, new, 1)
    flush_tlb_page(k, mm, vpn)
    if old != k.vm[0].zero_pfn:
        page_remove_rmap(k, old)
        free_pages(k, old, 0)
    log_event(k, EV_DO_WP_PAGE, vpn, new)
    return FAULT_MINOR
