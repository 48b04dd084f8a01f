"""Whom to kill when nothing is left: mm/oom_kill.c @2.4.37 (spec 4.6, 4.7, B.7).

Simplified: times are compared in nanoseconds, not jiffies; processor time is a task's whole time but its waits; the
kill itself (a signal) is the processes' work: the rule marks the victims and names the first in ``vm.oom_victim``.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.state.constants import MPOL_BIND, NIL, PF_MEMALLOC, PF_MEMDIE, TASK_DEAD, TASK_UNUSED
from numa_sim.state.counters import OOM_KILL, PART_RUN_QUEUE, PART_SLEEP, PART_SWAP_WAIT
from numa_sim.state.event_codes import EV_OOM_KILL
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

SECOND_NS: Final = 1_000_000_000
QUIET_NS: Final = 5 * SECOND_NS
"""A pause this long since the last call starts a new series; also the pause after a kill."""
FAILURES: Final = 10
OOM_NOBODY: Final = -2
"""Out of memory and no killable process: where the kernel panics."""
_JIFFY_NS: Final = 10_000_000


@rule
def int_sqrt(x: int) -> int:
    """Rough square root of the badness formula (B.7): right to about one eighth, at least 1."""
    out = x
    while x > 1:
        x >>= 2
        out >>= 1
    if x == 1:
        out -= out >> 2
    return max(out, 1)


@part
def cpu_time_ns(k: Kernel, t: int) -> int:
    """Processor time of task `t`: what its time went to, sleeping and waiting left out (utime + stime)."""
    total = 0
    for column in range(k.time_parts.shape[1]):
        if column != PART_SLEEP and column != PART_RUN_QUEUE and column != PART_SWAP_WAIT:
            total += k.time_parts[t, column]
    return total


@part
def badness(k: Kernel, t: int) -> int:
    """Points of task `t`: big, young and niced tasks have many; 0 = cannot be chosen (no mm, or being killed)."""
    task = k.tasks[t]
    if task.mm == NIL or task.flags & PF_MEMDIE != 0:
        return 0
    now = k.vm[0].now_ns // _JIFFY_NS
    cpu_time = cpu_time_ns(k, t) // _JIFFY_NS >> 10
    run_time = (now - task.start_ns // _JIFFY_NS) >> 17
    points = k.mms[task.mm].total_vm // int_sqrt(cpu_time) // int_sqrt(int_sqrt(run_time))
    if task.nice > 0:
        points *= 2
    if task.root != 0:
        points //= 4
    if task.rawio != 0:
        points //= 4
    return points


@part
def in_oom_domain(k: Kernel, t: int, policy: int) -> bool:
    """Whether killing task `t` can free memory on the nodes of `policy` (mempolicy_in_oom_domain @6.1).

    Any task can but those whose own policy binds them to other nodes.
    """
    own = k.tasks[t].mempolicy + 0
    if k.policies[own].mode != MPOL_BIND:
        return True
    for node in range(k.policy_nodes.shape[1]):
        if k.policy_nodes[own, node] != 0 and k.policy_nodes[policy, node] != 0:
            return True
    return False


@part
def select_bad_process(k: Kernel) -> int:
    """The task with the most points, the first of equals; NIL if nobody has any.  Tasks 0 and 1 are the kernel's.

    When only the nodes of a policy are out of memory, tasks bound to others are spared.
    """
    chosen = NIL
    most = 0
    for t in range(2, k.tasks.shape[0]):
        if k.tasks[t].state == TASK_UNUSED or k.tasks[t].state == TASK_DEAD:
            continue
        if k.vm[0].reclaim_policy != 0 and not in_oom_domain(k, t, k.vm[0].reclaim_policy):
            continue
        points = badness(k, t)
        if points > most:
            most = points
            chosen = t
    return chosen


@part
def oom_kill(k: Kernel) -> int:
    """Kill the worst task and every task sharing its mm; return it, or OOM_NOBODY."""
    victim = select_bad_process(k)
    log_event(k, EV_OOM_KILL, victim, k.vm[0].oom_count)
    if victim == NIL:
        return OOM_NOBODY
    for t in range(2, k.tasks.shape[0]):
        task = k.tasks[t]
        if task.mm == k.tasks[victim].mm and task.state != TASK_UNUSED and task.state != TASK_DEAD:
            # They may use the reserves, so that they can exit soon.
            task.flags |= PF_MEMALLOC | PF_MEMDIE
            task.killed = 1
    vm = k.vm[0]
    vm.oom_victim = victim
    node = k.cpus[vm.current_cpu].node
    count(k, node, OOM_KILL, 1)
    return victim


@rule
def out_of_memory(k: Kernel) -> int:
    """Called after each failed reclaim; kills only if the shortage lasts.

    Nothing happens while a swap slot is free (with ``vm.pageout = 0`` none can be used, so none counts), in the first
    second of a series of calls (a pause of 5 s starts a new one), before the tenth call after that, and within 5 s of
    the last kill.

    Returns
    -------
    int
        The task killed, NIL if none, OOM_NOBODY if there is none to kill.
    """
    vm = k.vm[0]
    if vm.nr_swap_pages > 0 and vm.pageout != 0:
        return NIL
    now = vm.now_ns
    pause = now - vm.oom_last_ns
    vm.oom_last_ns = now
    victim = NIL
    if pause <= QUIET_NS:
        if now - vm.oom_first_ns < SECOND_NS:
            return NIL
        vm.oom_count += 1
        if vm.oom_count < FAILURES:
            return NIL
        if vm.oom_lastkill_ns != NIL and now - vm.oom_lastkill_ns < QUIET_NS:
            return NIL
        vm.oom_lastkill_ns = now
        victim = oom_kill(k)
    vm.oom_first_ns = now
    vm.oom_count = 0
    return victim
