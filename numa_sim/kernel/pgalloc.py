"""Page-table pages and the spare ones each CPU keeps: include/asm-i386/pgalloc.h, arch/i386/mm/init.c (spec 7.3).

A table that is no longer needed is empty, and a new one must be: so a CPU keeps a few, on three lists (top tables,
those in between, leaves), and takes the next from there instead of clearing a fresh page.  When it has more than 50 it
frees some of each in turn until 25 are left.  2.4.0 only takes from its lists and frees at once, so they stay empty.

Spare tables are memory in use.  ``vm.pgt_cache`` switches them off.  Simplified: trimmed when tables are freed, not by
the idle loop as well.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.state.constants import KERNEL_2_4_0, NIL, NR_ZONES, PGD_QUICKLIST, PMD_QUICKLIST, PTE_QUICKLIST, PG_table
from numa_sim.state.counters import PGT_CACHE_FREED, PGT_CACHE_HIT, PGT_CACHE_KEPT, TABLE_PAGES_FREED, UPDATE_MMU_CACHE
from numa_sim.state.event_codes import EV_PTE_FREE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

LOW_WATER: Final = 25
HIGH_WATER: Final = 50
"""pgt_cache_water."""


@part
def _quicklist(k: Kernel, level: int) -> int:
    """The list of tables of this level, 0 = leaf."""
    if level == 0:
        return PTE_QUICKLIST
    return PGD_QUICKLIST if level == k.vm[0].levels - 1 else PMD_QUICKLIST


@part
def user_ptrs_per_pgd(k: Kernel) -> int:
    """USER_PTRS_PER_PGD: how many entries of a top table map user space (768 on i386); the rest is the kernel's."""
    return k.vm[0].task_size_vpn >> ((k.vm[0].levels - 1) * k.vm[0].entry_bits)


@rule
def release_table(k: Kernel, row: int) -> None:
    """Give the frame of an empty table back to the allocator (free_page)."""
    info = k.table_info[row]
    pfn = info.pfn + 0
    if info.level == k.vm[0].levels - 1:
        for index in range(user_ptrs_per_pgd(k), k.tables.shape[1]):
            k.tables[row, index] = 0
    k.pages[pfn].flags &= ~PG_table
    info.next = k.vm[0].table_free
    info.pfn = NIL
    k.vm[0].table_free = row
    count(k, page_zone(k, pfn) // NR_ZONES, TABLE_PAGES_FREED, 1)
    log_event(k, EV_PTE_FREE, pfn, row)
    free_pages(k, pfn, 0)


@part
def update_mmu_cache(k: Kernel) -> None:
    """The hook of architectures that load TLBs themselves, called for every entry a fault has established.

    x86 has nothing to do here (nor in flush_page_to_ram); with ``vm.mmu_hooks`` the calls are counted.
    """
    if k.vm[0].mmu_hooks != 0:
        count(k, k.cpus[k.vm[0].current_cpu].node, UPDATE_MMU_CACHE, 1)


@rule
def pte_alloc_one_fast(k: Kernel, level: int) -> int:
    """A spare table of this CPU (get_pgd_fast, pmd_alloc_one_fast, pte_alloc_one_fast): row, NIL if it has none."""
    cpu = k.cpus[k.vm[0].current_cpu]
    which = _quicklist(k, level)
    row = cpu.quicklist[which]
    if row == NIL:
        return NIL
    cpu.quicklist[which] = k.table_info[row].next
    cpu.pgtable_cache_size -= 1
    count(k, cpu.node, PGT_CACHE_HIT, 1)
    return row


@rule
def pte_free(k: Kernel, row: int) -> None:
    """Keep an empty table on this CPU's list (pte_free_fast); @2.4.0, or without lists, free it (pte_free_slow)."""
    vm = k.vm[0]
    if vm.pgt_cache == 0 or vm.profile == KERNEL_2_4_0:
        release_table(k, row)
        return
    cpu = k.cpus[vm.current_cpu]
    which = _quicklist(k, k.table_info[row].level)
    k.table_info[row].next = cpu.quicklist[which]
    cpu.quicklist[which] = row
    cpu.pgtable_cache_size += 1
    count(k, cpu.node, PGT_CACHE_KEPT, 1)


@rule
def check_pgt_cache(k: Kernel) -> None:
    """do_check_pgt_cache: once this CPU has more than 50 spare tables, free a pgd, a pmd, a pte in turn down to 25."""
    cpu = k.cpus[k.vm[0].current_cpu]
    if cpu.pgtable_cache_size <= HIGH_WATER:
        return
    while cpu.pgtable_cache_size > LOW_WATER:
        for which in range(PTE_QUICKLIST + 1):
            row = cpu.quicklist[which] + 0
            if row != NIL:
                cpu.quicklist[which] = k.table_info[row].next
                cpu.pgtable_cache_size -= 1
                count(k, cpu.node, PGT_CACHE_FREED, 1)
                release_table(k, row)
