"""madvise(2), as far as flags of areas go: mm/filemap.c @2.4, mm/madvise.c later."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.vma import carve_out
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.kernel.vma_merge import merge_changed
from numa_sim.state.answers import ENOMEM
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@rule
def madvise_flags(k: Kernel, t: int, start: int, end: int, clear: int, hint: int) -> int:
    """Give the areas of pages [start, end) the flags `hint` instead of `clear`, splitting those at its ends.

    0, or -ENOMEM if there are holes (the areas are changed all the same).
    """
    mm = k.tasks[t].mm + 0
    answer = 0
    at = start
    area = find_vma(k, mm, start)
    while area != NIL and k.vmas[area].vm_start < end:
        if k.vmas[area].vm_start > at:
            answer = -ENOMEM
        flags = (k.vmas[area].vm_flags & ~clear) | hint
        if flags != k.vmas[area].vm_flags:
            area = carve_out(k, mm, area, start, end)
            if area == NIL:
                return -ENOMEM
            k.vmas[area].vm_flags = flags
            k.vmas[area].vm_raend = 0
        at = k.vmas[area].vm_end + 0
        area = k.vmas[area].vm_next + 0
    merge_changed(k, mm, start, end)
    return -ENOMEM if at < end else answer
