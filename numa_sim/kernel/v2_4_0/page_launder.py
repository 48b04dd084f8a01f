"""Cleaning the inactive_dirty list: `page_launder`, mm/vmscan.c @2.4.0 (spec 4.6).

A first pass moves what is clean to the inactive_clean lists and what is used back to the active list; a second, if
pages are still missing, writes.  `numa_sim.kernel.v2_4_0.vmscan` drives it step by step; what it must remember is in
``tasks[t].launder_*``.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part
from numa_sim.kernel.filemap import clear_page_dirty, node_of, page_cache_release, try_lock_page, unlock_page
from numa_sim.kernel.locks import PAGEMAP_LRU_LOCK, spin_for
from numa_sim.kernel.pageout import writepage
from numa_sim.kernel.v2_4_0.buffer import (
    CLEAN_BUFFERS,
    WAIT_FOR_BUFFERS,
    WRITE_BUFFERS,
    try_to_free_buffers,
    under_io,
)
from numa_sim.kernel.v2_4_0.pressure import free_shortage, wakeup_bdflush
from numa_sim.kernel.v2_4_0.reclaim_page import by_daemon, still_used
from numa_sim.kernel.v2_4_0.swap import (
    add_page_to_active_list,
    add_page_to_inactive_clean_list,
    add_page_to_inactive_dirty_list,
    lru_cache_del,
    move_to_active,
    move_to_inactive_clean,
    move_to_inactive_dirty,
    page_ramdisk,
)
from numa_sim.state.constants import (
    BUFFERS_NONE,
    GFP_IO_BIT,
    MAPPING_NONE,
    NIL,
    WRITEPAGE_NONE,
    WRITEPAGE_REFUSE,
    WRITEPAGE_SHMEM,
    WRITEPAGE_SWAP,
    PG_decr_after,
    PG_dirty,
    PG_locked,
)
from numa_sim.state.counters import PGLAUNDER_CLEAN, PGLAUNDER_WRITE, PGSCAN_DIRECT, PGSCAN_KSWAPD
from numa_sim.state.event_codes import EV_WAIT_ON_PAGE, EV_WRITEPAGE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

GO_ON: Final = 0
SLEEP: Final = 1
STOP: Final = 2
_PASS_ENDS: Final = 3
_WRITES_PER_CLUSTER: Final = 4
"""MAX_LAUNDER: a second pass starts writes of so many read-ahead blocks' worth of buffers."""


@part
def begin_launder(k: Kernel, t: int, gfp: int, sync: int) -> None:
    """Start the first pass; with `sync` the second waits for buffers once it has written its share."""
    task = k.tasks[t]
    task.reclaim_gfp = gfp
    task.launder_sync = sync
    task.launder_pass = task.launder_budget = task.launder_cleaned = 0
    task.launder_left = k.vm[0].nr_inactive_dirty_pages


@part
def _patience(k: Kernel, t: int) -> int:
    """How page_launder treats the buffers of the next page."""
    task = k.tasks[t]
    if task.launder_pass == 0:
        return CLEAN_BUFFERS
    if task.launder_budget == 0 and task.launder_sync != 0:
        return WAIT_FOR_BUFFERS
    task.launder_budget -= 1
    return WRITE_BUFFERS if task.launder_budget >= 0 else CLEAN_BUFFERS


@part
def _write_page(k: Kernel, t: int, pfn: int) -> int:
    """A dirty page, locked: looked at for the first time, it is spared; else it is written where its mapping says."""
    task = k.tasks[t]
    page = k.pages[pfn]
    method = k.mappings[page.mapping].writepage
    if method == WRITEPAGE_NONE:
        move_to_active(k, pfn)
        unlock_page(k, pfn)
        return GO_ON
    if task.launder_pass == 0 and (k.vm[0].launder != 0 or task.reclaim_gfp & GFP_IO_BIT == 0):
        move_to_inactive_dirty(k, pfn)
        unlock_page(k, pfn)
        return GO_ON
    if method == WRITEPAGE_REFUSE:
        log_event(k, EV_WRITEPAGE, pfn, 0)
        move_to_active(k, pfn)
        unlock_page(k, pfn)
        return GO_ON
    clear_page_dirty(k, pfn)
    page.count += 1
    if method != WRITEPAGE_SHMEM:
        count(k, node_of(k, pfn), PGLAUNDER_WRITE, 1)
    writepage(k, pfn)
    if method == WRITEPAGE_SWAP and page.flags & (PG_locked | PG_decr_after) == PG_locked:
        # Too much is under way already: this write is waited for.
        log_event(k, EV_WAIT_ON_PAGE, pfn, 0)
        task.wait_pfn = pfn
        return SLEEP
    page_cache_release(k, pfn)
    return GO_ON


@part
def _stripped(k: Kernel, t: int, pfn: int, done: bool) -> int:
    """A page that was taken off its list to strip its buffers goes where it belongs now.

    Without buffers it is clean; if it was nothing but buffers it is free.
    """
    task = k.tasks[t]
    page = k.pages[pfn]
    freed = False
    if not done:
        add_page_to_inactive_dirty_list(k, pfn)
    elif page.mapping == MAPPING_NONE:
        k.vm[0].buffermem_pages -= 1
        freed = True
    elif page.count > 2:
        add_page_to_active_list(k, pfn)
    else:
        add_page_to_inactive_clean_list(k, pfn)
        count(k, node_of(k, pfn), PGLAUNDER_CLEAN, 1)
        task.launder_cleaned += 1
    unlock_page(k, pfn)
    page_cache_release(k, pfn)
    if freed:
        task.launder_cleaned += 1
        if free_shortage(k) == 0:
            return STOP
    return GO_ON


@part
def _strip_page(k: Kernel, t: int, pfn: int) -> int:
    """A page with buffers, locked and not dirty: as patience allows they are stripped, written, or waited for."""
    task = k.tasks[t]
    lru_cache_del(k, pfn)
    k.pages[pfn].count += 1
    patience = _patience(k, t)
    done = try_to_free_buffers(k, pfn, patience)
    if not done and patience == WAIT_FOR_BUFFERS and under_io(k, pfn):
        log_event(k, EV_WAIT_ON_PAGE, pfn, 1)
        task.launder_stripping = 1
        task.wait_pfn = pfn
        return SLEEP
    return _stripped(k, t, pfn, done)


@part
def _launder_page(k: Kernel, t: int) -> int:
    """Look at the page at the tail of the inactive_dirty list: one round of page_launder."""
    vm = k.vm[0]
    task = k.tasks[t]
    pfn = vm.inactive_dirty_tail + 0
    if task.launder_left <= 0 or pfn == NIL:
        return _PASS_ENDS
    task.launder_left -= 1
    spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].scan_page_ns)
    task.cost_ns += k.costs[0].scan_page_ns
    count(k, node_of(k, pfn), PGSCAN_KSWAPD if by_daemon(k) else PGSCAN_DIRECT, 1)
    page = k.pages[pfn]
    if still_used(k, pfn) or page_ramdisk(k, pfn):
        move_to_active(k, pfn)
        return GO_ON
    if not try_lock_page(k, pfn):
        move_to_inactive_dirty(k, pfn)
        return GO_ON
    if page.flags & PG_dirty != 0:
        return _write_page(k, t, pfn)
    if page.buffers != BUFFERS_NONE:
        return _strip_page(k, t, pfn)
    if page.mapping != MAPPING_NONE:
        move_to_inactive_clean(k, pfn)
        count(k, node_of(k, pfn), PGLAUNDER_CLEAN, 1)
        task.launder_cleaned += 1
    else:
        move_to_active(k, pfn)
    unlock_page(k, pfn)
    return GO_ON


@part
def _end_launder_pass(k: Kernel, t: int) -> int:
    """After a pass that wrote nothing, a second one may, if pages are still missing and the caller may start I/O."""
    task = k.tasks[t]
    if task.reclaim_gfp & GFP_IO_BIT == 0 or task.launder_pass != 0 or free_shortage(k) == 0:
        return STOP
    task.launder_pass = 1
    if task.launder_cleaned != 0:
        task.launder_sync = 0
    task.launder_budget = _WRITES_PER_CLUSTER << k.vm[0].page_cluster
    task.launder_left = k.vm[0].nr_inactive_dirty_pages
    wakeup_bdflush(k)
    return GO_ON


@part
def launder_step(k: Kernel, t: int) -> int:
    """Look at one page: GO_ON, SLEEP (``wait_pfn`` is under I/O; then `launder_woken`), or STOP (it is done)."""
    found = _launder_page(k, t)
    return _end_launder_pass(k, t) if found == _PASS_ENDS else found


@part
def launder_woken(k: Kernel, t: int) -> int:
    """The I/O it slept for has ended: GO_ON or STOP."""
    task = k.tasks[t]
    pfn = task.wait_pfn + 0
    task.wait_pfn = NIL
    if task.launder_stripping == 0:
        page_cache_release(k, pfn)
        return GO_ON
    task.launder_stripping = 0
    return _stripped(k, t, pfn, try_to_free_buffers(k, pfn, CLEAN_BUFFERS))
