"""System calls on files, on the time of the task that makes them.

The rules are restartable (`numa_sim.kernel.file_operations`): they do what does not sleep, and say what to wait for.
CPU work is charged to *file_syscall*, waiting for a disk to *file_wait*.
"""

from __future__ import annotations

from errno import EBADF, EFAULT, EINVAL
from os import strerror
from typing import TYPE_CHECKING, Any

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.file_operations import (
    file_fsync_begin,
    file_read_begin,
    file_run,
    file_truncate_begin,
    file_write_begin,
)
from numa_sim.kernel.file_table import fput, open_file
from numa_sim.kernel.mmap import madvise
from numa_sim.kernel.msync import filemap_sync
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.processes.user_copy import copy_user
from numa_sim.state.answers import FILE_FAILED, FILE_RECLAIM, FILE_WAIT, FILE_YIELD
from numa_sim.state.constants import FMODE_READ, FMODE_WRITE, NIL
from numa_sim.state.counters import PART_FILE_SYSCALL, PART_FILE_WAIT
from numa_sim.workloads.files import Close, Fsync, Madvise, Msync, Open, OpenFile, Transfer, Truncate

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_read_begin = entry(file_read_begin)
_write_begin = entry(file_write_begin)
_fsync_begin = entry(file_fsync_begin)
_truncate_begin = entry(file_truncate_begin)
_file_run = entry(file_run)
_filemap_sync = entry(filemap_sync)
_find_vma = entry(find_vma)
_fput = entry(fput)

OPERATIONS = (Open, Transfer, Fsync, Msync, Truncate, Close, Madvise)
"""What `file_call` carries out."""


def file_call(task: TaskProcess, operation: Any) -> Steps:
    """Carry out one operation; its answer, or the `OSError` the program gets."""
    if isinstance(operation, Transfer):
        return (yield from _transfer(task, operation))
    k, t, record = task.kernel, task.index, task.record
    _enter(task)
    if isinstance(operation, Open):
        opened = _open(task, operation)
        yield from _spend(task, record.cost_ns)
        return opened
    if isinstance(operation, Fsync):
        _fsync_begin(k, t, operation.file.number)
        return (yield from _run(task))
    if isinstance(operation, Truncate):
        if not _allows(task, operation.file, FMODE_WRITE):
            yield from _spend(task, record.cost_ns)
            return OSError(EINVAL, strerror(EINVAL))
        _truncate_begin(k, t, operation.file.number, operation.size_bytes)
        return (yield from _run(task))
    if isinstance(operation, Msync):
        return (yield from _msync(task, operation))
    if isinstance(operation, Close):
        _close(task, operation.file)
    else:
        first = operation.region.start_vpn + operation.offset_pages
        madvise(k, t, first, operation.length_pages, operation.hint)
    yield from _spend(task, record.cost_ns)
    return None


def close_all(task: TaskProcess) -> None:
    """Close what an exiting task has left open."""
    for number in task.open_files:
        _fput(task.kernel, number)
    task.open_files.clear()


def _enter(task: TaskProcess) -> None:
    task.enter_kernel()
    task.record.cost_ns = task.machine.costs.syscall_ns


def _open(task: TaskProcess, operation: Open) -> OpenFile:
    name = operation.name
    mapping = task.machine.file_mappings.get(name)
    if mapping is None:
        known = ", ".join(task.machine.file_mappings) or "none"
        raise SimulationError(f"task {task.name}: open of {name!r} failed (ENOENT); files are: {known}")
    number = open_file(task.kernel, mapping, operation.mode)
    task.open_files.append(number)
    return OpenFile(number, name, int(task.kernel.mappings[mapping].i_size))


def _allows(task: TaskProcess, file: OpenFile, mode: int) -> bool:
    """Whether a file is open for what `mode` says (f_mode); of one that is not open others complain."""
    return file.number not in task.open_files or bool(int(task.kernel.files[file.number].f_mode) & mode)


def _close(task: TaskProcess, file: OpenFile) -> None:
    if file.number not in task.open_files:
        raise SimulationError(f"task {task.name}: close of {file.name!r} failed (EBADF): it is not open")
    task.open_files.remove(file.number)
    _fput(task.kernel, file.number)


def _transfer(task: TaskProcess, operation: Transfer) -> Steps:
    """One read or write, or one per record; EBADF if the file was not opened for that."""
    if not _allows(task, operation.file, FMODE_WRITE if operation.write else FMODE_READ):
        _enter(task)
        yield from _spend(task, task.record.cost_ns)
        return OSError(EBADF, strerror(EBADF))
    position = task.kernel.files[operation.file.number]
    if operation.records is None:
        offset = operation.offset_bytes
        done = yield from _transfer_at(task, operation, int(position.f_pos) if offset is None else offset)
        if offset is None and not isinstance(done, OSError):
            position.f_pos += done
        return done
    total = 0
    for offset in operation.records.offsets():
        done = yield from _transfer_at(task, operation, offset)
        if isinstance(done, OSError):
            return done
        total += done
        if task.record.killed:
            break
    return total


def _transfer_at(task: TaskProcess, operation: Transfer, offset: int) -> Steps:
    if operation.file.number not in task.open_files:
        raise SimulationError(f"task {task.name}: {operation.file.name!r} is not open (EBADF)")
    if operation.compute_ns:
        yield from task.compute(operation.compute_ns)
    else:
        yield from task.give_way()
    if task.record.killed:
        return 0
    size_bytes = operation.size_bytes
    if operation.buffer is not None:
        size_bytes = yield from copy_user(task, operation.buffer, size_bytes, write=not operation.write)
        if size_bytes == 0:
            return OSError(EFAULT, strerror(EFAULT))
    _enter(task)
    begin = _write_begin if operation.write else _read_begin
    begin.call(task.kernel, task.index, operation.file.number, offset, size_bytes)
    failed = yield from _run(task)
    done = int(task.record.file_done)
    return failed if failed is not None and done == 0 else done


def _msync(task: TaskProcess, operation: Msync) -> Steps:
    """MS_SYNC: the dirty bits of the PTEs go to the pages, then the file is synced."""
    k, record = task.kernel, task.record
    first = operation.region.start_vpn + operation.offset_pages
    _filemap_sync(k, int(record.mm), first, first + operation.length_pages)
    vma = _find_vma(k, int(record.mm), first)
    number = 0 if vma == NIL or k.vmas[vma].vm_start > first else int(k.vmas[vma].vm_file)
    if number == 0:
        yield from _spend(task, record.cost_ns)
        return None
    _fsync_begin(k, task.index, number)
    return (yield from _run(task))


def _run(task: TaskProcess) -> Steps:
    """Go on with what was begun until it is done; the `OSError` if it failed."""
    k, machine, record, t = task.kernel, task.machine, task.record, task.index
    while True:
        status = _file_run.call(k, t)
        machine.attend()
        cost_ns = record.cost_ns
        if status == FILE_WAIT:
            yield from task.wait_on_page(record.wait_pfn, PART_FILE_WAIT, cost_ns, PART_FILE_SYSCALL)
        else:
            yield from _spend(task, cost_ns)
            yield from _wait_for_room(task)
        if status == FILE_RECLAIM:
            yield from machine.generation.finish_allocation(task)
        elif status == FILE_YIELD:
            yield from task.give_way()
        elif status != FILE_WAIT:
            break
        if record.killed:
            return None
        task.enter_kernel()
        record.cost_ns = 0
    if status == FILE_FAILED:
        error = int(record.file_error)
        return OSError(error, strerror(error))
    return None


def _spend(task: TaskProcess, cost_ns: int) -> Steps:
    """Work for `cost_ns`; without an event where nothing can happen meanwhile."""
    if task.machine.let_pass(cost_ns):
        task.charge_spent(PART_FILE_SYSCALL)
    else:
        yield from task.spend(cost_ns, PART_FILE_SYSCALL)


def _wait_for_room(task: TaskProcess) -> Steps:
    """__get_request_wait: sleep while a disk's queue is full."""
    room = task.machine.block.room(task.request_freed)
    if room is not None:
        yield from task.sleep_until(room, PART_FILE_WAIT)
