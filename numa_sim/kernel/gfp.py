"""The ways into `__alloc_pages`: mm/page_alloc.c and include/linux/mm.h @2.4 (spec 3.6).

Nobody calls `__alloc_pages` itself: `alloc_page`, `get_free_pages`, `get_zeroed_page` here and `alloc_pages`,
`alloc_pages_node` in `numa_sim.kernel.numa` share that one core.  What begins with ``get_`` answers an address of the
kernel, virtual = physical + PAGE_OFFSET, so it must not be given memory that has none (HIGHMEM).

A block may need reclaim.  As everywhere (`numa_sim.kernel.pgtable.alloc_for_task`) the rule then answers
ALLOC_RECLAIM, with everything done so far in place, and is called again after the slow path.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.mempolicy import alloc_pages_policy, mempolicy_slab_node
from numa_sim.kernel.numa import alloc_pages
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import GFP_HIGHMEM_BIT, NIL, PG_kernel
from numa_sim.state.kernel import Kernel


@rule
def alloc_block_for_task(k: Kernel, t: int, gfp: int, order: int) -> int:
    """2**order pages for task `t`: what its slow path already found (or not), else alloc_pages from the CPU's node.

    A policy of the task may say otherwise (alloc_pages_current).

    Returns
    -------
    int
        First frame; ALLOC_FAIL; ALLOC_RECLAIM: call again after what ``tasks[t].alloc_wants`` says.
    """
    return _alloc_block(k, t, gfp, order, False)


@rule
def alloc_slab_block(k: Kernel, t: int, gfp: int, order: int) -> int:
    """As `alloc_block_for_task`, for a slab: a policy says which node is asked first, but binds to none."""
    return _alloc_block(k, t, gfp, order, True)


@part
def _alloc_block(k: Kernel, t: int, gfp: int, order: int, slab: bool) -> int:
    task = k.tasks[t]
    if task.alloc_failed != 0:
        task.alloc_failed = 0
        return ALLOC_FAIL
    if task.got_pfn != NIL:
        pfn = task.got_pfn + 0
        task.got_pfn = NIL
        if task.got_gfp == gfp and k.pages[pfn].order == order:
            return pfn
        free_pages(k, pfn, k.pages[pfn].order)
    if k.vm[0].nr_policies == 0:
        pfn = alloc_pages(k, t, k.cpus[k.vm[0].current_cpu].node, gfp, order)
    elif slab:
        task.alloc_interleave = 0
        pfn = alloc_pages(k, t, mempolicy_slab_node(k, t), gfp, order)
    else:
        pfn = alloc_pages_policy(k, t, NIL, 0, gfp, order)
    task.got_gfp = gfp
    if pfn < ALLOC_FAIL:
        task.alloc_wants = pfn
        return ALLOC_RECLAIM
    return pfn


@rule
def alloc_page(k: Kernel, t: int, gfp: int) -> int:
    """One page of any zone the mask allows: its frame; answers as `alloc_block_for_task`."""
    return alloc_block_for_task(k, t, gfp, 0)


@rule
def get_free_pages(k: Kernel, t: int, gfp: int, order: int) -> int:
    """`__get_free_pages` @2.4: 2**order contiguous pages that the kernel holds by their address.

    Returns
    -------
    int
        First frame (the address is its place in the kernel's linear mapping); ALLOC_FAIL, also if HIGHMEM was asked
        for, which has no such address; ALLOC_RECLAIM.
    """
    if gfp & GFP_HIGHMEM_BIT != 0:
        return ALLOC_FAIL
    pfn = alloc_block_for_task(k, t, gfp, order)
    if pfn >= 0:
        for at in range(pfn, pfn + (1 << order)):
            k.pages[at].flags |= PG_kernel
    return pfn


@rule
def get_zeroed_page(k: Kernel, t: int, gfp: int) -> int:
    """`get_zeroed_page` @2.4: one page, cleared; its time goes to the task; answers as `get_free_pages`."""
    pfn = get_free_pages(k, t, gfp, 0)
    if pfn >= 0:
        k.tags[pfn] = 0
        k.tasks[t].cost_ns += k.costs[0].clear_page_ns
    return pfn


@rule
def free_kernel_pages(k: Kernel, pfn: int, order: int) -> None:
    """`free_pages` @2.4: give back what `get_free_pages` gave."""
    for at in range(pfn, pfn + (1 << order)):
        k.pages[at].flags &= ~PG_kernel
    free_pages(k, pfn, order)
