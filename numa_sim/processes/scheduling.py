"""sched_yield and nice, on the time of the task that calls them; kernel/sched.c @2.4."""

from __future__ import annotations

from errno import EPERM
from os import strerror
from typing import TYPE_CHECKING, Final

from numa_sim.processes.run_queue import slice_ns
from numa_sim.state.counters import PART_SYSCALL
from numa_sim.workloads.scheduling import Nice, SchedYield

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

SCHEDULING_OPERATIONS: Final = (Nice, SchedYield)
MIN_NICE: Final = -20
MAX_NICE: Final = 19


def scheduling_call(task: TaskProcess, operation: Nice | SchedYield) -> Steps:
    """Carry out one call: the new nice value, None for sched_yield, or the `OSError` the program gets."""
    task.enter_kernel()
    yield from task.spend(task.machine.costs.syscall_ns, PART_SYSCALL)
    if isinstance(operation, Nice):
        return _nice(task, operation.by)
    yield from task.sched_yield()
    return None


def _nice(task: TaskProcess, by: int) -> int | OSError:
    """sys_nice: it tells from the task's next turn on."""
    if by < 0 and not task.record.root:
        return OSError(EPERM, strerror(EPERM))
    nice = min(max(int(task.record.nice) + by, MIN_NICE), MAX_NICE)
    task.record.nice = nice
    task.slice_ns = slice_ns(nice, task.machine.time_slice_ns)
    return nice
