"""Emptying a swap area: try_to_unuse, mm/swapfile.c @2.4.37 and @2.4.0 (spec 6.10).

sys_swapoff takes the area off the list (`swapfile.swapoff_begin`), brings every page back that has a slot there, and
then either the area is gone (`swapfile.swapoff_end`), or memory ran out and it is put back as it was
(`swapfile.swapoff_fail`).

*Restartable*: `try_to_unuse` reads from the disk and allocates, so it answers SWAPOFF_WAIT or SWAPOFF_RECLAIM with
everything done so far in place, and is called again.  Each time it looks for the next slot in use afresh: meanwhile
tasks swap in, unmap and exit.

@2.4.37 slots are taken in turn, from the one emptied last on; the address space that helped last is searched first, and
the search ends when only the cache uses the slot.  @2.4.0 it is always the lowest slot, and all address spaces.

A slot of shared memory is known to be one, and its page goes back to the object (shmem_unuse).

Simplified: a page somebody still shares by swap slot is not written once more before it leaves the cache (without fork
nobody does).
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import node_of, page_cache_release, set_page_dirty, unlock_page
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.rmap import page_add_rmap
from numa_sim.kernel.shmem_swap import holds_shmem, move_from_swap_cache
from numa_sim.kernel.swap import lru_cache_del
from numa_sim.kernel.swap_state import delete_from_swap_cache, read_swap_cache_async
from numa_sim.kernel.swapfile import slot_index, swap_entry_free, swap_free, swp_entry, swp_offset, swp_type
from numa_sim.kernel.v2_2.memory import read_swap_cache as read_swap_cache_2_2
from numa_sim.kernel.v2_4_0.memory import read_swap_cache
from numa_sim.state.answers import (
    ALLOC_RECLAIM,
    SWAPOFF_DONE,
    SWAPOFF_NO_MEMORY,
    SWAPOFF_RECLAIM,
    SWAPOFF_WAIT,
    SWAPOFF_YIELD,
)
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    MAPPING_SWAP,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_MAPPED,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
    PG_locked,
)
from numa_sim.state.counters import SWAPOFF_PAGES
from numa_sim.state.event_codes import EV_TRY_TO_UNUSE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@rule
def unuse_begin(k: Kernel, t: int, type_: int) -> None:
    """Start emptying area `type_` for task `t`."""
    task = k.tasks[t]
    task.swapoff_type = type_
    task.swapoff_slot = task.swapoff_mm = 0


@rule
def find_next_to_unuse(k: Kernel, type_: int, last: int) -> int:
    """The next slot in use after slot `last`, round the end of the area and up to `last` itself; 0 if none is."""
    start = k.swap_info[type_].map_start + 0
    end = k.swap_info[type_].max + 0
    slot = last
    for _ in range(end - 1):
        slot += 1
        if slot >= end:
            slot = 1
        uses = k.swap_map[start + slot]
        if uses != 0 and uses != SWAP_MAP_BAD:
            return slot
    return 0


@part
def _unuse_pte(k: Kernel, mm: int, vma: int, vpn: int, row: int, index: int, entry: int, pfn: int) -> None:
    """Map the page where its swap entry was, with the area's own protection: clean and old (@2.4.0 dirty and young)."""
    prot = k.vmas[vma].vm_page_prot
    flags = prot | PTE_DIRTY if k.vm[0].profile <= KERNEL_2_4_0 else prot & ~PTE_ACCESSED
    k.pages[pfn].count += 1
    set_pte(k, row, index, pfn << PAGE_SHIFT | flags)
    k.mms[mm].rss += 1
    page_add_rmap(k, vma, vpn, pfn, 0)
    swap_free(k, entry)


@rule
def unuse_process(k: Kernel, mm: int, entry: int, pfn: int) -> None:
    """Look at every PTE of an address space; those that hold `entry` get the page instead.

    @2.4.0 a PTE that maps the page already becomes dirty: the page's copy on disk is about to go.
    """
    span = 1 << k.vm[0].entry_bits
    old = k.vm[0].profile <= KERNEL_2_4_0
    vma = k.mms[mm].mmap + 0
    while vma != NIL:
        vpn = k.vmas[vma].vm_start + 0
        end = k.vmas[vma].vm_end + 0
        while vpn < end:
            stop = min((vpn // span + 1) * span, end)
            row = leaf_row(k, mm, vpn)
            if row != NIL:
                charge(k, (stop - vpn) * k.costs[0].scan_pte_ns)
                for index in range(vpn & (span - 1), (vpn & (span - 1)) + stop - vpn):
                    pte = k.tables[row, index]
                    if pte == entry:
                        _unuse_pte(k, mm, vma, vpn - (vpn & (span - 1)) + index, row, index, entry, pfn)
                    elif old and pte & PTE_MAPPED != 0 and pte >> PAGE_SHIFT == pfn:
                        k.tables[row, index] = pte | PTE_DIRTY
            vpn = stop
        vma = k.vmas[vma].vm_next + 0


@rule
def _unuse_everywhere(k: Kernel, t: int, entry: int, pfn: int) -> None:
    """Search the address spaces from the one that helped last on, until only the cache uses the slot (@2.4.37)."""
    task = k.tasks[t]
    slot = slot_index(k, entry)
    start = task.swapoff_mm + 0
    if k.mms[start].used == 0:
        start = 0
    before = k.swap_map[slot]
    if start != 0 and before > 1:
        unuse_process(k, start, entry, pfn)
    look_for_helper = k.swap_map[slot] >= before
    helper = start
    mm = k.mms[start].mmlist_next + 0
    while k.swap_map[slot] > 1 and mm != start:
        before = k.swap_map[slot]
        if mm == 0:
            look_for_helper = True
        else:
            unuse_process(k, mm, entry, pfn)
        if look_for_helper and k.swap_map[slot] < before:
            helper = mm
            look_for_helper = False
        mm = k.mms[mm].mmlist_next + 0
    task.swapoff_mm = helper


@part
def _empty_slot(k: Kernel, t: int, entry: int, pfn: int) -> None:
    """Give a locked swap-cache page to whoever has its slot, and take it out of the cache (2.4.37)."""
    _unuse_everywhere(k, t, entry, pfn)
    slot = slot_index(k, entry)
    if k.swap_map[slot] == SWAP_MAP_MAX:
        # So many have shared it that nobody knows how many do: all have been found now.
        k.swap_map[slot] = 1
    delete_from_swap_cache(k, pfn)
    # PTEs that mapped it already were not looked at: its contents are nowhere else now.
    set_page_dirty(k, pfn)


@part
def _empty_slot_2_4_0(k: Kernel, entry: int, pfn: int) -> None:
    """Take a locked page off the lists and out of the cache, and give it to all who have its slot (2.4.0)."""
    lru_cache_del(k, pfn)
    delete_from_swap_cache(k, pfn)
    mm = k.mms[0].mmlist_next + 0
    while mm != 0:
        unuse_process(k, mm, entry, pfn)
        mm = k.mms[mm].mmlist_next + 0
    slot = slot_index(k, entry)
    if k.swap_map[slot] != 0:
        # A permanent entry (SWAP_MAP_MAX), or one nobody has: forced free.
        k.swap_map[slot] = 1
        swap_entry_free(k, swp_type(entry), swp_offset(entry))


@part
def _page_of_slot(k: Kernel, t: int, entry: int) -> int:
    """The slot's page, referenced; it was slept on, is cached or is being read now; else an ALLOC_* answer."""
    task = k.tasks[t]
    if task.wait_pfn != NIL:
        pfn = task.wait_pfn + 0
        task.wait_pfn = NIL
        if k.pages[pfn].mapping == MAPPING_SWAP and k.pages[pfn].index == entry:
            return pfn
        page_cache_release(k, pfn)
    if k.vm[0].profile == KERNEL_2_4_0:
        return read_swap_cache(k, t, entry, NIL, 0)
    if k.vm[0].profile == KERNEL_2_2:
        return read_swap_cache_2_2(k, t, entry)
    return read_swap_cache_async(k, t, entry, NIL, 0)


@rule
def try_to_unuse(k: Kernel, t: int) -> int:
    """Go on emptying the area `unuse_begin` was told, for task `t`, which must be the current one.

    Returns
    -------
    int
        SWAPOFF_DONE, SWAPOFF_NO_MEMORY, SWAPOFF_WAIT, SWAPOFF_RECLAIM or SWAPOFF_YIELD.
    """
    task = k.tasks[t]
    old = k.vm[0].profile <= KERNEL_2_4_0
    start_ns = task.cost_ns + 0
    quantum_ns = k.vm[0].reclaim_quantum_ns
    while True:
        slot = find_next_to_unuse(k, task.swapoff_type, 0 if old else task.swapoff_slot)
        if slot == 0:
            return SWAPOFF_DONE
        entry = swp_entry(task.swapoff_type, slot)
        pfn = _page_of_slot(k, t, entry)
        if pfn < 0:
            return SWAPOFF_RECLAIM if pfn == ALLOC_RECLAIM else SWAPOFF_NO_MEMORY
        page = k.pages[pfn]
        if page.flags & PG_locked != 0:
            task.wait_pfn = pfn
            return SWAPOFF_WAIT
        page.flags |= PG_locked
        if holds_shmem(k, entry):
            move_from_swap_cache(k, pfn)
        elif old:
            _empty_slot_2_4_0(k, entry, pfn)
        else:
            _empty_slot(k, t, entry, pfn)
        unlock_page(k, pfn)
        count(k, node_of(k, pfn), SWAPOFF_PAGES, 1)
        log_event(k, EV_TRY_TO_UNUSE, entry, pfn)
        page_cache_release(k, pfn)
        task.swapoff_slot = slot
        if quantum_ns > 0 and task.cost_ns - start_ns >= quantum_ns:
            return SWAPOFF_YIELD
