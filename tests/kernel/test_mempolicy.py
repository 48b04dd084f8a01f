"""From which nodes pages come under a policy: the rules one by one, and against a model of a few lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from kernel.test_zonelists import booted

from numa_sim.compiled import entry
from numa_sim.kernel import mempolicy, numa
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.mempolicy import mpol_new, mpol_to_str, set_mempolicy
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, EINVAL, ENOMEM, ENOSYS
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_HIGHUSER,
    GFP_KERNEL,
    KERNEL_2_2,
    MPOL_MODES,
    NIL,
    PF_MEMALLOC,
    WMARK_LOW,
    WMARK_MIN,
)
from numa_sim.state.counters import (
    INTERLEAVE_HIT,
    LOCAL_NODE,
    NUMA_FOREIGN,
    NUMA_HIT,
    NUMA_MISS,
    OTHER_NODE,
)
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK, AREA, FILE_AREA = 2, 0, 1
MIB = 256
EQUAL = [[10, 20, 20], [20, 10, 20], [20, 20, 10]]
_alloc = entry(mempolicy.alloc_pages_policy)
_after_reclaim = entry(numa.alloc_after_reclaim)
_slab_node = entry(mempolicy.mempolicy_slab_node)


def machine(
    mib: Sequence[int] = (20, 8, 8), fallback: str = "nearest", profile: str = "linux-2.4.37", arch: str = "x86-64"
) -> Kernel:
    """Booted, with an anonymous area and one of a file's pages 100 to 199; the CPU is on node 0."""
    n, start, nodes = len(mib), 0, []
    for size in mib:
        nodes.append((start, size * MIB))
        start += size * MIB
    k = new_kernel(Sizes(nodes=n, cpus=1, frames=start, tables=1, vmas=2, policies=8))
    boot(k, nodes, arch, profile, fallback, [row[:n] for row in EQUAL[:n]])
    k.vm[0].current_task = TASK
    k.vmas[FILE_AREA].vm_file, k.vmas[FILE_AREA].vm_start, k.vmas[FILE_AREA].vm_pgoff = 1, 1000, 100
    return k


def policy(k: Kernel, mode: str, nodes: Sequence[int] = (), weights: Sequence[int] = ()) -> int:
    return mpol_new(k, MPOL_MODES[mode], nodes, weights)


def node_of(k: Kernel, pfn: int) -> int:
    assert pfn >= 0
    return int(k.section_zone[pfn >> 9]) // 3


def place(k: Kernel, vpn: int, vma: int = AREA, gfp: int = GFP_HIGHUSER) -> int:
    """Node of a new page."""
    return node_of(k, _alloc(k, TASK, vma, vpn, gfp, 0))


def free(k: Kernel) -> list[int]:
    return k.zones["free_pages"].reshape(-1, 3).sum(axis=1).tolist()


# The rules ------------------------------------------------------------------------------------------------------------


def test_an_area_is_asked_before_its_task_and_a_task_before_the_cpu() -> None:
    k = machine()
    assert place(k, 5) == 0
    set_mempolicy(k, TASK, policy(k, "preferred", [2]))
    assert place(k, 5) == 2
    k.vmas[AREA].vm_policy = policy(k, "preferred", [1])
    assert place(k, 5) == 1
    assert place(k, 0, vma=NIL) == 2  # page cache and the like know no area
    k.vmas[AREA].vm_policy = policy(k, "local")
    assert place(k, 5) == 0  # local is a policy, default is none
    k.vmas[AREA].vm_policy = policy(k, "default")
    assert place(k, 5) == 2


def test_interleaved_pages_lie_where_their_address_says() -> None:
    """The k-th node of the set by virtual page number, in a file's area by page of the file; asked again, the same."""
    k = machine()
    k.vmas[AREA].vm_policy = k.vmas[FILE_AREA].vm_policy = policy(k, "interleave", [2, 0])
    assert [place(k, vpn) for vpn in (7, 6, 6, 9, 8)] == [2, 0, 0, 2, 0]
    assert [place(k, vpn, FILE_AREA) for vpn in (1000, 1001, 1003)] == [0, 2, 2]
    assert k.vmstat[:, INTERLEAVE_HIT].tolist() == [4, 0, 4]


def test_without_an_address_pages_are_dealt_out_in_turn_from_the_first_node_on() -> None:
    k = machine()
    set_mempolicy(k, TASK, policy(k, "interleave", [0, 1, 2]))
    assert [place(k, 0, NIL) for _ in range(5)] == [0, 1, 2, 0, 1]
    set_mempolicy(k, TASK, policy(k, "interleave", [1, 2]))
    assert [place(k, 0, NIL) for _ in range(3)] == [1, 2, 1]


def test_weights_say_how_many_pages_each_node_gets_before_the_next() -> None:
    k = machine()
    k.vmas[AREA].vm_policy = policy(k, "weighted_interleave", [0, 2], [3, 1])
    assert [place(k, vpn) for vpn in range(8)] == [0, 0, 0, 2, 0, 0, 0, 2]
    set_mempolicy(k, TASK, int(k.vmas[AREA].vm_policy))
    assert [place(k, 0, NIL) for _ in range(5)] == [0, 0, 0, 2, 0]
    assert k.vmstat[:, INTERLEAVE_HIT].sum() == 0  # as 6.12 counts


def test_bound_memory_is_asked_of_the_set_in_the_order_of_the_cpus_node() -> None:
    k = machine(fallback="nearest")
    k.vmas[AREA].vm_policy = policy(k, "bind", [0, 2])
    k.cpus[0].node = 1
    assert place(k, 1) == 2  # behind node 1 comes 2, then 0
    k.cpus[0].node = 2
    assert place(k, 1) == 2
    k.cpus[0].node = 0
    assert place(k, 1) == 0
    assert k.vmstat[:, NUMA_HIT].tolist() == [1, 0, 2]
    assert k.vmstat[:, (NUMA_MISS, NUMA_FOREIGN)].sum() == 0  # the first node allowed is the preferred one
    assert k.vmstat[:, OTHER_NODE].tolist() == [0, 0, 1]


def test_requests_for_lower_zones_are_not_bound() -> None:
    """apply_policy_zone: on i386 with HIGHMEM page tables of a bound task come from NORMAL memory wherever it is."""
    k = machine((1024, 64), arch="i386")
    set_mempolicy(k, TASK, policy(k, "bind", [1]))
    assert place(k, 0, NIL, GFP_HIGHUSER) == 1
    assert place(k, 0, NIL, GFP_KERNEL) == 0
    assert place(k, 0, NIL, GFP_DMA_BIT) == 0
    late = machine()
    set_mempolicy(late, TASK, policy(late, "bind", [1]))
    assert place(late, 0, NIL, GFP_KERNEL) == 1


def test_a_slab_is_asked_of_the_policys_node_but_may_come_from_any() -> None:
    k = machine()
    assert _slab_node(k, TASK) == 0
    set_mempolicy(k, TASK, policy(k, "bind", [1, 2]))
    assert _slab_node(k, TASK) == 1
    set_mempolicy(k, TASK, policy(k, "preferred", [2]))
    assert _slab_node(k, TASK) == 2
    set_mempolicy(k, TASK, policy(k, "interleave", [0, 2]))
    assert [_slab_node(k, TASK) for _ in range(3)] == [0, 2, 0]


def test_equal_policies_have_one_number_and_unequal_ones_their_own() -> None:
    k = machine()
    numbers = [policy(k, "bind", [1, 0]), policy(k, "bind", [0, 1]), policy(k, "interleave", [0, 1])]
    assert numbers == [1, 1, 2]
    assert policy(k, "default") == 0
    assert [mpol_to_str(k, number) for number in range(3)] == ["default", "bind:0-1", "interleave:0-1"]
    assert mpol_to_str(k, policy(k, "preferred", [1])) == "prefer:1"
    assert mpol_to_str(k, policy(k, "preferred_many", [0, 2])) == "prefer (many):0,2"


@pytest.mark.parametrize(
    ("mode", "nodes", "weights"),
    [
        ("bind", (), ()),
        ("interleave", (), ()),
        ("bind", (3,), ()),
        ("default", (0,), ()),
        ("local", (0,), ()),
        ("weighted_interleave", (0, 1), (1,)),
        ("weighted_interleave", (0,), (256,)),
        ("interleave", (0, 1), (1, 1)),
    ],
)
def test_what_the_kernel_refuses(mode: str, nodes: tuple[int, ...], weights: tuple[int, ...]) -> None:
    k = machine()
    assert policy(k, mode, nodes, weights) == -EINVAL
    assert k.vm[0].nr_policies == 0


def test_nodes_without_memory_do_not_count() -> None:
    k = machine((20, 0, 8))
    assert policy(k, "bind", [1]) == -EINVAL
    assert mpol_to_str(k, policy(k, "interleave", [0, 1, 2])) == "interleave:0,2"


def test_there_is_room_for_so_many_policies_and_none_in_linux_2_2() -> None:
    k = machine()
    sets = [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]
    assert [policy(k, "bind", nodes) for nodes in sets] == [1, 2, 3, 4, 5, 6, 7]
    assert policy(k, "interleave", [0]) == -ENOMEM
    k.vm[0].profile = KERNEL_2_2
    assert policy(k, "bind", [0]) == -ENOSYS


# Full nodes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", ["nearest", "strict24"])
def test_bound_memory_is_reclaimed_not_taken_from_elsewhere(fallback: str) -> None:
    k = machine(fallback=fallback)
    k.vmas[AREA].vm_policy = policy(k, "bind", [1])
    others = free(k)
    pfn = 0
    while pfn >= 0:
        pfn = _alloc(k, TASK, AREA, 1, GFP_HIGHUSER, 0)
    assert pfn == ALLOC_RECLAIM
    assert k.tasks[TASK].reclaim_zone // 3 == 1
    assert [free(k)[node] for node in (0, 2)] == [others[node] for node in (0, 2)]
    assert k.zones[3:6].need_balance.any()  # kswapd is to balance that node
    k.tasks[TASK].flags = 0
    assert _after_reclaim(k, TASK, 0) == ALLOC_FAIL
    assert _alloc(k, TASK, AREA, 1, GFP_HIGHUSER & ~0x10, 0) >= 0  # who cannot wait has the reserves of the node
    assert [free(k)[node] for node in (0, 2)] == [others[node] for node in (0, 2)]


def test_who_may_use_the_reserves_is_not_bound() -> None:
    k = machine()
    k.vmas[AREA].vm_policy = policy(k, "bind", [1])
    while _alloc(k, TASK, AREA, 1, GFP_HIGHUSER, 0) >= 0:
        pass
    k.tasks[TASK].flags = PF_MEMALLOC
    before = k.vmstat.copy()
    assert place(k, 1) == 0
    assert (k.vmstat - before)[0, NUMA_HIT] == 1  # the preferred node is the CPU's again


def test_the_first_pass_of_several_preferred_nodes_neither_reclaims_nor_touches_reserves() -> None:
    k = machine()
    k.vmas[AREA].vm_policy = policy(k, "preferred_many", [1, 2])
    seen = [place(k, 1) for _ in range(18 * MIB)]
    assert seen[0] == 1
    assert set(seen) == {1, 2, 0}
    first_elsewhere = seen.index(0)
    assert set(seen[first_elsewhere:]) == {0}
    for node in (1, 2):
        marks = sum(int(zone.watermarks[zone.index, WMARK_MIN]) for zone in k.zones[3 * node : 3 * node + 3])
        assert free(k)[node] >= marks > 0


def test_an_interleaved_page_that_had_to_reclaim_is_counted_when_it_comes() -> None:
    k = machine((20, 8), "strict24")
    k.vmas[AREA].vm_policy = policy(k, "interleave", [1])
    while (pfn := _alloc(k, TASK, AREA, 1, GFP_HIGHUSER, 0)) >= 0:
        pass
    hits = int(k.vmstat[1, INTERLEAVE_HIT])
    assert pfn == ALLOC_RECLAIM
    k.tasks[TASK].local_pfn, k.tasks[TASK].local_order = NIL, 0
    elsewhere = _after_reclaim(k, TASK, 0)
    assert node_of(k, elsewhere) == 0
    assert k.vmstat[:, INTERLEAVE_HIT].tolist() == [0, hits]


class Model:
    """Where pages go, from the marks of the zones alone: two passes over a list of zones, above low, then above min."""

    def __init__(self, k: Kernel) -> None:
        self.free = {z: int(zone.free_pages) for z, zone in enumerate(k.zones) if zone["size"]}
        self.marks = {z: k.zones[z].watermarks.tolist() for z in self.free}
        self.turn = 0

    def zones(self, home: int, allowed: Sequence[int]) -> list[int]:
        order = sorted(allowed, key=lambda node: (node != home, EQUAL[home][node], (node - home) % 3))
        return [z for node in order for z in (3 * node + 1, 3 * node) if z in self.free]

    def take(self, zones: list[int], passes: Sequence[int] = (WMARK_LOW, WMARK_MIN)) -> int | None:
        index = zones[0] % 3
        for mark in passes:
            for z in zones:
                if self.free[z] - 1 > self.marks[z][index][mark]:
                    self.free[z] -= 1
                    return z // 3
        return None

    def place(self, mode: str, nodes: list[int], weights: list[int], home: int, vpn: int, by_turn: bool) -> int | None:
        everywhere = [0, 1, 2]
        if "interleave" in mode:
            cycle = [node for node, weight in zip(nodes, weights or [1] * 3, strict=False) for _ in range(weight)]
            at = self.turn if by_turn else vpn
            self.turn += by_turn
            return self.take(self.zones(cycle[at % len(cycle)], everywhere))
        if mode == "bind":
            return self.take(self.zones(home, nodes))
        if mode == "preferred_many":
            found = self.take(self.zones(home, nodes))
            return self.take(self.zones(home, everywhere)) if found is None else found
        return self.take(self.zones(nodes[0] if mode == "preferred" else home, everywhere))


def random_policy(rng: np.random.Generator) -> tuple[str, list[int], list[int]]:
    mode = str(rng.choice([name for name in MPOL_MODES if name != "default"]))
    nodes = sorted(rng.choice(3, size=1 if mode == "preferred" else rng.integers(1, 4), replace=False).tolist())
    weights = rng.integers(1, 6, len(nodes)).tolist() if mode == "weighted_interleave" else []
    return mode, [] if mode == "local" else nodes, weights


@pytest.mark.parametrize("seed", range(12))
def test_random_requests_go_where_the_model_says_until_memory_is_short(seed: int) -> None:
    """Hits and misses are counted as places show; per node hit + miss = local + other, in all miss = foreign."""
    rng = np.random.default_rng(seed)
    k = machine(tuple((2 * rng.integers(3, 13, 3)).tolist()))
    model = Model(k)
    hits = np.zeros(3, np.int64)
    for _ in range(8):
        mode, nodes, weights = random_policy(rng)
        by_turn, home = bool(rng.integers(2)), int(rng.integers(3))
        number = policy(k, mode, nodes, weights)
        if number == -ENOMEM:
            break
        model.turn = 0
        k.cpus[0].node, k.tasks[TASK].il_next = home, 0
        k.tasks[TASK].mempolicy, k.vmas[AREA].vm_policy = number, number
        for vpn in rng.integers(0, 1 << 30, 1500).tolist():
            expected = model.place(mode, nodes, weights, home, vpn, by_turn)
            pfn = _alloc(k, TASK, NIL if by_turn else AREA, vpn, GFP_HIGHUSER, 0)
            if expected is None:
                assert pfn == ALLOC_RECLAIM, (mode, nodes)
                k.tasks[TASK].flags = 0
                break
            assert node_of(k, pfn) == expected, (mode, nodes, vpn)
            hits[expected] += (
                mode == "interleave" and expected == nodes[(model.turn - 1 if by_turn else vpn) % len(nodes)]
            )
    assert k.vmstat[:, INTERLEAVE_HIT].tolist() == hits.tolist()
    counted = k.vmstat
    assert (counted[:, NUMA_HIT] + counted[:, NUMA_MISS] == counted[:, LOCAL_NODE] + counted[:, OTHER_NODE]).all()
    assert counted[:, NUMA_MISS].sum() == counted[:, NUMA_FOREIGN].sum()


def test_a_machine_without_policies_keeps_its_lists() -> None:
    """Room for policies changes nothing: the lists of the nodes are those of a machine without."""
    with_room, without = machine((20, 8)), booted([20, 8], "nearest")
    assert with_room.zonelists[:2].tolist() == without.zonelists.tolist()
    assert with_room.node_order[:2].tolist() == without.node_order.tolist()
