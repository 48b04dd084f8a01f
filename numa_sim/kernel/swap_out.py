"""Unmapping pages that were not used lately: the swap_out half of mm/vmscan.c @2.4.37 (spec 5.1 to 5.3).

``vm.swap_mm`` is a cursor on the list of address spaces, which is circular through init_mm (mm 0); each address
space keeps the next page to look at in ``swap_address`` (TASK_SIZE = finished).  No I/O starts here: an unmapped
dirty page goes to the swap cache, and `shrink_cache` writes it later.

Kept quirks: the cursor is stored once per leaf table (spec G-8); the accessed bit is cleared without a TLB flush, so
a CPU that has the entry does not set it again (C-8).
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import is_reserved
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import (
    in_swap_cache,
    page_cache_release,
    set_page_dirty,
    try_lock_page,
    unlock_page,
    users,
)
from numa_sim.kernel.hiwater import update_hiwater_rss
from numa_sim.kernel.locks import page_table_lock, spin_lock, spin_unlock
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.rmap import page_remove_rmap
from numa_sim.kernel.swap import mark_page_accessed
from numa_sim.kernel.swap_state import add_to_swap_cache
from numa_sim.kernel.swapfile import get_swap_page, swap_duplicate, swap_free
from numa_sim.kernel.tlb import flush_tlb_page
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.constants import (
    BUFFERS_NONE,
    MAPPING_NONE,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_PROTNONE,
    SWAP_CLUSTER_MAX,
    VM_LOCKED,
    VM_RESERVED,
    PG_active,
    PG_dirty,
    PG_uptodate,
)
from numa_sim.state.counters import SWAP_OUT_PTES
from numa_sim.state.event_codes import EV_TRY_TO_SWAP_OUT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@rule
def mmlist_add(k: Kernel, mm: int, after: int) -> None:
    """Link `mm` into the list right behind `after` (0 = init_mm: exec; the parent: fork); its scan starts at 0."""
    behind = k.mms[after].mmlist_next
    k.mms[mm].mmlist_prev = after
    k.mms[mm].mmlist_next = behind
    k.mms[after].mmlist_next = mm
    k.mms[behind].mmlist_prev = mm
    k.mms[mm].swap_address = 0
    k.vm[0].mmlist_nr += 1


@rule
def mmlist_del(k: Kernel, mm: int) -> None:
    """Unlink a dying `mm`; swap_out's cursor moves on if it stood there (mmput)."""
    before = k.mms[mm].mmlist_prev
    behind = k.mms[mm].mmlist_next
    k.mms[before].mmlist_next = behind
    k.mms[behind].mmlist_prev = before
    k.vm[0].mmlist_nr -= 1
    if k.vm[0].swap_mm == mm:
        k.vm[0].swap_mm = behind


@part
def memclass(k: Kernel, pfn: int, class_zone: int) -> bool:
    """Whether the page could serve the class: by zone index only; the node is not compared (spec C-7).

    But reclaim for a policy that binds looks at the pages of its nodes only.
    """
    zone = k.section_zone[pfn >> k.vm[0].section_shift]
    if k.vm[0].reclaim_policy != 0 and k.policy_nodes[k.vm[0].reclaim_policy, k.zones[zone].node] == 0:
        return False
    return bool(k.zones[zone].index <= k.zones[class_zone].index)


@part
def _swap_entry_for(k: Kernel, pfn: int) -> int:
    """Where the contents of a locked page without PTE shall be: swap entry, 0 = can be forgotten, NIL = nowhere."""
    page = k.pages[pfn]
    if in_swap_cache(k, pfn):
        swap_duplicate(k, page.index)
        return page.index + 0
    if page.mapping != MAPPING_NONE or page.flags & PG_dirty == 0:
        return 0
    if page.buffers != BUFFERS_NONE:
        return NIL
    while True:
        entry = get_swap_page(k)
        if entry == 0:
            return NIL
        # The slot's first use belongs to the PTE, the cache adds its own (spec G-6).
        if add_to_swap_cache(k, pfn, entry) != 0:
            page.flags |= PG_uptodate | PG_dirty
            return entry
        swap_free(k, entry)


@rule
def unmap_page(k: Kernel, mm: int, vpn: int, row: int, index: int) -> bool:
    """Take the PTE of a locked page away, everywhere, and unlock it; False if there is no swap slot for its contents.

    The middle of try_to_swap_out.  The PTE's reference is the caller's now.
    """
    pte = k.tables[row, index]
    pfn = pte >> PAGE_SHIFT
    set_pte(k, row, index, 0)
    flush_tlb_page(k, mm, vpn)
    if pte & PTE_DIRTY != 0:
        set_page_dirty(k, pfn)
    entry = _swap_entry_for(k, pfn)
    if entry == NIL:
        set_pte(k, row, index, pte)
        unlock_page(k, pfn)
        return False
    set_pte(k, row, index, entry)
    update_hiwater_rss(k, mm)
    k.mms[mm].rss -= 1
    page_remove_rmap(k, pfn)
    unlock_page(k, pfn)
    charge(k, k.costs[0].unmap_pte_ns)
    log_event(k, EV_TRY_TO_SWAP_OUT, vpn, pfn)
    count(k, k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node, SWAP_OUT_PTES, 1)
    return True


@rule
def try_to_swap_out(k: Kernel, mm: int, vma: int, vpn: int, row: int, index: int, class_zone: int) -> int:
    """Look at one present PTE; unmap its page if it was not accessed since the last look.

    Returns
    -------
    int
        1 = the page became freeable, 0 = not (whether unmapped or not).
    """
    pte = k.tables[row, index]
    pfn = pte >> PAGE_SHIFT
    page = k.pages[pfn]
    charge(k, k.costs[0].scan_pte_ns)
    if k.vmas[vma].vm_flags & VM_LOCKED != 0:
        mark_page_accessed(k, pfn)
        return 0
    if pte & PTE_ACCESSED != 0:
        k.tables[row, index] = pte & ~PTE_ACCESSED
        mark_page_accessed(k, pfn)
        return 0
    if page.flags & PG_active != 0 or not memclass(k, pfn, class_zone) or not try_lock_page(k, pfn):
        return 0

    if not unmap_page(k, mm, vpn, row, index):
        return 0
    freeable = 1 if users(k, pfn) <= 2 else 0
    page_cache_release(k, pfn)
    return freeable


@part
def _swap_out_table(k: Kernel, mm: int, vma: int, row: int, vpn: int, end: int, want: int, class_zone: int) -> int:
    """Look at the PTEs of [vpn, end), all in one leaf table, until `want` pages became freeable; return how many more.

    Stores the cursor when it ends (swap_out_pmd).
    """
    mask = (1 << k.vm[0].entry_bits) - 1
    while vpn < end:
        pte = k.tables[row, vpn & mask]
        if pte & (PTE_PRESENT | PTE_PROTNONE) != 0:
            pfn = pte >> PAGE_SHIFT
            if pfn != k.vm[0].zero_pfn and is_reserved(k, pfn) == 0:
                want -= try_to_swap_out(k, mm, vma, vpn, row, vpn & mask, class_zone)
        vpn += 1
        if want == 0:
            break
    k.mms[mm].swap_address = vpn
    return want


@part
def _swap_out_vma(k: Kernel, mm: int, vma: int, vpn: int, want: int, class_zone: int) -> int:
    """Look at one area from page `vpn` on, leaf table by leaf table (swap_out_vma, swap_out_pgd)."""
    area = k.vmas[vma]
    if area.vm_flags & VM_RESERVED != 0:
        return want
    span = 1 << k.vm[0].entry_bits
    while vpn < area.vm_end and want > 0:
        stop = min((vpn // span + 1) * span, area.vm_end)
        row = leaf_row(k, mm, vpn)
        if row != NIL:
            want = _swap_out_table(k, mm, vma, row, vpn, stop, want, class_zone)
        vpn = stop
    return want


@part
def _swap_out_mm(k: Kernel, mm: int, want: int, class_zone: int) -> int:
    """Look at one address space from its cursor on; return how many pages are still wanted.

    A quota that ends in the last area marks the address space as finished, unvisited PTEs or not (spec G-8).
    """
    vpn = k.mms[mm].swap_address
    vma = find_vma(k, mm, vpn)
    while vma != NIL:
        want = _swap_out_vma(k, mm, vma, max(vpn, k.vmas[vma].vm_start), want, class_zone)
        vma = k.vmas[vma].vm_next
        if vma != NIL and want == 0:
            return want
    k.mms[mm].swap_address = k.vm[0].task_size_vpn
    return want


@part
def _next_mm(k: Kernel) -> int:
    """Move ``vm.swap_mm`` past init_mm and finished address spaces, which may start again; NIL if there are none."""
    vm = k.vm[0]
    mm = vm.swap_mm
    while mm == 0 or k.mms[mm].swap_address == vm.task_size_vpn:
        k.mms[mm].swap_address = 0
        mm = k.mms[mm].mmlist_next
        if mm == vm.swap_mm:
            return NIL
        vm.swap_mm = mm
    return mm + 0


@rule
def swap_out(k: Kernel, class_zone: int) -> int:
    """Unmap pages of the class until SWAP_CLUSTER_MAX became freeable, over at most about two rounds of all tasks.

    Costs go to the current task.  Off with ``vm.pageout = 0``.

    Returns
    -------
    int
        1 = as many as wanted, 0 = not.
    """
    vm = k.vm[0]
    if vm.pageout == 0:
        return 0
    want = SWAP_CLUSTER_MAX
    tries = vm.mmlist_nr * 2
    while tries >= 0:
        mm = _next_mm(k)
        if mm == NIL:
            return 0
        outer = spin_lock(k, page_table_lock(k, mm), 0)
        want = _swap_out_mm(k, mm, want, class_zone)
        spin_unlock(k, page_table_lock(k, mm), outer)
        if want == 0:
            return 1
        tries -= 1
    return 0
