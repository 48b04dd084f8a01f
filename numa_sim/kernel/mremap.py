"""mremap(2): mm/mremap.c @2.4 (spec 8.6; the man page's contract).

An area shrinks by unmapping its end, grows where it is if there is room behind it, or moves, its pages with it: their
page-table entries are moved, nothing is copied.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.anon_vma import anon_vma_clone
from numa_sim.kernel.mmap import account, exceeds_address_space, exceeds_memlock
from numa_sim.kernel.munmap import sys_munmap
from numa_sim.kernel.overcommit import vm_enough_memory
from numa_sim.kernel.pgtable import leaf_row, pte_alloc, set_pte
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.kernel.unmapped_area import get_unmapped_area
from numa_sim.kernel.user_space import page_align, task_size
from numa_sim.kernel.vma import insert_vma, new_vma, open_vma
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.answers import ALLOC_RECLAIM, EAGAIN, EFAULT, EINVAL, ENOMEM
from numa_sim.state.constants import (
    MM_RECLAIM,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    VM_DONTEXPAND,
    VM_LOCKED,
    VM_SHARED,
    VM_WRITE,
)
from numa_sim.state.event_codes import EV_MREMAP
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel


@rule
def sys_mremap(k: Kernel, t: int, addr: int, old_len: int, new_len: int, flags: int, new_addr: int) -> int:
    """Resize or move [addr, addr + old_len), bytes: the new address, MM_RECLAIM (reclaim, call again), or an errno.

    -EINVAL; -EFAULT (not within one area); -EAGAIN (RLIMIT_MEMLOCK); -ENOMEM (RLIMIT_AS, vm_enough_memory, no room
    behind the area and no MREMAP_MAYMOVE).
    """
    old_size, new_size = page_align(k, old_len), page_align(k, new_len)
    fixed = flags & MREMAP_FIXED != 0
    if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) != 0 or addr & (PAGE_SIZE - 1) != 0 or new_size == 0:
        return -EINVAL
    if fixed:
        wrong = _wrong_target(k, t, addr, old_size, new_size, flags, new_addr)
        if wrong != 0:
            return wrong
    if old_size >= new_size:
        failed = sys_munmap(k, t, addr + new_size, old_size - new_size) if old_size > new_size else 0
        if failed != 0:
            return failed
        if not fixed or new_addr == addr:
            log_event(k, EV_MREMAP, addr >> PAGE_SHIFT, addr >> PAGE_SHIFT)
            return addr
        old_size = new_size
    area = find_vma(k, k.tasks[t].mm, addr >> PAGE_SHIFT)
    refused = _may_not_grow(k, t, area, addr, old_size, new_size)
    if refused != 0:
        return refused
    if not fixed and _grow_in_place(k, t, area, addr, old_size, new_size):
        return addr
    if flags & MREMAP_MAYMOVE == 0:
        return -ENOMEM
    if not fixed:
        new_addr = get_unmapped_area(k, k.tasks[t].mm, 0, new_size)
        if new_addr < 0:
            return new_addr
    return _move_vma(k, t, area, addr, old_size, new_size, new_addr)


@part
def _wrong_target(k: Kernel, t: int, addr: int, old_size: int, new_size: int, flags: int, new_addr: int) -> int:
    """MREMAP_FIXED: whether the new place will do; what is there is unmapped.  0 or an errno."""
    limit = task_size(k)
    if new_addr & (PAGE_SIZE - 1) != 0 or flags & MREMAP_MAYMOVE == 0:
        return -EINVAL
    if new_size > limit or new_addr > limit - new_size:
        return -EINVAL
    if new_addr < addr + old_size and addr < new_addr + new_size:
        return -EINVAL
    return sys_munmap(k, t, new_addr, new_size)


@part
def _may_not_grow(k: Kernel, t: int, area: int, addr: int, old_size: int, new_size: int) -> int:
    """Whether the area and the limits allow it: 0 or an errno."""
    more = new_size - old_size
    if area == NIL or k.vmas[area].vm_start > addr >> PAGE_SHIFT:
        return -EFAULT
    vma = k.vmas[area]
    if addr + old_size > vma.vm_end << PAGE_SHIFT or (more > 0 and vma.vm_flags & VM_DONTEXPAND != 0):
        return -EFAULT
    if vma.vm_flags & VM_LOCKED != 0 and exceeds_memlock(k, t, more):
        return -EAGAIN
    if exceeds_address_space(k, t, more):
        return -ENOMEM
    if vma.vm_flags & (VM_SHARED | VM_WRITE) == VM_WRITE and not vm_enough_memory(k, more >> PAGE_SHIFT):
        return -ENOMEM
    return 0


@part
def _grow_in_place(k: Kernel, t: int, area: int, addr: int, old_size: int, new_size: int) -> bool:
    """Extend the area if [addr, addr + old_size) is its end and there is room behind it."""
    vma, mm = k.vmas[area], k.tasks[t].mm + 0
    limit = task_size(k) if vma.vm_next == NIL else k.vmas[vma.vm_next].vm_start << PAGE_SHIFT
    if addr + old_size != vma.vm_end << PAGE_SHIFT or addr + new_size > limit:
        return False
    old_end = vma.vm_end + 0
    vma.vm_end = (addr + new_size) >> PAGE_SHIFT
    account(k, mm, old_end, vma.vm_end, vma.vm_flags)
    log_event(k, EV_MREMAP, addr >> PAGE_SHIFT, addr >> PAGE_SHIFT)
    return True


@rule
def _move_vma(k: Kernel, t: int, area: int, addr: int, old_size: int, new_size: int, new_addr: int) -> int:
    """Make an area at `new_addr`, move the pages there, unmap the old range: the new address, MM_RECLAIM, -ENOMEM."""
    mm = k.tasks[t].mm + 0
    old_start, new_start = addr >> PAGE_SHIFT, new_addr >> PAGE_SHIFT
    pages = min(old_size, new_size) >> PAGE_SHIFT
    failed = _make_tables(k, t, mm, old_start, new_start, pages)
    if failed != 0:
        return failed
    vma = k.vmas[area]
    pgoff = vma.vm_pgoff + old_start - vma.vm_start
    new_end = new_start + (new_size >> PAGE_SHIFT)
    moved = new_vma(k, mm, new_start, new_end, vma.vm_flags, vma.vm_file, pgoff)
    if moved == NIL:
        return -ENOMEM
    k.vmas[moved].vm_policy = vma.vm_policy
    open_vma(k, moved)
    anon_vma_clone(k, moved, area, new_start - old_start)
    insert_vma(k, mm, moved)
    _move_page_tables(k, t, mm, old_start, new_start, pages)
    account(k, mm, new_start, new_end, vma.vm_flags)
    sys_munmap(k, t, addr, old_size)
    log_event(k, EV_MREMAP, old_start, new_start)
    return new_addr


@rule
def _make_tables(k: Kernel, t: int, mm: int, old: int, new: int, pages: int) -> int:
    """Page tables at the new place for every page that has an entry at the old one: 0, MM_RECLAIM, -ENOMEM."""
    mask = (1 << k.vm[0].entry_bits) - 1
    for page in range(pages):
        row = leaf_row(k, mm, old + page) if k.mms[mm].pgd != NIL else NIL
        if row != NIL and k.tables[row, (old + page) & mask] != 0:
            made = pte_alloc(k, t, mm, new + page)
            if made < 0:
                return MM_RECLAIM if made == ALLOC_RECLAIM else -ENOMEM
    return 0


@rule
def _move_page_tables(k: Kernel, t: int, mm: int, old: int, new: int, pages: int) -> None:
    """Move the entries of `pages` pages, with what they map (move_page_tables)."""
    mask = (1 << k.vm[0].entry_bits) - 1
    moved = 0
    for page in range(pages):
        row = leaf_row(k, mm, old + page) if k.mms[mm].pgd != NIL else NIL
        if row == NIL:
            continue
        pte = k.tables[row, (old + page) & mask] + 0
        if pte != 0:
            set_pte(k, row, (old + page) & mask, 0)
            set_pte(k, leaf_row(k, mm, new + page), (new + page) & mask, pte)
            moved += 1
    k.tasks[t].cost_ns += moved * k.costs[0].scan_pte_ns
    flush_tlb_mm(k, mm)
