"""One node's allocation attempt @2.4.22 (spec 3.3): `__alloc_pages` with marks summed along the zonelist.

Cut in two where `try_to_free_pages_zone` is called, as `numa_sim.kernel.page_alloc` is; the same callers drive both.
Requests of order 3 or less that may wait never fail: they reclaim, yield and start over, until the OOM killer has
made them reserves' users or somebody else has freed enough.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.buddy import rmqueue
from numa_sim.kernel.page_alloc import alloc_failed, take_local_page, use_reserves, wakeup_kswapd, want_reclaim
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_YIELD
from numa_sim.state.constants import GFP_WAIT_BIT, GFP_ZONEMASK, NIL, PF_MEMALLOC, PF_MEMDIE, WMARK_LOW, WMARK_MIN
from numa_sim.state.counters import ALLOC_YIELDS
from numa_sim.state.event_codes import EV_RMQUEUE, EV_YIELD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

PERSISTENT_ORDER: Final = 3
"""The largest order that is tried again for ever."""
_STAGE_IDLE: Final = 0
_STAGE_YIELDED: Final = 1
"""``tasks[t].alloc_stage``: it reclaimed in vain, others have run, and it reclaims again."""


@rule
def summed_pass(k: Kernel, node: int, gfp: int, order: int, mark: int, shift: int) -> int:
    """Try the zones of a zonelist in order, each only above the *sum* of the marks of all zones up to it.

    Parameters
    ----------
    mark : int
        WMARK_MIN or WMARK_LOW.
    shift : int
        Every mark is divided by 2**shift (2 for requests that cannot wait).

    Returns
    -------
    int
        First frame, or NIL.
    """
    row = gfp & GFP_ZONEMASK
    need = 1 << order
    at = 0
    while True:
        zone_id = int(k.zonelists[node, row, at])
        if zone_id == NIL:
            return NIL
        zone = k.zones[zone_id]
        need += zone.watermarks[zone.index, mark] >> shift
        if zone.free_pages > need:
            pfn = rmqueue(k, zone_id, order)
            log_event(k, EV_RMQUEUE, zone_id, pfn)
            if pfn != NIL:
                return pfn
        at += 1


@rule
def _rebalance(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """Behind the min marks: the last page for a reclaimer or a dying task, reclaim for who may wait."""
    if k.tasks[t].flags & (PF_MEMALLOC | PF_MEMDIE) != 0:
        return use_reserves(k, node, gfp, order)
    if gfp & GFP_WAIT_BIT == 0:
        return alloc_failed(k, node, order)
    return want_reclaim(k, t, node, gfp, order)


@rule
def alloc_attempt(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """`__alloc_pages` @2.4.22 on one node's zonelist, up to the first call of reclaim; answers as @2.4.37's."""
    class_zone = int(k.zonelists[node, gfp & GFP_ZONEMASK, 0])
    if class_zone == NIL:
        return ALLOC_FAIL
    pfn = summed_pass(k, node, gfp, order, WMARK_LOW, 0)
    if pfn != NIL:
        return pfn
    k.tasks[t].cost_ns += k.costs[0].alloc_slow_ns
    wakeup_kswapd(k, class_zone)
    pfn = summed_pass(k, node, gfp, order, WMARK_MIN, 0 if gfp & GFP_WAIT_BIT != 0 else 2)
    if pfn != NIL:
        return pfn
    return _rebalance(k, t, node, gfp, order)


@rule
def attempt_without_reclaim(k: Kernel, node: int, gfp: int, order: int) -> int:
    """A page from one zonelist above the min marks, kswapd being woken if none is above low; first frame, or NIL."""
    pfn = summed_pass(k, node, gfp, order, WMARK_LOW, 0)
    if pfn == NIL and k.zonelists[node, gfp & GFP_ZONEMASK, 0] != NIL:
        wakeup_kswapd(k, int(k.zonelists[node, gfp & GFP_ZONEMASK, 0]))
        pfn = summed_pass(k, node, gfp, order, WMARK_MIN, 0)
    return pfn


@rule
def attempt_after_reclaim(k: Kernel, t: int, freed: int) -> int:
    """Go on with the attempt of `alloc_attempt` after reclaim or a yield; answers as it, or ALLOC_YIELD."""
    task = k.tasks[t]
    node = task.alloc_node
    gfp = task.alloc_gfp
    order = task.alloc_order
    if task.alloc_stage == _STAGE_YIELDED:
        task.alloc_stage = _STAGE_IDLE
        return _rebalance(k, t, node, gfp, order)
    pfn = take_local_page(k, t, freed)
    if pfn != NIL:
        return pfn
    pfn = summed_pass(k, node, gfp, order, WMARK_MIN, 0)
    if pfn != NIL:
        return pfn
    if order > PERSISTENT_ORDER:
        return alloc_failed(k, node, order)
    log_event(k, EV_YIELD, t, 0)
    count(k, k.cpus[k.vm[0].current_cpu].node, ALLOC_YIELDS, 1)
    task.alloc_stage = _STAGE_YIELDED
    return ALLOC_YIELD
