"""The stage before paging, on an i386 machine with ``segments = true``: every access goes through the task's DS.

What a segment forbids is found as accesses are handed to the hardware, so that it stops the program in front of any
page fault the same access would have met; in flat segments nothing is forbidden, and addresses stay as they are.

Simplified: accesses name pages, so an offset is the first byte of its page; code and stack segments stay flat.
"""

from __future__ import annotations

from errno import ENOSYS
from os import strerror
from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.compiled import entry
from numa_sim.hardware.segments import Descriptor, DescriptorTables, SegmentFault, Selector
from numa_sim.kernel.desc import USER_DS, default_ldt
from numa_sim.processes.delivery import post_fault
from numa_sim.state.constants import PAGE_SHIFT, SI_KERNEL, SIGSEGV
from numa_sim.state.counters import PART_SYSCALL, SEGMENT_FAULTS
from numa_sim.state.event_codes import EV_GENERAL_PROTECTION
from numa_sim.state.events import count, log_event
from numa_sim.workloads.segments import LoadSegment, ModifyLdt

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

OPERATIONS = (ModifyLdt, LoadSegment)
_LINEAR_PAGES = 1 << 20
_log_event = entry(log_event)
_count = entry(count)


class SegmentStage:
    """One task's LDT and DS.

    Parameters
    ----------
    check_ns : int
        What the check of one access costs (``costs.segment_check``); hardware does it in no time.
    """

    def __init__(self, check_ns: int) -> None:
        self.check_ns = check_ns
        self.ldt = list(default_ldt())
        self.selector = USER_DS
        self.fault: SegmentFault | None = None

    def release(self) -> None:
        """Flat again, as after exec (release_segments)."""
        self.ldt, self.selector = list(default_ldt()), USER_DS

    def copy(self) -> SegmentStage:
        """The same for a child of fork (copy_segments)."""
        child = SegmentStage(self.check_ns)
        child.ldt, child.selector = list(self.ldt), self.selector
        return child

    def pass_on(self, accesses: Any, n: int) -> int:
        """Turn the first `n` accesses from logical into linear ones; how many there are before one that faults."""
        if self.check_ns:
            accesses["compute_ns"][:n] += self.check_ns
        if self.selector == USER_DS:
            return n
        tables = DescriptorTables(self.ldt)
        segment = tables.descriptor(self.selector)
        vpns, writes = accesses["vpn"][:n], accesses["write"][:n]
        forbidden = vpns << PAGE_SHIFT > segment.limit
        if not segment.writable:
            forbidden = forbidden | (writes != 0)
        if forbidden.any():
            n = int(np.argmax(forbidden))
            try:
                tables.linear(self.selector, int(vpns[n]) << PAGE_SHIFT, bool(writes[n]))
            except SegmentFault as fault:
                self.fault = fault
        vpns[:n] = (vpns[:n] + (segment.base >> PAGE_SHIFT)) % _LINEAR_PAGES
        return n

    def load(self, selector: int) -> None:
        """Load DS; what does not name a data segment of user mode is a fault."""
        try:
            DescriptorTables(self.ldt).linear(selector, 0)
            self.selector = selector
        except SegmentFault as fault:
            self.fault = fault


def general_protection(task: TaskProcess, stage: SegmentStage) -> None:
    """do_general_protection @2.4, trap 13: SIGSEGV for what a segment has forbidden, if it has."""
    fault, stage.fault = stage.fault, None
    if fault is None:
        return
    task.enter_kernel()
    _log_event(task.kernel, EV_GENERAL_PROTECTION, fault.selector, fault.offset >> PAGE_SHIFT)
    _count(task.kernel, task.cpu.record.node if task.cpu else 0, SEGMENT_FAULTS, 1)
    task.machine.warn(f"task {task.name}: {fault}")
    post_fault(task, SIGSEGV, SI_KERNEL, 0)


def segment_call(task: TaskProcess, operation: ModifyLdt | LoadSegment) -> Steps:
    """Carry out one operation; a selector for modify_ldt, or the `OSError` the program gets."""
    stage = task.segments
    if isinstance(operation, LoadSegment):
        if stage is not None:
            stage.load(operation.selector)
            general_protection(task, stage)
        return None if stage is not None else OSError(ENOSYS, strerror(ENOSYS))
    task.enter_kernel()
    yield from task.spend(task.machine.costs.syscall_ns, PART_SYSCALL)
    if stage is None:
        return OSError(ENOSYS, strerror(ENOSYS))
    stage.ldt += [0] * (operation.entry + 1 - len(stage.ldt))
    segment = Descriptor(operation.base, _limit(operation.size), 3, code=False, writable=operation.writable)
    stage.ldt[operation.entry] = segment.encode()
    return Selector(operation.entry, True, 3).encode()


def _limit(size: int) -> int:
    """Last offset of a segment of `size` bytes: above 1 MB in whole pages."""
    return size - 1 if size <= 1 << 20 else (size + 0xFFF) // 0x1000 * 0x1000 - 1
