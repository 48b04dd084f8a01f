"""Getting pages: `__get_free_pages` of mm/page_alloc.c @2.2.1 (spec 3.1).

Who finds fewer than ``freepages.min`` pages free must free some himself, and so must everybody after him until
``freepages.high`` are free again (``vm.low_on_memory``).  A request whose reclaim freed nothing fails unless it has
high priority; so does one for which the lists hold no block.  There is no second try and nobody else to be killed: the
faulting process dies.

Off with ``vm.hysteresis = 0``: the duty ends as soon as more than min are free.

An attempt is cut where the kernel gives up the CPU; ``tasks[t].alloc_stage`` remembers where.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.v2_2.buddy import NR_MEM_LISTS, rmqueue
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, ALLOC_YIELD
from numa_sim.state.constants import GFP_DMA_BIT, GFP_HIGH_BIT, GFP_WAIT_BIT, NIL, PF_MEMALLOC
from numa_sim.state.counters import ALLOC_YIELDS, KSWAPD_WAKEUP
from numa_sim.state.event_codes import EV_ALLOC_FAILED, EV_RMQUEUE, EV_WAKEUP_KSWAPD, EV_YIELD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

STAGE_IDLE: Final = 0
STAGE_RECLAIMED: Final = 1
"""After try_to_free_pages."""
STAGE_YIELDED: Final = 2
"""After giving up the CPU because the lists held no block: it fails."""


@rule
def wakeup_kswapd(k: Kernel) -> None:
    """Wake kswapd if it sleeps (wake_up_process)."""
    vm = k.vm[0]
    if vm.kswapd_asleep != 0:
        vm.kswapd_asleep = 0
        vm.kswapd_wanted = 1
        log_event(k, EV_WAKEUP_KSWAPD, 0, 0)
        count(k, k.cpus[vm.current_cpu].node, KSWAPD_WAKEUP, 1)


@part
def _enough_is_free(k: Kernel) -> bool:
    """Whether a request may just take its pages; ends the machine's ``low_on_memory`` at the high mark."""
    vm = k.vm[0]
    if vm.nr_free_pages <= vm.freepages_min:
        return False
    if vm.low_on_memory != 0 and (vm.nr_free_pages >= vm.freepages_high or vm.hysteresis == 0):
        vm.low_on_memory = 0
    return bool(vm.low_on_memory == 0)


@rule
def _take(k: Kernel, t: int) -> int:
    """What the lists have; if nothing, others run first if the caller may sleep, and then the request fails."""
    task = k.tasks[t]
    pfn = rmqueue(k, task.alloc_order, task.alloc_gfp & GFP_DMA_BIT)
    log_event(k, EV_RMQUEUE, 0, pfn)
    if pfn != NIL:
        return pfn
    if task.alloc_gfp & GFP_WAIT_BIT == 0:
        return _fail(k, t)
    task.alloc_stage = STAGE_YIELDED
    log_event(k, EV_YIELD, t, 0)
    count(k, k.cpus[k.vm[0].current_cpu].node, ALLOC_YIELDS, 1)
    return ALLOC_YIELD


@part
def _fail(k: Kernel, t: int) -> int:
    """The request fails."""
    log_event(k, EV_ALLOC_FAILED, k.tasks[t].alloc_node, k.tasks[t].alloc_order)
    return ALLOC_FAIL


@rule
def alloc_attempt(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """Start `__get_free_pages`; `node` is who asks, and makes no difference.

    Returns
    -------
    int
        First frame, ALLOC_FAIL, ALLOC_YIELD (others run first), or ALLOC_RECLAIM:
        `numa_sim.kernel.v2_2.vmscan.try_to_free_pages_begin` and `reclaim_run`; then `attempt_continue`.
    """
    task = k.tasks[t]
    task.alloc_node = node
    task.alloc_gfp = gfp
    task.alloc_order = order
    if order >= NR_MEM_LISTS:
        return _fail(k, t)
    if task.flags & PF_MEMALLOC == 0 and not _enough_is_free(k):
        k.vm[0].low_on_memory = 1
        task.cost_ns += k.costs[0].alloc_slow_ns
        wakeup_kswapd(k)
        if gfp & GFP_WAIT_BIT != 0:
            task.flags |= PF_MEMALLOC
            task.alloc_stage = STAGE_RECLAIMED
            return ALLOC_RECLAIM
    return _take(k, t)


@rule
def attempt_continue(k: Kernel, t: int, freed: int) -> int:
    """Go on with the attempt of task `t` after what it asked for has happened; answers as `alloc_attempt`."""
    task = k.tasks[t]
    stage = task.alloc_stage + 0
    task.alloc_stage = STAGE_IDLE
    if stage == STAGE_YIELDED:
        return _fail(k, t)
    task.flags &= ~PF_MEMALLOC
    if freed == 0 and task.alloc_gfp & GFP_HIGH_BIT == 0:
        return _fail(k, t)
    return _take(k, t)
