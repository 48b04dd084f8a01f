"""User memory that a system call copies to or from, on the task's time: its pages come by faults in kernel mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.uaccess import USER_COPY_DONE, copy_user_page
from numa_sim.processes.delivery import post_fault
from numa_sim.state.answers import FAULT_MAJOR, FAULT_MINOR, FAULT_RECLAIM, FAULT_SIGBUS, FAULT_WAIT
from numa_sim.state.constants import BUS_ADRERR, PAGE_SHIFT, PAGE_SIZE, SIGBUS
from numa_sim.state.counters import PART_FILE_SYSCALL, PART_FILE_WAIT, PART_SWAP_WAIT

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_copy_user_page = entry(copy_user_page)


def copy_user(task: TaskProcess, address: int, size_bytes: int, write: bool) -> Steps:
    """Copy to (`write`) or from `size_bytes` at `address` of the task's memory; bytes before the first bad page."""
    end = address + size_bytes
    here = address
    while here < end and not task.record.killed:
        if not (yield from _copy_page(task, here >> PAGE_SHIFT, int(write))):
            break
        here = (here // PAGE_SIZE + 1) * PAGE_SIZE
    return min(here, end) - address


def _copy_page(task: TaskProcess, vpn: int, write: int) -> Steps:
    """One page: sleep, reclaim and run the copy again as its faults ask for; False: EFAULT."""
    machine, record = task.machine, task.record
    while True:
        task.enter_kernel()
        record.cost_ns = 0
        status = _copy_user_page(task.kernel, task.index, vpn, write)
        machine.attend()
        cost_ns = int(record.cost_ns)
        record.cost_ns = 0
        if status == FAULT_WAIT:
            part = PART_SWAP_WAIT if machine.is_swap_page(record.wait_pfn) else PART_FILE_WAIT
            yield from task.wait_on_page(record.wait_pfn, part, cost_ns, PART_FILE_SYSCALL)
            continue
        yield from task.spend(cost_ns, PART_FILE_SYSCALL)
        if status == USER_COPY_DONE:
            if machine.access_watch is not None:
                machine.access_watch.note_page(task, vpn)
            return True
        if status == FAULT_RECLAIM:
            yield from machine.generation.finish_allocation(task)
        elif status == FAULT_SIGBUS:
            post_fault(task, SIGBUS, BUS_ADRERR, vpn << PAGE_SHIFT)
        if status not in (FAULT_MINOR, FAULT_MAJOR, FAULT_RECLAIM) or record.killed:
            return False
