"""Bringing pages back from swap: `do_swap_page` of mm/memory.c and mm/swap_state.c @2.4.0 (spec 6.6, 6.7, 7.7).

Every look-up in the swap cache counts as a use of the page found and waits until it is unlocked, read-ahead's too.
So a fault may sleep in the middle of its read-ahead: ``tasks[t].readahead_entry`` and ``readahead_left`` say which
slots are still to be read, and the read-ahead holds a use of each of those.  Every swap-in counts as a minor fault
(spec C-5).
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.kernel.pgtable import alloc_page_vma, set_pte
from numa_sim.kernel.rmap import page_add_rmap
from numa_sim.kernel.swap_state import is_page_shared
from numa_sim.kernel.swapfile import swap_duplicate, swap_free, valid_swaphandles
from numa_sim.kernel.swapper_space import add_to_swap_cache, lookup_swap_cache
from numa_sim.kernel.v2_4_0.page_io import max_async_pages, rw_swap_page
from numa_sim.kernel.v2_4_0.swap import touch_found_page
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
    PG_locked,
)
from numa_sim.state.counters import SWAP_CACHE_HIT, SWAP_CACHE_MISS, SWAP_FAULTS, SWAP_RA
from numa_sim.state.event_codes import EV_DO_SWAP_PAGE, EV_SWAP_CACHE_HIT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

_READING_AHEAD: Final = 1
_READ_AHEAD: Final = 2
"""Values of ``task.fault_major``: the wanted page was not in the cache, and how far its read-ahead is."""
_SLOT: Final = 1 << 8
"""From one swap entry to the next slot's."""


@part
def _find_page(k: Kernel, entry: int) -> int:
    """The page that caches `entry`, with one more reference, a use seen; NIL if none.  It may be locked still."""
    pfn = lookup_swap_cache(k, entry)
    if pfn != NIL:
        touch_found_page(k, pfn)
    return pfn


@rule
def _start_read(k: Kernel, t: int, entry: int, wait: int, vma: int, vpn: int) -> int:
    """A new page in the swap cache, with a reference, whose read has just been started; else ALLOC_*."""
    pfn = alloc_page_vma(k, t, GFP_USER, vma, vpn)
    if pfn < 0:
        return pfn
    if swap_duplicate(k, entry) == 0:
        free_pages(k, pfn, 0)
        return ALLOC_FAIL
    k.pages[pfn].flags |= PG_locked
    add_to_swap_cache(k, pfn, entry)
    rw_swap_page(k, IO_READ, pfn, wait)
    return pfn


@rule
def read_swap_cache(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """The page of `entry`, with a reference, read if need be (it is locked then); else an ALLOC_* answer."""
    pfn = _find_page(k, entry)
    return pfn if pfn != NIL else _start_read(k, t, entry, 1, vma, vpn)


@part
def _next_slot(k: Kernel, t: int) -> None:
    """The read-ahead is done with its first slot, and gives back its use of it."""
    task = k.tasks[t]
    swap_free(k, task.readahead_entry)
    task.readahead_entry += _SLOT
    task.readahead_left -= 1


@rule
def drop_readahead(k: Kernel, t: int) -> None:
    """Give back what the read-ahead of task `t` still holds."""
    while k.tasks[t].readahead_left > 0:
        _next_slot(k, t)


@part
def _begin_readahead(k: Kernel, t: int, entry: int) -> None:
    """Note the slots to be read and hold a use of each."""
    task = k.tasks[t]
    if k.vm[0].swap_readahead != 0:
        first, n = valid_swaphandles(k, entry)
        task.readahead_entry = (entry & 0xFF) | first << 8
        task.readahead_left = n


@rule
def swapin_readahead(k: Kernel, t: int, wanted: int, vma: int, vpn: int) -> int:
    """Start reads of the slots noted, until enough are under way; 0, or a FAULT_* to be called again."""
    task = k.tasks[t]
    while task.readahead_left > 0:
        # A page got for this slot while the fault slept is used before the load is looked at again.
        if k.vm[0].nr_async_pages >= max_async_pages(k) and task.got_pfn == NIL:
            drop_readahead(k, t)
            return 0
        entry = task.readahead_entry + 0
        pfn = _find_page(k, entry)
        if pfn != NIL:
            if k.pages[pfn].flags & PG_locked != 0:
                task.wait_pfn = pfn
                return FAULT_WAIT
            free_pages(k, pfn, 0)
        else:
            pfn = _start_read(k, t, entry, 0, vma, vpn)
            if pfn == ALLOC_RECLAIM:
                return FAULT_RECLAIM
            if pfn >= 0:
                if entry != wanted:
                    count(k, page_zone(k, pfn) // NR_ZONES, SWAP_RA, 1)
                free_pages(k, pfn, 0)
        _next_slot(k, t)
    return 0


@rule
def _after_sleep(k: Kernel, t: int, entry: int) -> int:
    """The fault slept on a page: its pfn if that is the wanted one still, else NIL, and read-ahead may go on."""
    task = k.tasks[t]
    pfn = task.wait_pfn + 0
    task.wait_pfn = NIL
    page = k.pages[pfn]
    cached = page.index if page.mapping == MAPPING_SWAP else 0
    if task.fault_major != _READING_AHEAD and cached == entry:
        return pfn
    if task.fault_major == _READING_AHEAD and task.readahead_left > 0 and cached == task.readahead_entry:
        _next_slot(k, t)
    free_pages(k, pfn, 0)
    return NIL


@rule
def _swap_page(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """The swap-cache page of `entry`, referenced, read if need be: pfn, or the FAULT_* answer as a negative number."""
    task = k.tasks[t]
    node = k.cpus[k.vm[0].current_cpu].node
    if task.wait_pfn != NIL:
        pfn = _after_sleep(k, t, entry)
        if pfn != NIL:
            return pfn
    if task.fault_major == 0:
        pfn = _find_page(k, entry)
        if pfn != NIL:
            count(k, node, SWAP_CACHE_HIT, 1)
            log_event(k, EV_SWAP_CACHE_HIT, entry, pfn)
            return pfn
        count(k, node, SWAP_CACHE_MISS, 1)
        task.fault_major = _READING_AHEAD
        _begin_readahead(k, t, entry)
    if task.fault_major == _READING_AHEAD:
        status = swapin_readahead(k, t, entry, vma, vpn)
        if status != 0:
            return -status
        task.fault_major = _READ_AHEAD
    pfn = _find_page(k, entry)
    if pfn == NIL:
        pfn = _start_read(k, t, entry, 1, vma, vpn)
        if pfn < 0:
            return -FAULT_RECLAIM if pfn == ALLOC_RECLAIM else -FAULT_OOM
    return pfn


@rule
def do_swap_page(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int, write: int) -> int:
    """Bring a page back from swap; sleeps by returning FAULT_WAIT while a page is under I/O.

    The page stays in the swap cache; a write may go to it if nobody else has it.
    """
    task = k.tasks[t]
    entry = k.tables[row, index]
    pfn = _swap_page(k, t, entry, k.mms[mm].mmap_cache, vpn)
    if pfn < 0:
        return -pfn
    if k.pages[pfn].flags & PG_locked != 0:
        task.wait_pfn = pfn
        return FAULT_WAIT
    k.mms[mm].rss += 1
    swap_free(k, entry)
    pte = pfn << PAGE_SHIFT | (k.vmas[k.mms[mm].mmap_cache].vm_page_prot & ~PTE_RW)
    if write != 0 and not is_page_shared(k, pfn):
        pte |= PTE_RW | PTE_DIRTY
    set_pte(k, row, index, pte)
    page_add_rmap(k, k.mms[mm].mmap_cache, vpn, pfn, pte & PTE_RW)
    task.cost_ns += k.costs[0].swap_fault_ns
    count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_FAULTS, 1)
    log_event(k, EV_DO_SWAP_PAGE, vpn, pfn)
    return FAULT_MINOR
