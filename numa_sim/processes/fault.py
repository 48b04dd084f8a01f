"""A page fault that stopped the hardware: the task finishes it on its own time, sleeping and reclaiming as it must.

The rules are restartable (`numa_sim.kernel.memory`): after each wait the fault is simply called again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.eviction import swap_in_ahead
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.kernel.numa import alloc_after_reclaim
from numa_sim.state.constants import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    ALLOCSTALL,
    FAULT_MAJOR,
    FAULT_MINOR,
    FAULT_RECLAIM,
    FAULT_SEGV,
    FAULT_SIGBUS,
    FAULT_WAIT,
    NIL,
    PART_DIRECT_RECLAIM,
    PART_FILE_WAIT,
    PART_MAJOR_FAULT,
    PART_MINOR_FAULT,
    PART_SWAP_WAIT,
    RECLAIM_DONE,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
)

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Runnable, Steps
    from numa_sim.processes.task import TaskProcess

_handle_mm_fault = entry(handle_mm_fault)
_alloc_after_reclaim = entry(alloc_after_reclaim)
_swap_in_ahead = entry(swap_in_ahead)


def finish_fault(task: TaskProcess) -> Steps:
    """Finish the page fault that stopped the hardware: wait, reclaim, call the rule again."""
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
            return
        if status == FAULT_MINOR or status == FAULT_MAJOR:
            # As for a fault the hardware loop serves itself: the CPU's clock goes ahead, no event is needed.
            assert task.cpu is not None
            task.cpu.record.clock_ns = machine.now_ns + cost_ns
            task.charge_work(cost_ns, part)
            return
        if status == FAULT_WAIT:
            waiting = PART_SWAP_WAIT if machine.is_swap_page(record.wait_pfn) else PART_FILE_WAIT
            yield from task.wait_on_page(record.wait_pfn, waiting, cost_ns, part)
        else:
            yield from task.spend(cost_ns, part)
            if status == FAULT_RECLAIM:
                yield from direct_reclaim(task)
            else:
                _fail(task, status)
        if record.killed:
            return
        task.enter_kernel()
        record.cost_ns = 0
        record.fault_status = _handle_mm_fault.call(task.kernel, task.index, record.fault_vpn, record.fault_write)


def _fail(task: TaskProcess, status: int) -> None:
    """A fault that cannot be served kills the task: SIGSEGV, SIGBUS, or do_page_fault's "VM: killing process"."""
    if status == FAULT_SEGV:
        where = f"page {task.record.fault_vpn:#x}"
        task.machine.warn(f"task {task.name}: segmentation fault at {where}, killed (SIGSEGV)")
        task.kill("segmentation fault")
    elif status == FAULT_SIGBUS:
        where = f"page {task.record.fault_vpn:#x} lies beyond the end of its file"
        task.machine.warn(f"task {task.name}: {where}, killed (SIGBUS)")
        task.kill("bus error")
    else:
        task.kill("out of memory")
        task.machine.warn(f"VM: killing process {task.name}")


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
                yield from direct_reclaim(task)
        if answer == ALLOC_FAIL or record.killed:
            return


def direct_reclaim(task: Runnable) -> Steps:
    """try_to_free_pages on this task's own time, then the rest of the allocation: a page, or a failed one."""
    k, machine, record, t = task.kernel, task.machine, task.record, task.index
    answer = ALLOC_RECLAIM
    while answer == ALLOC_RECLAIM:
        task.enter_kernel()
        k.vmstat[int(k.zones[record.reclaim_zone].node), ALLOCSTALL] += 1
        machine.reclaim.begin(t, record.reclaim_zone, record.reclaim_gfp)
        while True:
            task.enter_kernel()
            record.cost_ns = 0
            status = machine.reclaim.run(t)
            machine.attend()
            if status == RECLAIM_WAIT:
                yield from task.wait_on_page(record.wait_pfn, PART_DIRECT_RECLAIM, record.cost_ns, PART_DIRECT_RECLAIM)
                continue
            yield from task.spend(record.cost_ns, PART_DIRECT_RECLAIM)
            if status != RECLAIM_YIELD:
                break
            yield from task.give_way()
        task.enter_kernel()
        record.cost_ns = 0
        answer = _alloc_after_reclaim(k, t, int(status == RECLAIM_DONE))
        record.got_pfn = answer if answer >= 0 else NIL
        machine.attend()
        yield from task.spend(record.cost_ns, PART_DIRECT_RECLAIM)
    record.alloc_failed = int(answer == ALLOC_FAIL)
