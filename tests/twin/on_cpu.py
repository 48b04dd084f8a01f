"""A task of the twin as the scheduler sees it: how it gets a CPU, spends its time and sleeps."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import simpy

from numa_sim.state.constants import NIL, TASK_RUNNING, TASK_SLEEPING
from numa_sim.state.counters import PART_COMPUTE, PART_CONTEXT_SWITCH, PART_LOCK_WAIT, PART_RUN_QUEUE
from numa_sim.state.event_codes import EV_SLICE_END
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from twin.machine import Cpu, Twin

Steps = Any


class Grant(simpy.Event):
    """A CPU is ours, after a switch of `switch_ns`."""

    def __init__(self, machine: Twin) -> None:
        super().__init__(machine)
        self._ok, self._value = True, None
        self.switch_ns = 0


class OnCpu:
    """What waits for CPUs, and is charged for all its time."""

    def __init__(self, machine: Twin, index: int, cpus: Any, start_ns: int) -> None:
        self.machine, self.k, self.index, self.start_ns = machine, machine.k, index, start_ns
        self.record = row(machine.k.tasks, index)
        self.parts = machine.k.time_parts[index]
        self.allowed = [machine.cpus[n] for n in cpus] if cpus is not None else list(machine.cpus)
        self.cpu: Cpu | None = None
        self.granted = Grant(machine)
        self.slice_end_ns = 0
        self.round = 0
        self.slice_ticks = (20 - int(self.record.nice)) // 4 + 1
        self.slice_ns = machine.slice_ns * self.slice_ticks // 6
        self.record.start_ns = start_ns
        self.doing, self.since_ns = NIL, 0
        """What it waits for (a part of its time) and since when; NIL while it executes or has not started."""
        self.killable = False

    def enter(self) -> None:
        self.machine.enter(self.index, self.cpu.number)

    def log(self, code: int, b: int) -> None:
        self.machine.log(self.index, self.cpu.number, code, self.index, b)

    def wait(self, event: simpy.Event, part: int) -> Steps:
        self.doing, self.since_ns = part, self.machine.now
        yield event
        self.doing = NIL

    def close_account(self) -> None:
        """The run ends first: what it waits for is charged up to now."""
        if self.doing != NIL:
            self.parts[self.doing] += self.machine.now - self.since_ns

    def book(self, cost_ns: int, part: int) -> None:
        """Charge work, all there is of it; what of it was spinning for a lock is a part of its own."""
        spun_ns = min(self.record.lock_wait_ns, cost_ns)
        self.record.lock_wait_ns = 0
        self.parts[PART_LOCK_WAIT] += spun_ns
        self.parts[part] += cost_ns - spun_ns

    def work(self, cost_ns: int, part: int) -> Steps:
        """Stay on the CPU, in the kernel, for `cost_ns`."""
        if cost_ns:
            yield from self.wait(self.machine.timeout(cost_ns), part)
            self.book(cost_ns, part)

    def wait_or_die(self, event: simpy.Event, part: int) -> Steps:
        begin_ns = self.machine.now
        self.killable = True
        with suppress(simpy.Interrupt):
            yield from self.wait(event, part)
        self.killable, self.doing = False, NIL
        self.parts[part] += self.machine.now - begin_ns

    def get_cpu(self, again: bool = False) -> Steps:
        """Become runnable: on the last CPU if that is idle, else on the CPU with least to do; wait to be granted it."""
        self.record.state = TASK_RUNNING
        last = self.cpu
        if self.cpu is None or self.cpu.load:
            self.cpu = min(self.allowed, key=lambda cpu: (cpu.load, cpu.number))
        begin_ns = self.machine.now
        grant = self.granted = Grant(self.machine)
        self.cpu.enqueue(self, again and self.cpu is last)
        yield from self.wait(grant, PART_RUN_QUEUE)
        self.parts[PART_RUN_QUEUE] += self.machine.now - begin_ns - grant.switch_ns
        self.parts[PART_CONTEXT_SWITCH] += grant.switch_ns

    def give_way(self) -> Steps:
        """In the kernel or computing: a task whose slice is used up goes to the end of the queue, if there is one."""
        if self.machine.now >= self.slice_end_ns:
            if self.cpu.queue:
                self.log(EV_SLICE_END, 0)
                self.cpu.release(0)
                yield from self.get_cpu(again=True)
            else:
                self.slice_end_ns = self.machine.now + self.slice_ns

    def compute(self, left_ns: int) -> Steps:
        while left_ns and not self.record.killed:
            yield from self.give_way()
            if not self.record.killed:
                piece_ns = min(left_ns, self.slice_end_ns - self.machine.now)
                yield from self.wait_or_die(self.machine.timeout(piece_ns), PART_COMPUTE)
                left_ns -= piece_ns

    def sleep(self, event: simpy.Event, part: int, kernel_ns: int, kernel_part: int) -> Steps:
        """Leave the CPU, after `kernel_ns` more of work, until `event`; then get one again."""
        self.record.state = TASK_SLEEPING
        begin_ns = self.machine.now
        self.cpu.release(kernel_ns)
        yield from self.wait(event, part)
        slept_ns = self.machine.now - begin_ns
        self.book(min(kernel_ns, slept_ns), kernel_part)
        self.parts[part] += max(0, slept_ns - kernel_ns)
        yield from self.get_cpu()

    def sched_yield(self) -> Steps:
        """Behind everybody else on this CPU; with nobody, as long as a switch takes."""
        if self.cpu.queue:
            self.cpu.release(0)
            yield from self.get_cpu(again=True)
        else:
            yield from self.work(max(1, self.machine.costs.context_switch_ns), PART_CONTEXT_SWITCH)
