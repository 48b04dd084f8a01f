"""What kernel threads have in common: a row in ``kernel.tasks``, and time taken from an idle or a busy CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simpy import Event

from numa_sim.processes.signal import Signal
from numa_sim.state.answers import RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import PF_KTHREAD, PF_MEMALLOC
from numa_sim.state.counters import PART_DAEMON
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Steps


class Daemon:
    """A kernel thread.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    index : int
        Its row in ``kernel.tasks``; below 0: counted from the end.
    """

    def __init__(self, machine: Machine, index: int) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.index = index % len(machine.kernel.tasks)
        self.record = row(machine.kernel.tasks, self.index)
        self.record.flags |= PF_MEMALLOC | PF_KTHREAD
        self._parts = memoryview(machine.kernel.time_parts[self.index])
        self._room = Signal(machine)
        self._page_unlocked = Signal(machine)
        self._sleep: Event | None = None

    def enter(self, node: int = 0) -> None:
        """Tell the rules that this thread calls them, on a CPU that suits `node`."""
        self.cpu = self.machine.cpu_for_daemon(node)
        self.machine.enter_kernel(self.index, self.cpu.number)
        self.record.cost_ns = 0

    @property
    def busy_ns(self) -> int:
        """CPU time it has used so far."""
        return self._parts[PART_DAEMON]

    def pay(self) -> Steps:
        """Let the time pass that the rules just took."""
        cost_ns = self.record.cost_ns
        if cost_ns > 0:
            self._parts[PART_DAEMON] += cost_ns
            self.cpu.lend(cost_ns)
            if self.machine.timeline is not None:
                self.machine.timeline.worked(self.index, self.cpu, cost_ns)
            yield self.machine.timeout(cost_ns)

    def work(self) -> Steps:
        """Pay for what the rules just did, then wait until the disks have room for more requests."""
        yield from self.pay()
        room = self.machine.block.room(self._room)
        if room is not None:
            yield room

    def reclaim(self, run: Callable[[int], int], node: int = 0) -> Steps:
        """Go on with the reclaim this thread began until that is done: call `run`, pay, wait for pages under I/O.

        It works on a CPU that suits `node`.  RECLAIM_DONE or RECLAIM_FAILED.
        """
        machine = self.machine
        status = RECLAIM_YIELD
        while status in (RECLAIM_YIELD, RECLAIM_WAIT):
            self.enter(node)
            status = run(self.index)
            machine.attend()
            yield from self.pay()
            if status == RECLAIM_WAIT:
                unlocked = machine.page_event(self.record.wait_pfn, self._page_unlocked)
                if unlocked is not None:
                    yield unlocked
        return status

    def sleep(self) -> Event:
        """What ends when somebody wakes it."""
        self._sleep = Event(self.machine)
        return self._sleep

    def wake(self) -> bool:
        """wake_up; whether it slept."""
        if self._sleep is None:
            return False
        self._sleep.succeed()
        self._sleep = None
        return True
