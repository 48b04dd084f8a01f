"""swapon and swapoff, on the time of the task that calls them.

swapoff is the long one: the task itself reads every page back, and competes for memory and disks with everybody else.
CPU work is charged to *syscall*, waiting for a page to *swap_wait*, reclaim to *direct_reclaim*.
"""

from __future__ import annotations

from errno import ENOMEM, EPERM
from os import strerror
from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.errors import SwapError
from numa_sim.kernel.swapfile import swapoff_begin, swapoff_end, swapoff_fail
from numa_sim.kernel.swapoff import try_to_unuse, unuse_begin
from numa_sim.kernel.swapon import adding_swap
from numa_sim.state.answers import SWAPOFF_DONE, SWAPOFF_NO_MEMORY, SWAPOFF_RECLAIM, SWAPOFF_WAIT
from numa_sim.state.counters import PART_SWAP_WAIT, PART_SYSCALL
from numa_sim.state.event_codes import EV_SWAPOFF, EV_SWAPON
from numa_sim.state.events import log_event
from numa_sim.workloads.swap import Swapoff, Swapon

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_swapoff_begin = entry(swapoff_begin)
_swapoff_end = entry(swapoff_end)
_swapoff_fail = entry(swapoff_fail)
_unuse_begin = entry(unuse_begin)
_try_to_unuse = entry(try_to_unuse)
_log_event = entry(log_event)


def swap_call(task: TaskProcess, operation: Swapon | Swapoff) -> Steps:
    """Carry out one call: the area's index for swapon, None for swapoff, or the `OSError` the program gets."""
    machine = task.machine
    what = "swapon" if isinstance(operation, Swapon) else "swapoff"
    machine.swap.check(operation.area, f"{task.name}: {what}.area")
    task.enter_kernel()
    task.record.cost_ns = machine.costs.syscall_ns
    try:
        answer: int | OSError | None = None
        if isinstance(operation, Swapon):
            answer = type_ = machine.swap.on(operation.area, operation.priority, bool(task.record.root))
            machine.warn(f"{adding_swap(task.kernel, type_)}, {operation.area}")
            _log_event(task.kernel, EV_SWAPON, type_, int(task.kernel.swap_info[type_].pages))
        else:
            yield from _swapoff(task, operation.area)
    except SwapError as refused:
        machine.warn(f"task {task.name}: {refused}")
        answer = OSError(refused.code, strerror(refused.code))
    yield from task.spend(task.record.cost_ns, PART_SYSCALL)
    task.record.cost_ns = 0
    return answer


def _swapoff(task: TaskProcess, name: str) -> Steps:
    """sys_swapoff: unlink, empty, and let go, or put back."""
    k, areas = task.kernel, task.machine.swap
    if not task.record.root:
        raise SwapError(EPERM, "swapoff: needs root (CAP_SYS_ADMIN)")
    type_ = areas.type_of(name)
    _swapoff_begin(k, type_)
    _unuse_begin(k, task.index, type_)
    emptied = yield from _empty(task)
    task.enter_kernel()
    _log_event(k, EV_SWAPOFF, type_, int(emptied))
    if emptied:
        _swapoff_end(k, type_)
        areas.is_gone(name)
        return
    _swapoff_fail(k, type_)
    if task.record.killed:
        return
    raise SwapError(ENOMEM, f"swapoff: the pages of {name!r} do not fit into memory; it stays on")


def _empty(task: TaskProcess) -> Steps:
    """try_to_unuse until it ends; whether every slot is free.  A task that is killed gives up."""
    k, machine, record = task.kernel, task.machine, task.record
    while True:
        status = _try_to_unuse.call(k, task.index)
        machine.attend()
        cost_ns, record.cost_ns = int(record.cost_ns), 0
        if status == SWAPOFF_WAIT:
            yield from task.wait_on_page(record.wait_pfn, PART_SWAP_WAIT, cost_ns, PART_SYSCALL)
        else:
            yield from task.spend(cost_ns, PART_SYSCALL)
            if status == SWAPOFF_DONE or status == SWAPOFF_NO_MEMORY:
                return status == SWAPOFF_DONE
            if status == SWAPOFF_RECLAIM:
                yield from machine.generation.finish_allocation(task)
            else:
                yield from task.give_way()
        if record.killed:
            return False
        task.enter_kernel()
        record.cost_ns = 0
