"""vm_enough_memory, mm/mmap.c: whether a private writable mapping may be made (spec 8.2)."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0
from numa_sim.state.kernel import Kernel

_KEPT_2_2_PERCENT = 2 + 2 + 2
"""2.2: what page cache, buffers and the kernel keep (page_cache.min_percent, buffer_mem.min_percent, and 2)."""


@rule
def free_for_all(k: Kernel) -> int:
    """Pages that are free, or could be made so: page cache, buffers, free swap; late 2.4 counts the swap cache, too.

    Simplified: of late 2.4's unused dentries and inodes nothing is counted.
    """
    vm = k.vm[0]
    pages = vm.page_cache_size + vm.nr_swap_pages
    for zone in range(k.zones.shape[0]):
        pages += k.zones[zone].free_pages
    if vm.vma_rules <= KERNEL_2_4_0:
        pages += vm.buffermem_pages
    else:
        pages += vm.nr_swapcache_pages
    if vm.vma_rules == KERNEL_2_2:
        pages -= vm.total_pages * _KEPT_2_2_PERCENT // 100
    return pages


@rule
def vm_enough_memory(k: Kernel, pages: int) -> bool:
    """Whether more than `pages` pages could be had now; nothing is set aside.  ``overcommit_memory`` 1: always."""
    return k.vm[0].overcommit_memory != 0 or free_for_all(k) > pages
