"""The twin's fork, vfork and clone; exec; exit and wait."""

from __future__ import annotations

from errno import EAGAIN, ECHILD, ENOMEM
from typing import TYPE_CHECKING, Any

import simpy

from numa_sim.compiled import entry
from numa_sim.kernel.exec import execed, put_dirty_page
from numa_sim.kernel.fork import copy_areas, dup_mmap, forked, share_mm
from numa_sim.kernel.mmap import mm_alloc, mmput, setup_arg_pages
from numa_sim.kernel.tlb import switch_mm
from numa_sim.state.answers import ALLOC_RECLAIM, CLONE_VFORK, CLONE_VM, FORK_DONE, FORK_RECLAIM
from numa_sim.state.constants import TASK_DEAD, TASK_SLEEPING, TASK_ZOMBIE
from numa_sim.state.counters import PART_SLEEP, PART_SYSCALL
from numa_sim.state.event_codes import EV_WAIT
from numa_sim.workloads.children import Ended, Exec, Fork, Wait

if TYPE_CHECKING:
    from twin.task import Task

PAGE_BYTES = 4096

_copy_areas = entry(copy_areas)
_put_dirty_page = entry(put_dirty_page)
_switch_mm = entry(switch_mm)


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
    if op.flags & CLONE_VM:
        share_mm(k, task.index, row)
        machine.semaphores.shared(task.record.mm)
    elif not (yield from machine.semaphores.held(task, copy_mm(task, row), alone=True)):
        return OSError(ENOMEM, "")
    forked(k, task.index, row)
    machine.attend()
    yield from work_off(task)
    child = machine.add_child(task, row, op)
    if op.flags & CLONE_VFORK:
        child.mm_released = simpy.Event(machine)
        yield from task.sleep(child.mm_released, PART_SLEEP, 0, PART_SLEEP)
    return child.record.pid


def copy_mm(task: Task, row: int) -> Any:
    """Areas, then page tables, with reclaim in between; False and nothing left if there is no memory."""
    k, going_on = task.k, dup_mmap(task.k, task.index, row)
    while going_on:
        status = _copy_areas(k, task.index)
        if status == FORK_DONE:
            if int(task.record.mm) in task.machine.semaphores.of:  # which is held for as long as the copy takes
                task.machine.attend()
                yield from work_off(task)
                task.enter()
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


def exec_(task: Task, op: Exec) -> Any:
    """Another program in an address space of its own, its arguments on the stack; without memory for them: death.

    (The twin has no files, so a program has no image.)
    """
    machine, k, t = task.machine, task.k, task.index
    pages = -(-op.argument_bytes // PAGE_BYTES)
    task.record.cost_ns = machine.costs.syscall_ns
    leave_mm(task)
    mm = mm_alloc(k, t)
    setup_arg_pages(k, t, max(2, pages))
    if _switch_mm(k, task.cpu.number, mm):
        task.record.cost_ns += machine.costs.tlb_flush_ns
    task.handle.regions = {}
    execed(k, t)
    for page in range(1, pages + 1):
        if not (yield from put_argument(task, machine.vm.task_size_vpn - page)):
            break
    machine.attend()
    yield from work_off(task)


def put_argument(task: Task, vpn: int) -> Any:
    """A page of arguments, with reclaim before it if need be; whether the task still lives."""
    while (answer := _put_dirty_page(task.k, task.index, vpn)) != 0:
        task.machine.attend()
        yield from work_off(task)
        if answer == ALLOC_RECLAIM:
            yield from task.finish_allocation()
        else:
            task.kill()
        if task.record.killed:
            return False
        task.enter()
        task.record.cost_ns = 0
    return True


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


def leave_mm(task: Task) -> None:
    """Out of the address space, of which perhaps nothing is left; a parent in vfork goes on."""
    mm = int(task.record.mm)
    mmput(task.k, task.index)
    task.machine.semaphores.left(mm)
    if task.mm_released is not None:
        task.mm_released.succeed()
        task.mm_released = None


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
