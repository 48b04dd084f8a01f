"""The one buddy allocator of 2.2 against a model of its own, and where the boot leaves memory."""

from __future__ import annotations

import numpy as np
import pytest
from kernel.v2_2.small import MIB, booted

from numa_sim.compiled import entry
from numa_sim.errors import TopologyError
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.buddy import free_pages as give_back
from numa_sim.kernel.debug_problems import PROBLEMS
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.v2_2.buddy import NR_MEM_LISTS, blocks_by_zone, free_blocks, rmqueue
from numa_sim.observe import procfs
from numa_sim.state.constants import NIL, PG_reserved
from numa_sim.state.kernel import Kernel

_rmqueue = entry(rmqueue)
_give_back = entry(give_back)
_check_zones = entry(check_zones)
_check_frames = entry(check_frames)


class Model:
    """Free blocks as plain lists, the newest first; a pair merges when both its halves are listed."""

    def __init__(self, lists: list[list[int]], dma_end: int) -> None:
        self.lists = [list(blocks) for blocks in lists]
        self.dma_end = dma_end

    def alloc(self, order: int, dma: bool) -> int:
        for current in range(order, NR_MEM_LISTS):
            blocks = [block for block in self.lists[current] if not dma or block < self.dma_end]
            if blocks:
                block = blocks[0]
                self.lists[current].remove(block)
                while current > order:
                    current -= 1
                    self.lists[current].insert(0, block)
                    block += 1 << current
                return block
        return NIL

    def free(self, block: int, order: int) -> None:
        while order < NR_MEM_LISTS - 1 and block ^ (1 << order) in self.lists[order]:
            self.lists[order].remove(block ^ (1 << order))
            block &= ~(1 << order)
            order += 1
        self.lists[order].insert(0, block)


def lists(k: Kernel) -> list[list[int]]:
    return [free_blocks(k, order) for order in range(NR_MEM_LISTS)]


def assert_sound(k: Kernel) -> None:
    check_bug(k)
    for rule in (_check_zones, _check_frames):
        problem, where = rule(k)
        assert problem == 0, f"{PROBLEMS[problem]} at {where}"


@pytest.mark.parametrize("nodes", [(4,), (20,), (18, 2), (5, 1, 2)])
def test_every_allocation_and_every_free_is_the_models(nodes: tuple[int, ...]) -> None:
    k = booted(nodes)
    k.vm[0].current_task = NIL
    model = Model(lists(k), 16 * MIB)
    rng = np.random.default_rng(sum(nodes))
    held: list[tuple[int, int]] = []
    for step in range(2500):
        if rng.random() < 0.55 or not held:
            order, dma = int(rng.choice(6, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])), bool(rng.random() < 0.1)
            got = int(_rmqueue(k, order, int(dma)))
            assert got == model.alloc(order, dma)
            if got != NIL:
                held.append((got, order))
        else:
            block, order = held.pop(int(rng.integers(len(held))))
            _give_back(k, block, order)
            model.free(block, order)
        if step % 100 == 0:
            assert lists(k) == model.lists
            assert k.vm[0].nr_free_pages == sum(len(blocks) << order for order, blocks in enumerate(model.lists))
    for block, order in held:
        _give_back(k, block, order)
    assert_sound(k)


def test_single_pages_come_from_the_end_of_the_highest_block() -> None:
    """Nobody prefers a node: memory is used from the top down, wherever the CPU is."""
    k = booted((4, 4))
    pieces = sum(len(blocks) << order for order, blocks in enumerate(lists(k)[:-1]))
    got = [int(_rmqueue(k, 0, 0)) for _ in range(pieces + 64)][pieces:]
    assert got == list(range(2047, 2047 - 64, -1))
    assert {int(k.zones[int(k.section_zone[pfn >> int(k.vm[0].section_shift)])].node) for pfn in got} == {1}


def test_the_largest_block_has_32_pages() -> None:
    k = booted((4,))
    assert _rmqueue(k, 5, 0) % 32 == 0
    assert [len(blocks) for blocks in lists(k)][5] > 0
    assert max(order for order, n in enumerate(blocks_by_zone(k)[0]) if n) == 5
    assert procfs.text(k, "buddyinfo", {}).split()[4 + 6 :] == ["0"] * 4


def test_dma_requests_search_the_lists_for_a_page_that_dma_reaches() -> None:
    k = booted((20,))
    assert _rmqueue(k, 5, 0) >= 16 * MIB
    assert _rmqueue(k, 5, 1) < 16 * MIB
    while _rmqueue(k, 0, 1) != NIL:
        pass
    assert k.vm[0].nr_free_pages > 0
    assert _rmqueue(k, 0, 0) >= 16 * MIB


def test_one_mem_map_describes_all_memory_on_the_boot_node() -> None:
    k = booted((8, 8))
    frames = 16 * MIB
    image_end = 3 * MIB
    map_pages = -(-frames * 80 // 4096)
    assert (k.nodes[0].mem_map_start, k.nodes[0].mem_map_end) == (image_end, image_end + map_pages)
    assert k.nodes[0].reserved_pages == 1 + 2 * MIB + map_pages
    assert k.nodes[1].reserved_pages == 0
    assert k.zones.free_pages.sum() == k.vm[0].nr_free_pages == frames - k.nodes[0].reserved_pages
    assert ((k.pages["flags"] & PG_reserved) != 0).sum() == 1 + 2 * MIB
    assert_sound(k)


@pytest.mark.parametrize(("mib", "least"), [(4, 10), (8, 16), (64, 128), (128, 256), (512, 256)])
def test_freepages_follow_from_the_size_of_memory(mib: int, least: int) -> None:
    vm = booted((mib,)).vm[0]
    assert (vm.freepages_min, vm.freepages_low, vm.freepages_high) == (least, 2 * least, 3 * least)


def test_virgin_ranges_are_what_freeing_page_by_page_leaves() -> None:
    k = booted((6, 5))
    model = Model([[] for _ in range(NR_MEM_LISTS)], 0)
    map_end = int(k.nodes[0].mem_map_end)
    for start, end in ((1, MIB), (map_end, 6 * MIB), (6 * MIB, 11 * MIB)):
        for pfn in range(start, end):
            model.free(pfn, 0)
    assert lists(k) == model.lists
    assert k.zones.nr_virgin.sum() > 0


@pytest.mark.parametrize(
    ("nodes", "arch", "reason"), [((2,), "x86-64", "too little memory"), ((1000,), "i386", "896 MiB")]
)
def test_machines_2_2_cannot_boot_on_are_refused(nodes: tuple[int, ...], arch: str, reason: str) -> None:
    with pytest.raises(TopologyError, match=reason):
        booted(nodes, arch)


def test_a_frame_freed_twice_is_seen() -> None:
    k = booted()
    pfn = int(_rmqueue(k, 0, 0))
    _give_back(k, pfn, 0)
    _give_back(k, pfn, 0)
    assert k.vm[0].bug != 0
