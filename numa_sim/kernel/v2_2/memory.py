"""Bringing pages back from swap: `swap_in` and read-ahead of mm/page_alloc.c, mm/swap_state.c @2.2.1 (spec 6.7, 7.7).

A look-up in the swap cache waits while the page found is locked, be it read or written.  Every swap-in counts as a
minor fault, whether it had to read or not.  A write to a page that only the swap cache still knows takes it out of the
cache.

Read-ahead may stop for memory: ``tasks[t].swapin_offset`` is the slot it goes on with.

Simplified: who waits for a page holds it meanwhile (the kernel looks it up again), so it cannot be reclaimed before it
is used; read-ahead that waits for memory does not keep its slot in use; a task that dies for want of memory gets no bad
page mapped first.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.kernel.filemap import in_swap_cache
from numa_sim.kernel.pgtable import alloc_for_task, set_pte
from numa_sim.kernel.rmap import page_add_rmap
from numa_sim.kernel.swap_state import delete_from_swap_cache, is_page_shared
from numa_sim.kernel.swapfile import swap_duplicate, swap_free, swp_offset, swp_type
from numa_sim.kernel.swapper_space import add_to_swap_cache, find_swap_cache, lookup_swap_cache
from numa_sim.kernel.v2_2.page_io import page_under_io, rw_swap_page, wait_for_slot
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, FAULT_MINOR, FAULT_OOM, FAULT_RECLAIM, FAULT_WAIT
from numa_sim.state.constants import (
    GFP_USER,
    IO_READ,
    MAPPING_SWAP,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PTE_DIRTY,
    PTE_RW,
    SWAP_MAP_BAD,
    PG_locked,
    PG_referenced,
)
from numa_sim.state.counters import SWAP_CACHE_HIT, SWAP_CACHE_MISS, SWAP_FAULTS, SWAP_RA
from numa_sim.state.event_codes import EV_DO_SWAP_PAGE, EV_SWAP_CACHE_HIT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

_READING_AHEAD: Final = 1
_READ_AHEAD: Final = 2
"""Values of ``task.fault_major``: the wanted page was not in the cache, and how far its read-ahead is."""


@part
def _find_page(k: Kernel, entry: int) -> int:
    """The page that caches `entry`, with one more reference, REFERENCED; NIL if none.  It may be locked still."""
    pfn = lookup_swap_cache(k, entry)
    if pfn != NIL:
        k.pages[pfn].flags |= PG_referenced
    return pfn


@rule
def _start_read(k: Kernel, t: int, entry: int, wait: int) -> int:
    """A new page in the swap cache, with a reference, whose read has just been started; else ALLOC_*.

    The slot's lock must be free.
    """
    pfn = alloc_for_task(k, t, GFP_USER)
    if pfn < 0:
        return pfn
    if find_swap_cache(k, entry) != NIL or swap_duplicate(k, entry) == 0:
        free_pages(k, pfn, 0)
        return ALLOC_FAIL
    add_to_swap_cache(k, pfn, entry)
    k.pages[pfn].flags |= PG_locked
    rw_swap_page(k, IO_READ, pfn, wait)
    return pfn


@rule
def read_swap_cache(k: Kernel, t: int, entry: int) -> int:
    """The page of `entry`, with a reference, read if need be (it is locked then); else an ALLOC_* answer."""
    pfn = _find_page(k, entry)
    return pfn if pfn != NIL else _start_read(k, t, entry, 1)


@part
def _may_read_ahead(k: Kernel, type_: int, offset: int) -> bool:
    """Whether read-ahead goes on at this slot: in use, not bad, not under I/O, and not too much I/O under way."""
    if offset >= k.swap_info[type_].max or k.vm[0].nr_async_pages >= k.vm[0].swap_cluster:
        return False
    slot = k.swap_info[type_].map_start + offset
    return k.swap_map[slot] != 0 and k.swap_map[slot] != SWAP_MAP_BAD and k.swap_lockmap[slot] == 0


@rule
def swapin_readahead(k: Kernel, t: int, wanted: int) -> int:
    """Start reads of the aligned block of slots around `wanted`, from ``swapin_offset`` on; 0, or FAULT_RECLAIM."""
    task = k.tasks[t]
    type_ = swp_type(wanted)
    shift = k.vm[0].page_cluster
    end = ((swp_offset(wanted) >> shift) + 1) << shift
    while task.swapin_offset < end:
        offset = task.swapin_offset + 0
        # A page got for this slot while the fault slept is used before the load is looked at again.
        if task.got_pfn == NIL and not _may_read_ahead(k, type_, offset):
            return 0
        entry = (wanted & 0xFF) | offset << 8
        if find_swap_cache(k, entry) == NIL:
            pfn = _start_read(k, t, entry, 0)
            if pfn == ALLOC_RECLAIM:
                return FAULT_RECLAIM
            if pfn >= 0:
                if entry != wanted:
                    count(k, page_zone(k, pfn) // NR_ZONES, SWAP_RA, 1)
                free_pages(k, pfn, 0)
        task.swapin_offset += 1
    return 0


@part
def _miss(k: Kernel, t: int, entry: int) -> None:
    """The wanted page is not cached: note where its read-ahead begins, or that there is none."""
    task = k.tasks[t]
    task.fault_major = _READING_AHEAD if k.vm[0].swap_readahead != 0 else _READ_AHEAD
    task.swapin_offset = swp_offset(entry) >> k.vm[0].page_cluster << k.vm[0].page_cluster
    count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_CACHE_MISS, 1)


@part
def _page_slept_on(k: Kernel, t: int, entry: int) -> int:
    """The page the fault slept on, if it is that of `entry` still; else its reference is dropped: NIL."""
    task = k.tasks[t]
    pfn = task.wait_pfn + 0
    task.wait_pfn = NIL
    if pfn != NIL and (k.pages[pfn].mapping != MAPPING_SWAP or k.pages[pfn].index != entry):
        free_pages(k, pfn, 0)
        return NIL
    return pfn


@rule
def _swap_page(k: Kernel, t: int, entry: int) -> int:
    """The swap-cache page of `entry`, referenced, read if need be: pfn, or the FAULT_* answer as a negative number."""
    task = k.tasks[t]
    pfn = _page_slept_on(k, t, entry)
    if pfn != NIL:
        return pfn
    if task.fault_major == 0:
        pfn = _find_page(k, entry)
        if pfn != NIL:
            count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_CACHE_HIT, 1)
            log_event(k, EV_SWAP_CACHE_HIT, entry, pfn)
            return pfn
        _miss(k, t, entry)
    if task.fault_major == _READING_AHEAD:
        if swapin_readahead(k, t, entry) != 0:
            return -FAULT_RECLAIM
        task.fault_major = _READ_AHEAD
    pfn = _find_page(k, entry)
    if pfn == NIL and page_under_io(k, entry) != NIL:
        wait_for_slot(k, t, entry)
        return -FAULT_WAIT
    if pfn == NIL:
        pfn = _start_read(k, t, entry, 1)
        if pfn < 0:
            return -FAULT_RECLAIM if pfn == ALLOC_RECLAIM else -FAULT_OOM
    return pfn


@rule
def do_swap_page(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int, write: int) -> int:
    """Bring a page back from swap (`swap_in`); sleeps by returning FAULT_WAIT while a page is under I/O.

    Always a minor fault.  A write to a page nobody else has takes it out of the cache: its copy on disk is free again.
    """
    task = k.tasks[t]
    entry = k.tables[row, index]
    pfn = _swap_page(k, t, entry)
    if pfn < 0:
        return -pfn
    if k.pages[pfn].flags & PG_locked != 0:
        task.wait_pfn = pfn
        return FAULT_WAIT
    k.mms[mm].rss += 1
    swap_free(k, entry)
    pte = pfn << PAGE_SHIFT | (k.vmas[k.mms[mm].mmap_cache].vm_page_prot & ~PTE_RW)
    if write != 0 and not is_page_shared(k, pfn):
        if in_swap_cache(k, pfn):
            delete_from_swap_cache(k, pfn)
        pte |= PTE_RW | PTE_DIRTY
    set_pte(k, row, index, pte)
    page_add_rmap(k, k.mms[mm].mmap_cache, vpn, pfn, pte & PTE_RW)
    task.cost_ns += k.costs[0].swap_fault_ns
    count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_FAULTS, 1)
    log_event(k, EV_DO_SWAP_PAGE, vpn, pfn)
    return FAULT_MINOR
