"""Where memory is looked for: zonelists and node order, strict24 and nearest, nodes without memory."""

from __future__ import annotations

import pytest

from numa_sim.compiled import entry
from numa_sim.kernel import numa
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.mmzone import pgdat_order
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import GFP_DMA_BIT, GFP_HIGHMEM_BIT, GFP_HIGHUSER, GFP_KERNEL, NIL
from numa_sim.state.counters import NUMA_FOREIGN, NUMA_HIT, NUMA_MISS
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

MIB = 256
TASK = 2
alloc_pages = entry(numa.alloc_pages)
alloc_after_reclaim = entry(numa.alloc_after_reclaim)

RING = [[10, 20, 30, 20], [20, 10, 20, 30], [30, 20, 10, 20], [20, 30, 20, 10]]


def booted(mib: list[int], fallback: str, distance: list[list[int]] | None = None, arch: str = "x86-64") -> Kernel:
    nodes, start = [], 0
    for size in mib:
        nodes.append((start, size * MIB))
        start += size * MIB
    k = new_kernel(Sizes(nodes=len(mib), cpus=1, frames=start, tables=1))
    n = len(mib)
    distance = distance or [[10 if i == j else 20 for j in range(n)] for i in range(n)]
    boot(k, nodes, arch, "linux-2.4.37", fallback, distance)
    k.vm[0].current_task = TASK
    return k


def closed(row: list[int]) -> list[int]:
    assert row.count(NIL) >= 1
    return row[: row.index(NIL)]


def node_order(k: Kernel) -> list[list[int]]:
    return [closed(row) for row in k.node_order.tolist()]


def zonelist(k: Kernel, node: int, gfp: int) -> list[tuple[int, int]]:
    return [divmod(zone, 3) for zone in closed(k.zonelists[node, gfp].tolist())]


def test_strict24_order_is_reverse_initialisation_not_distance():
    """Spec 3.5: pgdat_list 3,2,1,0; from local node 2 the order is 2,1,0,3."""
    k = booted([32] * 4, "strict24", RING)
    assert pgdat_order(k) == [3, 2, 1, 0]
    assert node_order(k) == [[0, 3, 2, 1], [1, 0, 3, 2], [2, 1, 0, 3], [3, 2, 1, 0]]


def test_strict24_zonelists_hold_the_nodes_own_zones():
    k = booted([32] * 2, "strict24")
    assert zonelist(k, 0, 0) == [(0, 1), (0, 0)]
    assert zonelist(k, 0, GFP_DMA_BIT) == [(0, 0)]
    assert zonelist(k, 0, GFP_HIGHMEM_BIT) == [(0, 1), (0, 0)]
    assert zonelist(k, 1, 0) == [(1, 1)]
    assert zonelist(k, 1, GFP_DMA_BIT) == []


def test_nearest_zonelists_go_on_by_distance():
    k = booted([32] * 4, "nearest", RING)
    assert node_order(k) == [[0], [1], [2], [3]]
    assert zonelist(k, 0, 0) == [(0, 1), (0, 0), (1, 1), (3, 1), (2, 1)]
    # nodes 1 and 3 are equally near to 2: the next higher number comes first
    assert zonelist(k, 2, 0) == [(2, 1), (3, 1), (1, 1), (0, 1), (0, 0)]
    assert zonelist(k, 3, GFP_DMA_BIT) == [(0, 0)]


@pytest.mark.row("S0-21")
def test_i386_highmem_node():
    k = booted([1024, 512], "strict24", arch="i386")
    assert zonelist(k, 0, GFP_HIGHMEM_BIT) == [(0, 2), (0, 1), (0, 0)]
    assert zonelist(k, 1, GFP_HIGHMEM_BIT) == [(1, 2)]
    assert zonelist(k, 1, 0) == []
    # Kernel memory for a CPU of node 1 has to come from node 0, whatever the switch
    for fallback in ("strict24", "nearest"):
        k = booted([1024, 512], fallback, arch="i386")
        pfn = alloc_pages(k, TASK, 1, GFP_KERNEL, 0)
        assert k.section_zone[pfn >> 9] == 1
        assert alloc_pages(k, TASK, 1, GFP_HIGHUSER, 0) >= 1024 * MIB


def test_nearest_marks_exist_for_every_class_on_the_list():
    """A request of class HIGHMEM (node 0 has it) meets node 1, which has none: NORMAL's marks hold there."""
    k = booted([32, 32], "nearest")
    for zone in k.zones:
        if zone["size"]:
            assert (zone.watermarks[:, 0] > 0).all()
            assert zone.watermarks[2].tolist() == zone.watermarks[1].tolist()
    strict = booted([32, 32], "strict24")
    assert strict.zones[1].watermarks[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("fallback", ["strict24", "nearest"])
def test_node_without_memory(fallback):
    """The CPUs of node 1 get node 2's or 0's pages; each is a miss there and foreign to node 1."""
    k = booted([32, 0, 32], fallback, [[10, 20, 21], [21, 10, 20], [21, 20, 10]])
    k.cpus[0].node = 1
    first = 0 if fallback == "strict24" else 2
    assert node_order(k)[1] == ([0, 2] if fallback == "strict24" else [1])
    pfn = alloc_pages(k, TASK, 1, GFP_HIGHUSER, 0)
    assert k.section_zone[pfn >> 9] == first * 3 + 1
    assert k.vmstat[first, NUMA_MISS] == 1
    assert k.vmstat[1, NUMA_FOREIGN] == 1
    assert k.vmstat[:, NUMA_HIT].sum() == 0


@pytest.mark.parametrize(("fallback", "reclaims"), [("strict24", 2), ("nearest", 1)])
def test_off_on_numa_fallback(fallback, reclaims):
    """Filling node 0 and then node 1: strict24 must give up reclaim on node 0 first, nearest never asks."""
    k = booted([20, 20], fallback)
    asked = []
    pfn = 0
    while pfn >= 0:
        pfn = alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0)
        while pfn == ALLOC_RECLAIM:
            if len(asked) == 0 or asked[-1] != int(k.tasks[TASK].reclaim_zone):
                asked.append(int(k.tasks[TASK].reclaim_zone))
            pfn = alloc_after_reclaim(k, TASK, 0)
    assert pfn == ALLOC_FAIL
    assert len(set(asked)) == reclaims
