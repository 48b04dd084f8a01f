"""One node's allocation attempt: `__alloc_pages` and `balance_classzone` of mm/page_alloc.c @2.4.37.

The attempt is cut in two where the kernel calls `try_to_free_pages_zone`: `alloc_attempt` answers ALLOC_RECLAIM,
its caller reclaims, and `attempt_after_reclaim` goes on behind that call.  `numa_sim.kernel.numa` strings the nodes'
attempts together and is what the rest of the kernel calls.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages_ok, page_zone, rmqueue
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import (
    GFP_WAIT_BIT,
    GFP_ZONEMASK,
    NIL,
    PF_FREE_PAGES,
    PF_MEMALLOC,
    PF_MEMDIE,
    WMARK_HIGH,
    WMARK_LOW,
    WMARK_MIN,
)
from numa_sim.state.counters import KSWAPD_WAKEUP
from numa_sim.state.event_codes import EV_ALLOC_FAILED, EV_RMQUEUE, EV_WAKEUP_KSWAPD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

NO_MARK = -1
"""In place of a watermark: take a page wherever there is one."""


@rule
def wakeup_kswapd(k: Kernel, class_zone: int) -> None:
    """Ask for balancing of a class zone; wake kswapd if it sleeps.  The start of the slow path of `__alloc_pages`."""
    vm = k.vm[0]
    k.zones[class_zone].need_balance = 1
    if vm.kswapd_asleep != 0:
        vm.kswapd_asleep = 0
        vm.kswapd_wanted = 1
        log_event(k, EV_WAKEUP_KSWAPD, class_zone, 0)
        count(k, k.zones[class_zone].node, KSWAPD_WAKEUP, 1)


@rule
def zone_pass(k: Kernel, node: int, gfp: int, order: int, mark: int, shift: int) -> int:
    """Try the zones of a zonelist in order, each only above its mark for this class (spec 3.4).

    Parameters
    ----------
    mark : int
        WMARK_MIN, WMARK_LOW, WMARK_HIGH, or NO_MARK.
    shift : int
        The mark is divided by 2**shift (2 for requests that cannot wait).

    Returns
    -------
    int
        First frame, or NIL.
    """
    row = gfp & GFP_ZONEMASK
    at = 0
    zone_id = int(k.zonelists[node, row, 0])
    class_index = 0
    if zone_id != NIL:
        class_index = k.zones[zone_id].index + 0
    while zone_id != NIL:
        zone = k.zones[zone_id]
        # zone_free_pages(): what would be left; never below zero
        left = max(zone.free_pages - (1 << order), 0)
        if mark == NO_MARK or left > (zone.watermarks[class_index, mark] >> shift):
            pfn = rmqueue(k, zone_id, order)
            log_event(k, EV_RMQUEUE, zone_id, pfn)
            if pfn != NIL:
                return pfn
        at += 1
        zone_id = int(k.zonelists[node, row, at])
    return NIL


@rule
def alloc_failed(k: Kernel, node: int, order: int) -> int:
    """The attempt fails and says so (the kernel prints "N-order allocation failed")."""
    log_event(k, EV_ALLOC_FAILED, node % k.vm[0].nr_nodes, order)
    return ALLOC_FAIL


@part
def use_reserves(k: Kernel, node: int, gfp: int, order: int) -> int:
    """A reclaimer, or a task being killed: down to the last page, and no reclaim inside reclaim.

    Not on the lists of a policy: it does not bind such a task, which is sent on to all nodes.
    """
    if node >= k.vm[0].nr_nodes:
        return ALLOC_FAIL
    pfn = zone_pass(k, node, gfp, order, NO_MARK, 0)
    return pfn if pfn != NIL else ALLOC_FAIL


@rule
def want_reclaim(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """First half of `balance_classzone`: task `t` is now a reclaimer (until `attempt_after_reclaim`)."""
    task = k.tasks[t]
    class_zone = int(k.zonelists[node, gfp & GFP_ZONEMASK, 0])
    task.flags |= PF_MEMALLOC | PF_FREE_PAGES
    task.allocation_order = order
    task.alloc_node = node
    task.alloc_gfp = gfp
    task.alloc_order = order
    task.reclaim_zone = class_zone
    task.reclaim_gfp = gfp
    return ALLOC_RECLAIM


@rule
def _alloc_slow(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """`__alloc_pages` @2.4.37 after no zone was found above its low mark; answers as `alloc_attempt`."""
    if k.zonelists[node, gfp & GFP_ZONEMASK, 0] == NIL:
        return ALLOC_FAIL
    task = k.tasks[t]
    task.cost_ns += k.costs[0].alloc_slow_ns
    wakeup_kswapd(k, int(k.zonelists[node, gfp & GFP_ZONEMASK, 0]))
    can_wait = gfp & GFP_WAIT_BIT != 0
    shift = 0
    if not can_wait:
        shift = 2
    pfn = zone_pass(k, node, gfp, order, WMARK_MIN, shift)
    if pfn != NIL:
        return pfn
    if task.flags & PF_MEMALLOC != 0 and (k.vm[0].in_interrupt == 0 or task.flags & PF_MEMDIE != 0):
        return use_reserves(k, node, gfp, order)
    if not can_wait:
        return alloc_failed(k, node, order)
    return want_reclaim(k, t, node, gfp, order)


@rule
def alloc_attempt(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """`__alloc_pages` @2.4.37 on one node's zonelist, up to the first call of reclaim.

    The time of everything after the first pass (`costs.alloc_slow_ns`) goes to the task.

    Returns
    -------
    int
        First frame; ALLOC_FAIL; or ALLOC_RECLAIM: PF_MEMALLOC and PF_FREE_PAGES of the task are set, and
        `reclaim_zone` (class zone) and `reclaim_gfp` say what `try_to_free_pages_zone` must be called with.
    """
    pfn = zone_pass(k, node, gfp, order, WMARK_LOW, 0)
    if pfn != NIL:
        return pfn
    return _alloc_slow(k, t, node, gfp, order)


@rule
def attempt_without_reclaim(k: Kernel, node: int, gfp: int, order: int) -> int:
    """A page from one zonelist above the min marks, kswapd being woken if none is above low; first frame, or NIL."""
    pfn = zone_pass(k, node, gfp, order, WMARK_LOW, 0)
    if pfn == NIL and k.zonelists[node, gfp & GFP_ZONEMASK, 0] != NIL:
        wakeup_kswapd(k, int(k.zonelists[node, gfp & GFP_ZONEMASK, 0]))
        pfn = zone_pass(k, node, gfp, order, WMARK_MIN, 0)
    return pfn


@part
def _serves(k: Kernel, t: int, pfn: int) -> bool:
    """Whether a page kept by reclaim may serve the allocation of task `t`: its zone's index, and a policy's nodes."""
    task = k.tasks[t]
    zone = k.zones[page_zone(k, pfn)]
    policy = task.alloc_first_node // k.vm[0].nr_nodes
    if policy != 0 and k.policy_nodes[policy, zone.node] == 0:
        return False
    return bool(zone.index <= k.zones[task.reclaim_zone].index)


@rule
def take_local_page(k: Kernel, t: int, freed: int) -> int:
    """Second half of `balance_classzone`: the page kept while task `t` reclaimed.

    It is the task's own if reclaim succeeded and the page has the order and a zone index the request allows (the
    node is not compared in late 2.4, but for a policy that binds); otherwise it goes back to the buddy lists.

    Returns
    -------
    int
        First frame with count 1, or NIL.
    """
    task = k.tasks[t]
    task.flags &= ~(PF_MEMALLOC | PF_FREE_PAGES)
    pfn: int = task.local_pfn
    if pfn == NIL:
        return NIL
    order = task.local_order
    task.local_pfn = NIL
    if freed != 0 and order == task.alloc_order and _serves(k, t, pfn):
        k.pages[pfn].count = 1
        return pfn
    free_pages_ok(k, pfn, order)
    return NIL


@rule
def attempt_after_reclaim(k: Kernel, t: int, freed: int) -> int:
    """Go on with the attempt of `alloc_attempt` after reclaim freed enough (`freed` 1) or gave up (0).

    Returns
    -------
    int
        As `alloc_attempt`: after a success, ALLOC_RECLAIM again until a page is above the min mark; after a failure
        one last look above the high mark, in case somebody else was killed meanwhile.
    """
    task = k.tasks[t]
    node = task.alloc_node
    gfp = task.alloc_gfp
    order = task.alloc_order
    pfn = take_local_page(k, t, freed)
    if pfn != NIL:
        return pfn
    if freed != 0:
        pfn = zone_pass(k, node, gfp, order, WMARK_MIN, 0)
        if pfn != NIL:
            return pfn
        return want_reclaim(k, t, node, gfp, order)
    pfn = zone_pass(k, node, gfp, order, WMARK_HIGH, 0)
    if pfn != NIL:
        return pfn
    return alloc_failed(k, node, order)
