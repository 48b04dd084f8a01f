"""What becomes of a page fault: `do_page_fault` of arch/i386/mm/fault.c, every kernel (spec 7.1).

`numa_sim.kernel.memory.handle_mm_fault` is called for every fault and finds by itself that an area permits the access;
what is not that plain is decided here: a stack that may grow, SIGSEGV, and faults of the kernel itself.  The task
remembers what the processor said: ``cr2``, ``error_code``, ``trap_no``.

A stack grows only for accesses at most 32 bytes below the stack pointer, ``task.esp``; ordinary accesses count as made
with the stack pointer at their own address.

A fault in kernel mode at an address that user space does not map is fixed up if the instruction is one of those that
copy to and from user space (``task.fixup``: its entry in the exception table), so that the system call answers EFAULT.
Else it is an oops, and the task dies.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.stack import expand_stack
from numa_sim.kernel.vmalloc import kernel_fault
from numa_sim.state.answers import FAULT_FIXUP, FAULT_INVALID_OPCODE, FAULT_OOPS, FAULT_SEGV
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PTE_MAPPED,
    SEGV_ACCERR,
    SEGV_MAPERR,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_READ,
    VM_WRITE,
)
from numa_sim.state.counters import FIXUPS, OOPS
from numa_sim.state.event_codes import EV_FIXUP, EV_OOPS, EV_SEGV
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

PF_PROT: Final = 1
PF_WRITE: Final = 2
PF_USER: Final = 4
"""Bits of the error code: the page was present; the access was a write; it came from user mode."""
TRAP_PAGE_FAULT: Final = 14
STACK_SLACK: Final = 32
"""pusha and its like write this far below the stack pointer before they move it."""
INVALID_OPCODE: Final = 6
_GATE_BYTES: Final = 8


@part
def _address(k: Kernel, t: int, vpn: int) -> int:
    """The address of the access under way, if it is known to the byte; else of its page."""
    access: int = k.tasks[t].access_address
    return access if access >> PAGE_SHIFT == vpn else vpn << PAGE_SHIFT


@rule
def no_context(k: Kernel, t: int, vpn: int, write: int) -> int:
    """The kernel itself has faulted: FAULT_FIXUP if the exception table knows the instruction, else FAULT_OOPS."""
    node = k.cpus[k.vm[0].current_cpu].node
    if k.tasks[t].fixup != 0:
        count(k, node, FIXUPS, 1)
        log_event(k, EV_FIXUP, vpn, write)
        return FAULT_FIXUP
    count(k, node, OOPS, 1)
    log_event(k, EV_OOPS, vpn, write)
    return FAULT_OOPS


@rule
def bad_area(k: Kernel, t: int, vpn: int, write: int, code: int) -> int:
    """No area permits the access: FAULT_SEGV with `code` (SEGV_*) in user mode; else what the kernel can make of it."""
    task = k.tasks[t]
    address = _address(k, t, vpn)
    present = 0
    if task.mm != NIL and k.mms[task.mm].pgd != NIL and get_pte(k, task.mm, vpn) & PTE_MAPPED != 0:
        present = PF_PROT
    task.cr2 = address
    task.error_code = present | (PF_WRITE if write != 0 else 0) | (PF_USER if task.kernel_mode == 0 else 0)
    task.trap_no = TRAP_PAGE_FAULT
    task.fault_code = code
    if task.kernel_mode == 0:
        log_event(k, EV_SEGV, vpn, write)
        return FAULT_SEGV
    idt = k.vm[0].f00f_idt
    if idt != 0 and idt <= address and (address - idt) // _GATE_BYTES == INVALID_OPCODE:
        # The Pentium's F00F bug: its IDT is read-only, so that `lock cmpxchg8b` faults here instead of hanging.
        return FAULT_INVALID_OPCODE
    return no_context(k, t, vpn, write)


@part
def _may_grow(k: Kernel, t: int, vma: int, vpn: int) -> bool:
    """Whether an access below a GROWSDOWN area is one to its stack."""
    task = k.tasks[t]
    if k.vmas[vma].vm_flags & VM_GROWSDOWN == 0:
        return False
    return task.kernel_mode != 0 or task.esp == 0 or _address(k, t, vpn) + STACK_SLACK >= task.esp


@rule
def unplain_access(k: Kernel, t: int, mm: int, vma: int, vpn: int, write: int) -> int:
    """Decide on an access that area `vma`, the first that ends above it, does not simply permit.

    Returns
    -------
    int
        NIL: a stack has grown, the access is good.  Else the FAULT_* it ends with (FAULT_MINOR: a directory entry of
        the kernel was missing).
    """
    if vpn >= k.vm[0].task_size_vpn and k.tasks[t].kernel_mode != 0:
        status = kernel_fault(k, t, mm, vpn)
        return bad_area(k, t, vpn, write, SEGV_MAPERR) if status == FAULT_SEGV else status
    if vma == NIL:
        return bad_area(k, t, vpn, write, SEGV_MAPERR)
    if k.vmas[vma].vm_start > vpn and (not _may_grow(k, t, vma, vpn) or expand_stack(k, t, vma, vpn) != 0):
        return bad_area(k, t, vpn, write, SEGV_MAPERR)
    if k.vmas[vma].vm_flags & (VM_WRITE if write != 0 else VM_READ | VM_EXEC) == 0:
        return bad_area(k, t, vpn, write, SEGV_ACCERR)
    return NIL
