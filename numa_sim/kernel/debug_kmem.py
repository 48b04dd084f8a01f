"""What must always be true of slabs and of blocks held by address (see `numa_sim.kernel.debug_vm`)."""

from __future__ import annotations

from typing import Final

import numpy as np

from numa_sim.compiled import rule
from numa_sim.kernel.slab.objects import BUFCTL_ACTIVE, BUFCTL_END, BUFCTL_IN_ARRAY
from numa_sim.state.constants import NIL, SLABS_FREE, SLABS_FULL, PG_kernel, PG_slab
from numa_sim.state.counters import NR_SLAB
from numa_sim.state.kernel import Kernel
from numa_sim.state.kmem_layout import MAX_OBJECTS

SOUND: Final = 0
BAD_SLAB: Final = 1
"""A slab's objects, group or pages are not what its counts say."""
BAD_CACHE: Final = 2
"""A cache's counts differ from its slabs, or the gauge of slab pages from the slabs."""

PART_OF_BLOCK: Final = -2
"""In `owners`: a page of an allocated block that is not its first; it has no count of its own."""


@rule
def _check_slab(k: Kernel, c: int, row: int, group: int) -> int:
    """Active objects of a slab, those in CPU arrays included; -1 if it does not belong where it is."""
    cache = k.kmem_caches[c]
    slab = k.slabs[row]
    free = 0
    index = slab.free + 0
    while index != BUFCTL_END and free <= cache.num:
        free += 1
        index = k.slab_bufctl[row, index] + 0
    active = 0
    for index in range(cache.num):
        if k.slab_bufctl[row, index] == BUFCTL_ACTIVE or k.slab_bufctl[row, index] == BUFCTL_IN_ARRAY:
            active += 1
    at_home = SLABS_FULL if free == 0 else (SLABS_FREE if active == 0 else 1)
    if slab.cache != c + 1 or slab.inuse != active or active + free != cache.num or at_home != group:
        return -1
    for pfn in range(slab.pfn, slab.pfn + (1 << cache.gfporder)):
        page = k.pages[pfn]
        if page.flags & PG_slab == 0 or page.list_next != c or page.list_prev != row:
            return -1
    if slab.s_mem + cache.num * cache.objsize > 4096 << cache.gfporder:
        return -1
    return active


@rule
def _check_cache(k: Kernel, c: int) -> tuple[int, int]:
    """(slabs, 0), or (-problem, where)."""
    cache = k.kmem_caches[c]
    slabs = 0
    active = 0
    for group in range(SLABS_FREE + 1):
        length = 0
        last = NIL
        row = cache.list_head[group] + 0
        while row != NIL:
            used = _check_slab(k, c, row, group)
            if used < 0 or k.slabs[row].prev != last:
                return -BAD_SLAB, row
            active += used
            length += 1
            last = row
            row = k.slabs[row].next + 0
        if length != cache.list_length[group] or cache.list_tail[group] != last:
            return -BAD_CACHE, c
        slabs += length
    for cpu in range(k.cpucache.shape[0]):
        if k.cpucache[cpu, c, 0] > cache.limit:
            return -BAD_CACHE, c
        for at in range(1, k.cpucache[cpu, c, 0] + 1):
            number = k.cpucache[cpu, c, at]
            if k.slab_bufctl[number // MAX_OBJECTS, number % MAX_OBJECTS] != BUFCTL_IN_ARRAY:
                return -BAD_CACHE, c
    if active != cache.active:
        return -BAD_CACHE, c
    return slabs, 0


@rule
def check_slabs(k: Kernel) -> tuple[int, int]:
    """Every cache and slab: (0, 0), or (problem, cache or slab)."""
    pages = 0
    used = 0
    c = k.vm[0].cache_chain + 0
    while c != NIL:
        slabs, where = _check_cache(k, c)
        if slabs < 0:
            return -slabs, where
        pages += slabs << k.kmem_caches[c].gfporder
        used += slabs
        c = k.kmem_caches[c].next + 0
    rows = 0
    for row in range(k.vm[0].slab_used):
        if k.slabs[row].cache != 0:
            rows += 1
    if rows != used or k.vmstat[:, NR_SLAB].sum() != pages:
        return BAD_CACHE, NIL
    return SOUND, 0


@rule
def mark_blocks(k: Kernel, owners: np.ndarray) -> int:
    """Mark the frames of slabs and of blocks held by address as owned; NIL, or a frame that has two owners."""
    for row in range(k.vm[0].slab_used):
        slab = k.slabs[row]
        if slab.cache == 0:
            continue
        for pfn in range(slab.pfn, slab.pfn + (1 << k.kmem_caches[slab.cache - 1].gfporder)):
            if owners[pfn] != 0:
                return pfn
            owners[pfn] = 1 if pfn == slab.pfn else PART_OF_BLOCK
    for pfn in range(k.pages.shape[0]):
        if k.pages[pfn].flags & PG_kernel != 0:
            if owners[pfn] != 0:
                return pfn
            owners[pfn] = 1 if k.pages[pfn].count != 0 else PART_OF_BLOCK
    return NIL
