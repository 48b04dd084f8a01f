"""Which node's memory an allocation gets: mm/numa.c @2.4.37 (`alloc_pages`, `alloc_pages_node`).

`strict24` (real 2.4): every node on its turn gets a whole attempt, reclaim included, before the next node is tried:
the preferred node, its successors in pgdat_list to the end, then pgdat_list from its head.  `nearest` (spec C-1, as
later kernels): one attempt over a zonelist that continues over the other nodes.  Both come out of the same rules,
because the boot writes `node_order` and `zonelists` accordingly (see `numa_sim.kernel.mmzone`).
2.2 knows no nodes: one attempt, on all memory.

Where memory may come from has a number: that of a node, or of the lists a memory policy has for a node (its set of
nodes, in the order of that node: `numa_sim.kernel.mempolicy`), which is the node's own plus a multiple of the nodes.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import page_zone
from numa_sim.kernel.page_alloc import alloc_attempt, attempt_after_reclaim, attempt_without_reclaim
from numa_sim.kernel.v2_2.page_alloc import alloc_attempt as alloc_attempt_2_2
from numa_sim.kernel.v2_2.page_alloc import attempt_continue as attempt_continue_2_2
from numa_sim.kernel.v2_4_0.page_alloc import alloc_attempt as alloc_attempt_2_4_0
from numa_sim.kernel.v2_4_0.page_alloc import attempt_continue as attempt_continue_2_4_0
from numa_sim.kernel.v2_4_0.page_alloc import attempt_without_reclaim as attempt_without_reclaim_2_4_0
from numa_sim.kernel.v2_4_22.page_alloc import alloc_attempt as alloc_attempt_2_4_22
from numa_sim.kernel.v2_4_22.page_alloc import attempt_after_reclaim as attempt_after_reclaim_2_4_22
from numa_sim.kernel.v2_4_22.page_alloc import attempt_without_reclaim as attempt_without_reclaim_2_4_22
from numa_sim.state.answers import ALLOC_FAIL
from numa_sim.state.constants import (
    GFP_HIGHMEM_BIT,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_2_4_22,
    MAX_ORDER,
    NIL,
    PF_MEMALLOC,
    PF_MEMDIE,
)
from numa_sim.state.counters import (
    INTERLEAVE_HIT,
    LOCAL_NODE,
    NUMA_FOREIGN,
    NUMA_HIT,
    NUMA_MISS,
    OTHER_NODE,
    PGALLOC_FAIL,
)
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel


@part
def node_of_lists(k: Kernel, lists: int) -> int:
    """The node lists are for: their own number, or whose order those of a policy have."""
    return lists % k.vm[0].nr_nodes


@part
def _preferred_node(k: Kernel, lists: int, got: int) -> int:
    """The first node of the lists that were asked, if a page came from node `got`.

    Only the reserves give a page of a node that a policy does not allow: then it was not asked any more.
    """
    if lists < k.vm[0].nr_nodes or k.policy_nodes[lists // k.vm[0].nr_nodes, got] == 0:
        return node_of_lists(k, lists)
    return int(k.zones[k.zonelists[lists, GFP_HIGHMEM_BIT, 0]].node)


@part
def zone_statistics(k: Kernel, preferred: int, pfn: int) -> None:
    """Count where a page came from: on the node asked for or not, near the asking CPU or not.

    `zone_statistics` of 2.6 (2.4 counts nothing); the preferred node is the one the caller asked for, also when it
    has no memory; of the lists of a policy it is the first node allowed.
    """
    node = k.zones[page_zone(k, pfn)].node
    if node == preferred or node == _preferred_node(k, preferred, node):
        count(k, node, NUMA_HIT, 1)
    else:
        count(k, node, NUMA_MISS, 1)
        count(k, _preferred_node(k, preferred, node), NUMA_FOREIGN, 1)
    if node == k.cpus[k.vm[0].current_cpu].node:
        count(k, node, LOCAL_NODE, 1)
    else:
        count(k, node, OTHER_NODE, 1)


@part
def _conclude(k: Kernel, t: int, preferred: int, attempt: int, pfn: int) -> int:
    """Remember the attempt that must reclaim or wait, count the one that succeeded."""
    if pfn < ALLOC_FAIL:
        k.tasks[t].alloc_first_node = preferred
        k.tasks[t].alloc_attempt = attempt
    elif pfn != ALLOC_FAIL:
        zone_statistics(k, preferred, pfn)
    return pfn


@part
def _attempt(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """`__alloc_pages` of the kernel that runs."""
    if k.vm[0].profile == KERNEL_2_4_0:
        return alloc_attempt_2_4_0(k, t, node, gfp, order)
    if k.vm[0].profile == KERNEL_2_4_22:
        return alloc_attempt_2_4_22(k, t, node, gfp, order)
    if k.vm[0].profile == KERNEL_2_2:
        return alloc_attempt_2_2(k, t, node, gfp, order)
    return alloc_attempt(k, t, node, gfp, order)


@rule
def _try_nodes(k: Kernel, t: int, preferred: int, gfp: int, order: int, attempt: int) -> int:
    """Attempts on the nodes of `preferred`'s order from position `attempt` on, until one does not fail."""
    while True:
        node = NIL
        if attempt < k.node_order.shape[1]:
            node = int(k.node_order[preferred, attempt])
        if node == NIL and preferred >= k.vm[0].nr_nodes and k.tasks[t].flags & (PF_MEMALLOC | PF_MEMDIE) != 0:
            # Who may use the reserves need not obey a policy: all nodes, the task's own first.
            preferred = node_of_lists(k, preferred)
            attempt = 0
            continue
        if node == NIL:
            count(k, node_of_lists(k, preferred), PGALLOC_FAIL, 1)
            return ALLOC_FAIL
        pfn = _attempt(k, t, node, gfp, order)
        if pfn != ALLOC_FAIL:
            return _conclude(k, t, preferred, attempt, pfn)
        attempt += 1


@rule
def alloc_pages(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """Allocate 2**order pages for task `t`, preferably on `node` (or from the lists of a policy, see the module).

    Returns
    -------
    int
        First frame, count 1; ALLOC_FAIL; or ALLOC_RECLAIM: the caller runs `reclaim_begin` and `reclaim_run` on
        ``tasks[t].reclaim_zone`` with ``tasks[t].reclaim_gfp``, then calls `alloc_after_reclaim`.  @2.4.0 also
        ALLOC_YIELD (@2.4.22 too) and ALLOC_WAIT_KSWAPD, and reclaim is `numa_sim.kernel.v2_4_0.vmscan`'s.
    """
    if order >= MAX_ORDER:
        count(k, node_of_lists(k, node), PGALLOC_FAIL, 1)
        return ALLOC_FAIL
    return _try_nodes(k, t, node, gfp, order, 0)


@rule
def alloc_pages_node(k: Kernel, t: int, node: int, gfp: int, order: int) -> int:
    """As `alloc_pages`, but from `node`'s own zonelist only: with CONFIG_NUMA the kernel does not fall back here."""
    if order >= MAX_ORDER:
        count(k, node, PGALLOC_FAIL, 1)
        return ALLOC_FAIL
    pfn = _attempt(k, t, node, gfp, order)
    if pfn == ALLOC_FAIL:
        count(k, node, PGALLOC_FAIL, 1)
    # Past the end of the node order, so that no other node is tried after reclaim either.
    return _conclude(k, t, node, k.node_order.shape[1], pfn)


@rule
def alloc_pages_without_reclaim(k: Kernel, t: int, lists: int, gfp: int, order: int) -> int:
    """2**order pages from `lists` if a zone there is above its min mark, kswapd being woken below low; else ALLOC_FAIL.

    The first pass of a policy with several preferred nodes (alloc_pages_preferred_many).
    """
    for attempt in range(k.node_order.shape[1]):
        node = int(k.node_order[lists, attempt])
        if node == NIL:
            break
        if k.vm[0].profile == KERNEL_2_4_0:
            pfn = attempt_without_reclaim_2_4_0(k, node, gfp, order)
        elif k.vm[0].profile == KERNEL_2_4_22:
            pfn = attempt_without_reclaim_2_4_22(k, node, gfp, order)
        else:
            pfn = attempt_without_reclaim(k, node, gfp, order)
        if pfn != NIL:
            zone_statistics(k, lists, pfn)
            return pfn
    return ALLOC_FAIL


@part
def count_interleaved(k: Kernel, node: int, pfn: int) -> None:
    """An interleave policy chose `node` for a page; whether it came from there (NUMA_INTERLEAVE_HIT)."""
    if k.zones[page_zone(k, pfn)].node == node:
        count(k, node, INTERLEAVE_HIT, 1)


@rule
def alloc_after_reclaim(k: Kernel, t: int, freed: int) -> int:
    """Go on with the allocation of task `t` that answered ALLOC_RECLAIM (@2.4.0 or another such code).

    Parameters
    ----------
    freed : int
        1 if reclaim ended with RECLAIM_DONE, 0 with RECLAIM_FAILED (@2.4.0 it makes no difference).

    Returns
    -------
    int
        As `alloc_pages`.
    """
    pfn = _go_on(k, t, freed)
    task = k.tasks[t]
    if task.alloc_interleave != 0 and pfn >= ALLOC_FAIL:
        if pfn != ALLOC_FAIL:
            count_interleaved(k, task.alloc_interleave - 1, pfn)
        task.alloc_interleave = 0
    return pfn


@part
def _go_on(k: Kernel, t: int, freed: int) -> int:
    """The attempt that asked for reclaim, and then the next nodes'."""
    task = k.tasks[t]
    preferred = task.alloc_first_node + 0
    attempt = task.alloc_attempt + 0
    gfp = task.alloc_gfp + 0
    order = task.alloc_order + 0
    if k.vm[0].profile == KERNEL_2_4_0:
        pfn = attempt_continue_2_4_0(k, t)
    elif k.vm[0].profile == KERNEL_2_4_22:
        pfn = attempt_after_reclaim_2_4_22(k, t, freed)
    elif k.vm[0].profile == KERNEL_2_2:
        pfn = attempt_continue_2_2(k, t, freed)
    else:
        pfn = attempt_after_reclaim(k, t, freed)
    if pfn != ALLOC_FAIL:
        return _conclude(k, t, preferred, attempt, pfn)
    return _try_nodes(k, t, preferred, gfp, order, attempt + 1)
