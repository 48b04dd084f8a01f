"""fork, exec, exit and wait, on the time of the task that calls them: kernel/fork.c, kernel/exit.c, fs/exec.c @2.4.

The rules copy (`numa_sim.kernel.fork`) and map (`numa_sim.kernel.exec`); here is what sleeps: a parent that waits for a
child, or for memory for its child's page tables.

Simplified: a thread has its own table of open files; a child that nobody waits for any more is reaped at once (init
does nothing else).
"""

from __future__ import annotations

from errno import E2BIG, EAGAIN, ECHILD, ENOMEM
from os import strerror
from typing import TYPE_CHECKING, Any

from numa_sim.compiled import entry
from numa_sim.kernel.desc import gdt_room
from numa_sim.kernel.exec import MAX_ARG_PAGES, execed, map_image, put_dirty_page
from numa_sim.kernel.file_table import get_file
from numa_sim.kernel.fork import copy_areas, dup_mmap, forked, share_mm
from numa_sim.kernel.mmap import STACK_PAGES, mm_alloc, mmput, setup_arg_pages
from numa_sim.kernel.signal import Disposition, sigaction
from numa_sim.kernel.tlb import switch_mm
from numa_sim.processes.delivery import deliver, post
from numa_sim.processes.mmap_sem import holding_mmap_sem
from numa_sim.state.answers import ALLOC_RECLAIM, CLONE_VFORK, CLONE_VM, FORK_DONE, FORK_RECLAIM
from numa_sim.state.constants import PAGE_SIZE, SIGCHLD, TASK_DEAD, TASK_SLEEPING, TASK_ZOMBIE
from numa_sim.state.counters import PART_SLEEP, PART_SYSCALL
from numa_sim.state.event_codes import EV_WAIT
from numa_sim.state.events import log_event
from numa_sim.workloads.children import Ended, Exec, Fork, Image, Wait
from numa_sim.workloads.program import Region

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_copy_areas = entry(copy_areas)
_put_dirty_page = entry(put_dirty_page)
_switch_mm = entry(switch_mm)
_log_event = entry(log_event)

OPERATIONS = (Fork, Exec, Wait)
"""What `child_call` carries out."""
INHERITED = (
    "nice", "root", "rawio", "blocked", "sig_ignored", "sig_caught",
    "rlim_stack", "rlim_data", "rlim_as", "rlim_memlock", "rlim_core", "mempolicy", "il_next",
)  # fmt: skip
"""Fields of task_struct that a child takes over."""


def child_call(task: TaskProcess, operation: Any) -> Steps:
    """Carry out one operation; its answer, or the `OSError` the program gets."""
    if isinstance(operation, Fork):
        return (yield from _fork(task, operation))
    if isinstance(operation, Exec):
        return (yield from _exec(task, operation))
    return (yield from _wait(task, operation))


def _error(number: int) -> OSError:
    return OSError(number, strerror(number))


def _enter(task: TaskProcess) -> None:
    task.enter_kernel()
    task.record.cost_ns = task.machine.costs.syscall_ns


def _spend(task: TaskProcess) -> Steps:
    """Work for what the rules have cost."""
    cost_ns, task.record.cost_ns = int(task.record.cost_ns), 0
    yield from task.spend(cost_ns, PART_SYSCALL)


# fork ----------------------------------------------------------------------------------------------------------------


def _fork(task: TaskProcess, operation: Fork) -> Steps:
    """do_fork: the child's pid, EAGAIN or ENOMEM."""
    machine, k = task.machine, task.kernel
    _enter(task)
    if not gdt_room(int(machine.vm.profile), machine.living, len(machine.cpus)):
        machine.warn(f"task {task.name}: fork failed (EAGAIN): no room for a TSS and an LDT in the GDT")
        yield from _spend(task)
        return _error(EAGAIN)
    row = machine.rows.reserve()
    if row is None:
        if machine.rows.refused == 1:
            machine.warn(f"task {task.name}: fork failed (EAGAIN): {machine.rows.bound}")
        yield from _spend(task)
        return _error(EAGAIN)
    if operation.flags & CLONE_VM:
        share_mm(k, task.index, row)
        machine.mmap_sems.shared(task.record.mm)
    elif not (yield from holding_mmap_sem(task, _copy_mm(task, row))):
        machine.warn(f"task {task.name}: fork failed (ENOMEM)")
        return _error(ENOMEM)
    forked(k, task.index, row)
    machine.attend()
    yield from _spend(task)
    child = _add_child(task, row, operation)
    if operation.flags & CLONE_VFORK:
        child.mm_released = machine.event()
        yield from task.sleep_until(child.mm_released, PART_SLEEP)
    return child.record.pid


def _copy_mm(task: TaskProcess, row: int) -> Steps:
    """Copy areas and page tables for the child in `row`, reclaiming as need be; False: nothing is left of it."""
    machine, k, record = task.machine, task.kernel, task.record
    copied = dup_mmap(k, task.index, row)
    while copied:
        status = _copy_areas(k, task.index)
        if status == FORK_DONE:
            if machine.mmap_sems.of(task) is not None:
                # Other threads must see the time pass before mmap_sem is free again.
                machine.attend()
                yield from _spend(task)
                task.enter_kernel()
            return True
        machine.attend()
        yield from _spend(task)
        if status == FORK_RECLAIM:
            yield from machine.generation.finish_allocation(task)
        copied = status == FORK_RECLAIM and not record.killed
        task.enter_kernel()
        record.cost_ns = 0
    mmput(k, row)
    record.cost_ns += k.tasks[row].cost_ns
    k.tasks[row].cost_ns = 0
    machine.rows.give_back(row)
    machine.attend()
    yield from _spend(task)
    return False


def _add_child(parent: TaskProcess, row: int, operation: Fork) -> TaskProcess:
    """Add the child of a fork: a task like its parent in everything but its name, pid and program."""
    machine = parent.machine
    parent.forks += 1
    record = machine.kernel.tasks[row]
    for field in INHERITED:
        record[field] = getattr(parent.record, field)
    record.parent = parent.index
    name = f"{parent.name}/{operation.name}-{parent.forks}"
    cpus = parent.allowed if operation.cpus is None else machine.existing_cpus(operation.cpus)
    child = machine.enter_task(row, name, operation.program, cpus, machine.now_ns, "child")
    child.parent = parent
    parent.children.append(child)
    _inherit(parent, child)
    return child


def _inherit(parent: TaskProcess, child: TaskProcess) -> None:
    """The child has the same files open, with one position for both, and the same signal handlers."""
    child.handlers = dict(parent.handlers)
    child.open_files = list(parent.open_files)
    child.segments = parent.segments.copy() if parent.segments is not None else None
    for number in child.open_files:
        get_file(parent.kernel, number)


# exec ----------------------------------------------------------------------------------------------------------------


def _exec(task: TaskProcess, operation: Exec) -> Steps:
    """do_execve: None, or the error with the old program still in place (E2BIG)."""
    machine, k, t = task.machine, task.kernel, task.index
    _enter(task)
    argument_pages = -(-operation.argument_bytes // PAGE_SIZE)
    if argument_pages > MAX_ARG_PAGES:
        yield from _spend(task)
        return _error(E2BIG)
    assert task.cpu is not None
    leave_mm(task)
    mm = mm_alloc(k, t)
    setup_arg_pages(k, t, max(STACK_PAGES, argument_pages))
    if _switch_mm(k, task.cpu.number, mm):
        task.record.cost_ns += machine.costs.tlb_flush_ns
    for signal in task.handlers:
        sigaction(k, t, signal, Disposition.DEFAULT)
    task.handlers.clear()
    if task.segments is not None:
        task.segments.release()
    task.handle.regions = {} if operation.image is None else _map(task, operation.image)
    execed(k, t)
    top = int(k.vm[0].task_size_vpn)
    for page in range(argument_pages):
        if not (yield from _put_argument(task, top - 1 - page)):
            break
    machine.attend()
    yield from _spend(task)
    return None


def _map(task: TaskProcess, image: Image) -> dict[str, Region]:
    """Map the program; its regions by name."""
    sizes = (image.text_bytes, image.data_bytes, image.bss_bytes)
    starts = map_image(task.kernel, task.index, image.file.number, *sizes)
    return {
        name: Region(start, -(-size // PAGE_SIZE), name, None if name == "bss" else image.file)
        for name, start, size in zip(("text", "data", "bss"), starts, sizes, strict=True)
        if size
    }


def _put_argument(task: TaskProcess, vpn: int) -> Steps:
    """Copy a page of arguments to the stack, reclaiming as need be; without memory the task is killed."""
    while True:
        answer = _put_dirty_page(task.kernel, task.index, vpn)
        if answer == 0:
            return True
        task.machine.attend()
        yield from _spend(task)
        if answer != ALLOC_RECLAIM:
            task.kill("out of memory")
        else:
            yield from task.machine.generation.finish_allocation(task)
        if task.record.killed:
            return False
        task.enter_kernel()
        task.record.cost_ns = 0


# exit and wait -------------------------------------------------------------------------------------------------------


def leave_mm(task: TaskProcess) -> None:
    """Drop the task's address space (mm_release, mmput); a parent that sleeps in vfork goes on."""
    mm = task.record.mm
    mmput(task.kernel, task.index)
    task.machine.mmap_sems.left(mm)
    if task.mm_released is not None:
        task.mm_released.succeed()
        task.mm_released = None


def exit_notify(task: TaskProcess) -> None:
    """The task is dead: its children are init's now, its parent may wait for it; init does so at once."""
    for child in task.children:
        child.parent, child.record.parent = None, 0
        if child.record.state == TASK_ZOMBIE:
            child.record.state = TASK_DEAD
    task.children.clear()
    if task.parent is None:
        task.record.state = TASK_DEAD
        return
    task.record.state = TASK_ZOMBIE
    post(task.parent, SIGCHLD)
    if task.parent.child_ended is not None:
        task.parent.child_ended.succeed()
        task.parent.child_ended = None


def _wait(task: TaskProcess, operation: Wait) -> Steps:
    """sys_wait4: the youngest child that has ended, or ECHILD."""
    _enter(task)
    yield from _spend(task)
    while True:
        wanted = [child for child in reversed(task.children) if operation.pid in (None, child.record.pid)]
        if not wanted:
            return _error(ECHILD)
        for child in wanted:
            if child.record.state == TASK_ZOMBIE:
                return _reap(task, child)
        if task.record.killed:
            return None
        task.child_ended = task.machine.event()
        task.record.state, task.doing = TASK_SLEEPING, PART_SLEEP
        task.leave_cpu()
        yield from task.until_signal(task.child_ended, PART_SLEEP)
        task.child_ended = None
        yield from task.get_cpu()
        yield from deliver(task)
        if task.record.killed:
            return None
        # ... and wait again: ERESTARTSYS


def _reap(task: TaskProcess, child: TaskProcess) -> Ended:
    """release_task: nothing but its numbers is left of the child."""
    task.enter_kernel()
    task.children.remove(child)
    child.record.state = TASK_DEAD
    code = int(child.record.exit_code)
    _log_event(task.kernel, EV_WAIT, child.record.pid, code)
    return Ended(child.record.pid, code >> 8, code & 0x7F)
