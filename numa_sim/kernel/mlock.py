"""mlock(2), munlock(2), mlockall(2): mm/mlock.c @2.4 (spec 8.6).

An area with VM_LOCKED is left alone by swap_out, and its pages are made present at once (`make_pages_present`).
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.user_space import page_align
from numa_sim.kernel.vma import carve_out
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.kernel.vma_merge import merge_changed
from numa_sim.state.answers import EINVAL, ENOMEM, EPERM, FAULT_MAJOR, FAULT_MINOR, FAULT_SEGV
from numa_sim.state.constants import (
    MCL_CURRENT,
    MCL_FUTURE,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    PTE_MAPPED,
    PTE_RW,
    VM_LOCKED,
    VM_WRITE,
)
from numa_sim.state.event_codes import EV_MAKE_PAGES_PRESENT, EV_MLOCK
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel


@rule
def _too_much(k: Kernel, t: int, pages: int) -> bool:
    """Whether locking `pages` pages in all exceeds RLIMIT_MEMLOCK, or half of the machine's memory."""
    return pages << PAGE_SHIFT > k.tasks[t].rlim_memlock or pages > k.vm[0].total_pages // 2


@rule
def _do_mlock(k: Kernel, t: int, start: int, end: int, lock: int) -> int:
    """Lock or unlock the areas of pages [start, end), splitting those at its ends: 0, or -ENOMEM at a hole."""
    mm = k.tasks[t].mm + 0
    answer = 0
    at = start
    area = find_vma(k, mm, start)
    while at < end:
        if area == NIL or k.vmas[area].vm_start > at:
            answer = -ENOMEM
            break
        if (k.vmas[area].vm_flags & VM_LOCKED != 0) != (lock != 0):
            area = carve_out(k, mm, area, at, end)
            if area == NIL:
                answer = -ENOMEM
                break
            _set_locked(k, mm, area, lock)
        at = k.vmas[area].vm_end + 0
        area = k.vmas[area].vm_next + 0
    merge_changed(k, mm, start, end)
    log_event(k, EV_MLOCK, start, lock)
    return answer


@rule
def _set_locked(k: Kernel, mm: int, area: int, lock: int) -> None:
    """Lock or unlock a whole area."""
    vma = k.vmas[area]
    pages = vma.vm_end - vma.vm_start
    if lock != 0:
        vma.vm_flags |= VM_LOCKED
        k.mms[mm].locked_vm += pages
        log_event(k, EV_MAKE_PAGES_PRESENT, vma.vm_start, vma.vm_end)
    else:
        vma.vm_flags &= ~VM_LOCKED
        k.mms[mm].locked_vm -= pages


@rule
def sys_mlock(k: Kernel, t: int, addr: int, length: int) -> int:
    """Lock the pages of [addr, addr + length), in whole pages: 0, -ENOMEM (limits, holes), -EPERM (not root)."""
    start = addr >> PAGE_SHIFT
    pages = page_align(k, length + addr % PAGE_SIZE) >> PAGE_SHIFT
    if _too_much(k, t, k.mms[k.tasks[t].mm].locked_vm + pages):
        return -ENOMEM
    if k.tasks[t].root == 0:
        return -EPERM
    return _do_mlock(k, t, start, start + pages, 1)


@rule
def sys_munlock(k: Kernel, t: int, addr: int, length: int) -> int:
    """Unlock the pages of [addr, addr + length), in whole pages: 0, or -ENOMEM (holes)."""
    start = addr >> PAGE_SHIFT
    pages = page_align(k, length + addr % PAGE_SIZE) >> PAGE_SHIFT
    return _do_mlock(k, t, start, start + pages, 0)


@rule
def sys_mlockall(k: Kernel, t: int, flags: int) -> int:
    """Lock all areas (MCL_CURRENT), or all that will come (MCL_FUTURE); 0 flags: neither (munlockall).

    0, -EINVAL, -EPERM (not root), or -ENOMEM (limits).
    """
    mm = k.tasks[t].mm + 0
    if flags & ~(MCL_CURRENT | MCL_FUTURE) != 0:
        return -EINVAL
    if flags != 0 and k.tasks[t].root == 0:
        return -EPERM
    if flags != 0 and _too_much(k, t, k.mms[mm].total_vm):
        return -ENOMEM
    k.mms[mm].def_flags = VM_LOCKED if flags & MCL_FUTURE != 0 else 0
    if flags == MCL_FUTURE:
        return 0
    lock = int(flags & MCL_CURRENT != 0)
    area = k.mms[mm].mmap + 0
    while area != NIL:
        if (k.vmas[area].vm_flags & VM_LOCKED != 0) != (lock != 0):
            _set_locked(k, mm, area, lock)
        area = k.vmas[area].vm_next + 0
    log_event(k, EV_MLOCK, NIL, lock)
    return 0


@rule
def make_pages_present(k: Kernel, t: int, end: int) -> int:
    """Fault in the pages from ``tasks[t].present_vpn`` to `end`, for writing where the area allows that.

    Restartable, as faults are: FAULT_MINOR when all are there; FAULT_WAIT, FAULT_RECLAIM (call again); else what
    stopped it at ``present_vpn``.  Holes are passed over.
    """
    task = k.tasks[t]
    while task.present_vpn < end:
        vpn = task.present_vpn + 0
        area = find_vma(k, task.mm, vpn)
        if area == NIL:
            task.present_vpn = end
            break
        if k.vmas[area].vm_start > vpn:
            task.present_vpn = min(end, k.vmas[area].vm_start + 0)
            continue
        write = int(k.vmas[area].vm_flags & VM_WRITE != 0)
        pte = get_pte(k, task.mm, vpn)
        if pte & PTE_MAPPED == 0 or (write != 0 and pte & PTE_RW == 0):
            status = handle_mm_fault(k, t, vpn, write)
            if status == FAULT_SEGV:  # an area of no access
                task.present_vpn = k.vmas[area].vm_end
                continue
            if status != FAULT_MINOR and status != FAULT_MAJOR:
                return status
        task.present_vpn = vpn + 1
    return FAULT_MINOR
