"""A CPU: whom it runs next, and what its time goes to besides.

What happens *while* a task runs is the hardware loop's business; here is decided who runs when.  A CPU makes one
SimPy event per hand-over, the grant, which comes after the context switch.  It also lends time to kernel threads: a
daemon works on an idle CPU if there is one, else it steals from a busy one.

Simplified from kernel/sched.c @2.4: run queues are per CPU, first come first served, with equal time slices;
priorities and balancing come with the scheduler work.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.tlb import switch_mm
from numa_sim.state.constants import EV_CONTEXT_SWITCH, NIL, PART_DAEMON
from numa_sim.state.events import log_event
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.task import TaskProcess

_switch_mm = entry(switch_mm)
_log_event = entry(log_event)


class Cpu:
    """One CPU and its run queue.

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
        self.record = row(machine.kernel.cpus, number)
        self.node: int = self.record.node
        self.queue: deque[TaskProcess] = deque()
        self.current: TaskProcess | None = None
        self.last: TaskProcess | None = None
        self._taken_ns = 0
        self._free_ns = 0

    @property
    def load(self) -> int:
        """Tasks running or waiting here."""
        return len(self.queue) + (self.current is not None)

    def enqueue(self, task: TaskProcess) -> None:
        """Put a runnable task at the end of the run queue; an idle CPU takes it at once."""
        self.queue.append(task)
        if self.current is None:
            self._take_next()

    def release(self, kernel_ns: int = 0) -> None:
        """The current task gives the CPU back, after `kernel_ns` more of kernel work on its own behalf."""
        now_ns = self.machine.now_ns
        self._free_ns = now_ns + kernel_ns
        self.record.busy_ns += self._free_ns - self._taken_ns
        self.current = None
        if self.queue:
            self._take_next()
        else:
            self.record.lazy = 1  # the idle task keeps the last mm

    def _take_next(self) -> None:
        """Switch to the task at the head of the queue; it is granted the CPU when the switch is done."""
        machine = self.machine
        k = machine.kernel
        task = self.queue.popleft()
        self.current = task
        now_ns = machine.now_ns
        self._taken_ns = max(now_ns, self._free_ns)
        machine.enter_kernel(task.index, self.number)
        switch_ns = 0
        if task is not self.last:
            switch_ns = machine.costs.context_switch_ns
            self.record.context_switches += 1
            _log_event(k, EV_CONTEXT_SWITCH, self.number, task.index)
        if task.record.mm != NIL and _switch_mm(k, self.number, task.record.mm):
            switch_ns += machine.costs.tlb_flush_ns
        self.record.task = task.index
        task.record.cpu = self.number
        self.last = task
        task.be_granted(self._taken_ns - now_ns, switch_ns)

    def lend(self, cost_ns: int) -> None:
        """A kernel thread works here for `cost_ns`: a task running on the hardware loses that time."""
        if self.record.running:
            self.record.clock_ns += cost_ns
            self.machine.kernel.time_parts[self.record.task, PART_DAEMON] += cost_ns


def cpu_for_daemon(cpus: list[Cpu], node: int) -> Cpu:
    """CPU for a kernel thread that works for `node`: an idle one of the node, any idle one, else a busy one there."""
    elsewhere = busy = None
    for cpu in cpus:
        if cpu.node == node:
            if cpu.current is None:
                return cpu
            busy = busy or cpu
        elif elsewhere is None and cpu.current is None:
            elsewhere = cpu
    return elsewhere or busy or cpus[0]
