"""A task as a SimPy process: it runs its program's operations, and the kernel's slow paths on its own behalf.

Every instant of a task's life is charged to exactly one part (`TIME_PARTS`): the hardware loop charges while it runs
the task, and here each wait is charged to what it was for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simpy import Event, Interrupt

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.hardware.loop import begin_accesses
from numa_sim.kernel.memory import abandon_fault, handle_mm_fault
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, mmput
from numa_sim.kernel.numa import alloc_after_reclaim
from numa_sim.kernel.vmscan import reclaim_begin, reclaim_run
from numa_sim.state.constants import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    ALLOCSTALL,
    EV_SLICE_END,
    EV_TASK_EXIT,
    EV_TASK_START,
    EV_TASK_WAKE,
    FAULT_MAJOR,
    FAULT_MINOR,
    FAULT_RECLAIM,
    FAULT_SEGV,
    FAULT_WAIT,
    NIL,
    PART_COMPUTE,
    PART_CONTEXT_SWITCH,
    PART_DIRECT_RECLAIM,
    PART_MAJOR_FAULT,
    PART_MINOR_FAULT,
    PART_RUN_QUEUE,
    PART_SLEEP,
    PART_SWAP_WAIT,
    PART_SYSCALL,
    RECLAIM_DONE,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
    STOP_BUFFER,
    STOP_FAULT,
    STOP_SLICE,
    TASK_DEAD,
    TASK_RUNNING,
    TASK_SLEEPING,
)
from numa_sim.state.events import log_event
from numa_sim.state.rows import row
from numa_sim.workloads.program import Compute, Exit, Mmap, Munmap, Region, Sleep, TaskHandle, Touch

if TYPE_CHECKING:
    from numa_sim.processes.cpu import Cpu
    from numa_sim.processes.machine import Machine

_begin_accesses = entry(begin_accesses)
_handle_mm_fault = entry(handle_mm_fault)
_abandon_fault = entry(abandon_fault)
_alloc_after_reclaim = entry(alloc_after_reclaim)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)
_log_event = entry(log_event)

STOP_KILLED = -1
"""Value of a task's trap when it is taken off the hardware to die."""

Steps = Generator[Event, Any, Any]


class TaskProcess:
    """A user task.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    index : int
        Row in ``kernel.tasks``.
    name : str
        For reports.
    program : callable
        Called with a `TaskHandle`; returns a generator of operations.
    cpus : iterable of int
        CPUs it may run on.
    start_ns : int
        When it starts.
    """

    def __init__(
        self, machine: Machine, index: int, name: str, program: Any, cpus: Iterable[int], start_ns: int, kind: str = ""
    ) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.index = index
        self.name = name
        self.kind = kind
        self.record = row(machine.kernel.tasks, index)
        self.parts = memoryview(machine.kernel.time_parts[index])
        self.allowed = tuple(cpus)
        self.start_ns = self.record.start_ns = start_ns
        self.handle = TaskHandle(name=name, pid=self.record.pid, seed=machine.seed)
        self.program = program
        self.cpu: Cpu | None = None
        self.granted = Event(machine)
        self.trap = Event(machine)
        self.source: Any = None
        self.outcome = ""
        self._accesses = machine.kernel.accesses[index]
        self._charged_ns = start_ns
        self._switch_ns = 0
        self._doing = PART_SLEEP
        self._dies_at_once = False
        self.process = machine.process(self._live())

    # Time ------------------------------------------------------------------------------------------------------------

    def charge(self, part: int) -> None:
        """Charge everything since the last charge to `part`."""
        now_ns = self.machine.now_ns
        self.parts[part] += now_ns - self._charged_ns
        self._charged_ns = now_ns

    def _charge_first(self, cost_ns: int, part: int) -> None:
        """Of the time since the last charge, charge the first `cost_ns` (at most all of it) to `part`."""
        spent_ns = min(cost_ns, self.machine.now_ns - self._charged_ns)
        self.parts[part] += spent_ns
        self._charged_ns += spent_ns

    def _spend(self, cost_ns: int, part: int) -> Steps:
        """Work in the kernel for `cost_ns` on this task's CPU."""
        if cost_ns > 0:
            self._doing = part
            yield self.machine.timeout(cost_ns)
            self.charge(part)

    def _until_killed(self, event: Event, part: int) -> Steps:
        """Wait for `event`, but no longer than until a signal kills this task."""
        self._doing = part
        self._dies_at_once = True
        with suppress(Interrupt):
            yield event
        self._dies_at_once = False
        self.charge(part)

    # CPU -------------------------------------------------------------------------------------------------------------

    def _get_cpu(self) -> Steps:
        """Wait in a run queue until a CPU runs this task."""
        self.record.state = TASK_RUNNING
        self.granted = Event(self.machine)
        self.cpu = self.machine.choose_cpu(self)
        self.cpu.enqueue(self)
        self._doing = PART_RUN_QUEUE
        yield self.granted
        self._charge_first(self.machine.now_ns - self._charged_ns - self._switch_ns, PART_RUN_QUEUE)
        self.charge(PART_CONTEXT_SWITCH)
        self.cpu.record.slice_end_ns = self.machine.now_ns + self.machine.time_slice_ns

    def be_granted(self, wait_ns: int, switch_ns: int) -> None:
        """A CPU has chosen this task: it runs after `wait_ns` more and a context switch of `switch_ns`."""
        self._switch_ns = switch_ns
        self.granted._ok, self.granted._value = True, None
        self.machine.schedule(self.granted, delay=wait_ns + switch_ns)

    def _give_way(self) -> Steps:
        """need_resched: if the time slice is used up and others wait for this CPU, they are next."""
        cpu = self.cpu
        assert cpu is not None
        if self.machine.now_ns < cpu.record.slice_end_ns:
            return
        if cpu.queue:
            self._enter_kernel()
            _log_event(self.kernel, EV_SLICE_END, self.index, 0)
            self._leave_cpu()
            yield from self._get_cpu()
        else:
            cpu.record.slice_end_ns = self.machine.now_ns + self.machine.time_slice_ns

    def _leave_cpu(self, kernel_ns: int = 0) -> None:
        assert self.cpu is not None
        self.cpu.release(kernel_ns)

    def _enter_kernel(self) -> None:
        assert self.cpu is not None
        self.machine.enter_kernel(self.index, self.cpu.number)

    def _block(self, event: Event, part: int, kernel_ns: int = 0, kernel_part: int = PART_SYSCALL) -> Steps:
        """Work `kernel_ns` more, then sleep until `event`; others may have the CPU meanwhile."""
        self.record.state = TASK_SLEEPING
        self._leave_cpu(kernel_ns)
        self._doing = part
        yield event
        self._charge_first(kernel_ns, kernel_part)
        self.charge(part)
        yield from self._get_cpu()

    # Life ------------------------------------------------------------------------------------------------------------

    def _live(self) -> Steps:
        machine, k = self.machine, self.kernel
        if self.start_ns:
            yield machine.timeout(self.start_ns)
        mm_alloc(k, self.index)
        yield from self._get_cpu()
        self._enter_kernel()
        _log_event(k, EV_TASK_START, self.index, 0)
        program = self.program(self.handle)
        if not hasattr(program, "send"):
            raise SimulationError(f"task {self.name}: a program must be a generator of operations, not {program!r}")
        answer: Any = None
        while not self.record.killed:
            try:
                operation = program.send(answer)
            except StopIteration:
                break
            if isinstance(operation, Exit):
                break
            answer = yield from self._do(operation)
        program.close()
        self.outcome = self.outcome or "exited"
        yield from self._exit()

    def _do(self, operation: Any) -> Steps:
        """Carry out one operation; its answer goes back to the program."""
        if isinstance(operation, Touch):
            yield from self._touch(operation)
        elif isinstance(operation, Mmap):
            return (yield from self._mmap(operation))
        elif isinstance(operation, Munmap):
            yield from self._munmap(operation)
        elif isinstance(operation, Sleep):
            self.record.state = TASK_SLEEPING
            self._leave_cpu()
            yield from self._until_killed(self.machine.timeout(operation.ns), PART_SLEEP)
            yield from self._get_cpu()
        elif isinstance(operation, Compute):
            yield from self._compute(operation.ns)
        else:
            raise SimulationError(f"task {self.name}: a program must yield operations, not {operation!r}")
        return None

    def _exit(self) -> Steps:
        k = self.kernel
        self._enter_kernel()
        _abandon_fault(k, self.index)
        self.record.cost_ns = self.machine.costs.syscall_ns
        mmput(k, self.index)
        _log_event(k, EV_TASK_EXIT, self.index, 0)
        self.machine.attend()
        yield from self._spend(self.record.cost_ns, PART_SYSCALL)
        self.record.state = TASK_DEAD
        self.record.end_ns = self.machine.now_ns
        self._leave_cpu()

    def close_account(self) -> None:
        """End the account of a task that is still alive: now, or at its CPU's clock if that is ahead (an access)."""
        if self._charged_ns > self.machine.now_ns:
            pass  # it has not started, or was killed and ends its last access
        elif self.cpu is not None and self.cpu.record.running and self.cpu.current is self:
            self._charged_ns = self.cpu.record.clock_ns
        else:
            self.charge(self._doing)
        self.record.end_ns = self._charged_ns

    def kill(self, why: str) -> None:
        """SIGKILL: the task dies on its way back to user mode (at once if it is there)."""
        self.record.killed = 1
        self.outcome = why
        if self.cpu is not None and self.cpu.record.running and self.cpu.current is self:
            # The access under way when the signal comes ends first: the CPU's clock is ahead of now.
            self.machine.leave_hardware(self.cpu)
            rest_ns = max(0, self.cpu.record.clock_ns - self.machine.now_ns)
            self._charged_ns = self.machine.now_ns + rest_ns
            last_access_ends = self.machine.timeout(rest_ns)
            last_access_ends.callbacks.append(lambda _: self.trap.succeed(STOP_KILLED))  # type: ignore[arg-type]
        elif self._dies_at_once:
            self._dies_at_once = False
            self.process.interrupt(why)

    # Operations ------------------------------------------------------------------------------------------------------

    def _mmap(self, operation: Mmap) -> Steps:
        k = self.kernel
        self._enter_kernel()
        self.record.cost_ns = self.machine.costs.syscall_ns
        at_vpn = NIL if operation.at_vpn is None else operation.at_vpn
        vpn = do_mmap(k, self.index, operation.size_pages, at_vpn, operation.prot)
        yield from self._spend(self.record.cost_ns, PART_SYSCALL)
        if vpn == NIL:
            raise SimulationError(
                f"task {self.name}: mmap of {operation.size_pages} pages failed (ENOMEM: no room in user space)"
            )
        return Region(vpn, operation.size_pages, operation.name)

    def _munmap(self, operation: Munmap) -> Steps:
        k = self.kernel
        self._enter_kernel()
        self.record.cost_ns = self.machine.costs.syscall_ns
        do_munmap(k, self.index, operation.region.start_vpn + operation.offset_pages, operation.length_pages)
        self.machine.attend()
        yield from self._spend(self.record.cost_ns, PART_SYSCALL)

    def _compute(self, time_ns: int) -> Steps:
        """Use the CPU, a time slice at a time."""
        while time_ns > 0:
            yield from self._give_way()
            if self.record.killed:
                return
            assert self.cpu is not None
            piece_ns = min(time_ns, self.cpu.record.slice_end_ns - self.machine.now_ns)
            yield from self._until_killed(self.machine.timeout(piece_ns), PART_COMPUTE)
            if self.record.killed:
                return
            time_ns -= piece_ns

    def refill(self) -> bool:
        """Fill the access buffer from the current source; False when it has no more."""
        n = self.source.fill(self._accesses)
        self.record.access_next = 0
        self.record.access_end = n
        if n:
            _begin_accesses(self.kernel, self.cpu.number)  # type: ignore[union-attr]
        return bool(n)

    def _touch(self, operation: Touch) -> Steps:
        """Run accesses on the hardware until the source is empty, serving what stops them."""
        self.source = operation.source
        assert self.cpu is not None
        self.cpu.record.clock_ns = self.machine.now_ns
        if not self.refill():
            return
        while not self.record.killed:
            stop = yield from self._run_on_hardware()
            if stop == STOP_BUFFER:
                return
            if stop == STOP_FAULT:
                yield from self._fault()
            elif stop == STOP_SLICE:
                yield from self._give_way()

    def _run_on_hardware(self) -> Steps:
        assert self.cpu is not None
        cpu = self.cpu.record
        self.trap = Event(self.machine)
        # The clock may be ahead of now: by the first access's computing, or by what a fault cost.
        cpu.clock_ns = max(cpu.clock_ns, self.machine.now_ns)
        self.machine.enter_hardware(self.cpu)
        stop = yield self.trap
        self._charged_ns = self.machine.now_ns
        return stop

    # The kernel's slow paths -----------------------------------------------------------------------------------------

    def _fault(self) -> Steps:
        """Finish the page fault that stopped the hardware: wait, reclaim, call the rule again."""
        machine, task = self.machine, self.record
        while True:
            machine.attend()
            status = task.fault_status
            cost_ns, task.cost_ns = task.cost_ns, 0
            part = PART_MAJOR_FAULT if task.fault_major or status == FAULT_MAJOR else PART_MINOR_FAULT
            if status == FAULT_MINOR or status == FAULT_MAJOR:
                # As for a fault the hardware loop serves itself: the CPU's clock goes ahead, no event is needed.
                assert self.cpu is not None
                self.cpu.record.clock_ns = machine.now_ns + cost_ns
                self.parts[part] += cost_ns
                return
            if status == FAULT_WAIT:
                yield from self._wait_on_page(task.wait_pfn, PART_SWAP_WAIT, cost_ns, part)
            else:
                yield from self._spend(cost_ns, part)
                if status == FAULT_RECLAIM:
                    yield from self._direct_reclaim()
                else:
                    self._fail(status)
            if task.killed:
                return
            self._enter_kernel()
            task.cost_ns = 0
            task.fault_status = _handle_mm_fault(self.kernel, self.index, task.fault_vpn, task.fault_write)

    def _fail(self, status: int) -> None:
        """A fault that cannot be served kills the task: SIGSEGV, or do_page_fault's "VM: killing process"."""
        if status == FAULT_SEGV:
            where = f"page {self.record.fault_vpn:#x}"
            self.machine.warn(f"task {self.name}: segmentation fault at {where}, killed (SIGSEGV)")
            self.kill("segmentation fault")
        else:
            self.kill("out of memory")
            self.machine.warn(f"VM: killing process {self.name}")

    def _wait_on_page(self, pfn: int, part: int, kernel_ns: int, kernel_part: int) -> Steps:
        """wait_on_page: after `kernel_ns` of work, sleep until the page is unlocked."""
        event = self.machine.page_event(pfn)
        if event is None:
            yield from self._spend(kernel_ns, kernel_part)
            return
        yield from self._block(event, part, kernel_ns, kernel_part)
        self._enter_kernel()
        _log_event(self.kernel, EV_TASK_WAKE, self.index, pfn)

    def _direct_reclaim(self) -> Steps:
        """try_to_free_pages on this task's own time, then the rest of the allocation: a page, or a failed one."""
        k, task, t = self.kernel, self.record, self.index
        answer = ALLOC_RECLAIM
        while answer == ALLOC_RECLAIM:
            self._enter_kernel()
            k.vmstat[int(k.zones[task.reclaim_zone].node), ALLOCSTALL] += 1
            _reclaim_begin(k, t, task.reclaim_zone, task.reclaim_gfp)
            while True:
                self._enter_kernel()
                task.cost_ns = 0
                status = _reclaim_run(k, t)
                self.machine.attend()
                if status == RECLAIM_WAIT:
                    cost_ns = task.cost_ns
                    yield from self._wait_on_page(task.wait_pfn, PART_DIRECT_RECLAIM, cost_ns, PART_DIRECT_RECLAIM)
                    continue
                yield from self._spend(task.cost_ns, PART_DIRECT_RECLAIM)
                if status != RECLAIM_YIELD:
                    break
                yield from self._give_way()
            self._enter_kernel()
            task.cost_ns = 0
            answer = _alloc_after_reclaim(k, t, int(status == RECLAIM_DONE))
            self.machine.attend()
            yield from self._spend(task.cost_ns, PART_DIRECT_RECLAIM)
        task.got_pfn = answer if answer >= 0 else NIL
        task.alloc_failed = int(answer == ALLOC_FAIL)
