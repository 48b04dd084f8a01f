"""System calls on the address space, on the time of the task that makes them.

What the kernel refuses becomes an `OSError` in the program.  Only mlock and its like sleep: they bring pages into
memory, and wait for reads and reclaim as page faults do.
"""

from __future__ import annotations

from os import strerror
from typing import TYPE_CHECKING, Any

from numa_sim.compiled import entry
from numa_sim.kernel.brk import sys_brk
from numa_sim.kernel.mlock import make_pages_present, sys_mlock, sys_mlockall, sys_munlock
from numa_sim.kernel.mmap import do_mmap_pgoff
from numa_sim.kernel.mprotect import sys_mprotect
from numa_sim.kernel.mremap import sys_mremap
from numa_sim.kernel.munmap import sys_munmap
from numa_sim.state.answers import ENOMEM, FAULT_MINOR, FAULT_RECLAIM, FAULT_WAIT
from numa_sim.state.constants import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MM_RECLAIM,
    NIL,
    PAGE_SHIFT,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    VM_LOCKED,
    VM_SHARED,
)
from numa_sim.state.counters import PART_FILE_WAIT, PART_SWAP_WAIT, PART_SYSCALL
from numa_sim.workloads.memory import Brk, Mlock, Mlockall, Mprotect, Mremap
from numa_sim.workloads.program import Mmap, Munmap, Region

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_do_mmap_pgoff = entry(do_mmap_pgoff)
_sys_munmap = entry(sys_munmap)
_sys_brk = entry(sys_brk)
_sys_mprotect = entry(sys_mprotect)
_sys_mlock = entry(sys_mlock)
_sys_munlock = entry(sys_munlock)
_sys_mlockall = entry(sys_mlockall)
_sys_mremap = entry(sys_mremap)
_make_pages_present = entry(make_pages_present)

MEMORY_OPERATIONS = (Mmap, Munmap, Brk, Mprotect, Mlock, Mlockall, Mremap)
"""What `memory_call` carries out."""


def memory_call(task: TaskProcess, operation: Any) -> Steps:
    """Carry out one operation; its answer, or the `OSError` the program gets."""
    k, t = task.kernel, task.index
    task.enter_kernel()
    task.record.cost_ns = task.machine.costs.syscall_ns
    if isinstance(operation, Mmap):
        return (yield from _mmap(task, operation))
    if isinstance(operation, Mremap):
        return (yield from _mremap(task, operation))
    if isinstance(operation, Brk):
        return (yield from _brk(task, operation))
    if isinstance(operation, Mlockall):
        answer = int(_sys_mlockall(k, t, operation.flags))
    else:
        start = (operation.region.start_vpn + operation.offset_pages) << PAGE_SHIFT
        length = operation.length_pages << PAGE_SHIFT
        if isinstance(operation, Munmap):
            answer = int(_sys_munmap(k, t, start, length))
        elif isinstance(operation, Mprotect):
            answer = int(_sys_mprotect(k, t, start, length, operation.prot))
        else:
            answer = int((_sys_mlock if operation.lock else _sys_munlock)(k, t, start, length))
    yield from _leave(task)
    if answer < 0:
        return _error(task, answer, type(operation).__name__.lower())
    if isinstance(operation, Mlock) and operation.lock:
        first = operation.region.start_vpn + operation.offset_pages
        yield from _populate(task, first, first + operation.length_pages)
    elif isinstance(operation, Mlockall) and operation.flags & MCL_CURRENT:
        yield from _populate(task, 0, int(k.vm[0].task_size_vpn))
    return None


def _error(task: TaskProcess, answer: int, what: str) -> OSError:
    error = OSError(-answer, f"{what} failed: {strerror(-answer)}")
    task.machine.warn(f"task {task.name}: {error.strerror}")
    return error


def _leave(task: TaskProcess) -> Steps:
    """Back to user mode: daemons that rules have woken go on, and the call's cost passes."""
    task.machine.attend()
    yield from task.spend(task.record.cost_ns, PART_SYSCALL)


def _mmap(task: TaskProcess, operation: Mmap) -> Steps:
    k, pages = task.kernel, operation.size_pages
    file = 0 if operation.file is None else operation.file.number
    flags = operation.flags | (MAP_SHARED if operation.prot & VM_SHARED else MAP_PRIVATE)
    addr = 0
    if operation.at_vpn is not None:
        addr = operation.at_vpn << PAGE_SHIFT
        flags |= MAP_FIXED if operation.fixed else 0
    prot = operation.prot & (PROT_READ | PROT_WRITE | PROT_EXEC)
    length = pages << PAGE_SHIFT
    answer = int(_do_mmap_pgoff(k, task.index, file, addr, length, prot, flags, operation.first_page))
    yield from _leave(task)
    if answer < 0:
        return _error(task, answer, f"mmap of {pages} pages")
    vpn = answer >> PAGE_SHIFT
    if (operation.flags | int(k.mms[task.record.mm].def_flags)) & VM_LOCKED:
        yield from _populate(task, vpn, vpn + pages)
    return Region(vpn, pages, operation.name, operation.file)


def _brk(task: TaskProcess, operation: Brk) -> Steps:
    """brk(2) as the C library gives it: an error if the end of the heap is not where it should be."""
    mm = task.kernel.mms[task.record.mm]
    old = int(mm.brk)
    wanted = old + operation.increment if operation.address is None else operation.address
    answer = int(_sys_brk(task.kernel, task.index, wanted))
    yield from _leave(task)
    if answer != wanted:
        return _error(task, -ENOMEM, "brk")
    if answer > old and mm.def_flags & VM_LOCKED:
        yield from _populate(task, old >> PAGE_SHIFT, -(-answer >> PAGE_SHIFT))
    return answer


def _mremap(task: TaskProcess, operation: Mremap) -> Steps:
    k, region = task.kernel, operation.region
    answer = MM_RECLAIM
    while True:
        old, addr = region.pages << PAGE_SHIFT, region.start_vpn << PAGE_SHIFT
        size, target = operation.size_pages << PAGE_SHIFT, operation.at_vpn << PAGE_SHIFT
        answer = int(_sys_mremap(k, task.index, addr, old, size, operation.flags, target))
        yield from _leave(task)
        if answer != MM_RECLAIM:
            break
        yield from task.machine.generation.finish_allocation(task)
        if task.record.killed:
            return None
        task.enter_kernel()
        task.record.cost_ns = 0
    if answer < 0:
        return _error(task, answer, "mremap")
    start = answer >> PAGE_SHIFT
    vma = int(k.mms[task.record.mm].mmap_cache)
    if vma != NIL and k.vmas[vma].vm_flags & VM_LOCKED:
        yield from _populate(task, start, start + operation.size_pages)
    return Region(start, operation.size_pages, region.name, region.file)


def _populate(task: TaskProcess, start: int, end: int) -> Steps:
    """make_pages_present: fault the locked pages in, sleeping as the faults must; what cannot be had is left out."""
    k, record = task.kernel, task.record
    record.present_vpn = start
    while not record.killed:
        task.enter_kernel()
        record.cost_ns = 0
        status = int(_make_pages_present(k, task.index, end))
        task.machine.attend()
        if status == FAULT_WAIT:
            waiting = PART_SWAP_WAIT if task.machine.is_swap_page(record.wait_pfn) else PART_FILE_WAIT
            yield from task.wait_on_page(record.wait_pfn, waiting, record.cost_ns, PART_SYSCALL)
            continue
        yield from task.spend(record.cost_ns, PART_SYSCALL)
        if status == FAULT_RECLAIM:
            yield from task.machine.generation.finish_allocation(task)
        elif status == FAULT_MINOR:
            return
        else:
            record.present_vpn += 1
