"""Reclaim: `do_try_to_free_pages` and the list scans it calls, mm/vmscan.c @2.4.0 (spec 4.6).

`page_launder` sleeps in the kernel (on buffers, and on swap writes when too many are under way), so reclaim is a
machine that stops and goes on, as in `numa_sim.kernel.vmscan`: `try_to_free_pages_begin` (or `page_launder_begin`, or
`reclaim_begin` for a task whose allocation answered ALLOC_RECLAIM), then `reclaim_run` until it answers RECLAIM_DONE or
RECLAIM_FAILED.  It stops with RECLAIM_WAIT at a page under I/O, ``tasks[t].wait_pfn``, whose reference it holds until
it is called again, and with RECLAIM_YIELD once a call has cost ``vm.reclaim_quantum_ns`` or the I/O ring is half full.
``tasks[t].reclaim_got`` is what the kernel's function would have returned.

kswapd (PF_MEMALLOC), when woken (``vm.kswapd_wanted``) and at least once a second, for ever:

1. if `inactive_shortage` or `free_shortage`: ``try_to_free_pages_begin(k, KSWAPD, GFP_KSWAPD_2_4_0, user)``, with
   `user` 1 if ``vm.kswapd_done_waiters``, and `reclaim_run`;
2. ``refill_inactive_scan(k, 6, 0)``: background ageing;
3. once a second `recalculate_vm_stats`;
4. everybody on kswapd_done wakes, the disks' queues are run;
5. if `free_shortage` or `inactive_shortage` is 0 it sleeps (``vm.kswapd_asleep = 1``) up to a second; else, if
   `numa_sim.kernel.v2_4_0.oom_kill.out_of_memory`, `oom_kill`; and again.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.dcache import shrink_vfs
from numa_sim.kernel.filemap import node_of
from numa_sim.kernel.ll_rw_blk import io_ring_is_full
from numa_sim.kernel.locks import PAGEMAP_LRU_LOCK, spin_for
from numa_sim.kernel.slab.reap import kmem_cache_reap
from numa_sim.kernel.v2_4_0.page_alloc import STAGE_LAUNDERED
from numa_sim.kernel.v2_4_0.page_launder import SLEEP, STOP, begin_launder, launder_step, launder_woken
from numa_sim.kernel.v2_4_0.pressure import (
    free_shortage,
    inactive_shortage,
    nr_free_pages,
    nr_inactive_clean_pages,
)
from numa_sim.kernel.v2_4_0.swap import age_page_down_ageonly, age_page_up, deactivate_page, move_to_active
from numa_sim.kernel.v2_4_0.swap_out import swap_out
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import BUFFERS_NONE, GFP_IO_BIT, NIL, PG_active, PG_referenced
from numa_sim.state.counters import PGREFILL
from numa_sim.state.event_codes import EV_PAGE_LAUNDER
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

GFP_KSWAPD_2_4_0: Final = GFP_IO_BIT
"""What kswapd reclaims with: it may start I/O, but not wait for memory."""
DEF_PRIORITY: Final = 6
STAGE_IDLE: Final = 0
STAGE_LAUNDER: Final = 1
"""`page_launder` as the first part of do_try_to_free_pages."""
STAGE_LAUNDER_ALONE: Final = 2
STAGE_SHORTAGES: Final = 3
"""After page_launder: is more needed?"""
STAGE_REFILL: Final = 4
"""refill_inactive: one page off the active list at a time, at this priority."""
STAGE_SWAP_OUT: Final = 5
"""refill_inactive: one swap_out at a time, at this priority."""
STAGE_LAST_REFILL: Final = 6
"""refill_inactive: no priority is left, once more over the whole active list."""


@rule
def refill_inactive_scan(k: Kernel, priority: int, oneshot: int) -> int:
    """Age pages from the tail of the active list, 1 in 2**priority of them; unused ones of age 0 are deactivated.

    Parameters
    ----------
    oneshot : int
        1: stop at the first page deactivated.

    Returns
    -------
    int
        1 if a page was deactivated.
    """
    vm = k.vm[0]
    left = vm.nr_active_pages >> priority
    progress = 0
    while left > 0 and vm.active_tail != NIL:
        left -= 1
        pfn = vm.active_tail + 0
        page = k.pages[pfn]
        spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].scan_page_ns)
        charge(k, k.costs[0].scan_page_ns)
        count(k, node_of(k, pfn), PGREFILL, 1)
        if page.flags & PG_referenced != 0:
            page.flags &= ~PG_referenced
            age_page_up(k, pfn)
        else:
            age_page_down_ageonly(k, pfn)
            # Stricter than deactivate_page: here nobody but the cache may hold the page.
            if page.age == 0 and page.count <= (1 if page.buffers == BUFFERS_NONE else 2):
                deactivate_page(k, pfn)
        if page.flags & PG_active != 0:
            move_to_active(k, pfn)
        else:
            progress = 1
            if oneshot != 0:
                return 1
    return progress


# do_try_to_free_pages ------------------------------------------------------------------------------------------------


@part
def _end_launder(k: Kernel, t: int) -> None:
    """page_launder returns; go on with what called it."""
    task = k.tasks[t]
    log_event(k, EV_PAGE_LAUNDER, task.launder_cleaned, task.launder_pass)
    task.reclaim_got += task.launder_cleaned
    task.reclaim_stage = STAGE_SHORTAGES if task.reclaim_stage == STAGE_LAUNDER else STAGE_IDLE


@rule
def page_launder_begin(k: Kernel, t: int, gfp: int, sync: int) -> None:
    """Start one `page_launder` for task `t`; ``reclaim_got`` will be the pages it cleaned."""
    task = k.tasks[t]
    task.reclaim_got = 0
    task.reclaim_stage = STAGE_LAUNDER_ALONE
    begin_launder(k, t, gfp, sync)


@rule
def try_to_free_pages_begin(k: Kernel, t: int, gfp: int, user: int) -> None:
    """Start `do_try_to_free_pages` for task `t`.

    Parameters
    ----------
    user : int
        1: it stops after 2**page_cluster pages and waits for buffers; 0 (kswapd): the shortage decides.
    """
    task = k.tasks[t]
    task.reclaim_gfp = gfp
    task.reclaim_user = user
    task.reclaim_got = 0
    task.reclaim_stage = STAGE_SHORTAGES
    if free_shortage(k) != 0 or k.vm[0].nr_inactive_dirty_pages > nr_free_pages(k) + nr_inactive_clean_pages(k):
        task.reclaim_stage = STAGE_LAUNDER
        begin_launder(k, t, gfp, user)


@rule
def reclaim_begin(k: Kernel, t: int) -> None:
    """Start what the allocation of task `t` asked for with ALLOC_RECLAIM: `page_launder`, or `try_to_free_pages`."""
    task = k.tasks[t]
    if task.alloc_stage == STAGE_LAUNDERED:
        page_launder_begin(k, t, task.alloc_gfp, 1)
    else:
        try_to_free_pages_begin(k, t, task.alloc_gfp, 1)


@part
def _judge_shortages(k: Kernel, t: int) -> None:
    """After the laundry: more inactive pages are made only if some are missing, else the slab caches are trimmed."""
    task = k.tasks[t]
    missing = free_shortage(k) + inactive_shortage(k)
    if missing == 0:
        kmem_cache_reap(k)
        task.reclaim_got = 1
        task.reclaim_stage = STAGE_IDLE
        return
    shrink_vfs(k, DEF_PRIORITY)
    task.reclaim_nr = missing
    if task.reclaim_user != 0:
        task.reclaim_nr = 1 << k.vm[0].page_cluster
    kmem_cache_reap(k)
    task.reclaim_priority = DEF_PRIORITY
    task.reclaim_progress = task.reclaim_helped = 0
    task.reclaim_stage = STAGE_REFILL


@part
def _one_found(k: Kernel, t: int) -> None:
    """One page fewer is wanted from refill_inactive; with the last it is done."""
    task = k.tasks[t]
    task.reclaim_progress = task.reclaim_helped = 1
    task.reclaim_nr -= 1
    if task.reclaim_nr <= 0:
        _end_refill(k, t)


@part
def _end_refill(k: Kernel, t: int) -> None:
    task = k.tasks[t]
    task.reclaim_got += task.reclaim_helped
    task.reclaim_stage = STAGE_IDLE


@part
def _end_priority(k: Kernel, t: int) -> None:
    """Nothing more to find at this priority: enough, or the same again if it helped, or the next one."""
    task = k.tasks[t]
    if inactive_shortage(k) == 0 or free_shortage(k) == 0:
        _end_refill(k, t)
        return
    if task.reclaim_progress == 0:
        task.reclaim_priority -= 1
    task.reclaim_progress = 0
    task.reclaim_stage = STAGE_REFILL if task.reclaim_priority >= 0 else STAGE_LAST_REFILL


@part
def _refill(k: Kernel, t: int) -> None:
    """One step of refill_inactive."""
    task = k.tasks[t]
    if task.reclaim_stage == STAGE_REFILL:
        if refill_inactive_scan(k, task.reclaim_priority, 1) != 0:
            _one_found(k, t)
        else:
            shrink_vfs(k, task.reclaim_priority)
            task.reclaim_stage = STAGE_SWAP_OUT
    elif task.reclaim_stage == STAGE_SWAP_OUT:
        if swap_out(k) != 0:
            _one_found(k, t)
        else:
            _end_priority(k, t)
    elif refill_inactive_scan(k, 0, 1) != 0:
        _one_found(k, t)
    else:
        _end_refill(k, t)


@rule
def reclaim_run(k: Kernel, t: int) -> int:
    """Go on with what a ``*_begin`` rule started for task `t`.

    Returns
    -------
    int
        RECLAIM_DONE or RECLAIM_FAILED (``reclaim_got`` is 0), RECLAIM_WAIT or RECLAIM_YIELD (call again).
    """
    task = k.tasks[t]
    if task.wait_pfn != NIL and launder_woken(k, t) == STOP:
        _end_launder(k, t)
    start_ns = task.cost_ns + 0
    quantum_ns = k.vm[0].reclaim_quantum_ns
    while task.reclaim_stage != STAGE_IDLE:
        if task.reclaim_stage <= STAGE_LAUNDER_ALONE:
            found = launder_step(k, t)
            if found == SLEEP:
                return RECLAIM_WAIT
            if found == STOP:
                _end_launder(k, t)
        elif task.reclaim_stage == STAGE_SHORTAGES:
            _judge_shortages(k, t)
        else:
            _refill(k, t)
        if io_ring_is_full(k):
            task.cost_ns += 1
            return RECLAIM_YIELD
        if quantum_ns > 0 and task.cost_ns - start_ns >= quantum_ns:
            return RECLAIM_YIELD
    return RECLAIM_DONE if task.reclaim_got > 0 else RECLAIM_FAILED
