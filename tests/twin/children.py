"""The twin's fork and wait."""

from __future__ import annotations

from errno import EAGAIN, ECHILD, ENOMEM
from typing import TYPE_CHECKING, Any

import simpy

from numa_sim.compiled import entry
from numa_sim.kernel.fork import copy_areas, dup_mmap, forked
from numa_sim.kernel.mmap import mmput
from numa_sim.state.constants import (
    EV_WAIT,
    FORK_DONE,
    FORK_RECLAIM,
    PART_SLEEP,
    PART_SYSCALL,
    TASK_DEAD,
    TASK_SLEEPING,
    TASK_ZOMBIE,
)
from numa_sim.workloads.children import Ended, Fork, Wait

if TYPE_CHECKING:
    from twin.task import Task

_copy_areas = entry(copy_areas)


def work_off(task: Task) -> Any:
    cost_ns, task.record.cost_ns = task.record.cost_ns, 0
    yield from task.work(cost_ns, PART_SYSCALL)


def fork(task: Task, op: Fork) -> Any:
    """The child's pid, or the error."""
    machine, k = task.machine, task.k
    task.record.cost_ns = machine.costs.syscall_ns
    row = machine.reserve_row()
    if row is None:
        yield from work_off(task)
        return OSError(EAGAIN, "")
    if not (yield from copy_mm(task, row)):
        return OSError(ENOMEM, "")
    forked(k, task.index, row)
    machine.attend()
    yield from work_off(task)
    child = machine.add_child(task, row, op)
    return child.record.pid


def copy_mm(task: Task, row: int) -> Any:
    """Areas, then page tables, with reclaim in between; False and nothing left if there is no memory."""
    k, going_on = task.k, dup_mmap(task.k, task.index, row)
    while going_on:
        status = _copy_areas(k, task.index)
        if status == FORK_DONE:
            return True
        task.machine.attend()
        yield from work_off(task)
        if status == FORK_RECLAIM:
            yield from task.finish_allocation()
        going_on = status == FORK_RECLAIM and not task.record.killed
        task.enter()
        task.record.cost_ns = 0
    mmput(k, row)
    task.record.cost_ns += k.tasks[row].cost_ns
    k.tasks[row].cost_ns = 0
    task.machine.rows_given_back.append(row)
    task.machine.attend()
    yield from work_off(task)
    return False


def wait(task: Task, op: Wait) -> Any:
    """The youngest child that has ended, slept for if need be."""
    task.record.cost_ns = task.machine.costs.syscall_ns
    yield from work_off(task)
    while True:
        wanted = [child for child in task.children[::-1] if op.pid in (None, child.record.pid)]
        ended = next((child for child in wanted if child.record.state == TASK_ZOMBIE), None)
        if not wanted:
            return OSError(ECHILD, "")
        if ended is not None:
            task.children.remove(ended)
            ended.record.state = TASK_DEAD
            code = int(ended.record.exit_code)
            task.machine.log(task.index, task.cpu.number, EV_WAIT, ended.record.pid, code)
            return Ended(ended.record.pid, code >> 8, code & 0x7F)
        task.child_ended = simpy.Event(task.machine)
        task.record.state = TASK_SLEEPING
        task.cpu.release(0)
        yield from task.wait_or_die(task.child_ended, PART_SLEEP)
        task.child_ended = None
        yield from task.get_cpu()
        if task.record.killed:
            return None


def end(task: Task) -> None:
    """Children become nobody's, the parent hears of it."""
    for child in task.children:
        child.parent, child.record.parent = None, 0
        if child.record.state == TASK_ZOMBIE:
            child.record.state = TASK_DEAD
    task.children.clear()
    task.record.state = TASK_DEAD if task.parent is None else TASK_ZOMBIE
    if task.parent is not None and task.parent.child_ended is not None:
        task.parent.child_ended.succeed()
        task.parent.child_ended = None
