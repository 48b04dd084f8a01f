"""set_mempolicy and mbind, on the time of the task that calls them; mm/mempolicy.c @6.1."""

from __future__ import annotations

from os import strerror
from typing import TYPE_CHECKING, Final

from numa_sim.compiled import entry
from numa_sim.kernel.mbind import sys_mbind
from numa_sim.kernel.mempolicy import mpol_new, set_mempolicy
from numa_sim.processes.mmap_sem import holding_mmap_sem
from numa_sim.state.constants import MPOL_MODES, PAGE_SHIFT
from numa_sim.state.counters import PART_SYSCALL
from numa_sim.workloads.mempolicy import Mbind, SetMempolicy

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess
    from numa_sim.state.kernel import Kernel
    from numa_sim.workloads.mempolicy import MemPolicy

_sys_mbind = entry(sys_mbind)

POLICY_OPERATIONS: Final = (SetMempolicy, Mbind)
"""What `policy_call` carries out."""


def policy_call(task: TaskProcess, operation: SetMempolicy | Mbind) -> Steps:
    """Carry out one operation: None, or the `OSError` the program gets."""
    if isinstance(operation, Mbind):
        answer = yield from holding_mmap_sem(task, _call(task, operation))
    else:
        answer = yield from _call(task, operation)
    if answer >= 0:
        return None
    error = OSError(-answer, f"{type(operation).__name__.lower()} failed: {strerror(-answer)}")
    task.machine.warn(f"task {task.name}: {error.strerror}")
    return error


def _call(task: TaskProcess, operation: SetMempolicy | Mbind) -> Steps:
    task.enter_kernel()
    task.record.cost_ns = task.machine.costs.syscall_ns
    answer = ask(task.kernel, task.index, operation)
    task.machine.attend()
    yield from task.spend(task.record.cost_ns, PART_SYSCALL)
    return answer


def ask(k: Kernel, t: int, operation: SetMempolicy | Mbind) -> int:
    """Make the call for task `t`: 0, or an errno below 0."""
    policy = number_of(k, operation.policy)
    if policy < 0:
        return policy
    if isinstance(operation, Mbind):
        start = operation.region.start_vpn + operation.offset_pages
        return int(_sys_mbind(k, t, start << PAGE_SHIFT, operation.length_pages << PAGE_SHIFT, policy))
    set_mempolicy(k, t, policy)
    return 0


def number_of(k: Kernel, policy: MemPolicy) -> int:
    """The number of a policy, or an errno below 0."""
    return mpol_new(k, MPOL_MODES[policy.mode], policy.nodes, policy.weights)
