"""What a task of the twin does when there is no page: sleep, yield or reclaim, as its kernel asks."""

from __future__ import annotations

from typing import Any

from twin import v2_2
from twin.on_cpu import OnCpu, Steps

from numa_sim.compiled import entry
from numa_sim.kernel.numa import alloc_after_reclaim
from numa_sim.kernel.v2_4_0.oom_kill import oom_kill, out_of_memory, out_of_memory_on
from numa_sim.kernel.v2_4_0.pressure import free_shortage, inactive_shortage
from numa_sim.kernel.v2_4_0.vmscan import reclaim_begin as reclaim_begin_2_4_0
from numa_sim.kernel.v2_4_0.vmscan import reclaim_run as reclaim_run_2_4_0
from numa_sim.kernel.v2_4_0.vmscan import try_to_free_pages_begin
from numa_sim.kernel.vmscan import reclaim_begin, reclaim_run
from numa_sim.state.answers import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    ALLOC_WAIT_KSWAPD,
    ALLOC_YIELD,
    RECLAIM_DONE,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
)
from numa_sim.state.constants import NIL, PF_MEMALLOC
from numa_sim.state.counters import ALLOCSTALL, PART_DIRECT_RECLAIM, PART_KSWAPD_WAIT
from numa_sim.state.event_codes import EV_TASK_WAKE

_alloc_after_reclaim = entry(alloc_after_reclaim)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)
_reclaim_begin_2_4_0 = entry(reclaim_begin_2_4_0)
_reclaim_run_2_4_0 = entry(reclaim_run_2_4_0)
_try_to_free_pages_begin = entry(try_to_free_pages_begin)
_free_shortage = entry(free_shortage)
_inactive_shortage = entry(inactive_shortage)
_out_of_memory = entry(out_of_memory)
_out_of_memory_on = entry(out_of_memory_on)
_oom_kill = entry(oom_kill)


class Reclaiming(OnCpu):
    """Who needs pages."""

    def wait_on_page(self, part: int, kernel_ns: int, kernel_part: int) -> Steps:
        pfn = self.record.wait_pfn
        unlocked = self.machine.unlocked(pfn)
        if unlocked is None:
            yield from self.work(kernel_ns, kernel_part)
            return
        yield from self.sleep(unlocked, part, kernel_ns, kernel_part)
        self.log(EV_TASK_WAKE, pfn)

    def finish_allocation(self) -> Steps:
        """What `__alloc_pages` does when there is no page at once; in the end there is one, or none."""
        task, answer = self.record, self.record.alloc_wants
        while answer < ALLOC_FAIL:
            freed = 0
            if answer == ALLOC_YIELD:
                yield from self.sched_yield()
            elif answer == ALLOC_WAIT_KSWAPD and self.machine.old_kswapd is not None:
                yield from self.sleep(self.machine.old_kswapd.round_ends(), PART_KSWAPD_WAIT, 0, PART_KSWAPD_WAIT)
                self.see_whether_bound_in_vain()
            elif self.machine.config.kernel.profile == "linux-2.4.0":
                yield from self.reclaim_2_4_0(answer)
                if answer == ALLOC_WAIT_KSWAPD:
                    self.see_whether_bound_in_vain()
            elif self.machine.config.kernel.profile == "linux-2.2":
                freed = yield from self.reclaim_2_2()
            else:
                freed = yield from self.direct_reclaim()
            self.enter()
            task.cost_ns = 0
            answer = _alloc_after_reclaim(self.k, self.index, freed)
            self.machine.attend()
            yield from self.work(task.cost_ns, PART_DIRECT_RECLAIM)
        task.got_pfn = answer if answer >= 0 else NIL
        task.alloc_failed = int(answer == ALLOC_FAIL)

    def see_whether_bound_in_vain(self) -> None:
        """2.4.0: who is bound to nodes without a page left has somebody killed."""
        k, task = self.k, self.record
        policy = task.alloc_first_node // len(k.nodes)
        if policy == 0 or task.killed:
            return
        self.enter()
        if _out_of_memory_on(k, policy):
            k.vm[0].reclaim_policy = policy
            _oom_kill(k)
            self.machine.attend()
            k.vm[0].reclaim_policy = 0

    def direct_reclaim(self) -> Steps:
        """try_to_free_pages by the task itself; whether it was enough."""
        k, t, task = self.k, self.index, self.record
        self.enter()
        k.vmstat[task.reclaim_zone // 3, ALLOCSTALL] += 1
        _reclaim_begin(k, t, task.reclaim_zone, task.reclaim_gfp)
        status = yield from self.run_reclaim(_reclaim_run)
        return int(status == RECLAIM_DONE)

    def reclaim_2_2(self) -> Steps:
        """do_try_to_free_pages by the task itself; whether it was enough."""
        self.enter()
        self.k.vmstat[self.record.alloc_node, ALLOCSTALL] += 1
        v2_2.begin(self.k, self.index, self.record.alloc_gfp)
        status = yield from self.run_reclaim(v2_2.run_rule)
        return int(status == RECLAIM_DONE)

    def reclaim_2_4_0(self, wish: int) -> Steps:
        """Reclaim by the task: what its allocation asks for, or kswapd's round if there is no kswapd."""
        k, t, task = self.k, self.index, self.record
        self.enter()
        k.vmstat[task.alloc_node % len(k.nodes), ALLOCSTALL] += 1
        if wish == ALLOC_RECLAIM:
            _reclaim_begin_2_4_0(k, t)
            yield from self.run_reclaim(_reclaim_run_2_4_0)
            return
        task.flags |= PF_MEMALLOC
        _try_to_free_pages_begin(k, t, task.alloc_gfp, 1)
        yield from self.run_reclaim(_reclaim_run_2_4_0)
        if not task.killed:
            task.flags &= ~PF_MEMALLOC
        self.enter()
        if _free_shortage(k) and _inactive_shortage(k) and _out_of_memory(k):
            _oom_kill(k)
            self.machine.attend()

    def run_reclaim(self, run: Any) -> Steps:
        """Go on with a reclaim until it is over; how it ended."""
        task = self.record
        status = RECLAIM_YIELD
        while status in (RECLAIM_YIELD, RECLAIM_WAIT):
            self.enter()
            task.cost_ns = 0
            status = run(self.k, self.index)
            cost_ns = task.cost_ns
            self.machine.attend()
            if status == RECLAIM_WAIT:
                yield from self.wait_on_page(PART_DIRECT_RECLAIM, cost_ns, PART_DIRECT_RECLAIM)
            else:
                yield from self.work(cost_ns, PART_DIRECT_RECLAIM)
                if status == RECLAIM_YIELD:
                    yield from self.give_way()
        return status
