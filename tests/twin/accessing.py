"""How a task of the twin uses memory: one access at a time, each an event of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import simpy
from twin.reclaiming import Reclaiming, Steps

from numa_sim.compiled import entry
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.kernel.mmap_sem import fault_with_mmap_sem
from numa_sim.kernel.signal import do_signal, force_sig
from numa_sim.state.answers import FAULT_LOCKED, FAULT_MAJOR, FAULT_MINOR, FAULT_RECLAIM, FAULT_SEGV, FAULT_WAIT
from numa_sim.state.constants import PAGE_SHIFT, PTE_PCD, PTE_PWT, SEGV_MAPERR, SIGSEGV
from numa_sim.state.counters import (
    PART_COMPUTE,
    PART_LOCAL,
    PART_MAJOR_FAULT,
    PART_MINOR_FAULT,
    PART_QUEUEING,
    PART_REMOTE,
    PART_SWAP_WAIT,
    PART_TLB_WALK,
)
from numa_sim.state.event_codes import EV_SLICE_END
from numa_sim.state.hardware_layout import ACCESS
from numa_sim.state.kernel import zeros

if TYPE_CHECKING:
    from twin.machine import Cpu, Twin

FETCH = 4096
"""Accesses a program plans ahead; the computing before the first of the next ones starts when the last has ended."""
AFTER_EVENTS = 2
"""Priority of CPU 0's accesses: after SimPy's own two."""

_handle_mm_fault = entry(handle_mm_fault)
_fault_with_mmap_sem = entry(fault_with_mmap_sem)


class Turn(simpy.Event):
    """The instant a CPU issues an access: after all other events of that instant, CPUs in order of their numbers."""

    def __init__(self, machine: Twin, cpu: Cpu) -> None:
        super().__init__(machine)
        self._ok, self._value = True, None
        machine.schedule(self, AFTER_EVENTS + cpu.number, cpu.record.clock_ns - machine.now)


class Accessing(Reclaiming):
    """Who executes a program's accesses."""

    def touch(self, source: Any) -> Steps:
        """Every access of `source`, one after the other."""
        self.cpu.record.clock_ns = self.machine.now
        while accesses := self.fetch(source):
            for i, (vpn, compute_ns, lines, write) in enumerate(accesses):
                if i:
                    self.compute_before(compute_ns)
                yield from self.access(vpn, lines, write)
                if self.record.killed:
                    return
            yield from self.turn()
            if self.record.killed:
                return
        self.cpu.record.running = 0

    def fetch(self, source: Any) -> list[tuple[int, int, int, int]]:
        batch = zeros(FETCH, ACCESS)
        accesses = batch[: source.fill(batch)].tolist()
        if accesses:
            self.compute_before(accesses[0][1])
        return accesses

    def compute_before(self, compute_ns: int) -> None:
        self.cpu.record.clock_ns += compute_ns
        self.parts[PART_COMPUTE] += compute_ns

    def turn(self) -> Steps:
        """Wait until the CPU's clock; interrupts and shoot-downs that fall into the wait make it longer."""
        cpu = self.cpu
        cpu.record.running = 1
        cpu.record.clock_ns = max(cpu.record.clock_ns, self.machine.now)
        try:
            while True:
                yield Turn(self.machine, cpu)
                if cpu.record.clock_ns == self.machine.now:
                    return
        except simpy.Interrupt:
            cpu.record.running = 0
            yield self.machine.timeout(max(0, cpu.record.clock_ns - self.machine.now))

    def access(self, vpn: int, lines: int, write: int) -> Steps:
        """Issue one access; if it faults, again and again until it is through."""
        machine = self.machine
        while True:
            yield from self.turn()
            if self.record.killed:
                return
            if machine.now >= self.slice_end_ns:
                if self.cpu.queue:
                    self.cpu.record.running = 0
                    self.log(EV_SLICE_END, 0)
                    self.cpu.release(0)
                    yield from self.get_cpu(again=True)
                    if self.record.killed:
                        return
                    continue
                self.slice_end_ns = machine.now + self.slice_ns
            cpu = self.cpu
            pte = machine.mmu.cached(cpu.number, vpn, write)
            walked_ns = 0
            if not pte:
                pte = machine.mmu.walk(int(self.k.mms[self.record.mm].pgd), vpn, write)
                if pte:
                    walked_ns = machine.costs.tlb_walk_level_ns * machine.mmu.levels
                    machine.mmu.load(cpu.number, vpn, pte)
            if pte:
                break
            yield from self.page_fault(vpn, write)
            if self.record.killed:
                return
        if walked_ns:
            self.parts[PART_TLB_WALK] += walked_ns
        cpu.record.tlb_misses += int(walked_ns > 0)
        self.record.accesses_done += 1
        cpu.record.clock_ns += walked_ns
        if write:
            tag = int(self.k.tags[pte >> PAGE_SHIFT])
            self.k.tags[pte >> PAGE_SHIFT] = (5 * tag + vpn + 1) % 2**48
        uncached = pte & PTE_PCD or (write and pte & PTE_PWT)
        self.move_lines(lines, machine.memory.home(pte >> PAGE_SHIFT), not uncached)

    def move_lines(self, lines: int, home: int, cached: bool = True) -> None:
        """Through the caches, else through the memory system; the CPU waits for it."""
        cpu, memory, costs = self.cpu, self.machine.memory, self.machine.costs
        if cached and self.machine.missing_1024ths < 1024:
            cpu.hit_credit += lines * self.machine.missing_1024ths
            lines, cpu.hit_credit = divmod(cpu.hit_credit, 1024)
        if not lines:
            cpu.record.clock_ns += costs.cache_hit_ns
            self.parts[PART_COMPUTE] += costs.cache_hit_ns
            return
        wait_ns = memory.wait_ns(cpu.node, home, cpu.record.clock_ns, lines)
        memory_ns = memory.latency_ns(cpu.node, home) + (lines - 1) * costs.line_ns
        cpu.record.clock_ns += wait_ns + memory_ns
        self.parts[PART_QUEUEING] += wait_ns
        self.parts[PART_LOCAL if home == cpu.node else PART_REMOTE] += memory_ns

    # Faults ----------------------------------------------------------------------------------------------------------

    def page_fault(self, vpn: int, write: int) -> Steps:
        """Call the kernel; a fault that cannot be served at once goes on with mmap_sem, where others could hold it."""
        alone = not self.k.mms[self.record.mm].mmap_sem
        answer = self.call_kernel(_handle_mm_fault if alone else _fault_with_mmap_sem, vpn, write)
        if answer[0] in (FAULT_MINOR, FAULT_MAJOR):
            self.machine.attend()
            self.finished(*answer)
            return
        self.cpu.record.running = 0
        going_on = self.go_on_with_fault(vpn, write, answer)
        yield from self.machine.semaphores.held(self, going_on, self.machine.semaphores.faults_exclude)

    def call_kernel(self, fault: Any, vpn: int, write: int) -> tuple[int, int, int]:
        """The kernel's answer to a fault, what it cost, and which part of the task's time that is."""
        self.enter()
        self.record.cost_ns = 0
        status = fault(self.k, self.index, vpn, write)
        cost_ns, self.record.cost_ns = self.record.cost_ns, 0
        major = status == FAULT_MAJOR or self.record.fault_major
        return status, cost_ns, PART_MAJOR_FAULT if major else PART_MINOR_FAULT

    def finished(self, status: int, cost_ns: int, part: int) -> None:
        self.cpu.record.clock_ns = self.machine.now + cost_ns
        self.book(cost_ns, part)

    def go_on_with_fault(self, vpn: int, write: int, answer: tuple[int, int, int]) -> Steps:
        """Sleep or reclaim as the kernel answers, and call it again, until the fault is done."""
        machine = self.machine
        while True:
            status, cost_ns, part = answer
            machine.attend()
            if status in (FAULT_MINOR, FAULT_MAJOR):
                self.finished(*answer)
                return
            if status == FAULT_WAIT:
                yield from self.wait_on_page(PART_SWAP_WAIT, cost_ns, part)
            elif status != FAULT_LOCKED:
                yield from self.work(cost_ns, part)
                if status == FAULT_RECLAIM:
                    yield from self.finish_allocation()
                else:
                    self.enter()
                    self.fail(status)
            if self.record.killed:
                return
            answer = self.call_kernel(_handle_mm_fault, vpn, write)

    def fail(self, status: int) -> None:
        """The fault cannot be served: no memory, or a signal that is delivered at once, on the way back."""
        if status == FAULT_SEGV:
            force_sig(self.k, self.index, SIGSEGV, SEGV_MAPERR, 0)
            do_signal(self.k, self.index)
        else:
            self.kill()
