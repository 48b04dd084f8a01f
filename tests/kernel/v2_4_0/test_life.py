"""The life of a page under 2.4.0: from its first touch to swap and back, and what each mechanism adds."""

from __future__ import annotations

import random

import pytest
from kernel.v2_4_0.small import BASE_VPN, MIB, TASK, Small

from numa_sim.compiled import entry
from numa_sim.kernel import buddy, memory, numa
from numa_sim.kernel.v2_4_0 import reclaim_page, swap_out, vmscan
from numa_sim.state.answers import FAULT_WAIT
from numa_sim.state.constants import (
    GFP_ATOMIC,
    GFP_IO_BIT,
    MAPPING_NONE,
    MAPPING_SWAP,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_PRESENT,
    WMARK_MIN,
    PG_active,
    PG_inactive_clean,
    PG_inactive_dirty,
)

_alloc_pages = entry(numa.alloc_pages)
_free_pages = entry(buddy.free_pages)
_handle_mm_fault = entry(memory.handle_mm_fault)
_abandon_fault = entry(memory.abandon_fault)
_swap_out = entry(swap_out.swap_out)
_page_launder_begin = entry(vmscan.page_launder_begin)
_reclaim_page = entry(reclaim_page.reclaim_page)
LISTS = PG_active | PG_inactive_dirty | PG_inactive_clean


def visit(small: Small) -> None:
    """Swap_out looks at every page of the task once."""
    vm = small.k.vm[0]
    vm.current_task = TASK
    small.k.mms[small.mm].swap_cnt = 1 << 20
    assert _swap_out(small.k) == 0
    assert small.k.mms[small.mm].swap_address == 0


def launder(small: Small) -> None:
    """Both passes of page_launder, the second with writing; then the device."""
    vm = small.k.vm[0]
    high, vm.freepages_high = int(vm.freepages_high), 1 << 20  # short of memory, whatever is free
    _page_launder_begin(small.k, TASK, GFP_IO_BIT, 0)
    small.run_reclaim(TASK)
    small.finish_io()
    vm.freepages_high = high


@pytest.mark.row("S2-37", "S2-38", "S2-40", "S2-41", "S2-42", "S2-45")
def test_the_life_of_a_dirty_anonymous_page() -> None:
    """Spec 5.3: ages 2, 5, 2, 1, then unmapped; written, clean, reclaimed; read back with its contents."""
    small = Small()
    small.touch(0, 1)
    page = small.page(0)
    pfn = small.pte(0) >> PAGE_SHIFT
    ages = [int(page.age)]
    assert page["flags"] & LISTS == 0, "an anonymous page is on no list"
    while small.pte(0) & PTE_PRESENT:
        visit(small)
        ages.append(int(page.age))
    assert ages == [2, 5, 2, 1, 0]
    assert (page.count, page.mapping, page["flags"] & LISTS) == (1, MAPPING_SWAP, PG_inactive_dirty)
    assert small.k.swap_map[small.pte(0) >> 8] == 2, "the slot is the cache's and the PTE's"
    assert small.count("pswpout") == 0, "unmapping writes nothing"

    launder(small)
    assert small.count("pswpout") == 1
    assert page["flags"] & LISTS == PG_inactive_dirty
    launder(small)
    assert page["flags"] & LISTS == PG_inactive_clean
    assert (small.count("pswpout"), small.count("pglaunder_clean")) == (1, 1)

    assert _reclaim_page(small.k, 0) == pfn
    assert (page.count, page.mapping, page["flags"] & LISTS) == (1, MAPPING_NONE, 0)
    assert small.k.swap_map[small.pte(0) >> 8] == 1
    _free_pages(small.k, pfn, 0)
    small.touch(0, 0)
    assert small.count("pswpin") == 1
    small.check()


@pytest.mark.row("S2-43", "S0-51", "S0-52", "S2-39")
@pytest.mark.parametrize("clean", [False, True])
def test_a_page_touched_while_inactive_comes_back_without_a_read(clean: bool) -> None:
    small = Small()
    small.touch(0, 1)
    page = small.page(0)
    for _ in range(4):
        visit(small)
    if clean:
        launder(small)
        launder(small)
    assert page["flags"] & LISTS == (PG_inactive_clean if clean else PG_inactive_dirty)
    small.touch(0, 1)
    assert page["flags"] & LISTS == PG_active
    assert page.age == 5
    assert (small.count("pswpin"), small.count("swap_cache_hit"), small.count("pgactivate")) == (0, 1, 1)
    assert small.k.tasks[TASK].maj_flt == 0
    small.check()


def test_a_used_page_never_leaves() -> None:
    small = Small()
    small.touch(0, 1)
    for _ in range(50):
        visit(small)
        small.touch(0, 0)
    assert small.page(0).age == 64
    assert small.count("swap_out_ptes") == 0


def test_without_ageing_a_page_leaves_at_the_first_visit_that_finds_it_unused() -> None:
    visits = []
    for ageing in (1, 0):
        small = Small()
        small.k.vm[0].page_aging = ageing
        small.touch(0, 1)
        n = 0
        while small.pte(0) & PTE_PRESENT:
            visit(small)
            n += 1
        visits.append(n)
    assert visits == [4, 2]


def test_a_quota_ends_at_a_page_that_is_passed_over() -> None:
    """Spec C-4."""
    small = Small()
    for page in range(20):
        small.touch(page, 1)
    assert _swap_out(small.k) == 1
    young = [bool(small.pte(page) & PTE_ACCESSED) for page in range(20)]
    assert young == [False] * 8 + [True] * 12
    assert small.k.mms[small.mm].swap_address == BASE_VPN + 9
    assert _swap_out(small.k) == 1
    assert [bool(small.pte(page) & PTE_ACCESSED) for page in range(8, 18)] == [True] + [False] * 8 + [True]


def run(small: Small, steps: int, pages: int, seed: int = 1) -> Small:
    """Accesses with a hot tenth, half of them stores."""
    draw = random.Random(seed)
    for step in range(steps):
        hot = draw.random() < 0.5
        small.touch(draw.randrange(pages // 10 if hot else pages), draw.randrange(2))
        if step % 500 == 0:
            small.check()
    small.check()
    return small


@pytest.fixture(scope="module")
def pressed() -> Small:
    """A machine that has been short of memory for a while."""
    return run(Small(), 9000, 5 * MIB)


def test_contents_survive_pressure(pressed: Small) -> None:
    """Every read was compared with the last store; here the whole memory again."""
    assert pressed.count("pswpout") > 500
    assert pressed.count("pswpin") > 500
    for page in range(len(pressed.contents)):
        if pressed.contents[page]:
            pressed.touch(page, 0)
    pressed.check()


@pytest.mark.row("S2-44", "S0-52")
def test_clean_pages_are_reclaimed_both_ways(pressed: Small) -> None:
    """Handed to another user directly; and, once requests that cannot wait have gone below min, freed by kreclaimd."""
    k = pressed.k
    assert pressed.count("reclaim_page_direct") > 0
    woken = pressed.count("kreclaimd_wakeup")
    freed = pressed.count("reclaim_page") - pressed.count("reclaim_page_direct")
    held = []
    while k.zones[0].free_pages >= k.zones[0].watermarks[0, WMARK_MIN]:
        held.append(int(_alloc_pages(k, TASK, 0, GFP_ATOMIC, 0)))
        assert held[-1] >= 0
    before = int(k.zones[0].free_pages)
    pressed.fault(len(pressed.contents) - 1, 1)
    assert pressed.count("kreclaimd_wakeup") > woken
    assert pressed.count("reclaim_page") - pressed.count("reclaim_page_direct") > freed
    assert k.zones[0].free_pages > before
    for pfn in held:
        _free_pages(k, pfn, 0)


def test_every_wait_and_every_list_is_counted(pressed: Small) -> None:
    for name in (
        "pgage_up", "pgage_down", "pgrefill", "pgdeactivate", "pgactivate", "pglaunder_write", "pglaunder_clean",
        "kswapd_wakeup", "kswapd_wait", "alloc_yield", "swap_ra", "swap_cache_hit", "swap_faults",
    ):  # fmt: skip
        assert pressed.count(name) > 0, name
    assert pressed.waits > 0 < pressed.bdflush_calls
    assert pressed.k.vm[0].memory_pressure > 0


def test_ageing_keeps_the_hot_pages() -> None:
    """With it fewer pages are unmapped and found again, or read again, for the same accesses."""
    faults = []
    for ageing in (1, 0):
        small = Small()
        small.k.vm[0].page_aging = ageing
        run(small, 4000, 5 * MIB)
        faults.append(small.count("swap_faults"))
    assert faults[0] < faults[1]


def test_synchronous_writes_are_waited_for() -> None:
    """With no room for asynchronous I/O page_launder sleeps on its writes; nothing is lost."""
    small = Small()
    small.k.vm[0].swap_cluster = 0
    run(small, 4000, 5 * MIB)
    assert small.count("pswpout") > 100
    assert small.k.vm[0].nr_async_pages == 0


def test_asynchronous_io_is_counted_off_when_it_ends(pressed: Small) -> None:
    pressed.finish_io()
    assert pressed.k.vm[0].nr_async_pages == 0


def test_without_swap_out_the_biggest_task_is_killed() -> None:
    small = Small()
    small.k.vm[0].pageout = 0
    for page in range(4 * MIB):
        small.touch(page, 1)
        if small.k.tasks[TASK].killed:
            break
    assert small.k.tasks[TASK].killed
    assert small.count("oom_kill") == 1
    assert small.count("swap_out_ptes") == 0


def test_full_swap_is_out_of_memory_only_with_few_free_pages() -> None:
    small = Small(slots=64)
    for page in range(4 * MIB):
        small.touch(page, 1)
        if small.k.tasks[TASK].killed:
            break
    assert small.count("oom_kill") == 1
    vm = small.k.vm[0]
    free = int(small.k.zones["free_pages"].sum())
    assert free <= vm.freepages_min
    assert vm.nr_swap_pages == 0


@pytest.mark.parametrize("killed", [False, True])
def test_read_ahead_waits_for_a_page_under_way_and_holds_its_slots(killed: bool) -> None:
    """Somebody reads a slot of the block already; the fault sleeps on it in the middle of its read-ahead."""
    small = run(Small(), 2000, 5 * MIB)
    k, task = small.k, small.k.tasks[TASK]
    small.finish_io()
    first, second = two_swapped_of_one_block(small)
    small.enter(TASK)
    k.vm[0].swap_readahead = 0
    assert _handle_mm_fault(k, TASK, BASE_VPN + first, 0) == FAULT_WAIT
    _abandon_fault(k, TASK)
    k.vm[0].swap_readahead = 1

    assert _handle_mm_fault(k, TASK, BASE_VPN + second, 0) == FAULT_WAIT
    assert k.pages[task.wait_pfn].index == small.pte(first)
    assert task.readahead_left > 0
    small.check()
    if killed:
        _abandon_fault(k, TASK)
    small.finish_io()
    if not killed:
        small.touch(second, 0)
    assert (task.readahead_left, task.wait_pfn) == (0, NIL)
    small.check()


def two_swapped_of_one_block(small: Small) -> tuple[int, int]:
    """Pages whose slots are neighbours, the lower first, neither in the swap cache."""
    k = small.k
    at = {}
    for page in range(len(small.contents)):
        pte = small.pte(page)
        if pte and not pte & PTE_PRESENT and k.swap_cache[pte >> 8] == 0:
            at[pte >> 8] = page
    block = 1 << int(k.vm[0].page_cluster)
    lower = next(slot for slot in sorted(at) if slot + 1 in at and slot >= block and slot % block == 0)
    return at[lower], at[lower + 1]
