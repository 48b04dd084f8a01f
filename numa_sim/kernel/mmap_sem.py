"""mmap_sem as faults in the access loop meet it (struct mm_struct; arch/i386/mm/fault.c @2.4, spec 7.1).

Who sleeps on it, and for how long, is the processes' matter (`numa_sim.processes.mmap_sem`); they leave word in
``mm.mmap_sem``, 0 as long as one task alone uses the address space.

Simplified: where two faults exclude each other and neither sleeps for a page (2.2, 2.4.0), the later one spins for the
rest of the other, like for a spinlock; readers that meet no writer are not counted.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.locks import mmap_sem_lock, spin_lock, spin_unlock
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.state.answers import FAULT_LOCKED
from numa_sim.state.constants import MMAP_SEM_BLOCKS
from numa_sim.state.kernel import Kernel


@rule
def fault_with_mmap_sem(k: Kernel, t: int, vpn: int, write: int) -> int:
    """`handle_mm_fault` in an address space with ``mmap_sem`` set; FAULT_LOCKED: sleep on it, then call again."""
    mm = k.tasks[t].mm + 0
    if k.mms[mm].mmap_sem & MMAP_SEM_BLOCKS != 0:
        return FAULT_LOCKED
    lock = mmap_sem_lock(k, mm)
    outer = spin_lock(k, lock, 0)
    status = handle_mm_fault(k, t, vpn, write)
    spin_unlock(k, lock, outer)
    return status
