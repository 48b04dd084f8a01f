"""What runs on CPUs: the account of its time, how it gets a CPU and how it sleeps.

Every instant of a task's life is charged to exactly one part (`TIME_PARTS`): the hardware loop charges while it runs
the task, and here each wait is charged to what it was for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simpy import Event, Interrupt

from numa_sim.compiled import entry
from numa_sim.processes.run_queue import slice_ns
from numa_sim.processes.signal import Signal
from numa_sim.state.constants import TASK_RUNNING, TASK_SLEEPING
from numa_sim.state.counters import PART_CONTEXT_SWITCH, PART_LOCK_WAIT, PART_RUN_QUEUE, PART_SLEEP
from numa_sim.state.event_codes import EV_SLICE_END, EV_TASK_WAKE
from numa_sim.state.events import log_event
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from numa_sim.processes.cpu import Cpu
    from numa_sim.processes.machine import Machine

_log_event = entry(log_event)

Steps = Generator[Event, Any, Any]


class Runnable:
    """A task as the scheduler sees it.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    index : int
        Row in ``kernel.tasks``.
    cpus : iterable of int
        CPUs it may run on.
    start_ns : int
        When its account begins.
    """

    def __init__(self, machine: Machine, index: int, cpus: Iterable[int], start_ns: int) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.index = index
        self.record = row(machine.kernel.tasks, index)
        self.parts = memoryview(machine.kernel.time_parts[index])
        self.allowed = tuple(cpus)
        self.cpu: Cpu | None = None
        self.slice_ns = slice_ns(int(self.record.nice), machine.time_slice_ns)
        self.granted = Signal(machine)
        self.switch_ns = 0
        self.doing = PART_SLEEP
        self.charged_ns = start_ns
        self._page_unlocked = Signal(machine)
        self._interruptible = False

    # Time ------------------------------------------------------------------------------------------------------------

    def charge(self, part: int) -> None:
        """Charge everything since the last charge to `part`."""
        now_ns = self.machine.now_ns
        self.parts[part] += now_ns - self.charged_ns
        self.charged_ns = now_ns

    def charge_work(self, spent_ns: int, part: int) -> None:
        """Charge `spent_ns` of kernel work to `part`, less what of it was waiting for spinlocks.

        If the work was cut short, by a page that was unlocked before it was done, so was the waiting: none of it is
        left to be taken for a part of later work.
        """
        if waited_ns := min(self.record.lock_wait_ns, spent_ns):
            self.parts[PART_LOCK_WAIT] += waited_ns
        self.record.lock_wait_ns = 0
        self.parts[part] += spent_ns - waited_ns

    def charge_first(self, cost_ns: int, part: int, rest_part: int) -> None:
        """Charge the first `cost_ns` since the last charge (at most all) to `part`, what is left to `rest_part`."""
        now_ns = self.machine.now_ns
        spent_ns = now_ns - self.charged_ns
        self.parts[part] += min(spent_ns, cost_ns)
        self.parts[rest_part] += max(0, spent_ns - cost_ns)
        self.charged_ns = now_ns

    def charge_spent(self, part: int) -> None:
        """Charge everything since the last charge as kernel work."""
        now_ns = self.machine.now_ns
        self.charge_work(now_ns - self.charged_ns, part)
        self.charged_ns = now_ns

    def spend(self, cost_ns: int, part: int) -> Steps:
        """Work in the kernel for `cost_ns` on this task's CPU."""
        if cost_ns > 0:
            self.doing = part
            yield self.machine.timeout(cost_ns)
            self.charge_spent(part)

    def until_signal(self, event: Event, part: int) -> Steps:
        """Wait for `event`, but no longer than until a signal comes (TASK_INTERRUPTIBLE)."""
        self.doing = part
        self._interruptible = True
        with suppress(Interrupt):
            if not self.record.pending & ~self.record.blocked:
                yield event
        self._interruptible = False
        self.charge(part)

    # CPU -------------------------------------------------------------------------------------------------------------

    def get_cpu(self, again: bool = False) -> Steps:
        """Wait in a run queue until a CPU runs this task.  Called last at an instant (see `Cpu.enqueue`).

        Parameters
        ----------
        again : bool
            It has just left its CPU, and did not sleep.
        """
        if not self._wake_up(again):
            yield self.granted.armed()
        self._begin_slice()

    def _wake_up(self, again: bool = False) -> bool:
        """Join a CPU's run queue; True if the task runs already, else `granted` will come."""
        self.record.state = TASK_RUNNING
        self.doing = PART_RUN_QUEUE
        if self.machine.timeline is not None:
            self.machine.timeline.woke(self)
        last, self.cpu = self.cpu, self.machine.choose_cpu(self)
        return self.cpu.enqueue(self, again and self.cpu is last)

    def _begin_slice(self) -> None:
        """The CPU is ours: charge the wait for it, and the context switch."""
        machine, cpu = self.machine, self.cpu
        assert cpu is not None
        waited_ns = machine.now_ns - self.charged_ns - self.switch_ns
        if waited_ns or self.switch_ns:
            self.charge_first(waited_ns, PART_RUN_QUEUE, PART_CONTEXT_SWITCH)
        cpu.record.slice_end_ns = self.charged_ns + self.slice_ns

    def give_way(self) -> Steps:
        """need_resched: if the time slice is used up and others wait for this CPU, they are next."""
        cpu = self.cpu
        assert cpu is not None
        if self.machine.now_ns < cpu.record.slice_end_ns:
            return
        if cpu.queue:
            self.enter_kernel()
            _log_event(self.kernel, EV_SLICE_END, self.index, 0)
            self.leave_cpu()
            yield from self.get_cpu(again=True)
        else:
            cpu.record.slice_end_ns = self.machine.now_ns + self.slice_ns

    def sched_yield(self) -> Steps:
        """SCHED_YIELD and schedule(): whoever waits for this CPU runs first; with nobody, the kernel looks in vain."""
        assert self.cpu is not None
        if self.cpu.queue:
            self.enter_kernel()
            self.leave_cpu()
            yield from self.get_cpu(again=True)
        else:
            yield from self.spend(max(1, self.machine.costs.context_switch_ns), PART_CONTEXT_SWITCH)

    def leave_cpu(self) -> None:
        """Give the CPU back."""
        assert self.cpu is not None
        if self.record.state == TASK_RUNNING:
            self.record.nivcsw += 1
        else:
            self.record.nvcsw += 1
        self.cpu.release()

    def enter_kernel(self) -> None:
        """Tell the rules that this task calls them."""
        assert self.cpu is not None
        self.machine.enter_kernel(self.index, self.cpu.number)

    # Sleep -----------------------------------------------------------------------------------------------------------

    def sleep_until(self, event: Event, part: int) -> Steps:
        """Sleep until `event`; others may have the CPU."""
        self.record.state = TASK_SLEEPING
        self.doing = part
        self.leave_cpu()
        yield event
        self.charge(part)
        yield from self.get_cpu()

    def wait_on_page(self, pfn: int, part: int, kernel_ns: int, kernel_part: int) -> Steps:
        """wait_on_page: work `kernel_ns` more, then sleep until the page is unlocked; others may have the CPU."""
        cpu = self.cpu
        assert cpu is not None
        unlocked = self.machine.page_event(pfn, self._page_unlocked)
        if unlocked is None:
            yield from self.spend(kernel_ns, kernel_part)
            return
        self.record.state = TASK_SLEEPING
        self.doing = part
        self.record.nvcsw += 1
        cpu.release(kernel_ns)
        since_ns = self.machine.now_ns
        yield unlocked
        if self.machine.timeline is not None:
            self.machine.timeline.waited(self.index, pfn, since_ns, part)
        self.charge_work(min(kernel_ns, self.machine.now_ns - self.charged_ns), kernel_part)
        self.charged_ns = min(self.charged_ns + kernel_ns, self.machine.now_ns)
        self.charge(part)
        if not self._wake_up():
            yield self.granted.armed()
        self._begin_slice()
        self.enter_kernel()
        _log_event.call(self.kernel, EV_TASK_WAKE, self.index, pfn)
