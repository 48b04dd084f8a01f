"""A page fault that stopped the hardware: the task finishes it on its own time, sleeping and reclaiming as it must.

The rules are restartable (`numa_sim.kernel.memory`): after each wait the fault is simply called again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.eviction import swap_in_ahead
from numa_sim.kernel.fault_latency import end_fault
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.processes.delivery import post_fault
from numa_sim.state.answers import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    FAULT_INVALID_OPCODE,
    FAULT_LOCKED,
    FAULT_MAJOR,
    FAULT_MINOR,
    FAULT_OOPS,
    FAULT_RECLAIM,
    FAULT_SEGV,
    FAULT_SIGBUS,
    FAULT_WAIT,
)
from numa_sim.state.constants import BUS_ADRERR, ILL_ILLOPN, PAGE_SHIFT, PAGE_SIZE, SIGBUS, SIGILL, SIGSEGV
from numa_sim.state.counters import PART_FILE_WAIT, PART_MAJOR_FAULT, PART_MINOR_FAULT, PART_SWAP_WAIT

if TYPE_CHECKING:
    from numa_sim.processes.mmap_sem import MmapSem
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_handle_mm_fault = entry(handle_mm_fault)
_swap_in_ahead = entry(swap_in_ahead)
_end_fault = entry(end_fault)


def finish_fault(task: TaskProcess) -> Steps:
    """Finish the page fault that stopped the hardware: take mmap_sem, wait, reclaim, call the rule again."""
    sem = task.machine.mmap_sems.of(task)
    steps = _finish(task) if sem is None else _finish_holding(task, sem)
    timeline = task.machine.timeline
    return steps if timeline is None else timeline.fault(task, steps)


def _finish_holding(task: TaskProcess, sem: MmapSem) -> Steps:
    yield from sem.down(task, alone=sem.faults_exclude)
    try:
        yield from _finish(task)
    finally:
        sem.up()


def _finish(task: TaskProcess) -> Steps:
    machine, record = task.machine, task.record
    while True:
        machine.attend()
        status = record.fault_status
        cost_ns = record.cost_ns
        record.cost_ns = 0
        part = PART_MAJOR_FAULT if status == FAULT_MAJOR or record.fault_major else PART_MINOR_FAULT
        if status == FAULT_MAJOR and (others := machine.reclaim.along_with(record.mm, record.fault_vpn)):
            yield from task.spend(cost_ns, part)
            yield from _read_along(task, others)
            if machine.vm.fault_latency:
                _end_fault(task.kernel, task.index, machine.now_ns)
            return
        if status == FAULT_MINOR or status == FAULT_MAJOR:
            # As for a fault the hardware loop serves itself: the CPU's clock goes ahead, no event is needed.
            assert task.cpu is not None
            task.cpu.record.clock_ns = machine.now_ns + cost_ns
            task.charge_work(cost_ns, part)
            if machine.vm.fault_latency:
                _end_fault(task.kernel, task.index, machine.now_ns + cost_ns)
            return
        if status == FAULT_LOCKED:
            pass  # now mmap_sem is ours
        elif status == FAULT_WAIT:
            waiting = PART_SWAP_WAIT if machine.is_swap_page(record.wait_pfn) else PART_FILE_WAIT
            yield from task.wait_on_page(record.wait_pfn, waiting, cost_ns, part)
        else:
            yield from task.spend(cost_ns, part)
            if status == FAULT_RECLAIM:
                yield from machine.generation.finish_allocation(task)
            else:
                _fail(task, status)
                return
        if record.killed:
            return
        task.enter_kernel()
        record.cost_ns = 0
        record.fault_status = _handle_mm_fault.call(task.kernel, task.index, record.fault_vpn, record.fault_write)


def _fail(task: TaskProcess, status: int) -> None:
    """A fault that cannot be served sends SIGSEGV, SIGBUS or SIGILL (spec 7.1), or kills: "VM: killing process"."""
    record = task.record
    task.enter_kernel()
    if status == FAULT_SEGV:
        post_fault(task, SIGSEGV, record.fault_code, record.cr2)
    elif status == FAULT_SIGBUS:
        post_fault(task, SIGBUS, BUS_ADRERR, record.fault_vpn << PAGE_SHIFT)
    elif status == FAULT_INVALID_OPCODE:
        post_fault(task, SIGILL, ILL_ILLOPN, record.cr2)
    elif status == FAULT_OOPS:
        what = "NULL pointer dereference" if record.cr2 < PAGE_SIZE else "paging request"
        task.machine.warn(f"task {task.name}: Oops: unable to handle kernel {what} at address {record.cr2:#x}")
        task.kill("oops")
    else:
        task.kill("out of memory")
        task.machine.warn(task.machine.generation.no_memory.format(name=task.name))


def _read_along(task: TaskProcess, vpns: Iterable[int]) -> Steps:
    """Start reads of further pages that a replacement policy wants back, reclaiming as need be."""
    record = task.record
    for vpn in vpns:
        answer = ALLOC_RECLAIM
        while answer == ALLOC_RECLAIM:
            task.enter_kernel()
            record.cost_ns = 0
            answer = _swap_in_ahead(task.kernel, task.index, record.mm, vpn)
            task.machine.attend()
            yield from task.spend(record.cost_ns, PART_MAJOR_FAULT)
            if answer == ALLOC_RECLAIM:
                yield from task.machine.generation.finish_allocation(task)
        if answer == ALLOC_FAIL or record.killed:
            return
