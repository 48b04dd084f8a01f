"""Note 001 of the acceptance list, rows that no other test shows: blocks, buddies, falling back."""

from __future__ import annotations

import numpy as np
import pytest
from kernel.file_machine import FileMachine
from kernel.test_buddy import Model, one_zone, pair_bits
from kernel.test_zonelists import booted

from numa_sim.compiled import entry
from numa_sim.kernel import buddy, numa
from numa_sim.kernel.buddy import free_blocks, free_lists
from numa_sim.state.constants import GFP_HIGHUSER, GFP_KERNEL, MAX_ORDER, NIL, PG_reserved
from numa_sim.state.kernel import Kernel

alloc_pages = entry(numa.alloc_pages)
rmqueue = entry(buddy.rmqueue)
free_pages = entry(buddy.free_pages)
page_zone = entry(buddy.page_zone)
TASK = 2


def blocks_of(k: Kernel, zone: int = 0) -> dict[int, list[int]]:
    """Order -> free blocks relative to the zone's start."""
    return {order: [pfn - int(k.zones[zone].start_pfn) for pfn in at] for order, at in free_lists(k, zone).items()}


@pytest.mark.row("S1-04", "S1-13", "S1-14", "S1-26", "S1-28")
def test_buddies_under_random_load() -> None:
    """Spec 2.4: sums, buddies never both free, a pair's bit is the XOR of its halves, alignment."""
    k, model, rng = one_zone(1500, 4096), Model(1500), np.random.default_rng(4)
    held: list[tuple[int, int]] = []
    for _ in range(300):
        if held and rng.random() < 0.45:
            block, order = held.pop(int(rng.integers(len(held))))
            free_pages(k, 4096 + block, order)
            model.free(block, order)
        else:
            order = int(rng.integers(0, 5))
            pfn = int(rmqueue(k, 0, order))
            assert pfn - 4096 == model.alloc(order)
            assert k.pages[pfn].count == 1
            held.append((pfn - 4096, order))
    lists = blocks_of(k)
    assert lists == {order: blocks for order, blocks in model.lists.items() if blocks}
    assert sum(len(blocks) << order for order, blocks in lists.items()) == k.zones[0].free_pages
    for order, blocks in lists.items():
        assert all(block % (1 << order) == 0 for block in blocks)
        if order < MAX_ORDER - 1:
            assert not set(blocks) & {block ^ 1 << order for block in blocks}
            assert pair_bits(k, 0).get(order, []) == sorted(block >> order + 1 for block in blocks)


@pytest.mark.row("S1-07", "S1-09")
@pytest.mark.parametrize("order", range(MAX_ORDER))
def test_a_block_of_order_n_is_two_to_the_n_pages_and_as_aligned(order: int) -> None:
    k = one_zone(1024)
    pfn = int(rmqueue(k, 0, order))
    assert pfn % (1 << order) == 0
    assert k.zones[0].free_pages == 1024 - (1 << order)
    assert max(free_lists(k, 0)) == 9, "blocks of 512 pages are the largest"


@pytest.mark.row("S1-27", "S1-29")
@pytest.mark.parametrize("order", range(MAX_ORDER - 1))
@pytest.mark.parametrize("which", [0, 1])
def test_the_buddy_is_found_by_flipping_one_bit(order: int, which: int) -> None:
    """Freed alone a half stays; its buddy (index XOR 2^order) joins it at (index AND mask)."""
    k = one_zone(1024, 512)
    mask = ~0 << order
    assert -mask == 1 + ~mask == 1 << order
    held = [int(rmqueue(k, 0, order)) for _ in range(1024 >> order)]
    first = min(held) + (which << order)
    second = 512 + ((first - 512) ^ (1 << order))
    free_pages(k, first, order)
    assert free_blocks(k, 0, order) == [first]
    free_pages(k, second, order)
    assert blocks_of(k) == {order + 1: [(first - 512) & ~0 << order + 1]}


@pytest.mark.row("S1-10")
def test_a_big_block_is_not_split_while_a_small_one_is_free() -> None:
    k = one_zone(33)
    assert free_lists(k, 0) == {0: [32], 5: [0]}
    assert rmqueue(k, 0, 0) == 32
    assert free_lists(k, 0) == {5: [0]}


@pytest.mark.row("S1-11")
def test_a_free_page_is_on_exactly_one_list() -> None:
    k = one_zone(500)
    held = [(int(rmqueue(k, 0, order)), order) for order in (0, 3, 1, 5, 0, 2)]
    for pfn, order in held[::2]:
        free_pages(k, pfn, order)
    owners = np.zeros(500, int)
    for order, blocks in free_lists(k, 0).items():
        before = NIL
        for pfn in blocks:
            owners[pfn : pfn + (1 << order)] += 1
            assert k.pages[pfn].list_prev == before
            before = pfn
    for pfn, order in held[1::2]:
        owners[pfn : pfn + (1 << order)] += 1
    assert (owners == 1).all()


@pytest.mark.row("S1-12")
def test_the_lists_of_zones_are_apart() -> None:
    k = booted([64], "strict24")
    before = blocks_of(k, 0)
    for _ in range(100):
        assert page_zone(k, int(alloc_pages(k, TASK, 0, GFP_KERNEL, 2))) == 1
    assert blocks_of(k, 0) == before


@pytest.mark.row("S1-25")
def test_reserved_pages_are_not_freed_and_counts_go_down_to_nothing() -> None:
    k = one_zone(64)
    pfn = int(rmqueue(k, 0, 0))
    k.pages[pfn].count += 1
    free = int(k.zones[0].free_pages)
    free_pages(k, pfn, 0)
    assert (k.pages[pfn].count, int(k.zones[0].free_pages)) == (1, free)
    k.pages[pfn]["flags"] |= PG_reserved
    free_pages(k, pfn, 0)
    assert (k.pages[pfn].count, int(k.zones[0].free_pages)) == (1, free)
    k.pages[pfn]["flags"] &= ~PG_reserved
    free_pages(k, pfn, 0)
    assert (k.pages[pfn].count, int(k.zones[0].free_pages)) == (0, free + 1)
    assert k.vm[0].bug == 0


@pytest.mark.row("S1-18")
def test_a_request_needs_its_own_size_above_the_mark() -> None:
    """With eight pages above the low mark one page is given quietly; sixteen are not."""
    for order, wakes in ((0, 0), (4, 1)):
        k = booted([32], "strict24")
        dma = k.zones[0]
        while dma.free_pages > dma.watermarks[1, 1] + 8:
            assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) >= 0
        assert k.vm[0].kswapd_wanted == 0
        alloc_pages(k, TASK, 0, GFP_KERNEL, order)
        assert k.vm[0].kswapd_wanted == wakes


@pytest.mark.row("S1-19", "S1-20")
def test_a_highmem_request_goes_down_the_zones_as_they_drain() -> None:
    k = booted([912], "strict24", arch="i386")
    order_before = k.zonelists.tobytes()
    went: list[int] = []
    while k.vm[0].kswapd_wanted == 0:
        zone = int(page_zone(k, int(alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0))))
        if not went or went[-1] != zone:
            went.append(zone)
    assert went[:3] == [2, 1, 0]
    assert k.zonelists.tobytes() == order_before


@pytest.mark.row("S1-37")
def test_the_page_cache_hits_misses_and_evicts() -> None:
    m = FileMachine()
    file = m.file(64, 900)
    m.read(file, 0, 64 * 4096)
    misses = m.counter("pagecache_miss")
    m.read(file, 0, 64 * 4096)
    assert m.counter("pagecache_miss") == misses > 0
    assert m.counter("pagecache_hit") >= 64
    m.take(40)
    assert len(m.cached(file)) < 64
    assert m.read(file, 0, 64 * 4096) == list(range(900, 964))
    assert m.counter("pagecache_miss") > misses
