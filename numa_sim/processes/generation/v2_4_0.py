"""2.4.0 (spec 4.6): kswapd looks after the machine once a second or when woken, kreclaimd frees clean pages.
Besides writing buffers, bdflush launders pages (spec 9.5).

A task that finds no page gives way to others, then sleeps until kswapd's round ends.  It reclaims for itself only where
waiting for kswapd could deadlock (it may not start I/O), or where a block of pages is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.bdflush import bdflush_flush, bdflush_goes_on
from numa_sim.kernel.oom_kill import OOM_NOBODY
from numa_sim.kernel.v2_4_0.oom_kill import oom_kill, out_of_memory, out_of_memory_on
from numa_sim.kernel.v2_4_0.pressure import free_shortage, inactive_shortage, recalculate_vm_stats
from numa_sim.kernel.v2_4_0.reclaim_page import kreclaimd_round
from numa_sim.kernel.v2_4_0.vmscan import (
    DEF_PRIORITY,
    GFP_KSWAPD_2_4_0,
    page_launder_begin,
    reclaim_begin,
    reclaim_run,
    refill_inactive_scan,
    try_to_free_pages_begin,
)
from numa_sim.processes.daemon import Daemon
from numa_sim.processes.flushing import Bdflush
from numa_sim.processes.generation.generation import Generation
from numa_sim.processes.signal import Signal
from numa_sim.processes.ticking import SECOND_NS, TickingKswapd
from numa_sim.state.answers import ALLOC_WAIT_KSWAPD
from numa_sim.state.constants import GFP_KERNEL, KSWAPD, PF_MEMALLOC, TASK_KRECLAIMD
from numa_sim.state.counters import ALLOCSTALL, PAGEOUTRUN, PART_KSWAPD_WAIT
from numa_sim.state.event_codes import EV_KSWAPD_DONE
from numa_sim.state.events import log_event

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable, Steps
    from numa_sim.state.kernel import Kernel

_try_to_free_pages_begin = entry(try_to_free_pages_begin)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)
_refill_inactive_scan = entry(refill_inactive_scan)
_recalculate_vm_stats = entry(recalculate_vm_stats)
_free_shortage = entry(free_shortage)
_inactive_shortage = entry(inactive_shortage)
_out_of_memory = entry(out_of_memory)
_out_of_memory_on = entry(out_of_memory_on)
_oom_kill = entry(oom_kill)
_kreclaimd_round = entry(kreclaimd_round)
_page_launder_begin = entry(page_launder_begin)
_bdflush_flush = entry(bdflush_flush)
_bdflush_goes_on = entry(bdflush_goes_on)
_log_event = entry(log_event)

_LOOKS: Final = 6
"""How often a kswapd that gives way looks for an idle CPU during the turn of one task."""


def run_reclaim(k: Kernel) -> Callable[[int], int]:
    """What goes on with the reclaim of a task."""
    return partial(_reclaim_run, k)


class Kswapd(TickingKswapd):
    """The daemon that keeps enough pages free and inactive, and says when a process must die.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._waiting: list[Signal] = []
        self._decayed_ns = 0
        self._turn_began_ns = 0
        machine.process(self._run())

    def wait_for_round(self, task: Runnable) -> Steps:
        """Sleep on kswapd_done."""
        vm = self.machine.vm
        if vm.kswapd_asleep:
            # Its round has ended since the rule woke it, while the task was still at work.
            vm.kswapd_asleep = 0
            self.wake()
        done = Signal(self.machine)
        self._waiting.append(done)
        vm.kswapd_done_waiters += 1
        yield from task.sleep_until(done.armed(), PART_KSWAPD_WAIT)

    def _run(self) -> Steps:
        k = self.kernel
        while True:
            yield from self._round()
            self.enter()
            if _free_shortage(k) and _inactive_shortage(k):
                if _out_of_memory(k):
                    kill_a_process(self.machine)
                yield from self._give_way()
            else:
                yield from self.sleep_for_a_second()
                self._turn_began_ns = self.busy_ns

    def _give_way(self) -> Steps:
        """need_resched: its time slice is used up, so each task of a busy CPU gets as long as it had, then it goes on.

        It is a task like others, and refill_inactive calls schedule(); else round after round would leave a machine's
        only CPU to nobody.  Simplified: only between rounds, and whether a CPU fell idle is seen a little later.
        """
        machine = self.machine
        had_ns = self.busy_ns - self._turn_began_ns
        if had_ns < machine.time_slice_ns:
            return
        turns_end_ns = machine.now_ns + self.cpu.load * had_ns
        while self.cpu.current is not None and machine.now_ns < turns_end_ns:
            yield machine.timeout(max(1, had_ns // _LOOKS))
            self.enter()
        self._turn_began_ns = self.busy_ns

    def _round(self) -> Steps:
        """Free and deactivate what is missing, age the active list a little; then whoever waits may try again."""
        machine, k, vm = self.machine, self.kernel, self.machine.vm
        self.enter()
        if _inactive_shortage(k) or _free_shortage(k):
            k.vmstat[self.cpu.node, PAGEOUTRUN] += 1
            _try_to_free_pages_begin(k, KSWAPD, GFP_KSWAPD_2_4_0, int(vm.kswapd_done_waiters > 0))
            yield from self.reclaim(run_reclaim(k))
            self.enter()
        _refill_inactive_scan(k, DEF_PRIORITY, 0)
        if machine.now_ns - self._decayed_ns >= SECOND_NS:
            self._decayed_ns = machine.now_ns
            _recalculate_vm_stats(k)
        # A round is never free of charge: whoever only waits for the next one must see time pass.
        self.record.cost_ns += max(1, machine.costs.context_switch_ns)
        yield from self.pay()
        self.enter()
        _log_event(k, EV_KSWAPD_DONE, len(self._waiting), 0)
        vm.kswapd_done_waiters = 0
        for done in self._waiting:
            done.come_in(0)
        self._waiting.clear()
        machine.block.run_tq_disk()


class Kreclaimd(Daemon):
    """The daemon that frees clean pages for requests that cannot take them themselves (atomic ones).

    Parameters
    ----------
    machine : Machine
        Where it runs.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, TASK_KRECLAIMD)
        machine.process(self._run())

    def _run(self) -> Steps:
        machine, vm = self.machine, self.machine.vm
        while True:
            vm.kreclaimd_asleep = 1
            yield self.sleep()
            self.enter()
            _kreclaimd_round(self.kernel)
            machine.attend()
            yield from self.pay()


class LaunderingBdflush(Bdflush):
    """The daemon that writes dirty buffers, and launders pages while free ones are short."""

    def _round(self) -> Steps:
        """Flush, launder; FLUSH_AGAIN or FLUSH_SLEEP."""
        k = self.kernel
        self.enter()
        done = int(_bdflush_flush(k))
        if done:
            self.machine.attend()
            yield from self.work()
            self.enter()
        if _free_shortage(k):
            _page_launder_begin(k, self.index, GFP_KERNEL, 0)
            yield from self.reclaim(run_reclaim(k))
            done += self.record.reclaim_got
        self.enter()
        return _bdflush_goes_on(k, done)


class Generation240(Generation):
    """linux-2.4.0.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    kswapd : bool
        False: nobody reclaims in the background; a task that would wait for kswapd reclaims for itself.
    kreclaimd : bool
        False: clean pages stay on their lists until a task takes them directly.
    """

    def __init__(self, machine: Machine, kswapd: bool, kreclaimd: bool) -> None:
        super().__init__(machine)
        machine.vm.kswapd_asleep = machine.vm.kreclaimd_asleep = 0
        self.kswapd = Kswapd(machine) if kswapd else None
        self.kreclaimd = Kreclaimd(machine) if kreclaimd else None

    def wake_daemons(self) -> None:
        """Wake kswapd and kreclaimd; those that are switched off never sleep, so nobody asks for them."""
        vm = self.machine.vm
        if vm.kswapd_wanted and self.kswapd is not None:
            vm.kswapd_wanted = 0
            self.kswapd.wake()
        if vm.kreclaimd_wanted and self.kreclaimd is not None:
            vm.kreclaimd_wanted = 0
            self.kreclaimd.wake()

    def _meet(self, task: Runnable, wish: int) -> Steps:
        """Wait for kswapd, or page_launder or try_to_free_pages by the task itself."""
        if wish == ALLOC_WAIT_KSWAPD:
            if self.kswapd is not None:
                yield from self.kswapd.wait_for_round(task)
            else:
                yield from self._reclaim_instead_of_kswapd(task)
            self._kill_if_bound_in_vain(task)
            return 0
        task.enter_kernel()
        self.kernel.vmstat[int(task.record.alloc_node) % len(self.kernel.nodes), ALLOCSTALL] += 1
        _reclaim_begin(self.kernel, task.index)
        yield from self._run_reclaim(task, run_reclaim(self.kernel))
        return 0

    def _kill_if_bound_in_vain(self, task: Runnable) -> None:
        """A policy binds `task` to nodes where nothing is left, whatever others have: it would wait for ever."""
        k, vm = self.kernel, self.machine.vm
        policy = int(task.record.alloc_first_node) // len(k.nodes)
        if policy and not task.record.killed:
            task.enter_kernel()
            if _out_of_memory_on(k, policy):
                vm.reclaim_policy = policy
                kill_a_process(self.machine)
                vm.reclaim_policy = 0

    def _reclaim_instead_of_kswapd(self, task: Runnable) -> Steps:
        """What a round of kswapd would have done for `task`."""
        k, record = self.kernel, task.record
        task.enter_kernel()
        k.vmstat[int(record.alloc_node) % len(k.nodes), ALLOCSTALL] += 1
        record.flags |= PF_MEMALLOC
        _try_to_free_pages_begin(k, task.index, record.alloc_gfp, 1)
        yield from self._run_reclaim(task, run_reclaim(k))
        if not record.killed:
            record.flags &= ~PF_MEMALLOC
        task.enter_kernel()
        if _free_shortage(k) and _inactive_shortage(k) and _out_of_memory(k):
            kill_a_process(self.machine)


def kill_a_process(machine: Machine) -> None:
    """oom_kill.

    Raises
    ------
    SimulationError
        If there is nobody to kill: the kernel panics.
    """
    if _oom_kill(machine.kernel) == OOM_NOBODY:
        raise SimulationError("kernel panic: out of memory and no killable processes")
    machine.attend()
