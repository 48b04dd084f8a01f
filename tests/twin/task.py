"""The twin's tasks: SimPy processes that carry out a program's operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import simpy
from twin import children
from twin.accessing import Accessing
from twin.on_cpu import Steps

from numa_sim.compiled import entry
from numa_sim.kernel.mbind import sys_mbind
from numa_sim.kernel.memory import abandon_fault
from numa_sim.kernel.mempolicy import mpol_new, set_mempolicy
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, setup_arg_pages
from numa_sim.kernel.signal import do_signal, send_sig
from numa_sim.state.constants import MPOL_MODES, NIL, PAGE_SHIFT, SIGKILL, TASK_SLEEPING
from numa_sim.state.counters import PART_SLEEP, PART_SYSCALL
from numa_sim.state.event_codes import EV_TASK_EXIT, EV_TASK_START
from numa_sim.workloads.children import Exec, Exit, Fork, Wait
from numa_sim.workloads.mempolicy import Mbind, SetMempolicy
from numa_sim.workloads.program import Compute, Mmap, Munmap, Region, Sleep, TaskHandle, Touch

if TYPE_CHECKING:
    from twin.machine import Twin

_abandon_fault = entry(abandon_fault)
_sys_mbind = entry(sys_mbind)


class Task(Accessing):
    """A task of one program."""

    def __init__(self, machine: Twin, index: int, name: str, program: Any, cpus: Any, start_ns: int) -> None:
        super().__init__(machine, index, cpus, start_ns)
        self.program = program
        self.handle = TaskHandle(name=name, pid=self.record.pid, seed=machine.config.run.seed)
        self.parent: Task | None = None
        self.children: list[Task] = []
        self.forks = 0
        self.child_ended: simpy.Event | None = None
        self.mm_released: simpy.Event | None = None
        """What a parent in vfork waits for."""
        self.process = machine.process(self.life())

    # Life ------------------------------------------------------------------------------------------------------------

    def life(self) -> Steps:
        if self.start_ns > self.machine.now:
            yield self.machine.timeout(self.start_ns - self.machine.now)
        if self.record.mm == NIL:
            mm_alloc(self.k, self.index)
            setup_arg_pages(self.k, self.index)
        yield from self.get_cpu()
        self.log(EV_TASK_START, 0)
        yield from self.run_programs()
        self.enter()
        do_signal(self.k, self.index)
        _abandon_fault(self.k, self.index)
        self.record.cost_ns = self.machine.costs.syscall_ns
        children.leave_mm(self)
        self.log(EV_TASK_EXIT, 0)
        self.machine.attend()
        yield from self.work(self.record.cost_ns, PART_SYSCALL)
        self.record.end_ns = self.machine.now
        children.end(self)
        self.cpu.release(0)

    def run_programs(self) -> Steps:
        """A program to its end, its exit or the task's; and the one it execs, and so on."""
        program = self.program(self.handle)
        answer = None
        while not self.record.killed:
            try:
                operation = program.throw(answer) if isinstance(answer, OSError) else program.send(answer)
            except StopIteration:
                break
            if isinstance(operation, Exit):
                self.record.exit_code = operation.status << 8
                break
            answer = yield from self.perform(operation)
            if isinstance(operation, Exec) and answer is None:
                program.close()
                program = operation.program(self.handle)
        program.close()

    def perform(self, op: Any) -> Steps:
        self.enter()
        if isinstance(op, Touch):
            yield from self.touch(op.source)
        elif isinstance(op, Sleep):
            self.record.state = TASK_SLEEPING
            self.cpu.release(0)
            yield from self.wait_or_die(self.machine.timeout(op.ns), PART_SLEEP)
            yield from self.get_cpu()
        elif isinstance(op, Compute):
            yield from self.compute(op.ns)
        elif isinstance(op, Fork):
            return (yield from children.fork(self, op))
        elif isinstance(op, Exec):
            return (yield from children.exec_(self, op))
        elif isinstance(op, Wait):
            return (yield from children.wait(self, op))
        elif isinstance(op, SetMempolicy):
            self.choose_nodes(op)
            yield from self.work(self.machine.costs.syscall_ns, PART_SYSCALL)
        else:
            return (yield from self.machine.semaphores.held(self, self.change_areas(op), alone=True))
        return None

    def choose_nodes(self, op: SetMempolicy | Mbind) -> None:
        """set_mempolicy, mbind: of nodes that are there, and of areas that nothing is missing of."""
        k, t, wanted = self.k, self.index, op.policy
        policy = mpol_new(k, MPOL_MODES[wanted.mode], wanted.nodes, wanted.weights)
        if isinstance(op, Mbind) and policy >= 0:
            start = op.region.start_vpn + op.offset_pages
            _sys_mbind(k, t, start << PAGE_SHIFT, op.length_pages << PAGE_SHIFT, policy)
        elif policy >= 0:
            set_mempolicy(k, t, policy)

    def change_areas(self, op: Mmap | Munmap | Mbind) -> Steps:
        k, t = self.k, self.index
        self.enter()
        self.record.cost_ns = self.machine.costs.syscall_ns
        if isinstance(op, Mmap):
            vpn = do_mmap(k, t, op.size_pages, NIL if op.at_vpn is None else op.at_vpn, op.prot)
        elif isinstance(op, Mbind):
            self.choose_nodes(op)
        else:
            do_munmap(k, t, op.region.start_vpn + op.offset_pages, op.length_pages)
        self.machine.attend()
        yield from self.work(self.record.cost_ns, PART_SYSCALL)
        return Region(vpn, op.size_pages, op.name) if isinstance(op, Mmap) else None

    def kill(self) -> None:
        """SIGKILL ends sleep and computing at once, executing when the access under way has ended.

        A task that works or waits in the kernel notices when it has done so.
        """
        send_sig(self.k, self.index, SIGKILL)
        executing = self.cpu is not None and self.cpu.current is self and self.cpu.record.running
        if executing:
            self.cpu.record.running = 0  # at once: no interrupt or daemon delays the access under way any more
        if executing or self.killable:
            self.killable = False
            self.process.interrupt()
