"""The twin's daemons of linux-2.4.0, written from the specification: kswapd, kreclaimd, and waiting for kswapd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import simpy

from numa_sim.compiled import entry
from numa_sim.kernel.bdflush import balance_dirty_state
from numa_sim.kernel.v2_4_0.oom_kill import oom_kill, out_of_memory
from numa_sim.kernel.v2_4_0.pressure import free_shortage, inactive_shortage, recalculate_vm_stats
from numa_sim.kernel.v2_4_0.reclaim_page import kreclaimd_round
from numa_sim.kernel.v2_4_0.vmscan import (
    GFP_KSWAPD_2_4_0,
    page_launder_begin,
    reclaim_run,
    refill_inactive_scan,
    try_to_free_pages_begin,
)
from numa_sim.state.answers import RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import GFP_KERNEL, PF_KTHREAD, PF_MEMALLOC
from numa_sim.state.counters import BDFLUSH_WAKEUP, PAGEOUTRUN, PART_DAEMON
from numa_sim.state.event_codes import EV_KSWAPD_DONE, EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE, EV_WAKEUP_BDFLUSH
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from twin.machine import Twin

KSWAPD = 1
HZ_NS = 10**9
BACKGROUND_PRIORITY = 6

_free_shortage = entry(free_shortage)
_inactive_shortage = entry(inactive_shortage)
_recalculate = entry(recalculate_vm_stats)
_begin = entry(try_to_free_pages_begin)
_page_launder_begin = entry(page_launder_begin)
_balance_dirty_state = entry(balance_dirty_state)
_reclaim_run = entry(reclaim_run)
_refill_inactive_scan = entry(refill_inactive_scan)
_out_of_memory = entry(out_of_memory)
_oom_kill = entry(oom_kill)
_kreclaimd_round = entry(kreclaimd_round)


class KernelThread:
    """What works on whatever CPU is free."""

    def __init__(self, machine: Twin, index: int) -> None:
        self.machine, self.k, self.vm, self.index = machine, machine.k, machine.vm, index
        self.record = row(machine.k.tasks, index)
        self.record.flags |= PF_MEMALLOC | PF_KTHREAD
        self.bell: simpy.Event | None = None
        machine.process(self.run())

    def run(self) -> Any:
        raise NotImplementedError

    def ring(self) -> None:
        if self.bell is not None:
            self.bell.succeed()
            self.bell = None

    def begin(self) -> None:
        self.cpu = self.machine.cpu_for_kernel(0)
        self.machine.enter(self.index, self.cpu.number)
        self.record.cost_ns = 0

    def pay(self) -> Any:
        cost_ns = self.record.cost_ns
        if cost_ns:
            self.machine.parts[self.index, PART_DAEMON] += cost_ns
            self.cpu.lend(cost_ns)
            yield self.machine.timeout(cost_ns)

    def reclaim(self) -> Any:
        """What was begun, to its end."""
        status = RECLAIM_YIELD
        while status == RECLAIM_YIELD or status == RECLAIM_WAIT:
            self.begin()
            status = _reclaim_run(self.k, self.index)
            self.machine.attend()
            yield from self.pay()
            if status == RECLAIM_WAIT:
                unlocked = self.machine.unlocked(self.record.wait_pfn)
                if unlocked is not None:
                    yield unlocked


class Kswapd(KernelThread):
    """Round after round while both shortages last, else once a second or when rung for."""

    def __init__(self, machine: Twin) -> None:
        self.done = simpy.Event(machine)
        """The end of the round under way, or of the next one."""
        super().__init__(machine, KSWAPD)

    def round_ends(self) -> simpy.Event:
        if self.vm.kswapd_asleep:
            self.vm.kswapd_asleep = 0
            self.ring()
        self.vm.kswapd_done_waiters += 1
        return self.done

    def run(self) -> Any:
        last_decay_ns = turn_began_ns = 0
        while True:
            self.begin()
            if _inactive_shortage(self.k) or _free_shortage(self.k):
                self.k.vmstat[self.cpu.node, PAGEOUTRUN] += 1
                _begin(self.k, KSWAPD, GFP_KSWAPD_2_4_0, int(self.vm.kswapd_done_waiters > 0))
                yield from self.reclaim()
                self.begin()
            _refill_inactive_scan(self.k, BACKGROUND_PRIORITY, 0)
            if self.machine.now >= last_decay_ns + HZ_NS:
                last_decay_ns = self.machine.now
                _recalculate(self.k)
            self.record.cost_ns += max(self.machine.costs.context_switch_ns, 1)
            yield from self.pay()
            cpu = self.machine.cpu_for_kernel(0)
            self.machine.log(KSWAPD, cpu.number, EV_KSWAPD_DONE, self.vm.kswapd_done_waiters, 0)
            self.vm.kswapd_done_waiters = 0
            self.done.succeed()
            self.done = simpy.Event(self.machine)
            self.machine.pull_plugs()
            self.begin()
            if not _free_shortage(self.k) or not _inactive_shortage(self.k):
                yield from self.sleep()
                turn_began_ns = self.worked_ns()
                continue
            if _out_of_memory(self.k):
                _oom_kill(self.k)
                self.machine.attend()
            turn_ns = self.worked_ns() - turn_began_ns
            if turn_ns >= self.machine.slice_ns:
                yield from self.others_turns(turn_ns)
                turn_began_ns = self.worked_ns()

    def worked_ns(self) -> int:
        return int(self.machine.parts[KSWAPD, PART_DAEMON])

    def others_turns(self, turn_ns: int) -> Any:
        """As long for each task of its CPU; a sixth later than some CPU fell idle it goes on anyway."""
        tasks = len(self.cpu.queue) + (self.cpu.current is not None)
        end_ns = self.machine.now + tasks * turn_ns
        while self.machine.now < end_ns and self.machine.cpu_for_kernel(0).current is not None:
            yield self.machine.timeout(max(turn_ns // 6, 1))

    def sleep(self) -> Any:
        self.machine.log(KSWAPD, self.cpu.number, EV_KSWAPD_SLEEP, 0, 0)
        self.vm.kswapd_asleep = 1
        self.bell = bell = simpy.Event(self.machine)
        self.machine.timeout(HZ_NS).callbacks.append(lambda _: None if bell.triggered else bell.succeed())
        yield bell
        self.bell = None
        self.vm.kswapd_asleep = 0
        self.machine.log(KSWAPD, self.machine.cpu_for_kernel(0).number, EV_KSWAPD_WAKE, 0, 0)


class Kreclaimd(KernelThread):
    """Sleeps until rung for; then frees clean pages."""

    def run(self) -> Any:
        while True:
            self.vm.kreclaimd_asleep = 1
            self.bell = simpy.Event(self.machine)
            yield self.bell
            self.begin()
            _kreclaimd_round(self.k)
            self.machine.attend()
            yield from self.pay()


class Bdflush(KernelThread):
    """Sleeps until rung for; then launders while that helps and is asked for.  There are no files, so no buffers."""

    def run(self) -> Any:
        while True:
            self.bell = simpy.Event(self.machine)
            yield self.bell
            self.begin()
            self.k.vmstat[self.cpu.node, BDFLUSH_WAKEUP] += 1
            self.machine.log(self.index, self.cpu.number, EV_WAKEUP_BDFLUSH, 0, 0)
            helped = True
            while helped:
                self.begin()
                helped = False
                if _free_shortage(self.k):
                    _page_launder_begin(self.k, self.index, GFP_KERNEL, 0)
                    yield from self.reclaim()
                    helped = self.record.reclaim_got > 0 and _balance_dirty_state(self.k) >= 0
            self.machine.pull_plugs()
