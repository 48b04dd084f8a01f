"""Find, insert and remove areas, whatever the index: mm/mmap.c of 2.2 to 2.4.37 and, with VMA_VMACACHE, 5.10.

Addresses are virtual page numbers.  Every list element or tree node looked at counts as a step.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.vma_index.avl import avl_insert, avl_remove, build_mmap_avl
from numa_sim.kernel.vma_index.rbtree import rb_erase, rb_insert
from numa_sim.kernel.vma_index.vmacache import vmacache_find, vmacache_update
from numa_sim.state.constants import AVL_MIN_MAP_COUNT, NIL, VMA_AVL, VMA_LIST, VMA_VMACACHE
from numa_sim.state.counters import (
    FIND_VMA_STEPS,
    MMAP_CACHE_HIT,
    MMAP_CACHE_MISS,
    VMACACHE_FIND_HITS,
    VMACACHE_FIND_MISSES,
)
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel


@rule
def find_vma(k: Kernel, mm: int, vpn: int) -> int:
    """First area of `mm` that ends above `vpn` (it may start above it), NIL if none; it becomes ``mmap_cache``.

    Called by every page fault: a hit of the cache costs one look at it.
    """
    vm = k.vm[0]
    cached = k.mms[mm].mmap_cache
    hit = cached != NIL and k.vmas[cached].vm_start <= vpn < k.vmas[cached].vm_end
    if hit and vm.vma_index != VMA_VMACACHE:
        count(k, k.cpus[vm.current_cpu].node, MMAP_CACHE_HIT, 1)
        return cached
    return _find_beyond_cache(k, mm, vpn)


@rule
def _find_beyond_cache(k: Kernel, mm: int, vpn: int) -> int:
    """`find_vma` when the one-entry cache does not help, or there is none (VMA_VMACACHE)."""
    node = k.cpus[k.vm[0].current_cpu].node
    modern = k.vm[0].vma_index == VMA_VMACACHE
    if modern:
        vma = vmacache_find(k, mm, vpn)
        if vma != NIL:
            count(k, node, VMACACHE_FIND_HITS, 1)
            k.mms[mm].mmap_cache = vma
            return vma
        count(k, node, VMACACHE_FIND_MISSES, 1)
    else:
        count(k, node, MMAP_CACHE_MISS, 1)
    vma, _ = _search(k, mm, vpn)
    if vma != NIL:
        k.mms[mm].mmap_cache = vma
        if modern:
            vmacache_update(k, mm, vpn, vma)
    return vma


@rule
def _search(k: Kernel, mm: int, vpn: int) -> tuple[int, int]:
    """First area that ends above `vpn` and the area before it, each NIL if none, through the tree or else the list."""
    found, before = NIL, NIL
    steps = 0
    node = k.mms[mm].mm_rb + 0
    if node == NIL:
        found = k.mms[mm].mmap + 0
        while found != NIL and k.vmas[found].vm_end <= vpn:
            steps += 1
            before = found
            found = k.vmas[found].vm_next + 0
        steps += int(found != NIL)
    while node != NIL:
        steps += 1
        if k.vmas[node].vm_end > vpn:
            found = node
            node = NIL if k.vmas[node].vm_start <= vpn else k.vmas[node].vm_left + 0
        else:
            before = node
            node = k.vmas[node].vm_right + 0
    count(k, k.cpus[k.vm[0].current_cpu].node, FIND_VMA_STEPS, steps)
    _charge(k, steps)
    return found, before


@part
def _charge(k: Kernel, steps: int) -> None:
    """Each step is a cache miss of the task that searches."""
    t = k.vm[0].current_task
    if t >= 0:
        k.tasks[t].cost_ns += steps * k.costs[0].find_vma_step_ns


@rule
def _last_below(k: Kernel, node: int) -> int:
    """The last area of the subtree of `node`; NIL if that is NIL."""
    last = node
    while last != NIL and k.vmas[last].vm_right != NIL:
        last = k.vmas[last].vm_right + 0
    return last


@rule
def find_vma_prev(k: Kernel, mm: int, vpn: int) -> tuple[int, int]:
    """The area `find_vma` would give, and the one before it; neither uses nor sets the cache.

    Where no area ends above `vpn`, the trees name none before it either; the list names the last one.
    """
    found, before = neighbours(k, mm, vpn)
    return found, before if found != NIL or k.mms[mm].mm_rb == NIL else NIL


@rule
def neighbours(k: Kernel, mm: int, vpn: int) -> tuple[int, int]:
    """The first area that ends above `vpn` and the last one that does not, each NIL if none."""
    found, before = _search(k, mm, vpn)
    if found != NIL and k.mms[mm].mm_rb != NIL:
        # The descent stops at an area that contains the address: the one before it may lie below.
        below = _last_below(k, k.vmas[found].vm_left)
        before = before if below == NIL else below
    return found, before


@rule
def find_vma_intersection(k: Kernel, mm: int, start: int, end: int) -> int:
    """First area that has pages in [start, end), NIL if none."""
    vma = find_vma(k, mm, start)
    return NIL if vma == NIL or end <= k.vmas[vma].vm_start else vma


@rule
def area_before(k: Kernel, mm: int, vma: int) -> int:
    """The area before `vma` on the list, NIL if it is the first."""
    if k.mms[mm].mmap == vma:
        return NIL
    _, before = neighbours(k, mm, k.vmas[vma].vm_start)
    return before


@rule
def link_area(k: Kernel, mm: int, vma: int) -> None:
    """Put `vma` in its place on the list and in the index; one area more."""
    index = k.vm[0].vma_index + 0
    _, before = _search(k, mm, k.vmas[vma].vm_start)
    if before == NIL:
        k.vmas[vma].vm_next = k.mms[mm].mmap
        k.mms[mm].mmap = vma
    else:
        k.vmas[vma].vm_next = k.vmas[before].vm_next
        k.vmas[before].vm_next = vma
    k.mms[mm].map_count += 1
    if index == VMA_AVL:
        if k.mms[mm].mm_rb != NIL:
            avl_insert(k, mm, vma, before)
        elif k.mms[mm].map_count >= AVL_MIN_MAP_COUNT:
            build_mmap_avl(k, mm)
    elif index != VMA_LIST:
        rb_insert(k, mm, vma, before)


@rule
def unlink_area(k: Kernel, mm: int, vma: int, before: int) -> None:
    """Take `vma`, which follows `before` (NIL: the first), off the list and the index; `map_count` is the caller's."""
    if before == NIL:
        k.mms[mm].mmap = k.vmas[vma].vm_next
    else:
        k.vmas[before].vm_next = k.vmas[vma].vm_next
    if k.mms[mm].mm_rb != NIL:
        if k.vm[0].vma_index == VMA_AVL:
            avl_remove(k, mm, vma)
        else:
            rb_erase(k, mm, vma)
    k.mms[mm].vmacache_seqnum += 1
