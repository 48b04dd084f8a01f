"""A CPU: whom it runs next, and what its time goes to besides.

What happens *while* a task runs is the hardware loop's business; here is decided who runs when.  A CPU makes at most
one SimPy event per hand-over, the grant, which comes after the context switch.  It also lends time to kernel threads: a
daemon works on an idle CPU if there is one, else it steals from a busy one.

Who of those that wait is next: `numa_sim.processes.run_queue`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.tlb import switch_mm
from numa_sim.processes.run_queue import RunQueue, load_balance
from numa_sim.state.constants import NIL
from numa_sim.state.counters import PART_DAEMON
from numa_sim.state.event_codes import EV_CONTEXT_SWITCH
from numa_sim.state.events import log_event
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable

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
        self.queue = RunQueue()
        self.current: Runnable | None = None
        self.last: Runnable | None = None
        self._balance = machine.config.kernel.balance
        self._balances = self._balance.within_node or self._balance.across_nodes
        self.taken_ns = 0
        """When it was given to the current task."""
        self._free_ns = 0

    @property
    def load(self) -> int:
        """Tasks running or waiting here."""
        return len(self.queue) + (self.current is not None)

    def enqueue(self, task: Runnable, again: bool = False) -> bool:
        """Put a runnable task into the run queue, `again` if it has just left this CPU; an idle CPU takes it at once.

        Called last at an instant: if nothing can happen until the task runs, that time passes here.

        Returns
        -------
        bool
            Whether the task runs now; else its signal `granted` comes when it does.
        """
        if self.current is not None:
            self.queue.append(task, again)
            return False
        ready_ns = self._take(task)
        if self.machine.let_pass(ready_ns):
            return True
        task.granted.come_in(ready_ns)
        return False

    def release(self, kernel_ns: int = 0) -> None:
        """The current task gives the CPU back, after `kernel_ns` more of kernel work on its own behalf."""
        record = self.record
        self._free_ns = self.machine.now_ns + kernel_ns
        record.busy_ns += self._free_ns - self.taken_ns
        if self.machine.timeline is not None and self.current is not None:
            self.machine.timeline.ran(self, self.current, self.taken_ns, self._free_ns)
        self.current = None
        task = self._next()
        if task is not None:
            task.granted.come_in(self._take(task))
        elif self.machine.switches.lazy_tlb:
            record.lazy = 1  # the idle task keeps the last mm

    def _next(self) -> Runnable | None:
        """schedule(): the best of the queue; with an empty one, a task from another CPU."""
        if len(self.queue):
            return self.queue.pop(self.record.mm if self.machine.switches.same_mm_bonus else NIL)
        return load_balance(self.machine, self, self._balance) if self._balances else None

    def _take(self, task: Runnable) -> int:
        """Switch to `task`; return in how many ns the switch is done."""
        machine, record = self.machine, self.record
        self.current = task
        now_ns = machine.now_ns
        self.taken_ns = max(now_ns, self._free_ns)
        machine.enter_kernel(task.index, self.number)
        switch_ns = 0
        if task is not self.last:
            switch_ns = machine.costs.context_switch_ns
            record.context_switches += 1
            _log_event(machine.kernel, EV_CONTEXT_SWITCH, self.number, task.index)
            record.task = task.index
            self.last = task
        task.record.cpu = self.number
        mm = task.record.mm
        if mm != NIL and _switch_mm.call(machine.kernel, self.number, mm):
            switch_ns += machine.costs.tlb_flush_ns
        task.switch_ns = switch_ns
        return self.taken_ns - now_ns + switch_ns

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
