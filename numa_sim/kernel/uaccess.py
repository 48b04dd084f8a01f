"""The kernel in user memory: copy_to_user, copy_from_user (arch/i386/lib/usercopy.c), and their faults (spec 7.1).

A processor in kernel mode goes through the same page tables and takes the same faults; what differs is what becomes of
an address that no area maps: the exception table has an entry for these copies, and the system call answers EFAULT.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.fault import PF_PROT, PF_USER, PF_WRITE, bad_area, no_context
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.kernel.read_write import written
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.answers import FAULT_OOM, FAULT_SIGBUS
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, SEGV_ACCERR
from numa_sim.state.kernel import Kernel

USER_COPY_DONE: Final = -1
"""`copy_user_page` has made its access; any other answer is a fault's (FAULT_*)."""


@rule
def do_page_fault(k: Kernel, t: int, address: int, error_code: int) -> int:
    """A fault as the processor reports it (spec 7.1): at `address`, with PF_PROT | PF_WRITE | PF_USER; a FAULT_*.

    The access loop calls `handle_mm_fault` at once: it is in user mode, and never faults reading what it may read.
    In kernel mode SIGBUS and a lack of memory go on to `no_context`, whose event and counter say what it did.
    """
    task = k.tasks[t]
    vpn = address >> PAGE_SHIFT
    write = 1 if error_code & PF_WRITE != 0 else 0
    task.access_address = address
    task.kernel_mode = 1 if error_code & PF_USER == 0 else 0
    if k.vm[0].in_interrupt != 0 or task.mm == NIL:
        status = no_context(k, t, vpn, write)
    else:
        vma = find_vma(k, task.mm, vpn) if error_code & PF_PROT != 0 and write == 0 else NIL
        if vma != NIL and k.vmas[vma].vm_start <= vpn:
            status = bad_area(k, t, vpn, write, SEGV_ACCERR)  # a read of a present page: it is not to be read
        else:
            status = handle_mm_fault(k, t, vpn, write)
        if task.kernel_mode != 0 and (status == FAULT_SIGBUS or status == FAULT_OOM):
            no_context(k, t, vpn, write)
    task.kernel_mode = 0
    return status


@rule
def copy_user_page(k: Kernel, t: int, vpn: int, write: int) -> int:
    """Copy to (`write`) or from one page of task `t`'s memory in kernel mode: USER_COPY_DONE, or a fault's FAULT_*.

    After FAULT_MINOR or FAULT_MAJOR call again: the instruction is run again.
    """
    task = k.tasks[t]
    error_code = PF_WRITE if write != 0 else 0
    row = leaf_row(k, task.mm, vpn) if k.mms[task.mm].pgd != NIL else NIL
    if row != NIL:
        index = vpn & ((1 << k.vm[0].entry_bits) - 1)
        pte = k.tables[row, index]
        if pte & PTE_PRESENT != 0:
            if write == 0 or pte & PTE_RW != 0 or k.vm[0].no_wp != 0:
                k.tables[row, index] = pte | PTE_ACCESSED | (PTE_DIRTY if write != 0 else 0)
                if write != 0:
                    pfn = pte >> PAGE_SHIFT
                    k.tags[pfn] = written(k, k.tags[pfn])
                return USER_COPY_DONE
            error_code |= PF_PROT
    task.fixup = 1
    status = do_page_fault(k, t, vpn << PAGE_SHIFT, error_code)
    task.fixup = 0
    return status
