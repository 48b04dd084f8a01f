"""Merging in linux-6.1: mm/mmap.c:mmap_region, vma_merge (``vm.vma_rules`` KERNEL_6_1; spec 10.2).

Two areas become one if they touch, have the same flags and file, their offsets go on (anonymous memory's offset is its
address), and their anonymous pages may share one anon_vma.  That condition needs the reverse map (``kernel.rmap``);
without it no area has an anon_vma.  mmap looks at the area behind first, changes of flags at the one before.

Areas with different memory policies stay apart; a new area has none.

Simplified: userfaultfd is not known.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.anon_vma import NO_ANON_VMA
from numa_sim.kernel.vma_index.areas import neighbours
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@rule
def _is_singular(k: Kernel, area: int) -> bool:
    """Whether the area has at most one link: it has not gone through a fork (list_is_singular)."""
    first = k.vmas[area].anon_vma_chain
    return first == NIL or k.anon_vma_chains[first].same_vma == NIL


@rule
def _one_anon_vma(k: Kernel, one: int, two: int) -> bool:
    """is_mergeable_anon_vma: the same one, or only one of them has any and its area is not of a fork."""
    first, second = k.vmas[one].anon_vma + 0, k.vmas[two].anon_vma + 0
    if first == second:
        return True
    if first != NO_ANON_VMA and second != NO_ANON_VMA:
        return False
    return _is_singular(k, one) and _is_singular(k, two)


@rule
def continues(k: Kernel, area: int, other: int) -> bool:
    """Whether `other`, the next area, goes on where `area` ends, so that they may be one."""
    one, two = k.vmas[area], k.vmas[other]
    if one.vm_end != two.vm_start or one.vm_flags != two.vm_flags or one.vm_file != two.vm_file:
        return False
    if one.vm_policy != two.vm_policy:
        return False
    return one.vm_pgoff + one.vm_end - one.vm_start == two.vm_pgoff and _one_anon_vma(k, area, other)


@rule
def _fits(k: Kernel, area: int, flags: int, file: int, pgoff: int) -> bool:
    """Whether pages from offset `pgoff` on, not touched yet, may join the area (its own begin at `vm_pgoff`)."""
    vma = k.vmas[area]
    if vma.vm_policy != 0:
        return False
    return vma.vm_flags == flags and vma.vm_file == file and vma.vm_pgoff == pgoff and _is_singular(k, area)


@rule
def expand_neighbour(k: Kernel, mm: int, start: int, end: int, flags: int, file: int, pgoff: int) -> int:
    """Have a neighbour take over pages [start, end): the area, NIL if none may.  It may touch the next one then.

    The one behind is asked first: if it fits, the one before joins in only if both may share one anon_vma.
    """
    behind, before = neighbours(k, mm, start)
    chosen = NIL
    if behind != NIL and k.vmas[behind].vm_start == end and _fits(k, behind, flags, file, pgoff + end - start):
        chosen = behind
    if before != NIL and k.vmas[before].vm_end == start:
        length = k.vmas[before].vm_end - k.vmas[before].vm_start
        if _fits(k, before, flags, file, pgoff - length) and (chosen == NIL or _one_anon_vma(k, before, chosen)):
            k.vmas[before].vm_end = end
            return before
    if chosen != NIL:
        k.vmas[chosen].vm_start = start
        k.vmas[chosen].vm_pgoff = pgoff
    return chosen
