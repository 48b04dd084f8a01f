"""`__alloc_pages` against golden traces, and what the simulator adds to it: statistics, failure, both halves."""

from __future__ import annotations

import pytest
from golden_traces import replay
from kernel.alloc_replay import TASK, alloc_after_reclaim, alloc_pages, events, free_pages, start_golden

from numa_sim.compiled import entry
from numa_sim.kernel import numa
from numa_sim.kernel.bootmem import boot
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import GFP_ATOMIC, GFP_HIGHUSER, GFP_KERNEL, NIL, PF_FREE_PAGES, PF_MEMALLOC
from numa_sim.state.counters import (
    KSWAPD_WAKEUP,
    LOCAL_NODE,
    NUMA_FOREIGN,
    NUMA_HIT,
    NUMA_MISS,
    OTHER_NODE,
    PGALLOC_FAIL,
)
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

alloc_pages_node = entry(numa.alloc_pages_node)


# Golden traces -------------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-57", "S0-58", "S0-59", "S0-60")
@pytest.mark.parametrize("kernel", ["2.4.22", "2.4.37"])
def test_golden_alloc_pages(kernel):
    assert replay("alloc-pages", lambda init: start_golden(init, f"linux-{kernel}"), kernel) > 100


# One to three nodes of 24 MiB ----------------------------------------------------------------------------------------


def machine(nodes: int = 1, numa_fallback: str = "strict24", mib: int = 24) -> Kernel:
    """Nodes of equal size, one CPU each; task 2 runs on CPU 0; events are recorded."""
    frames = mib * 256
    k = new_kernel(Sizes(nodes=nodes, cpus=nodes, frames=nodes * frames, tables=1, events=4096))
    distance = [[10 if i == j else 20 for j in range(nodes)] for i in range(nodes)]
    boot(k, [(i * frames, frames) for i in range(nodes)], "x86-64", "linux-2.4.37", numa_fallback, distance)
    k.cpus.node = range(nodes)
    k.vm[0].current_task, k.vm[0].record_events, k.vm[0].events_used = TASK, 1, 0
    return k


def fill(k: Kernel, node: int, gfp: int = GFP_HIGHUSER) -> list[int]:
    """Allocate single pages on the node until an allocation wants to reclaim or fails; that attempt is given up."""
    held = []
    while (pfn := alloc_pages_node(k, TASK, node, gfp, 0)) >= 0:
        held.append(pfn)
    if pfn == ALLOC_RECLAIM:
        alloc_after_reclaim(k, TASK, 0)
    k.vm[0].events_used = 0
    return held


@pytest.mark.row("S0-58", "S1-21")
def test_passes_walk_down_the_marks():
    """Above low: quiet. Below low: kswapd is woken once. At min: reclaim."""
    k = machine()
    normal, dma = k.zones[1], k.zones[0]
    quiet = []
    while k.vm[0].kswapd_wanted == 0:
        free = int(normal.free_pages), int(dma.free_pages)
        assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) >= 0
        quiet.append(free)
    assert quiet[-1][0] == normal.watermarks[1, 1] + 1
    assert quiet[-1][1] == dma.watermarks[1, 1] + 1
    assert (k.vm[0].kswapd_asleep, normal.need_balance, dma.need_balance) == (0, 1, 0)
    while (pfn := alloc_pages(k, TASK, 0, GFP_KERNEL, 0)) >= 0:
        pass
    assert pfn == ALLOC_RECLAIM
    assert normal.free_pages == normal.watermarks[1, 0] + 1
    assert dma.free_pages == dma.watermarks[1, 0] + 1
    assert k.tasks[TASK].reclaim_zone == 1
    assert k.vmstat[0, KSWAPD_WAKEUP] == 1


@pytest.mark.row("S0-59")
def test_atomic_requests_reach_deeper_and_fail():
    k = machine()
    fill(k, 0)
    before = int(k.zones[1].free_pages)
    assert fill(k, 0, GFP_ATOMIC)
    assert k.zones[1].free_pages == k.zones[1].watermarks[1, 0] // 4 + 1 < before
    assert alloc_pages(k, TASK, 0, GFP_ATOMIC, 0) == ALLOC_FAIL
    assert events(k)[-1] == ["failed", 0, 0]
    assert k.vmstat[0, PGALLOC_FAIL] > 0


@pytest.mark.row("S0-59")
def test_memalloc_takes_the_last_page():
    k = machine()
    fill(k, 0)
    k.tasks[TASK]["flags"] = PF_MEMALLOC
    fill(k, 0)
    assert (k.zones[0].free_pages, k.zones[1].free_pages) == (0, 0)
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) == ALLOC_FAIL


@pytest.mark.row("S0-54", "S1-09")
@pytest.mark.parametrize("order", [10, 11, 40])
def test_orders_beyond_the_largest_fail(order):
    k = machine()
    free = k.zones.free_pages.tolist()
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, order) == ALLOC_FAIL
    assert alloc_pages_node(k, TASK, 0, GFP_KERNEL, order) == ALLOC_FAIL
    assert k.zones.free_pages.tolist() == free


@pytest.mark.row("S1-09")
def test_order_nine():
    k = machine()
    pfn = alloc_pages(k, TASK, 0, GFP_KERNEL, 9)
    assert pfn % 512 == 0
    free_pages(k, pfn, 9)
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, 9) == pfn


def steal_all(k: Kernel) -> None:
    """Another CPU takes every free page while the task reclaims."""
    flags, current = int(k.tasks[TASK]["flags"]), int(k.vm[0].current_task)
    k.vm[0].current_task, k.tasks[3]["flags"] = 3, PF_MEMALLOC
    while alloc_pages(k, 3, 0, GFP_KERNEL, 0) >= 0:
        pass
    k.vm[0].current_task, k.tasks[TASK]["flags"] = current, flags


@pytest.mark.row("S0-60")
@pytest.mark.parametrize("local_pages", [1, 0])
def test_local_page_is_kept_for_who_reclaimed(local_pages):
    """Others empty the zone during reclaim: with local pages the task gets its page all the same, without it waits."""
    k = machine()
    k.vm[0].local_pages = local_pages
    held = fill(k, 0)
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) == ALLOC_RECLAIM
    free_pages(k, held[0], 0)
    steal_all(k)
    k.vm[0].events_used = 0
    pfn = alloc_after_reclaim(k, TASK, 1)
    if local_pages:
        assert pfn == held[0]
        assert k.pages[pfn].count == 1
        assert events(k) == []
        assert k.tasks[TASK]["flags"] & (PF_MEMALLOC | PF_FREE_PAGES) == 0
    else:
        assert pfn == ALLOC_RECLAIM


@pytest.mark.parametrize(("freed", "order"), [(0, 0), (1, 1)])
def test_local_page_that_does_not_fit_goes_back(freed, order):
    k = machine()
    held = fill(k, 0)
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, order) == ALLOC_RECLAIM
    before = int(k.zones.free_pages.sum())
    free_pages(k, held[0], 0)
    assert k.zones.free_pages.sum() == before
    assert alloc_after_reclaim(k, TASK, freed) == (ALLOC_RECLAIM if freed else ALLOC_FAIL)
    assert k.zones.free_pages.sum() == before + 1
    assert k.tasks[TASK].local_pfn == NIL


def test_failed_reclaim_looks_once_more_above_high():
    k = machine()
    held = fill(k, 0)
    assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) == ALLOC_RECLAIM
    k.vm[0].current_task = 3
    for pfn in held:
        free_pages(k, pfn, 0)
    assert alloc_after_reclaim(k, TASK, 0) >= 0


# Nodes ---------------------------------------------------------------------------------------------------------------


def test_strict24_reclaims_locally_before_it_looks_elsewhere():
    k = machine(2)
    fill(k, 0)
    assert alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0) == ALLOC_RECLAIM
    assert k.tasks[TASK].reclaim_zone == 1
    remote = int(k.zones[4].free_pages)
    pfn = alloc_after_reclaim(k, TASK, 0)
    assert k.section_zone[pfn >> 9] == 4
    assert k.zones[4].free_pages == remote - 1
    assert k.vmstat[:, NUMA_MISS].tolist() == [0, 1]
    assert k.vmstat[0, NUMA_FOREIGN] == 1
    assert k.vmstat[:, OTHER_NODE].tolist() == [0, 1]


def test_strict24_reclaims_on_every_node_before_it_fails():
    k = machine(3)
    for node in range(3):
        fill(k, node)
    asked = []
    pfn = alloc_pages(k, TASK, 1, GFP_HIGHUSER, 0)
    while pfn == ALLOC_RECLAIM:
        asked.append(int(k.tasks[TASK].reclaim_zone) // 3)
        pfn = alloc_after_reclaim(k, TASK, 0)
    assert pfn == ALLOC_FAIL
    assert asked == [1, 0, 2]
    assert k.tasks[TASK]["flags"] == 0


def test_nearest_takes_remote_pages_before_it_reclaims():
    k = machine(2, "nearest")
    quiet = 0
    while k.vm[0].kswapd_wanted == 0:
        assert alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0) >= 0
        quiet += 1
    assert k.vmstat[1, NUMA_MISS] > 1000
    assert k.zones[4].free_pages == k.zones[4].watermarks[1, 1] + 1
    while (pfn := alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0)) >= 0:
        pass
    assert pfn == ALLOC_RECLAIM
    assert alloc_after_reclaim(k, TASK, 0) == ALLOC_FAIL


def test_statistics_add_up():
    k = machine(2)
    k.vm[0].current_cpu = 1
    for node in (0, 0, 1):
        assert alloc_pages(k, TASK, node, GFP_HIGHUSER, 0) >= 0
    assert k.vmstat[:, NUMA_HIT].tolist() == [2, 1]
    assert k.vmstat[:, LOCAL_NODE].tolist() == [0, 1]
    assert k.vmstat[:, OTHER_NODE].tolist() == [2, 0]


def test_alloc_pages_node_stays_on_its_node():
    k = machine(2)
    fill(k, 0)
    assert alloc_pages_node(k, TASK, 0, GFP_HIGHUSER, 0) == ALLOC_RECLAIM
    assert alloc_after_reclaim(k, TASK, 0) == ALLOC_FAIL
    assert k.zones[4].free_pages > 1000


def test_slow_path_costs_its_task_time():
    k = machine()
    k.costs[0].alloc_slow_ns = 700
    assert alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0) >= 0
    assert k.tasks[TASK].cost_ns == 0
    fill(k, 0)
    before = int(k.tasks[TASK].cost_ns)
    assert alloc_pages(k, TASK, 0, GFP_HIGHUSER, 0) == ALLOC_RECLAIM
    assert k.tasks[TASK].cost_ns == before + 700
