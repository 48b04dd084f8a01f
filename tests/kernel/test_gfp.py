"""The ways into `__alloc_pages`, and what each bit of a request's mask changes."""

from __future__ import annotations

import pytest
from kernel.kmem_machine import (
    TASK,
    alloc_page,
    booted,
    free_kernel_pages,
    get_free_pages,
    get_zeroed_page,
    sound,
)

from numa_sim.compiled import entry
from numa_sim.kernel import numa, vmscan
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, ALLOC_WAIT_KSWAPD, ALLOC_YIELD
from numa_sim.state.constants import (
    GFP_ATOMIC,
    GFP_DMA_BIT,
    GFP_HIGH_BIT,
    GFP_HIGHMEM_BIT,
    GFP_IO_BIT,
    GFP_KERNEL,
    GFP_WAIT_BIT,
    NR_ZONES,
    ZONE_DMA,
    ZONE_HIGHMEM,
    ZONE_NORMAL,
    PG_kernel,
)
from numa_sim.state.event_codes import EV_RMQUEUE
from numa_sim.state.kernel import Kernel

alloc_pages = entry(numa.alloc_pages)
alloc_pages_node = entry(numa.alloc_pages_node)
alloc_after_reclaim = entry(numa.alloc_after_reclaim)
reclaim_begin = entry(vmscan.reclaim_begin)


def until_no_yield(k: Kernel, gfp: int) -> int:
    """What a request of one page is answered when nobody else wants the CPU."""
    answer = int(alloc_pages(k, TASK, 0, gfp, 0))
    while answer == ALLOC_YIELD:
        answer = int(alloc_after_reclaim(k, TASK, 0))
    return answer


def used_up(profile: str = "linux-2.4.37") -> Kernel:
    """A machine of which an atomic request still gets pages, but no other: its free pages are below the marks."""
    k = booted(profile=profile)
    taken = 0
    while (pfn := until_no_yield(k, GFP_KERNEL)) >= 0:
        taken += 1
        assert taken < 6144
    assert pfn in (ALLOC_RECLAIM, ALLOC_WAIT_KSWAPD)
    k.tasks[TASK].flags = 0
    return k


def zone_of(k: Kernel, pfn: int) -> int:
    """Index of a frame's zone."""
    return int(k.section_zone[pfn >> int(k.vm[0].section_shift)]) % NR_ZONES


@pytest.mark.row("S1-15", "S3-181")
def test_every_way_in_ends_in_the_same_core():
    """One request each: the same event of the same zone, one page more taken from it."""
    ways = {
        "alloc_pages": lambda k: alloc_pages(k, TASK, 0, GFP_KERNEL, 0),
        "alloc_pages_node": lambda k: alloc_pages_node(k, TASK, 0, GFP_KERNEL, 0),
        "alloc_page": lambda k: alloc_page(k, TASK, GFP_KERNEL),
        "get_free_pages": lambda k: get_free_pages(k, TASK, GFP_KERNEL, 0),
        "get_zeroed_page": lambda k: get_zeroed_page(k, TASK, GFP_KERNEL),
    }
    seen = {}
    for name, way in ways.items():
        k = booted()
        k.vm[0].record_events, k.vm[0].events_used = 1, 0
        free = int(k.zones[ZONE_NORMAL].free_pages)
        pfn = int(way(k))
        events = [(int(e.code), int(e.a), int(e.b)) for e in k.events[: int(k.vm[0].events_used)]]
        seen[name] = (pfn, events, free - int(k.zones[ZONE_NORMAL].free_pages))
    assert len(set(map(repr, seen.values()))) == 1
    pfn, events, taken = seen["alloc_page"]
    assert (events, taken) == ([(EV_RMQUEUE, ZONE_NORMAL, pfn)], 1)


@pytest.mark.row("S1-15")
def test_what_has_an_address_is_not_high_memory_and_is_given_back_whole():
    k = booted(mib=960)
    assert get_free_pages(k, TASK, GFP_KERNEL | GFP_HIGHMEM_BIT, 0) == ALLOC_FAIL
    assert zone_of(k, int(alloc_page(k, TASK, GFP_KERNEL | GFP_HIGHMEM_BIT))) == ZONE_HIGHMEM
    k = booted()
    free = int(k.zones["free_pages"].sum())
    pfn = int(get_free_pages(k, TASK, GFP_KERNEL, 3))
    assert all(k.pages[at].flags & PG_kernel for at in range(pfn, pfn + 8))
    sound(k)
    free_kernel_pages(k, pfn, 3)
    assert int(k.zones["free_pages"].sum()) == free
    sound(k)


@pytest.mark.row("S1-15")
def test_a_zeroed_page_is_cleared():
    k = booted()
    k.tags[:] = 7
    assert k.tags[int(get_free_pages(k, TASK, GFP_KERNEL, 0))] == 7
    assert k.tags[int(get_zeroed_page(k, TASK, GFP_KERNEL))] == 0


@pytest.mark.row("S0-55")
def test_dma_and_highmem_choose_the_zones():
    k = booted(mib=960)
    wanted = {GFP_DMA_BIT: ZONE_DMA, 0: ZONE_NORMAL, GFP_HIGHMEM_BIT: ZONE_HIGHMEM}
    assert {bit: zone_of(k, int(alloc_pages(k, TASK, 0, GFP_KERNEL | bit, 0))) for bit in wanted} == wanted


@pytest.mark.row("S0-55")
@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
def test_only_a_request_with_wait_reclaims_or_sleeps(profile):
    """Without it the reserve between a quarter of the min mark and the mark itself is open, and then it fails."""
    k = used_up(profile)
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) < ALLOC_FAIL
    k = used_up(profile)
    reserve = 0
    while (pfn := int(alloc_pages(k, TASK, 0, GFP_ATOMIC, 0))) >= 0:
        reserve += 1
    assert pfn == ALLOC_FAIL
    assert reserve > 20


@pytest.mark.row("S0-55")
def test_io_lets_reclaim_swap_and_2_4_0_wait_for_kswapd():
    k = used_up()
    answers = []
    for gfp in (GFP_WAIT_BIT | GFP_IO_BIT, GFP_WAIT_BIT):
        k.tasks[TASK].flags = 0
        assert alloc_pages(k, TASK, 0, gfp, 0) == ALLOC_RECLAIM
        reclaim_begin(k, TASK, int(k.tasks[TASK].reclaim_zone), int(k.tasks[TASK].reclaim_gfp))
        answers.append(int(k.tasks[TASK].reclaim_failed_swapout))
    assert answers == [0, 1]
    wishes = []
    for gfp in (GFP_WAIT_BIT | GFP_IO_BIT, GFP_WAIT_BIT):
        k = used_up("linux-2.4.0")
        wishes.append(until_no_yield(k, gfp))
    assert wishes == [ALLOC_WAIT_KSWAPD, ALLOC_RECLAIM]


@pytest.mark.row("S0-55")
def test_high_priority_takes_what_is_left_in_2_2_although_reclaim_was_in_vain():
    for high, gets_one in ((GFP_HIGH_BIT, True), (0, False)):
        k = booted(profile="linux-2.2")
        while (pfn := int(alloc_pages(k, TASK, 0, GFP_WAIT_BIT | GFP_IO_BIT, 0))) >= 0:
            pass
        assert pfn == ALLOC_RECLAIM
        assert alloc_after_reclaim(k, TASK, 0) == ALLOC_FAIL
        assert alloc_pages(k, TASK, 0, GFP_WAIT_BIT | GFP_IO_BIT | high, 0) == ALLOC_RECLAIM
        assert (int(alloc_after_reclaim(k, TASK, 0)) >= 0) == gets_one
