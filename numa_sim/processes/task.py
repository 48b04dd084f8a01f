"""A task as a SimPy process: it runs its program's operations, one after the other, until it ends or is killed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from simpy import Event

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.hardware.loop import begin_accesses
from numa_sim.kernel.file_operations import abandon_file
from numa_sim.kernel.memory import abandon_fault
from numa_sim.kernel.mmap import mm_alloc, setup_arg_pages
from numa_sim.kernel.structures import follow_structures
from numa_sim.processes import children, segment_stage
from numa_sim.processes.cache_mode import cache_call
from numa_sim.processes.delivery import SIGNAL_OPERATIONS, deliver, post, signal_call
from numa_sim.processes.fault import finish_fault
from numa_sim.processes.files import OPERATIONS, close_all, file_call
from numa_sim.processes.kernel_memory import kernel_call
from numa_sim.processes.memory_calls import MEMORY_OPERATIONS, memory_call
from numa_sim.processes.mempolicy import POLICY_OPERATIONS, policy_call
from numa_sim.processes.mmap_sem import holding_mmap_sem
from numa_sim.processes.network import receive
from numa_sim.processes.runnable import Runnable, Steps
from numa_sim.processes.scheduling import SCHEDULING_OPERATIONS, scheduling_call
from numa_sim.processes.signal import Signal
from numa_sim.processes.swap import swap_call
from numa_sim.state.answers import STOP_BUFFER, STOP_FAULT, STOP_SLICE
from numa_sim.state.constants import NIL, SI_KERNEL, SIGKILL, TASK_SLEEPING
from numa_sim.state.counters import PART_COMPUTE, PART_SLEEP, PART_SYSCALL
from numa_sim.state.event_codes import EV_TASK_EXIT, EV_TASK_START
from numa_sim.state.events import log_event
from numa_sim.workloads.cache_mode import CacheMode
from numa_sim.workloads.children import Exec, Exit
from numa_sim.workloads.kernel_memory import KERNEL_OPERATIONS
from numa_sim.workloads.network import Receive
from numa_sim.workloads.program import Compute, Sleep, TaskHandle, Touch
from numa_sim.workloads.swap import Swapoff, Swapon

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine

_begin_accesses = entry(begin_accesses)
_abandon_fault = entry(abandon_fault)
_abandon_file = entry(abandon_file)
_log_event = entry(log_event)

_ENTRY = {False: 0x0804_8000, True: 0x40_0000}
"""Where a program's text starts: i386, x86-64 (no instruction is executed)."""
_OPERATION_BYTES = 16
STOP_SIGNAL = -1
"""Value of a task's trap when it is taken off the hardware for a signal."""


class TaskProcess(Runnable):
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
        super().__init__(machine, index, cpus, start_ns)
        self.name = name
        self.kind = kind
        self.start_ns = self.record.start_ns = start_ns
        self.handle = TaskHandle(name=name, pid=self.record.pid, seed=machine.seed)
        self.program = program
        self.trap = Signal(machine)
        self.source: Any = None
        self.outcome = ""
        self.handlers: dict[int, Any] = {}
        self._operations = 0
        segments = machine.config.machine.segments
        self.segments = segment_stage.SegmentStage(machine.costs.segment_check_ns) if segments else None
        self.open_files: list[int] = []
        self.parent: TaskProcess | None = None
        self.children: list[TaskProcess] = []
        self.forks = 0
        self.child_ended: Event | None = None
        """What it sleeps on in wait."""
        self.mm_released: Event | None = None
        """What its parent sleeps on in vfork."""
        self.request_freed = Signal(machine)
        self.accesses = machine.kernel.accesses[index]
        self.process = machine.process(self._live())

    # Life ------------------------------------------------------------------------------------------------------------

    def _live(self) -> Steps:
        machine, k = self.machine, self.kernel
        if self.start_ns > machine.now_ns:
            yield machine.timeout(self.start_ns - machine.now_ns)
        if self.record.mm == NIL:
            mm_alloc(k, self.index)
            setup_arg_pages(k, self.index)
        yield from self.get_cpu()
        self.enter_kernel()
        _log_event(k, EV_TASK_START, self.index, 0)
        yield from self._carry_out(self.program)
        yield from deliver(self)
        self.outcome = self.outcome or "exited"
        yield from self._exit()

    def _carry_out(self, make: Any) -> Steps:
        """Carry out a program's operations to its end or the task's; whether the program asked for the latter."""
        program = self._begin(make)
        answer: Any = None
        exits = False
        while not self.record.killed:
            try:
                operation = program.throw(answer) if isinstance(answer, OSError) else program.send(answer)
            except StopIteration:
                break
            except OSError as error:
                if error is not answer:
                    raise
                raise SimulationError(f"task {self.name}: {error.strerror} (errno {error.errno})") from error
            if isinstance(operation, Exit):
                self.record.exit_code = operation.status << 8
                if operation.why:
                    self.machine.warn(f"task {self.name} exits with status {operation.status}: {operation.why}")
                exits = True
                break
            answer = yield from self._do(operation)
            if self.record.pending:
                yield from deliver(self)
            if isinstance(operation, Exec) and answer is None:
                program.close()
                program = self._begin(operation.program)
        program.close()
        return exits

    @property
    def eip(self) -> int:
        """Instruction pointer, bytes: operation n of the program stands 16 n bytes after its start."""
        return _ENTRY[bool(self.kernel.vm[0].levels > 3)] + _OPERATION_BYTES * self._operations

    def run_aside(self, handler: Any) -> Steps:
        """Run a signal's handler; what it interrupted finds everything as it was, unless the handler exits."""
        record, source = self.record, self.source
        if self.machine.access_watch is not None:
            self.machine.access_watch.note(self)
        left = self.accesses[record.access_next : record.access_end].copy()
        if (yield from self._carry_out(handler)):
            record.killed = 1
        self.source = source
        self.accesses[: len(left)] = left
        if self.machine.access_watch is not None:
            self.machine.access_watch.note(self, 0)
        record.access_next, record.access_end, record.access_ready = 0, len(left), 0

    def _begin(self, make: Any) -> Any:
        """A program, ready to give its first operation."""
        program = make(self.handle)
        if not hasattr(program, "send"):
            raise SimulationError(f"task {self.name}: a program must be a generator of operations, not {program!r}")
        return program

    def _do(self, operation: Any) -> Steps:
        """Carry out one operation; its answer goes back to the program."""
        self._operations += 1
        if self.machine.watchdog is not None:
            self.machine.watchdog.operation(self, operation)
        if self.machine.vm.slab_objects:
            self.enter_kernel()
            follow_structures(self.kernel)
        if isinstance(operation, Touch):
            yield from self.touch(operation) if operation.address is None else self._access(operation)
        elif isinstance(operation, MEMORY_OPERATIONS):
            return (yield from holding_mmap_sem(self, memory_call(self, operation)))
        elif isinstance(operation, Sleep):
            yield from self._sleep(operation)
        elif isinstance(operation, Compute):
            self.record.used_math |= operation.fpu
            yield from self.compute(operation.ns)
        elif isinstance(operation, OPERATIONS):
            return (yield from file_call(self, operation))
        elif isinstance(operation, children.OPERATIONS):
            return (yield from children.child_call(self, operation))
        elif isinstance(operation, Swapon | Swapoff):
            return (yield from swap_call(self, operation))
        elif isinstance(operation, CacheMode):
            return (yield from cache_call(self, operation))
        elif isinstance(operation, segment_stage.OPERATIONS):
            return (yield from segment_stage.segment_call(self, operation))
        elif isinstance(operation, Receive):
            return (yield from receive(self, operation))
        elif isinstance(operation, SCHEDULING_OPERATIONS):
            return (yield from scheduling_call(self, operation))
        elif isinstance(operation, KERNEL_OPERATIONS):
            return (yield from kernel_call(self, operation))
        elif isinstance(operation, POLICY_OPERATIONS):
            return (yield from policy_call(self, operation))
        elif isinstance(operation, SIGNAL_OPERATIONS):
            return (yield from signal_call(self, operation))
        else:
            raise SimulationError(f"task {self.name}: a program must yield operations, not {operation!r}")
        return None

    def _exit(self) -> Steps:
        k = self.kernel
        self.enter_kernel()
        _abandon_fault(k, self.index)
        _abandon_file(k, self.index)
        close_all(self)
        self.record.cost_ns = self.machine.costs.syscall_ns
        if self.machine.access_watch is not None:
            self.machine.access_watch.forget(self)
        children.leave_mm(self)
        if self.machine.vm.slab_objects:
            follow_structures(k)
        _log_event(k, EV_TASK_EXIT, self.index, 0)
        self.machine.attend()
        yield from self.spend(self.record.cost_ns, PART_SYSCALL)
        self.record.end_ns = self.machine.now_ns
        children.exit_notify(self)
        self.leave_cpu()

    def close_account(self) -> None:
        """End the account of a task that is still alive: now, or at its CPU's clock if that is ahead (an access)."""
        if self.charged_ns > self.machine.now_ns:
            pass  # it has not started, or was killed and ends its last access
        elif self.cpu is not None and self.cpu.record.running and self.cpu.current is self:
            self.charged_ns = self.cpu.record.clock_ns
        else:
            self.charge(self.doing)
        self.record.end_ns = self.charged_ns

    def kill(self, why: str) -> None:
        """SIGKILL: the task dies on its way back to user mode (at once if it is there)."""
        self.outcome = why
        post(self, SIGKILL, SI_KERNEL)

    def signal_wake_up(self) -> None:
        """A signal is pending: end an interruptible sleep, or take the task off the hardware after its access."""
        if self.cpu is not None and self.cpu.record.running and self.cpu.current is self:
            # The access under way ends first: the CPU's clock is ahead of now.
            self.machine.leave_hardware(self.cpu)
            rest_ns = max(0, self.cpu.record.clock_ns - self.machine.now_ns)
            self.charged_ns = self.machine.now_ns + rest_ns
            last_access_ends = self.machine.timeout(rest_ns)
            last_access_ends.callbacks.append(lambda _: self.trap.come_in(0, STOP_SIGNAL))
        elif self._interruptible:
            self._interruptible = False
            self.process.interrupt("signal")

    # Operations ------------------------------------------------------------------------------------------------------

    def _sleep(self, operation: Sleep) -> Steps:
        passed_ns = self.machine.now_ns - self.start_ns if operation.since_start else 0
        if passed_ns and passed_ns >= operation.ns:
            return
        self.record.state, self.doing = TASK_SLEEPING, PART_SLEEP
        self.leave_cpu()
        yield from self.until_signal(self.machine.timeout(operation.ns - passed_ns), PART_SLEEP)
        yield from self.get_cpu()

    def compute(self, time_ns: int) -> Steps:
        """Use the CPU, a time slice at a time."""
        while time_ns > 0:
            yield from self.give_way()
            if self.record.killed:
                return
            assert self.cpu is not None
            began_ns = self.machine.now_ns
            piece_ns = min(time_ns, self.cpu.record.slice_end_ns - began_ns)
            yield from self.until_signal(self.machine.timeout(piece_ns), PART_COMPUTE)
            time_ns -= self.machine.now_ns - began_ns
            if self.record.pending:
                yield from deliver(self)
            if self.record.killed:
                return

    def refill(self) -> bool:
        """Fill the access buffer from the current source; False when it has no more."""
        if self.machine.access_watch is not None:
            self.machine.access_watch.note(self, 0)
        if self.segments is not None and self.segments.fault is not None:
            return False
        n = self.source.fill(self.accesses)
        if self.segments is not None:
            n = self.segments.pass_on(self.accesses, n)
        self.record.access_next = 0
        self.record.access_end = n
        if n:
            _begin_accesses(self.kernel, self.cpu.number)  # type: ignore[union-attr]
        return bool(n)

    def touch(self, operation: Touch) -> Steps:
        """Run accesses on the hardware until the source is empty, serving what stops them."""
        self.source = operation.source
        assert self.cpu is not None
        self.cpu.record.clock_ns = self.machine.now_ns
        if not self.refill():
            yield from self._end_of_accesses()
            return
        while not self.record.killed:
            stop = yield self._on_hardware()
            self.charged_ns = self.machine.now_ns
            if stop == STOP_FAULT:
                yield from finish_fault(self)
            elif stop == STOP_SLICE:
                yield from self.give_way()
            elif stop == STOP_BUFFER:
                yield from self._end_of_accesses()
                return
            if self.record.pending:
                yield from deliver(self)

    def _end_of_accesses(self) -> Steps:
        """The source is empty, or a segment forbids its next access."""
        if self.segments is not None:
            segment_stage.general_protection(self, self.segments)
            if self.record.pending:
                yield from deliver(self)

    def _access(self, operation: Touch) -> Steps:
        """A single access that is known to the byte: by the program, or by the kernel on its behalf."""
        record = self.record
        record.access_address = operation.address
        record.esp = operation.esp or 0
        record.kernel_mode = int(operation.in_kernel)
        yield from self.touch(operation)
        record.kernel_mode = 0
        if not record.killed:  # else its core file tells
            record.access_address = record.esp = 0

    def _on_hardware(self) -> Signal:
        """Let the CPU run this task's accesses; the signal is the trap that stops them."""
        cpu, now_ns = self.cpu, self.machine.now_ns
        assert cpu is not None
        # The clock may be ahead of now: by the first access's computing, or by what a fault cost.
        if cpu.record.clock_ns < now_ns:
            cpu.record.clock_ns = now_ns
        self.machine.enter_hardware(cpu)
        return self.trap.armed()
