"""Radix page tables in frames taken from the allocator (spec 7.3, 10.6; include/asm-i386/pgtable.h @2.4).

A table is one row of ``k.tables``; ``k.table_info[row]`` names its frame and counts its entries.  An upper-level
entry holds the row of the table below where hardware would hold its frame number (the frame is
``table_info[row].pfn``); a leaf entry is exactly a PTE.  Geometry: ``vm.levels`` tables of ``2**vm.entry_bits``
entries: 2 x 1024 on i386, 4 x 512 on x86-64 (`numa_sim.kernel.geometry`).  Beyond user space every top table has the
entries of init_mm's: on i386 those of low memory (`numa_sim.kernel.paging_init`), and of vmalloc.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.kernel.mempolicy import alloc_pages_policy, get_vma_policy
from numa_sim.kernel.numa import alloc_pages
from numa_sim.kernel.pgalloc import check_pgt_cache, pte_alloc_one_fast, pte_free, user_ptrs_per_pgd
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import (
    GFP_KERNEL,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PTE_KERNEL_TABLE,
    PTE_TABLE,
    PTE_USER,
    PG_table,
)
from numa_sim.state.counters import PMD_BAD, TABLE_PAGES
from numa_sim.state.event_codes import EV_BAD_PMD, EV_PTE_ALLOC
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

_TABLE_BITS = (1 << PAGE_SHIFT) - 1 & ~PTE_USER


@part
def table_below(entry: int) -> int:
    """Row of the table an upper-level entry points to; NIL if the entry is empty, maps a large page, or is bad."""
    return entry >> PAGE_SHIFT if entry & _TABLE_BITS == PTE_KERNEL_TABLE else NIL


@rule
def leaf_row(k: Kernel, mm: int, vpn: int) -> int:
    """Row of the leaf table that maps `vpn`, NIL if there is none."""
    vm = k.vm[0]
    row = k.mms[mm].pgd
    level = vm.levels - 1
    mask = (1 << vm.entry_bits) - 1
    while level > 0 and row != NIL:
        row = table_below(k.tables[row, (vpn >> (level * vm.entry_bits)) & mask])
        level -= 1
    return row


@rule
def get_pte(k: Kernel, mm: int, vpn: int) -> int:
    """The PTE of `vpn`; 0 = never mapped."""
    row = leaf_row(k, mm, vpn)
    if row == NIL:
        return 0
    return k.tables[row, vpn & ((1 << k.vm[0].entry_bits) - 1)]


@part
def set_pte(k: Kernel, row: int, index: int, value: int) -> None:
    """Write one entry of the table in `row`, keeping count of the entries that are not empty."""
    k.table_info[row].used += int(value != 0) - int(k.tables[row, index] != 0)
    k.tables[row, index] = value


@part
def _asked_as_now(k: Kernel, t: int, vma: int) -> bool:
    """Whether the page the slow path found was asked for under the policy that holds for area `vma`."""
    return k.vm[0].nr_policies == 0 or k.tasks[t].got_policy == get_vma_policy(k, t, vma)


@rule
def alloc_for_task(k: Kernel, t: int, gfp: int) -> int:
    """One page for task `t` that belongs to no area: page tables, page cache; answers as `alloc_page_vma`."""
    return alloc_page_vma(k, t, gfp, NIL, 0)


@rule
def alloc_page_vma(k: Kernel, t: int, gfp: int, vma: int, vpn: int) -> int:
    """One page for task `t`, for page `vpn` of area `vma`: what its slow path already found (or not), else a new one.

    From the CPU's own node, or as the policy of the area or the task says.

    Returns
    -------
    int
        pfn, ALLOC_FAIL, or ALLOC_RECLAIM: the fault is to be restarted after what ``tasks[t].alloc_wants`` says
        (ALLOC_RECLAIM; @2.4.0 also ALLOC_YIELD and ALLOC_WAIT_KSWAPD) and `alloc_after_reclaim`.
    """
    task = k.tasks[t]
    if task.alloc_failed != 0:
        task.alloc_failed = 0
        return ALLOC_FAIL
    if task.got_pfn != NIL:
        pfn = task.got_pfn
        task.got_pfn = NIL
        if task.got_gfp == gfp and k.pages[pfn].order == 0 and _asked_as_now(k, t, vma):
            return pfn
        free_pages(k, pfn, k.pages[pfn].order)
    if k.vm[0].nr_policies != 0:
        pfn = alloc_pages_policy(k, t, vma, vpn, gfp, 0)
    else:
        pfn = alloc_pages(k, t, k.cpus[k.vm[0].current_cpu].node, gfp, 0)
    task.got_gfp = gfp
    if pfn < ALLOC_FAIL:
        task.alloc_wants = pfn
        return ALLOC_RECLAIM
    return pfn


@rule
def _new_row(k: Kernel) -> int:
    vm = k.vm[0]
    row = vm.table_free
    if row != NIL:
        vm.table_free = k.table_info[row].next
        return row
    if vm.table_used == k.tables.shape[0]:
        return NIL
    vm.table_used += 1
    return vm.table_used - 1


@rule
def _fresh_table(k: Kernel, t: int) -> int:
    """An empty table in a fresh frame: row, ALLOC_FAIL, or ALLOC_RECLAIM (pte_alloc_one @2.4, GFP_KERNEL)."""
    pfn = alloc_for_task(k, t, GFP_KERNEL)
    if pfn < 0:
        return pfn
    row = _new_row(k)
    if row == NIL:
        free_pages(k, pfn, 0)
        return ALLOC_FAIL
    page = k.pages[pfn]
    page.flags |= PG_table
    page.index = row
    k.table_info[row].pfn = pfn
    k.table_info[row].used = 0
    count(k, page_zone(k, pfn) // NR_ZONES, TABLE_PAGES, 1)
    log_event(k, EV_PTE_ALLOC, pfn, row)
    k.tasks[t].cost_ns += k.costs[0].table_alloc_ns
    return row


@rule
def kernel_pgd_entries(k: Kernel, row: int) -> None:
    """Give a top table the kernel's entries: those of swapper_pg_dir, if the kernel has a table."""
    reference = k.mms[0].pgd + 0
    if reference != NIL:
        for index in range(user_ptrs_per_pgd(k), k.tables.shape[1]):
            k.tables[row, index] = k.tables[reference, index]


@rule
def new_table(k: Kernel, t: int, mm: int, level: int) -> int:
    """An empty table of `level` (0 = leaf): row >= 0, ALLOC_FAIL, or ALLOC_RECLAIM.

    A top table comes with the kernel's entries: those of swapper_pg_dir (get_pgd_slow @2.4).
    """
    vm = k.vm[0]
    row = pte_alloc_one_fast(k, level)
    if row == NIL:
        row = _fresh_table(k, t)
        if row < 0:
            return row
        k.table_info[row].level = level
        if level == vm.levels - 1 and mm != 0:
            kernel_pgd_entries(k, row)
    k.mms[mm].nr_tables += 1
    return row


@rule
def free_table(k: Kernel, mm: int, row: int) -> None:
    """Give back a table of `mm` that has no entries of user pages left."""
    k.mms[mm].nr_tables -= 1
    k.mms[mm].leaf_vpn = NIL
    pte_free(k, row)
    check_pgt_cache(k)


@rule
def bad_pmd(k: Kernel, row: int, index: int) -> None:
    """Report an upper-level entry that is none (pmd_ERROR): somebody has written over a page table."""
    count(k, page_zone(k, k.table_info[row].pfn) // NR_ZONES, PMD_BAD, 1)
    log_event(k, EV_BAD_PMD, row, index)


@rule
def _make_leaf(k: Kernel, t: int, mm: int, vpn: int) -> int:
    """`pte_alloc` by walking the tables from the top."""
    vm = k.vm[0]
    space = k.mms[mm]
    mask = (1 << vm.entry_bits) - 1
    if space.pgd == NIL:
        row = new_table(k, t, mm, vm.levels - 1)
        if row < 0:
            return row
        space.pgd = row
    row = space.pgd
    level = vm.levels - 1
    while level > 0:
        index = (vpn >> (level * vm.entry_bits)) & mask
        upper = k.tables[row, index]
        below = table_below(upper)
        if upper == 0:
            below = new_table(k, t, mm, level - 1)
            if below < 0:
                return below
            set_pte(k, row, index, below << PAGE_SHIFT | (PTE_TABLE if mm != 0 else PTE_KERNEL_TABLE))
        elif below == NIL:
            bad_pmd(k, row, index)
            return ALLOC_FAIL
        row = below
        level -= 1
    space.leaf_vpn = vpn >> vm.entry_bits
    space.leaf_row = row
    return row


@part
def pte_alloc(k: Kernel, t: int, mm: int, vpn: int) -> int:
    """Leaf row for `vpn`, making the tables on the way; ALLOC_FAIL or ALLOC_RECLAIM if a frame is missing.

    Restartable: tables already made stay, and the walk finds them again.  The address space remembers the last one,
    because faults come in runs.
    """
    space = k.mms[mm]
    if space.leaf_vpn == vpn >> k.vm[0].entry_bits:
        return space.leaf_row
    return _make_leaf(k, t, mm, vpn)


@rule
def clear_page_tables(k: Kernel, mm: int, start: int, end: int) -> None:
    """Free the tables that map pages of [start, end) and are empty, from the leaves up (mm/memory.c @2.4)."""
    vm = k.vm[0]
    mask = (1 << vm.entry_bits) - 1
    for level in range(1, vm.levels):
        span = 1 << (level * vm.entry_bits)
        vpn = start // span * span
        while vpn < end:
            # Descend to the table that holds the entry of this level.
            row = k.mms[mm].pgd + 0
            at = vm.levels - 1
            below = row
            while at > level and below != NIL:
                below = table_below(k.tables[row, (vpn >> (at * vm.entry_bits)) & mask])
                if below != NIL:
                    row = below
                    at -= 1
            if at > level:
                vpn = ((vpn >> (at * vm.entry_bits)) + 1) << (at * vm.entry_bits)  # nothing below this entry
                continue
            index = (vpn >> (level * vm.entry_bits)) & mask
            entry = k.tables[row, index]
            below = table_below(entry)
            if entry != 0 and below == NIL:
                bad_pmd(k, row, index)
                set_pte(k, row, index, 0)
            elif entry != 0 and k.table_info[below].used == 0:
                set_pte(k, row, index, 0)
                free_table(k, mm, below)
            vpn += span
