"""Packets from the network: pages wanted at once, by an interrupt that cannot sleep (GFP_ATOMIC).

The kernel keeps a reserve for such requests (spec 3.2 to 3.4): they go below the min marks, and @2.4.0 kreclaimd puts
clean pages back on the free lists for them, which they cannot take themselves.

Simplified: a packet is one page; an interrupt costs what the end of a transfer does, besides the allocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.numa import alloc_pages
from numa_sim.state.constants import GFP_ATOMIC, TASK_SLEEPING, PG_packet
from numa_sim.state.counters import PART_SLEEP
from numa_sim.workloads.network import Receive

if TYPE_CHECKING:
    from numa_sim.processes.cpu import Cpu
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_alloc_pages = entry(alloc_pages)
_free_pages = entry(free_pages)


def receive(task: TaskProcess, operation: Receive) -> Steps:
    """Sleep until all packets have come and been used up, or a signal comes; how many were lost."""
    machine, cpu = task.machine, task.cpu
    assert cpu is not None
    lost = 0
    task.record.state, task.doing = TASK_SLEEPING, PART_SLEEP
    task.leave_cpu()
    for _ in range(operation.packets):
        yield from task.until_signal(machine.timeout(operation.interval_ns), PART_SLEEP)
        if task.record.pending & ~task.record.blocked:
            break
        if not _packet_comes(task, cpu, operation.hold_ns):
            lost += 1
    yield machine.timeout(operation.hold_ns)
    task.charge(PART_SLEEP)
    yield from task.get_cpu()
    return lost


def _packet_comes(task: TaskProcess, cpu: Cpu, hold_ns: int) -> bool:
    """The interrupt on `cpu`: take a page for the packet, if there is one."""
    machine, k, record = task.machine, task.kernel, task.record
    machine.enter_kernel(task.index, cpu.number)
    record.cost_ns = machine.costs.end_io_ns
    machine.vm.in_interrupt = 1
    pfn = int(_alloc_pages(k, task.index, cpu.node, GFP_ATOMIC, 0))
    machine.vm.in_interrupt = 0
    machine.attend()
    cpu.lend(record.cost_ns)
    record.cost_ns = 0
    if pfn < 0:
        return False
    k.pages[pfn].flags |= PG_packet
    machine.timeout(hold_ns).callbacks.append(lambda _: _packet_is_used_up(machine, cpu, pfn))
    return True


def _packet_is_used_up(machine: Machine, cpu: Cpu, pfn: int) -> None:
    machine.enter_kernel(0, cpu.number)
    machine.kernel.pages[pfn].flags &= ~PG_packet
    _free_pages(machine.kernel, pfn, 0)
