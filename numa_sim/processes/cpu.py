"""A CPU as a SimPy process: it takes the next task from its run queue, switches to it, and waits until it lets go.

What happens *while* a task runs is the hardware loop's business; the CPU process only decides who runs when.  It also
lends time to kernel threads: a daemon works on an idle CPU if there is one, else it steals from a busy one.

Simplified from kernel/sched.c @2.4: run queues are per CPU, first come first served, with equal time slices;
priorities and balancing come with the scheduler work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from simpy import Event

from numa_sim.compiled import entry
from numa_sim.kernel.tlb import switch_mm
from numa_sim.state.constants import (
    EV_CONTEXT_SWITCH,
    NIL,
    PART_CONTEXT_SWITCH,
    PART_DAEMON,
)
from numa_sim.state.events import log_event

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.task import TaskProcess

_switch_mm = entry(switch_mm)
_log_event = entry(log_event)


class Cpu:
    """One CPU: its run queue and the process that serves it.

    Parameters
    ----------
    machine : Machine
        The machine it belongs to.
    number : int
        Row in ``kernel.cpus``.
    """

    def __init__(self, machine: Machine, number: int) -> None:
        self.machine = machine
        self.number = number
        self.record = machine.kernel.cpus[number]
        self.queue: deque[TaskProcess] = deque()
        self.current: TaskProcess | None = None
        self.last: TaskProcess | None = None
        self._work: Event | None = None
        self._released: Event | None = None
        self._busy_since_ns = 0
        machine.process(self._serve())

    @property
    def load(self) -> int:
        """Tasks running or waiting here."""
        return len(self.queue) + (self.current is not None)

    def enqueue(self, task: TaskProcess) -> None:
        """Put a runnable task at the end of the run queue."""
        self.queue.append(task)
        if self._work is not None:
            self._work.succeed()
            self._work = None

    def release(self) -> None:
        """The current task gives the CPU back (it sleeps, ends, or its slice is over)."""
        assert self._released is not None, "release of a CPU nobody holds"
        self.record.busy_ns += self.machine.now_ns - self._busy_since_ns
        self.current = None
        self._released.succeed()
        self._released = None

    def _serve(self) -> Generator[Event, None, None]:
        machine, k = self.machine, self.machine.kernel
        while True:
            if not self.queue:
                self.record.lazy = 1  # the idle task keeps the last mm
                self._work = Event(machine)
                yield self._work
            task = self.queue.popleft()
            self.current = task
            self._busy_since_ns = machine.now_ns
            machine.enter_kernel(task.index, self.number)
            cost_ns = 0
            if task is not self.last:
                cost_ns = int(k.costs[0].context_switch_ns)
                self.record.context_switches += 1
                _log_event(k, EV_CONTEXT_SWITCH, self.number, task.index)
            if k.tasks[task.index].mm != NIL and _switch_mm(k, self.number, int(k.tasks[task.index].mm)):
                cost_ns += int(k.costs[0].tlb_flush_ns)
            self.record.task = task.index
            k.tasks[task.index].cpu = self.number
            self.last = task
            self._released = Event(machine)
            if cost_ns:
                task.charge_wait()
                yield machine.timeout(cost_ns)
                task.charge(PART_CONTEXT_SWITCH)
            task.granted.succeed()
            yield self._released

    def lend(self, cost_ns: int) -> None:
        """A kernel thread works here for `cost_ns`: a task running on the hardware loses that time."""
        k = self.machine.kernel
        if self.record.running:
            self.record.clock_ns += cost_ns
            k.time_parts[int(self.record.task), PART_DAEMON] += cost_ns


def cpu_for_daemon(cpus: list[Cpu], node: int) -> Cpu:
    """Where a kernel thread that works for `node` runs: an idle CPU of the node, any idle CPU, else a busy one there."""
    own = [cpu for cpu in cpus if cpu.record.node == node]
    for candidates in (own, cpus):
        for cpu in candidates:
            if cpu.current is None:
                return cpu
    return (own or cpus)[0]
