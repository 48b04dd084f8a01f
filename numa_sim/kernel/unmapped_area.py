"""Where a new mapping goes: get_unmapped_area of mm/mmap.c @2.2.1, 2.4.0, 2.4.37 and 6.1 (spec 8.2)."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.user_space import page_align, task_size, unmapped_base
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.answers import ENOMEM
from numa_sim.state.constants import KERNEL_2_4_0, KERNEL_6_1, NIL, PAGE_SHIFT
from numa_sim.state.kernel import Kernel


@rule
def _first_fit(k: Kernel, mm: int, addr: int, size: int) -> int:
    """The first gap of `size` bytes at or above `addr`, -ENOMEM if none."""
    limit = task_size(k)
    area = find_vma(k, mm, addr >> PAGE_SHIFT)
    while addr <= limit - size:
        if area == NIL or addr + size <= k.vmas[area].vm_start << PAGE_SHIFT:
            return addr
        addr = k.vmas[area].vm_end << PAGE_SHIFT
        area = k.vmas[area].vm_next + 0
    return -ENOMEM


@rule
def _highest_fit(k: Kernel, mm: int, size: int) -> int:
    """linux-6.1: the end of the highest gap below ``mmap_base`` that `size` bytes fit in, -ENOMEM if none."""
    base = k.mms[mm].mmap_base + 0 if k.mms[mm].mmap_base != 0 else k.vm[0].task_size_vpn + 0
    pages = size >> PAGE_SHIFT
    best = -ENOMEM
    low = 1
    area = k.mms[mm].mmap + 0
    while low < base:
        high = base if area == NIL else min(base, k.vmas[area].vm_start + 0)
        if high - low >= pages:
            best = (high - pages) << PAGE_SHIFT
        if area == NIL:
            break
        low = k.vmas[area].vm_end + 0
        area = k.vmas[area].vm_next + 0
    return best


@rule
def get_unmapped_area(k: Kernel, mm: int, addr: int, size: int) -> int:
    """Room for `size` bytes (whole pages), near `addr` if that is not 0; an address, or -ENOMEM.

    2.2, 2.4.0: the first gap at or above `addr`, or TASK_UNMAPPED_BASE.  Late 2.4: at `addr` or anywhere above
    TASK_UNMAPPED_BASE.  linux-6.1: at `addr` or as high as possible.
    """
    limit = task_size(k)
    rules = k.vm[0].vma_rules + 0
    if size > limit:
        return -ENOMEM
    wanted = page_align(k, addr)
    if rules <= KERNEL_2_4_0:
        start = wanted if addr != 0 else unmapped_base(k)
        return _first_fit(k, mm, start, size)
    if addr != 0 and wanted <= limit - size:
        area = find_vma(k, mm, wanted >> PAGE_SHIFT)
        if area == NIL or wanted + size <= k.vmas[area].vm_start << PAGE_SHIFT:
            return wanted
    if rules == KERNEL_6_1:
        high = _highest_fit(k, mm, size)
        if high >= 0:
            return high
    return _first_fit(k, mm, unmapped_base(k), size)
