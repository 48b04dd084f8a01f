"""Which neighbouring areas become one: mm/mmap.c, by kernel (spec 8.3).

2.2 merges after every change (merge_segments), files too; 2.4.0 only lets the heap grow (in do_brk); late 2.4 merges
private anonymous areas when one is mapped (vma_merge) or given other flags (mprotect).
`numa_sim.kernel.vma_merge_modern` has the rules of today.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.anon_vma import anon_vma_clone
from numa_sim.kernel.vma import close_vma, unlink_file, wrap_pgoff
from numa_sim.kernel.vma_index.areas import find_vma, find_vma_prev, neighbours, unlink_area
from numa_sim.kernel.vma_merge_modern import continues, expand_neighbour
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0, KERNEL_6_1, NIL, VM_SHARED
from numa_sim.state.counters import VMA_MERGES
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel


@rule
def absorb_next(k: Kernel, mm: int, area: int) -> None:
    """Extend `area` over the one that follows it without a gap, and drop that."""
    other = k.vmas[area].vm_next + 0
    k.vmas[area].vm_end = k.vmas[other].vm_end
    unlink_file(k, other)
    unlink_area(k, mm, other, area)
    k.mms[mm].map_count -= 1
    if k.mms[mm].mmap_cache == other:
        k.mms[mm].mmap_cache = area
    anon_vma_clone(k, area, other, 0)
    close_vma(k, other)
    _count_merge(k)


@rule
def _count_merge(k: Kernel) -> None:
    count(k, k.cpus[k.vm[0].current_cpu].node, VMA_MERGES, 1)


@rule
def _can_vma_merge(k: Kernel, area: int, flags: int, policy: int) -> bool:
    if area == NIL or k.vmas[area].vm_policy != policy:
        return False
    return k.vmas[area].vm_file == 0 and k.vmas[area].vm_flags == flags


@rule
def vma_merge(k: Kernel, mm: int, start: int, end: int, flags: int) -> bool:
    """Late 2.4: have neighbours take over pages [start, end), which are not mapped, of a file-less private area.

    The area before is extended, and takes in the one behind if it touches that now; else the one behind is extended
    downwards (its offset stays: it has no file).
    """
    if k.vm[0].vma_merge == 0 or flags & VM_SHARED != 0:
        return False
    behind, before = neighbours(k, mm, start)
    if before != NIL and k.vmas[before].vm_end == start and _can_vma_merge(k, before, flags, 0):
        k.vmas[before].vm_end = end
        _count_merge(k)
        if _can_vma_merge(k, behind, flags, 0) and k.vmas[behind].vm_start == end:
            absorb_next(k, mm, before)
        return True
    if _can_vma_merge(k, behind, flags, 0) and k.vmas[behind].vm_start == end:
        k.vmas[behind].vm_start = start
        _count_merge(k)
        return True
    return False


@rule
def merges_late(k: Kernel) -> bool:
    """Whether areas whose flags change merge as in late 2.4."""
    return k.vm[0].vma_merge != 0 and KERNEL_2_4_0 < k.vm[0].vma_rules < KERNEL_6_1


@rule
def join_before(k: Kernel, mm: int, before: int, area: int, start: int, end: int, flags: int) -> bool:
    """Late 2.4, mprotect: have `before` take over pages [start, end) of `area`, which get its flags; whether it did.

    They must be the first of a private area without a file (mprotect_fixup_all, mprotect_fixup_start).
    """
    if not merges_late(k) or not _can_vma_merge(k, before, flags, k.vmas[area].vm_policy):
        return False
    if k.vmas[before].vm_end != start or k.vmas[area].vm_start != start:
        return False
    if k.vmas[area].vm_file != 0 or flags & VM_SHARED != 0:
        return False
    if end == k.vmas[area].vm_end:
        absorb_next(k, mm, before)
        return True
    anon_vma_clone(k, before, area, 0)
    k.vmas[before].vm_end = end
    k.vmas[area].vm_start = end
    _count_merge(k)
    return True


@rule
def absorb_behind(k: Kernel, mm: int, area: int, end: int) -> None:
    """Late 2.4, the end of sys_mprotect: an area that ends at `end` takes in the one behind, if that is alike."""
    if not merges_late(k) or k.vmas[area].vm_end != end or k.vmas[area].vm_flags & VM_SHARED != 0:
        return
    behind = k.vmas[area].vm_next + 0
    if k.vmas[area].vm_file != 0 or not _can_vma_merge(k, behind, k.vmas[area].vm_flags, k.vmas[area].vm_policy):
        return
    if k.vmas[behind].vm_start == end:
        absorb_next(k, mm, area)


@rule
def grow_heap(k: Kernel, mm: int, start: int, end: int, flags: int) -> bool:
    """2.4.0, do_brk: extend the file-less area of the same flags that ends at `start`, if there is one."""
    heap = find_vma(k, mm, start - 1) if start > 0 else NIL
    if k.vm[0].vma_merge == 0 or not _can_vma_merge(k, heap, flags, 0) or k.vmas[heap].vm_end != start:
        return False
    k.vmas[heap].vm_end = end
    _count_merge(k)
    return True


@rule
def _continues(k: Kernel, area: int, other: int) -> bool:
    """2.2: whether `other` goes on where `area` ends, in memory, in kind, and in the file if there is one."""
    one, two = k.vmas[area], k.vmas[other]
    if one.vm_end != two.vm_start or one.vm_flags != two.vm_flags or one.vm_file != two.vm_file:
        return False
    return one.vm_file == 0 or wrap_pgoff(k, one.vm_pgoff + one.vm_end - one.vm_start) == two.vm_pgoff


@rule
def merge_segments(k: Kernel, mm: int, start: int, end: int) -> None:
    """2.2: merge the areas of [start, end) with each other and with the one before, wherever one continues the other.

    The cache of `find_vma` is cleared, as it might name an area that is gone.
    """
    if k.vm[0].vma_merge == 0:
        return
    area, before = find_vma_prev(k, mm, start)
    if area == NIL:
        return
    if before == NIL:
        before = area
        area = k.vmas[area].vm_next + 0
    while area != NIL and k.vmas[before].vm_start < end:
        if _continues(k, before, area):
            absorb_next(k, mm, before)
        else:
            before = area
        area = k.vmas[before].vm_next + 0
    k.mms[mm].mmap_cache = NIL


@rule
def merge_mapping(k: Kernel, mm: int, start: int, end: int, flags: int, file: int, pgoff: int) -> bool:
    """Whether neighbours take over a new mapping of pages [start, end): late 2.4 and linux-6.1, each by its rules."""
    if k.vm[0].vma_rules != KERNEL_6_1:
        return file == 0 and vma_merge(k, mm, start, end, flags)
    if k.vm[0].vma_merge == 0 or (file == 0 and flags & VM_SHARED != 0):
        return False
    area = expand_neighbour(k, mm, start, end, flags, file, pgoff)
    if area == NIL:
        return False
    _count_merge(k)
    if k.vmas[area].vm_next != NIL and continues(k, area, k.vmas[area].vm_next):
        absorb_next(k, mm, area)
    return True


@rule
def merge_changed(k: Kernel, mm: int, start: int, end: int) -> None:
    """After the flags of areas of [start, end) were changed: merge what has become alike, where the kernel does."""
    if k.vm[0].vma_rules == KERNEL_2_2:
        merge_segments(k, mm, start, end)
    if k.vm[0].vma_rules != KERNEL_6_1 or k.vm[0].vma_merge == 0:
        return
    area, before = neighbours(k, mm, start)
    area = area if before == NIL else before
    while area != NIL and k.vmas[area].vm_next != NIL and k.vmas[k.vmas[area].vm_next].vm_start <= end:
        if continues(k, area, k.vmas[area].vm_next):
            absorb_next(k, mm, area)
        else:
            area = k.vmas[area].vm_next + 0
