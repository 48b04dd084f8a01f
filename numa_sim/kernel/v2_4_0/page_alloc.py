"""One node's allocation attempt: `__alloc_pages` and `__alloc_pages_limit` of mm/page_alloc.c @2.4.0 (spec 3.2).

Ordinary single-page requests never fail: they wait for kswapd and start over.  So an attempt is cut where the kernel
gives up the CPU; ``tasks[t].alloc_stage`` remembers where.  `alloc_attempt` and `attempt_continue` answer a frame,
ALLOC_FAIL, or what must happen before `attempt_continue`:

* ALLOC_YIELD: others run first;
* ALLOC_WAIT_KSWAPD: the task sleeps until kswapd ends its round (kswapd was woken; ``vm.kswapd_done_waiters`` counts
  the sleepers while they sleep);
* ALLOC_RECLAIM: `numa_sim.kernel.v2_4_0.vmscan.reclaim_begin` and `reclaim_run`.

``memory_pressure`` rises with every attempt and every wait.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages, rmqueue
from numa_sim.kernel.v2_4_0.pressure import (
    free_shortage,
    kswapd_is_due,
    wakeup_bdflush,
    wakeup_kreclaimd,
    wakeup_kswapd,
)
from numa_sim.kernel.v2_4_0.reclaim_page import reclaim_page
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, ALLOC_WAIT_KSWAPD, ALLOC_YIELD
from numa_sim.state.constants import (
    GFP_IO_BIT,
    GFP_WAIT_BIT,
    GFP_ZONEMASK,
    NIL,
    PAGE_AGE_START,
    PF_MEMALLOC,
    WMARK_HIGH,
    WMARK_LOW,
    WMARK_MIN,
)
from numa_sim.state.counters import ALLOC_YIELDS, RECLAIM_PAGE_DIRECT
from numa_sim.state.event_codes import EV_ALLOC_FAILED, EV_RMQUEUE, EV_YIELD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

STAGE_IDLE: Final = 0
STAGE_YIELDED: Final = 1
"""After giving up the CPU: the min pass, and then deeper."""
STAGE_LAUNDERED: Final = 2
"""After page_launder for a block of pages."""
STAGE_WAITED: Final = 3
"""After kswapd's round."""
STAGE_RECLAIMED: Final = 4
"""After try_to_free_pages (requests that may not start I/O)."""
ROOM_FOR_OTHERS: Final = 8
"""This many pages above min are left to requests that cannot take a clean page."""


@rule
def _rmqueue(k: Kernel, zone_id: int, order: int) -> int:
    pfn = rmqueue(k, zone_id, order)
    log_event(k, EV_RMQUEUE, zone_id, pfn)
    if pfn != NIL:
        k.pages[pfn].age = PAGE_AGE_START  # the kernel writes it when it frees a page
    return pfn


@part
def _reclaim_directly(k: Kernel, zone_id: int) -> int:
    """A clean page that becomes the caller's without having been free."""
    pfn = reclaim_page(k, zone_id)
    if pfn != NIL:
        count(k, k.zones[zone_id].node, RECLAIM_PAGE_DIRECT, 1)
    return pfn


@rule
def _low_pass(k: Kernel, node: int, gfp: int, order: int) -> int:
    """The zones at or above their low mark; a zone below min wakes kreclaimd.  First frame, or NIL."""
    row = gfp & GFP_ZONEMASK
    at = 0
    while k.zonelists[node, row, at] != NIL:
        zone_id = int(k.zonelists[node, row, at])
        zone = k.zones[zone_id]
        if zone.free_pages >= zone.watermarks[zone.index, WMARK_LOW]:
            pfn = _rmqueue(k, zone_id, order)
            if pfn != NIL:
                return pfn
        elif zone.free_pages < zone.watermarks[zone.index, WMARK_MIN]:
            wakeup_kreclaimd(k)
        at += 1
    return NIL


@rule
def limit_pass(k: Kernel, node: int, gfp: int, order: int, mark: int, direct: int) -> int:
    """The zones whose free and clean pages together exceed their mark (`__alloc_pages_limit`).

    Parameters
    ----------
    mark : int
        WMARK_MIN, WMARK_LOW or WMARK_HIGH.
    direct : int
        1: near the min mark a clean page is taken instead of a free one.

    Returns
    -------
    int
        First frame, or NIL.
    """
    row = gfp & GFP_ZONEMASK
    at = 0
    while k.zonelists[node, row, at] != NIL:
        zone_id = int(k.zonelists[node, row, at])
        zone = k.zones[zone_id]
        if zone.free_pages + zone.inactive_clean_pages > zone.watermarks[zone.index, mark]:
            pfn = NIL
            if direct != 0 and zone.free_pages < zone.watermarks[zone.index, WMARK_MIN] + ROOM_FOR_OTHERS:
                pfn = _reclaim_directly(k, zone_id)
            if pfn == NIL:
                pfn = _rmqueue(k, zone_id, order)
            if pfn != NIL:
                return pfn
        at += 1
    return NIL


@part
def _wake_ahead(k: Kernel) -> None:
    """Before anything is short: kswapd if both shortages are bad, bdflush if enough dirty pages only need writing."""
    vm = k.vm[0]
    shortage = free_shortage(k)
    if kswapd_is_due(k):
        wakeup_kswapd(k, 0)
    elif shortage != 0 and vm.nr_inactive_dirty_pages > shortage and vm.nr_inactive_dirty_pages >= vm.freepages_high:
        wakeup_bdflush(k)


@rule
def alloc_attempt(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """Start `__alloc_pages` on one node's zonelist.

    Returns
    -------
    int
        First frame, ALLOC_FAIL, ALLOC_YIELD, ALLOC_WAIT_KSWAPD or ALLOC_RECLAIM (see the module).
    """
    if k.zonelists[node, gfp & GFP_ZONEMASK, 0] == NIL:
        return ALLOC_FAIL
    task = k.tasks[t]
    k.vm[0].memory_pressure += 1
    task.alloc_node = node
    task.alloc_gfp = gfp
    task.alloc_order = order
    can_wait = gfp & GFP_WAIT_BIT != 0
    task.alloc_direct = 1 if order == 0 and can_wait and task.flags & PF_MEMALLOC == 0 else 0
    _wake_ahead(k)
    return _try_again(k, t)


@rule
def attempt_without_reclaim(k: Kernel, node: int, gfp: int, order: int) -> int:
    """A page from one zonelist above the min marks, kswapd being woken if none is above low; first frame, or NIL."""
    pfn = _low_pass(k, node, gfp, order)
    if pfn == NIL:
        wakeup_kswapd(k, 0)
        pfn = limit_pass(k, node, gfp, order, WMARK_MIN, 0)
    return pfn


@rule
def _try_again(k: Kernel, t: int) -> int:
    """The passes that leave the min marks alone; none helped: kswapd is woken, and who may wait lets others run."""
    task = k.tasks[t]
    node = task.alloc_node + 0
    gfp = task.alloc_gfp + 0
    order = task.alloc_order + 0
    pfn = _low_pass(k, node, gfp, order)
    if pfn == NIL:
        task.cost_ns += k.costs[0].alloc_slow_ns
        pfn = limit_pass(k, node, gfp, order, WMARK_HIGH, task.alloc_direct)
    if pfn == NIL:
        pfn = limit_pass(k, node, gfp, order, WMARK_LOW, task.alloc_direct)
    if pfn != NIL:
        return pfn
    wakeup_kswapd(k, 0)
    if gfp & GFP_WAIT_BIT == 0:
        return _min_pass(k, t)
    task.alloc_stage = STAGE_YIELDED
    log_event(k, EV_YIELD, t, 0)
    count(k, k.cpus[k.vm[0].current_cpu].node, ALLOC_YIELDS, 1)
    return ALLOC_YIELD


@rule
def _min_pass(k: Kernel, t: int) -> int:
    """The pass above min; behind it, what only a task that is not itself freeing memory may wait for."""
    task = k.tasks[t]
    pfn = limit_pass(k, task.alloc_node, task.alloc_gfp, task.alloc_order, WMARK_MIN, task.alloc_direct)
    if pfn != NIL:
        return pfn
    if task.flags & PF_MEMALLOC != 0:
        return _last_pass(k, t)
    if task.alloc_order > 0 and task.alloc_gfp & GFP_WAIT_BIT != 0:
        # Clean pages set free may merge into the block that is wanted.
        task.flags |= PF_MEMALLOC
        task.alloc_stage = STAGE_LAUNDERED
        return ALLOC_RECLAIM
    return _wait_for_memory(k, t)


@rule
def _free_clean_pages(k: Kernel, t: int) -> int:
    """Free the clean pages of every zone one by one until a block of the order can be had; its first frame, or NIL."""
    task = k.tasks[t]
    row = task.alloc_gfp & GFP_ZONEMASK
    at = 0
    while k.zonelists[task.alloc_node, row, at] != NIL:
        zone_id = int(k.zonelists[task.alloc_node, row, at])
        while k.zones[zone_id].inactive_clean_pages != 0:
            clean = reclaim_page(k, zone_id)
            if clean == NIL:
                break
            free_pages(k, clean, 0)
            pfn = _rmqueue(k, zone_id, task.alloc_order)
            if pfn != NIL:
                return pfn
        at += 1
    return NIL


@rule
def _wait_for_memory(k: Kernel, t: int) -> int:
    """Sleep on kswapd, or reclaim oneself where that could deadlock; who may not wait tries the last pass."""
    task = k.tasks[t]
    if task.alloc_gfp & GFP_WAIT_BIT == 0:
        return _last_pass(k, t)
    if task.alloc_gfp & GFP_IO_BIT != 0:
        wakeup_kswapd(k, 1)
        task.alloc_stage = STAGE_WAITED
        return ALLOC_WAIT_KSWAPD
    task.flags |= PF_MEMALLOC
    task.alloc_stage = STAGE_RECLAIMED
    return ALLOC_RECLAIM


@rule
def _last_pass(k: Kernel, t: int) -> int:
    """Down to a quarter of min, for a task with PF_MEMALLOC to the last page; else the attempt fails."""
    task = k.tasks[t]
    row = task.alloc_gfp & GFP_ZONEMASK
    memalloc = task.flags & PF_MEMALLOC != 0
    if memalloc and task.alloc_node >= k.vm[0].nr_nodes:
        return ALLOC_FAIL  # a policy does not bind such a task, which is sent on to all nodes
    at = 0
    while k.zonelists[task.alloc_node, row, at] != NIL:
        zone_id = int(k.zonelists[task.alloc_node, row, at])
        zone = k.zones[zone_id]
        pfn = NIL
        if task.alloc_direct != 0:
            # Only when the OOM killer has set PF_MEMALLOC since the attempt began.
            pfn = _reclaim_directly(k, zone_id)
        if pfn == NIL and (memalloc or zone.free_pages >= zone.watermarks[zone.index, WMARK_MIN] // 4):
            pfn = _rmqueue(k, zone_id, task.alloc_order)
        if pfn != NIL:
            return pfn
        at += 1
    log_event(k, EV_ALLOC_FAILED, task.alloc_node % k.vm[0].nr_nodes, task.alloc_order)
    return ALLOC_FAIL


@rule
def attempt_continue(k: Kernel, t: int) -> int:
    """Go on with the attempt of task `t` after what it asked for has happened; answers as `alloc_attempt`."""
    task = k.tasks[t]
    stage = task.alloc_stage + 0
    task.alloc_stage = STAGE_IDLE
    if stage == STAGE_YIELDED:
        return _min_pass(k, t)
    if stage == STAGE_LAUNDERED:
        task.flags &= ~PF_MEMALLOC
        pfn = _free_clean_pages(k, t)
        return pfn if pfn != NIL else _wait_for_memory(k, t)
    if stage == STAGE_RECLAIMED:
        task.flags &= ~PF_MEMALLOC
    k.vm[0].memory_pressure += 1
    if task.alloc_order == 0:
        return _try_again(k, t)
    return _last_pass(k, t)
