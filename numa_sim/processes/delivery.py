"""Signals on their way: sent now, delivered when the task returns to user mode (`numa_sim.kernel.signal`).

A task returns to user mode after a fault, after a system call, and when an interrupt took it off its CPU; who sleeps
interruptibly or executes is interrupted for it.  Every such place looks at ``task.pending`` and calls `deliver`.
"""

from __future__ import annotations

from errno import ESRCH
from os import strerror
from typing import TYPE_CHECKING

from numa_sim.errors import SimulationError
from numa_sim.kernel.coredump import elf_core_dump, refuses
from numa_sim.kernel.resource import setrlimit
from numa_sim.kernel.signal import (
    Action,
    Disposition,
    block,
    do_signal,
    force_sig,
    may_signal,
    send_sig,
    sigaction,
    unblock,
)
from numa_sim.state.constants import SI_USER, SIGBUS, SIGKILL, SIGNALS, SIGSEGV, TASK_DEAD
from numa_sim.state.counters import (
    PART_COMPUTE,
    PART_DIRECT_RECLAIM,
    PART_FILE_SYSCALL,
    PART_LOCAL,
    PART_MAJOR_FAULT,
    PART_MINOR_FAULT,
    PART_QUEUEING,
    PART_REMOTE,
    PART_SYSCALL,
    PART_TLB_WALK,
)
from numa_sim.workloads.signals import Kill, Prctl, Setrlimit, SignalAction

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

SIGNAL_OPERATIONS = (Kill, Prctl, Setrlimit, SignalAction)
CORE_DUMPED = 0x80
"""Bit of the exit code that wait(2) gives: there is a core file."""
_USER_PARTS = (PART_COMPUTE, PART_LOCAL, PART_REMOTE, PART_QUEUEING, PART_TLB_WALK)
_SYSTEM_PARTS = (PART_MINOR_FAULT, PART_MAJOR_FAULT, PART_DIRECT_RECLAIM, PART_SYSCALL, PART_FILE_SYSCALL)
_OUTCOMES = {SIGSEGV: "segmentation fault", SIGBUS: "bus error"}


def post(task: TaskProcess, signal: int, code: int = SI_USER, address: int = 0) -> None:
    """Send `signal` to `task`, and wake it if it can be woken."""
    if send_sig(task.kernel, task.index, signal, code, address):
        task.signal_wake_up()


def post_fault(task: TaskProcess, signal: int, code: int, address: int) -> None:
    """Send the task that is running the signal for what its own access did."""
    force_sig(task.kernel, task.index, signal, code, address)


def deliver(task: TaskProcess) -> Steps:
    """Take care of every pending signal: ignore it, run its handler, or let the task die."""
    while task.record.pending & ~task.record.blocked:
        task.enter_kernel()
        signal, action = do_signal(task.kernel, task.index)
        if action == Action.HANDLE:
            yield from _handle(task, signal)
        elif action != Action.NOTHING:
            if action == Action.CORE:
                yield from _dump_core(task, signal)
            _die(task, signal)
            return
        if task.record.killed:
            return


def _handle(task: TaskProcess, signal: int) -> Steps:
    """Run a handler to its end, with its signal blocked; its frame and the return from it cost a system call."""
    block(task.kernel, task.index, signal)
    yield from task.spend(task.machine.costs.syscall_ns, PART_SYSCALL)
    yield from task.run_aside(task.handlers[signal])
    unblock(task.kernel, task.index, signal)


def _die(task: TaskProcess, signal: int) -> None:
    """The default action: the task ends at once; reports say of what."""
    page = f"page {int(task.record.si_addr) >> 12:#x}"
    if signal == SIGSEGV:
        task.machine.warn(f"task {task.name}: segmentation fault at {page}, killed (SIGSEGV)")
    elif signal == SIGBUS:
        task.machine.warn(f"task {task.name}: {page} lies beyond the end of its file, killed (SIGBUS)")
    elif signal != SIGKILL:
        task.machine.warn(f"task {task.name}: killed ({SIGNALS[signal]})")
    task.outcome = task.outcome or _OUTCOMES.get(signal, f"killed by {SIGNALS[signal]}")


def _dump_core(task: TaskProcess, signal: int) -> Steps:
    """do_coredump: if the task may leave a core file, take down what is in it, at the cost of copying it."""
    k, t, record = task.kernel, task.index, task.record
    refused = refuses(k, t)
    if refused is not None:
        if record.rlim_core:
            task.machine.warn(f"task {task.name}: no core file: {refused}")
        return
    parts = k.time_parts[t]
    record.cost_ns = 0
    times_ns = (int(parts[list(_USER_PARTS)].sum()), int(parts[list(_SYSTEM_PARTS)].sum()))
    task.machine.cores.append(elf_core_dump(k, t, task.name, signal, task.eip, times_ns))
    record.exit_code |= CORE_DUMPED
    yield from task.spend(record.cost_ns, PART_SYSCALL)


def signal_call(task: TaskProcess, operation: Kill | Prctl | Setrlimit | SignalAction) -> Steps:
    """Carry out signal(2), kill(2), prctl(2) or setrlimit(2): None, or the `OSError` the program gets."""
    task.enter_kernel()
    yield from task.spend(task.machine.costs.syscall_ns, PART_SYSCALL)
    task.enter_kernel()
    k, t = task.kernel, task.index
    if isinstance(operation, Kill):
        error = _kill(task, operation)
    elif isinstance(operation, Setrlimit):
        error = setrlimit(k, t, operation.resource, operation.limit)
    elif isinstance(operation, Prctl):
        k.mms[task.record.mm].dumpable = operation.dumpable
        error = 0
    elif callable(operation.action):
        error = sigaction(k, t, operation.signal, Disposition.CATCH)
        task.handlers[operation.signal] = operation.action
    else:
        error = sigaction(k, t, operation.signal, Disposition[operation.action.upper()])
    return OSError(error, strerror(error)) if error else None


def _kill(task: TaskProcess, operation: Kill) -> int:
    """sys_kill: 0, ESRCH or EPERM."""
    for other in task.machine.tasks:
        if operation.to in (other.record.pid, other.name):
            break
    else:
        if isinstance(operation.to, str):
            names = ", ".join(sorted(other.name for other in task.machine.tasks)[:20])
            raise SimulationError(f"task {task.name}: kill: no task {operation.to!r}; tasks are: {names}")
        return ESRCH
    if other.record.state == TASK_DEAD:
        return ESRCH
    refused = may_signal(task.kernel, task.index, other.index)
    if not refused:
        post(other, operation.signal)
    return refused
