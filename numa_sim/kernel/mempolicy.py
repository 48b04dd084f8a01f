"""From which nodes a task's memory comes: mm/mempolicy.c @6.1 (2.6 and later), laid over the kernels of 2.4.

A policy belongs to an area (mbind) or to a task (set_mempolicy); the area's goes first, and without any a page comes
from the CPU's own node.  Page cache, page tables and other memory of the kernel know the task's policy only.

=====================  =========================================================================================
local                  the CPU's node, then the others (what default is for a task that has no policy)
preferred              one node, then the others
preferred_many         the nodes of a set as long as they have free pages, without reclaim; then all
bind                   the nodes of a set and no other: reclaim there, and an OOM kill, rather than a page elsewhere
interleave             page k of an area from node k of the set, modulo their number; else one after the other
weighted_interleave    the same with so many pages of each node as it has weight (6.9 and later)
=====================  =========================================================================================

Policies are numbered, equal ones once; 0 is none.  A policy with a set of nodes has zonelists of its own for every
node (`numa_sim.kernel.numa`), in the order of that node's.  A policy is never forgotten.

Simplified: the weights belong to the policy, not to the machine; interleaving goes by the address an anonymous area
has now (Linux: had when it was mapped); a shared object has no policy, its areas have.  There are no cpusets, no home
node and none of the flags MPOL_F_*.  mbind and migrate_pages move no pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Final

import numpy as np

from numa_sim.compiled import part, rule
from numa_sim.kernel.mmzone import nearest_order, pgdat_order
from numa_sim.kernel.numa import alloc_pages, alloc_pages_without_reclaim, count_interleaved
from numa_sim.state.answers import ALLOC_FAIL, EINVAL, ENOMEM, ENOSYS
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_HIGHMEM_BIT,
    KERNEL_2_2,
    MAX_CYCLE,
    MPOL_BIND,
    MPOL_DEFAULT,
    MPOL_INTERLEAVE,
    MPOL_LOCAL,
    MPOL_MODES,
    MPOL_PREFERRED,
    MPOL_PREFERRED_MANY,
    MPOL_WEIGHTED_INTERLEAVE,
    NIL,
    NR_ZONES,
    ZONE_DMA,
    ZONE_HIGHMEM,
    ZONE_NORMAL,
)
from numa_sim.state.kernel import Kernel
from numa_sim.topology.cpulist import format_list

# Which policy, which node ---------------------------------------------------------------------------------------------


@part
def get_vma_policy(k: Kernel, t: int, vma: int) -> int:
    """The policy for a page of area `vma` (NIL: of none) that task `t` asks for: the area's, else the task's."""
    policy = 0
    if vma != NIL:
        policy = k.vmas[vma].vm_policy + 0
    if policy == 0:
        policy = k.tasks[t].mempolicy + 0
    return policy


@part
def interleave_index(k: Kernel, vma: int, vpn: int) -> int:
    """The number that says where an interleaved page comes from: its place in the file, else its virtual page."""
    area = k.vmas[vma]
    return vpn if area.vm_file == 0 else area.vm_pgoff + vpn - area.vm_start


@part
def interleave_nodes(k: Kernel, t: int, policy: int) -> int:
    """The node whose turn it is for a page of task `t` that has no address; the next one's is next."""
    task = k.tasks[t]
    at = task.il_next % k.policies[policy].length
    task.il_next = at + 1
    return int(k.policy_cycle[policy, at])


@part
def _binds(k: Kernel, gfp: int) -> bool:
    """Whether a bind policy is about such requests (apply_policy_zone): not those that may not use the highest zone."""
    zone = ZONE_NORMAL
    if gfp & GFP_DMA_BIT != 0:
        zone = ZONE_DMA
    elif gfp & GFP_HIGHMEM_BIT != 0:
        zone = ZONE_HIGHMEM
    return zone >= k.vm[0].highest_zone


@rule
def alloc_pages_policy(k: Kernel, t: int, vma: int, vpn: int, gfp: int, order: int) -> int:
    """2**order pages under a policy: alloc_pages_vma, or without an area (`vma` NIL) alloc_pages_current.

    Returns
    -------
    int
        As `numa_sim.kernel.numa.alloc_pages`, which finishes a request that had to reclaim.
    """
    policy = get_vma_policy(k, t, vma)
    mode = k.policies[policy].mode
    node = int(k.cpus[k.vm[0].current_cpu].node)
    k.tasks[t].got_policy = policy
    k.tasks[t].alloc_interleave = 0
    if mode == MPOL_INTERLEAVE or mode == MPOL_WEIGHTED_INTERLEAVE:
        if vma != NIL:
            node = int(k.policy_cycle[policy, interleave_index(k, vma, vpn) % k.policies[policy].length])
        else:
            node = interleave_nodes(k, t, policy)
        pfn = alloc_pages(k, t, node, gfp, order)
        if mode == MPOL_INTERLEAVE and pfn >= 0:
            count_interleaved(k, node, pfn)
        elif mode == MPOL_INTERLEAVE and pfn < ALLOC_FAIL:
            k.tasks[t].alloc_interleave = node + 1
        return pfn
    if mode == MPOL_PREFERRED:
        node = int(k.policy_cycle[policy, 0])
    elif mode == MPOL_PREFERRED_MANY:
        pfn = alloc_pages_without_reclaim(k, t, policy * k.vm[0].nr_nodes + node, gfp, order)
        if pfn != ALLOC_FAIL:
            return pfn
    elif mode == MPOL_BIND and _binds(k, gfp):
        node += policy * k.vm[0].nr_nodes
    return alloc_pages(k, t, node, gfp, order)


@rule
def mempolicy_slab_node(k: Kernel, t: int) -> int:
    """The node task `t` gets a slab from: the CPU's own, unless its policy names others (mempolicy_slab_node)."""
    node = int(k.cpus[k.vm[0].current_cpu].node)
    policy = k.tasks[t].mempolicy + 0
    mode = k.policies[policy].mode
    if mode == MPOL_INTERLEAVE or mode == MPOL_WEIGHTED_INTERLEAVE:
        return interleave_nodes(k, t, policy)
    if mode == MPOL_PREFERRED:
        return int(k.policy_cycle[policy, 0])
    if mode == MPOL_BIND or mode == MPOL_PREFERRED_MANY:
        first = k.zonelists[policy * k.vm[0].nr_nodes + node, GFP_HIGHMEM_BIT, 0]
        return int(k.zones[first].node)
    return node


# Making policies ------------------------------------------------------------------------------------------------------


def mpol_new(k: Kernel, mode: int, nodes: Sequence[int] = (), weights: Sequence[int] = ()) -> int:
    """The number of a policy; one that nobody has had gets the next one (mpol_new, mpol_set_nodemask).

    Parameters
    ----------
    mode : int
        MPOL_*.
    nodes : sequence of int
        The set; nodes without memory do not count.  None for default and local; preferred takes the first, and without
        one it is local.
    weights : sequence of int
        Of a weighted interleave: 1 to 255 for each node of `nodes`; 1 each if there are none.

    Returns
    -------
    int
        0 or more; -EINVAL; -ENOMEM: there are too many policies (``Sizes.policies``), or the weights add up to more
        than MAX_CYCLE; -ENOSYS: 2.2 has no zonelists to choose from.
    """
    if k.vm[0].profile == KERNEL_2_2:
        return -ENOSYS
    if mode not in MPOL_MODES.values() or (mode in (MPOL_DEFAULT, MPOL_LOCAL) and nodes):
        return -EINVAL
    if mode == MPOL_DEFAULT:
        return 0
    if weights and (mode != MPOL_WEIGHTED_INTERLEAVE or len(weights) != len(nodes)):
        return -EINVAL
    if any(not 0 <= node < len(k.nodes) for node in nodes) or any(not 1 <= weight <= 255 for weight in weights):
        return -EINVAL
    shares = sorted(zip(nodes, weights or repeat(1), strict=False))
    shares = [(node, weight) for node, weight in dict(shares).items() if k.nodes[node].node_size > 0]
    if mode == MPOL_PREFERRED:
        shares = shares[:1]
        mode = MPOL_PREFERRED if nodes else MPOL_LOCAL
    if mode != MPOL_LOCAL and not shares:
        return -EINVAL
    return _number_of(k, mode, list(chain.from_iterable([node] * weight for node, weight in shares)))


def _number_of(k: Kernel, mode: int, cycle: list[int]) -> int:
    """The row that describes this policy, a new one if there is none."""
    last = int(k.vm[0].nr_policies)
    for policy in range(1, last + 1):
        row = k.policies[policy]
        if row.mode == mode and k.policy_cycle[policy, : int(row.length)].tolist() == cycle:
            return policy
    policy = last + 1
    if policy >= len(k.policies) or len(cycle) > MAX_CYCLE:
        return -ENOMEM
    k.policies[policy].mode, k.policies[policy].length = mode, len(cycle)
    k.policy_cycle[policy, : len(cycle)] = cycle
    k.policy_nodes[policy, cycle] = 1
    k.vm[0].nr_policies = policy
    if mode in (MPOL_BIND, MPOL_PREFERRED_MANY):
        _build_zonelists(k, policy)
    return policy


def _build_zonelists(k: Kernel, policy: int) -> None:
    """The policy's lists for every node: that node's order of nodes, less those that are not in the set."""
    n = len(k.nodes)
    allowed = np.asarray(k.policy_nodes[policy]).astype(bool)
    ring = pgdat_order(k)
    for home in range(n):
        lists = policy * n + home
        at = ring.index(home)
        order = nearest_order(k, home) if k.vm[0].numa_nearest else ring[at:] + ring[:at]
        order = [node for node in order if allowed[node]]
        for gfp in range(k.zonelists.shape[1]):
            zones = [int(zone) for node in order for zone in k.zonelists[node, gfp] if int(zone) // NR_ZONES == node]
            k.zonelists[lists, gfp, : len(zones)] = zones
        k.node_order[lists, : len(order)] = order
        if k.vm[0].numa_nearest:
            k.node_order[lists, :2] = lists, NIL


def set_mempolicy(k: Kernel, t: int, policy: int) -> None:
    """Give task `t` the policy of a number; an interleave policy begins with its first node (do_set_mempolicy)."""
    k.tasks[t].mempolicy = policy
    if k.policies[policy].mode in (MPOL_INTERLEAVE, MPOL_WEIGHTED_INTERLEAVE):
        k.tasks[t].il_next = 0


# Looking, from outside ------------------------------------------------------------------------------------------------

_SHOWN: Final = {
    MPOL_DEFAULT: "default",
    MPOL_LOCAL: "local",
    MPOL_PREFERRED: "prefer",
    MPOL_PREFERRED_MANY: "prefer (many)",
    MPOL_BIND: "bind",
    MPOL_INTERLEAVE: "interleave",
    MPOL_WEIGHTED_INTERLEAVE: "weighted interleave",
}


def mpol_to_str(k: Kernel, policy: int) -> str:
    """A policy as /proc/PID/numa_maps writes it: ``bind:0-1``, ``prefer:3``, ``default``."""
    nodes = np.flatnonzero(k.policy_nodes[policy]).tolist()
    mode = _SHOWN[int(k.policies[policy].mode)]
    return f"{mode}:{format_list(nodes)}" if nodes else mode
