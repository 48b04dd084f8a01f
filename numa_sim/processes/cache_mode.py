"""The cache mode of a region, on the time of the task that sets it."""

from __future__ import annotations

from errno import EINVAL
from os import strerror
from typing import TYPE_CHECKING

from numa_sim.kernel.cache_mode import set_cache_mode
from numa_sim.state.counters import PART_SYSCALL
from numa_sim.workloads.cache_mode import CacheMode

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess


def cache_call(task: TaskProcess, operation: CacheMode) -> Steps:
    """Carry out the operation: None, or the `OSError` the program gets."""
    region = operation.region
    task.enter_kernel()
    task.record.cost_ns = task.machine.costs.syscall_ns
    changed = set_cache_mode(task.kernel, task.index, region.start_vpn, region.pages, operation.mode)
    cost_ns, task.record.cost_ns = int(task.record.cost_ns), 0
    yield from task.spend(cost_ns, PART_SYSCALL)
    return None if changed else OSError(EINVAL, strerror(EINVAL))
