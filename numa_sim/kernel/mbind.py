"""mbind(2): the memory policy of a range of addresses, mm/mempolicy.c:do_mbind @6.1 without MPOL_MF_MOVE."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.user_space import page_align
from numa_sim.kernel.vma import carve_out
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.kernel.vma_merge import merge_changed
from numa_sim.state.answers import EFAULT, EINVAL, ENOMEM
from numa_sim.state.constants import NIL, PAGE_SHIFT, PAGE_SIZE
from numa_sim.state.kernel import Kernel


@rule
def _has_hole(k: Kernel, mm: int, start: int, end: int) -> bool:
    """Whether some page of [start, end) lies in no area."""
    at = start
    area = find_vma(k, mm, start)
    while at < end:
        if area == NIL or k.vmas[area].vm_start > at:
            return True
        at = k.vmas[area].vm_end + 0
        area = k.vmas[area].vm_next + 0
    return False


@rule
def sys_mbind(k: Kernel, t: int, addr: int, length: int, policy: int) -> int:
    """Give the areas of [addr, addr + length), bytes, the policy of a number: 0, -EINVAL, -EFAULT (a hole), -ENOMEM.

    Areas are split at the ends of the range, and merge as their kernel merges areas that were changed.  The default
    policy (0) may be given to a range with holes.  Pages that are there already stay where they are.
    """
    size = page_align(k, length)
    if addr & (PAGE_SIZE - 1) != 0 or size < length:
        return -EINVAL
    mm = k.tasks[t].mm + 0
    start, end = addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT
    if policy != 0 and _has_hole(k, mm, start, end):
        return -EFAULT
    area = find_vma(k, mm, start)
    while area != NIL and k.vmas[area].vm_start < end:
        if k.vmas[area].vm_policy != policy:
            area = carve_out(k, mm, area, start, end)
            if area == NIL:
                return -ENOMEM
            k.vmas[area].vm_policy = policy
        area = k.vmas[area].vm_next + 0
    merge_changed(k, mm, start, end)
    return 0
