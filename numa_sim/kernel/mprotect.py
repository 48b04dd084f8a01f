"""mprotect(2): mm/mprotect.c @2.4 (spec 8.6).

Late 2.4 lets the area before take over pages that become like its own, and the last area the one behind.  2.2 merges
afterwards (merge_segments), 2.4.0 never.

Simplified: the pages of an area made writable are unshared by faults, as for any private area.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.pte import protection
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.kernel.user_space import page_align
from numa_sim.kernel.vma import carve_out
from numa_sim.kernel.vma_index.areas import find_vma, find_vma_prev
from numa_sim.kernel.vma_merge import absorb_behind, join_before, merge_changed, merges_late
from numa_sim.state.answers import EACCES, EINVAL, ENOMEM
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_MAPPED,
)
from numa_sim.state.event_codes import EV_MPROTECT
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

_ANY = PROT_READ | PROT_WRITE | PROT_EXEC
_MAY_SHIFT = 4
_FLAGS = PAGE_SIZE - 1


@rule
def change_protection(k: Kernel, mm: int, start: int, end: int, prot: int) -> int:
    """Give the mapped pages of [start, end) protection `prot`; frame, accessed and dirty stay.  Return how many."""
    span = 1 << k.vm[0].entry_bits
    kept = ~_FLAGS | PTE_ACCESSED | PTE_DIRTY
    changed = 0
    vpn = start
    while vpn < end:
        stop = min(end, (vpn // span + 1) * span)
        row = leaf_row(k, mm, vpn) if k.mms[mm].pgd != NIL else NIL
        if row != NIL:
            for at in range(vpn, stop):
                pte = k.tables[row, at & (span - 1)]
                if pte & PTE_MAPPED != 0:
                    set_pte(k, row, at & (span - 1), (pte & kept) | (prot & ~PTE_ACCESSED))
                    changed += 1
        vpn = stop
    return changed


@rule
def sys_mprotect(k: Kernel, t: int, addr: int, length: int, prot: int) -> int:
    """Set what may be done with [addr, addr + length): 0, -EINVAL, -ENOMEM (a hole), -EACCES (the area's MAY flags).

    Areas before the one that fails are changed.
    """
    size = page_align(k, length)
    if addr & (PAGE_SIZE - 1) != 0 or prot & ~_ANY != 0:
        return -EINVAL
    if size == 0:
        return 0
    mm = k.tasks[t].mm + 0
    start, end = addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT
    answer = 0
    at = start
    before = NIL
    if merges_late(k):
        area, before = find_vma_prev(k, mm, start)
    else:
        area = find_vma(k, mm, start)
    while at < end:
        if area == NIL or k.vmas[area].vm_start > at:
            answer = -ENOMEM
            break
        flags = (k.vmas[area].vm_flags & ~_ANY) | prot
        if flags & ~(flags >> _MAY_SHIFT) & _ANY != 0:
            answer = -EACCES
            break
        stop = min(end, k.vmas[area].vm_end)
        if flags != k.vmas[area].vm_flags:
            if join_before(k, mm, before, area, at, stop, flags):
                area = before
            else:
                area = carve_out(k, mm, area, at, end)
                if area == NIL:
                    answer = -ENOMEM
                    break
                k.vmas[area].vm_flags = flags
                k.vmas[area].vm_page_prot = protection(flags)
            _protect(k, t, mm, at, stop, k.vmas[area].vm_page_prot)
        before = area
        at = stop
        area = k.vmas[area].vm_next + 0
    if answer == 0:
        absorb_behind(k, mm, before, end)
    merge_changed(k, mm, start, end)
    log_event(k, EV_MPROTECT, start, prot)
    return answer


@rule
def _protect(k: Kernel, t: int, mm: int, start: int, end: int, prot: int) -> None:
    """The entries of pages [start, end) after their area's new flags."""
    changed = change_protection(k, mm, start, end, prot)
    k.tasks[t].cost_ns += changed * k.costs[0].scan_pte_ns
    flush_tlb_mm(k, mm)
