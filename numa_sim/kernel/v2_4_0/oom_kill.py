"""When a process must die: `out_of_memory` and `oom_kill`, mm/oom_kill.c @2.4.0 (spec 4.6).

kswapd asks after a round that left pages missing.  Whom to kill is decided as in 2.4.37, except that a task being
killed can be chosen again; the victim alone dies, with PF_MEMALLOC so that it can exit soon.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.oom_kill import OOM_NOBODY, select_bad_process
from numa_sim.kernel.v2_4_0.pressure import nr_free_pages, nr_inactive_clean_pages
from numa_sim.state.constants import NIL, PF_MEMALLOC, WMARK_LOW, WMARK_MIN
from numa_sim.state.counters import OOM_KILL
from numa_sim.state.event_codes import EV_OOM_KILL
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@rule
def out_of_memory(k: Kernel) -> bool:
    """Whether free memory is at its min, clean pages do not make it low, and no swap slot is free.

    With ``vm.pageout = 0`` no slot can be used, so none counts.
    """
    vm = k.vm[0]
    free = nr_free_pages(k)
    if free > vm.freepages_min or free + nr_inactive_clean_pages(k) > vm.freepages_low:
        return False
    return bool(vm.nr_swap_pages <= 0 or vm.pageout == 0)


@rule
def out_of_memory_on(k: Kernel, policy: int) -> bool:
    """As `out_of_memory`, for the nodes of a bind policy alone (ours: this kernel's own question is about all)."""
    free = clean = low = least = 0
    for z in range(k.zones.shape[0]):
        zone = k.zones[z]
        if zone.size != 0 and k.policy_nodes[policy, zone.node] != 0:
            free += zone.free_pages
            clean += zone.inactive_clean_pages
            least += zone.watermarks[zone.index, WMARK_MIN]
            low += zone.watermarks[zone.index, WMARK_LOW]
    if free > least or free + clean > low:
        return False
    return bool(k.vm[0].nr_swap_pages <= 0 or k.vm[0].pageout == 0)


@rule
def oom_kill(k: Kernel) -> int:
    """Kill the task with the most points; return it, or OOM_NOBODY (the kernel panics)."""
    victim = select_bad_process(k)
    log_event(k, EV_OOM_KILL, victim, 0)
    if victim == NIL:
        return OOM_NOBODY
    task = k.tasks[victim]
    task.flags |= PF_MEMALLOC
    if task.killed == 0:
        task.killed = 1
        k.vm[0].oom_victim = victim
        count(k, k.cpus[k.vm[0].current_cpu].node, OOM_KILL, 1)
    return victim
