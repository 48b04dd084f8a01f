"""Note 002 of the acceptance list, rows that no other test shows: swap slots, the swap cache, the page cache."""

from __future__ import annotations

import numpy as np
import pytest
from kernel.file_machine import TASK, FileMachine
from machine.small import MIB_PAGES, counters, finish, small, sweep

from numa_sim.compiled import entry
from numa_sim.errors import InvariantViolation
from numa_sim.kernel import buddy, filemap, numa, swap_state, swapfile, swapper_space
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.filemap import page_hash_bucket, page_hash_chains
from numa_sim.kernel.swapon import swapon
from numa_sim.state.constants import (
    CLEAN_PAGES,
    DIRTY_PAGES,
    GFP_HIGHUSER,
    KERNEL_2_4_0,
    LOCKED_PAGES,
    MAPPING_SWAP,
    NIL,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
    SWP_USED,
    SWP_WRITEOK,
    PG_active,
    PG_arch_1,
    PG_error,
    PG_locked,
    PG_lru,
    PG_table,
    PG_uptodate,
)
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

add_to_page_cache = entry(filemap.add_to_page_cache_unique)
add_to_swap_cache = entry(swapper_space.add_to_swap_cache)
alloc_pages = entry(numa.alloc_pages)
delete_from_swap_cache = entry(swap_state.delete_from_swap_cache)
duplicate = entry(swapfile.swap_duplicate)
find_page = entry(filemap.find_page)
free_uses = entry(swapfile.swap_free_uses)
get_swap_page = entry(swapfile.get_swap_page)
lookup_swap_cache = entry(swapper_space.lookup_swap_cache)
move_to_page_list = entry(filemap.move_to_page_list)
page_cache_release = entry(filemap.page_cache_release)
set_page_dirty = entry(filemap.set_page_dirty)
swap_free = entry(swapfile.swap_free)
swapoff_begin = entry(swapfile.swapoff_begin)
swapoff_end = entry(swapfile.swapoff_end)


def areas(*slots: int) -> Kernel:
    """A kernel with swap areas of so many slots each, and no memory."""
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=1, tables=1, swap_slots=4096, io_ring=4))
    for n in slots:
        swapon(k, n)
    return k


# Swap areas and slots ------------------------------------------------------------------------------------------------


@pytest.mark.row("S2-09")
def test_the_flags_of_an_area_over_its_life() -> None:
    k = areas()
    seen = [int(k.swap_info[0].flags)]
    swapon(k, 10)
    seen.append(int(k.swap_info[0].flags))
    swapoff_begin(k, 0)
    seen.append(int(k.swap_info[0].flags))
    swapoff_end(k, 0)
    seen.append(int(k.swap_info[0].flags))
    assert seen == [0, SWP_WRITEOK, SWP_USED, 0] == [0, 3, 1, 0]


@pytest.mark.row("S2-17", "S2-20", "S3-133")
def test_the_list_of_areas_is_empty_at_first_and_then_ordered_by_priority() -> None:
    k = areas()
    assert (k.vm[0].swap_list_head, k.vm[0].swap_list_next) == (-1, -1)
    assert get_swap_page(k) == 0
    for priority in (3, 9, None, 5):
        swapon(k, 10, priority)
    order, area = [], int(k.vm[0].swap_list_head)
    while area != NIL:
        order.append(int(k.swap_info[area].prio))
        area = int(k.swap_info[area].next)
    assert order == [9, 5, 3, -1]
    for area in (1, 3, 0, 2):
        swapoff_begin(k, area)
        swapoff_end(k, area)
    assert (k.vm[0].swap_list_head, k.vm[0].swap_list_next) == (-1, -1)


@pytest.mark.row("S2-16", "S2-18", "S3-131", "S3-147")
def test_usable_pages_are_fewer_than_slots_by_the_header_and_bad_pages() -> None:
    k = areas()
    swapon(k, 20, 7, bad=[4, 11])
    si = k.swap_info[0]
    assert (si.pages, si.max, si.prio) == (17, 20, 7)
    assert (si.lowest_bit, si.highest_bit, si.next, si.flags) == (1, 19, NIL, SWP_WRITEOK)
    bad = np.flatnonzero(k.swap_map[si.map_start : si.map_start + si.max] == SWAP_MAP_BAD)
    assert bad.tolist() == [0, 4, 11]
    taken = [int(get_swap_page(k)) >> 8 for _ in range(18)]
    assert taken == [*(n for n in range(1, 20) if n not in (4, 11)), 0]
    assert si.cluster_next == 20


@pytest.mark.row("S2-12", "S2-27", "S3-136")
def test_uses_of_a_slot_are_counted_and_a_full_count_stays_for_good() -> None:
    k = areas(10)
    slot = int(get_swap_page(k))
    count = lambda: int(k.swap_map[k.swap_info[0].map_start + (slot >> 8)])  # noqa: E731
    for _ in range(4):
        duplicate(k, slot)
    assert count() == 5
    assert free_uses(k, slot, 3) == 0
    assert count() == 2
    assert free_uses(k, slot, 3) == 1, "more uses than there are: an error"
    assert count() == 2
    k.swap_map[k.swap_info[0].map_start + (slot >> 8)] = SWAP_MAP_MAX - 1
    duplicate(k, slot)
    assert count() == SWAP_MAP_MAX == 32767
    for _ in range(3):
        assert swap_free(k, slot) == 0
    assert count() == SWAP_MAP_MAX
    assert k.vm[0].nr_swap_pages == 8


@pytest.mark.row("S2-28", "S2-29", "S3-136")
def test_the_last_use_gives_the_slot_back_without_touching_the_disk() -> None:
    k = areas(10)
    slots = [int(get_swap_page(k)) for _ in range(4)]
    si = k.swap_info[0]
    assert (k.vm[0].nr_swap_pages, si.lowest_bit) == (5, 5)
    swap_free(k, slots[1])
    assert (k.vm[0].nr_swap_pages, si.lowest_bit) == (6, 2)
    assert k.vm[0].io_head == k.vm[0].io_tail == 0


@pytest.mark.row("S2-24", "S2-25")
def test_wrong_entries_are_complained_about_and_change_nothing() -> None:
    k = areas(10, 10)
    swapoff_begin(k, 0)
    swapoff_end(k, 0)
    used = int(get_swap_page(k))
    before = k.swap_map.tobytes(), k.swap_info.tobytes(), k.vm.tobytes()
    assert swap_free(k, 0) == 0, "no entry: no effect, no message"
    wrong = {"no such file": 9 << 1 | 1 << 8, "unused": 0 << 1 | 1 << 8, "beyond": 1 << 1 | 10 << 8, "free": used + 256}
    assert {name: int(swap_free(k, bad)) for name, bad in wrong.items()} == dict.fromkeys(wrong, 1)
    assert (k.swap_map.tobytes(), k.swap_info.tobytes(), k.vm.tobytes()) == before


# The swap cache ------------------------------------------------------------------------------------------------------


def with_swap(profile: str = "linux-2.4.37") -> FileMachine:
    return FileMachine(swap_pages=64, profile=profile)


def page_of(m: FileMachine) -> int:
    return int(alloc_pages(m.k, TASK, 0, GFP_HIGHUSER, 0))


@pytest.mark.row("S2-48", "S2-52", "S2-55")
def test_swapper_space_owns_every_page_of_the_swap_cache() -> None:
    m = with_swap()
    k = m.k
    pages = [page_of(m) for _ in range(5)]
    slots = [int(get_swap_page(k)) for _ in range(5)]
    for pfn, slot in zip(pages, slots, strict=True):
        assert add_to_swap_cache(k, pfn, slot) == 1
    assert k.pages["mapping"][pages].tolist() == [MAPPING_SWAP] * 5
    assert k.pages["index"][pages].tolist() == slots
    assert k.mappings[MAPPING_SWAP].nrpages == k.vm[0].nr_swapcache_pages == 5
    assert k.pages["count"][pages].tolist() == [2] * 5, "one reference is the cache's"
    assert [int(lookup_swap_cache(k, slot)) for slot in slots] == pages
    assert k.pages["count"][pages].tolist() == [3] * 5
    for pfn in pages[:2]:
        delete_from_swap_cache(k, pfn)
    assert k.mappings[MAPPING_SWAP].nrpages == 3
    assert (m.counter("swap_cache_add"), m.counter("swap_cache_del")) == (5, 2)


@pytest.mark.row("S2-52")
def test_look_ups_in_the_swap_cache_are_counted() -> None:
    machine = small()
    machine.add(sweep(6 * MIB_PAGES, times=2))
    finish(machine)
    count = counters(machine)
    assert count["swap_cache_add"] == count["swap_cache_del"] > 0
    assert count["swap_cache_hit"] + count["swap_cache_miss"] == count["swap_faults"]
    assert count["swap_cache_hit"] > 0 < count["swap_cache_miss"]


@pytest.mark.row("S2-51")
def test_flags_of_a_page_that_enters_the_swap_cache_under_2_4_0() -> None:
    m = with_swap()
    m.k.vm[0].profile = KERNEL_2_4_0
    pfn = page_of(m)
    m.k.pages[pfn].flags |= PG_error | PG_arch_1 | PG_locked
    assert add_to_swap_cache(m.k, pfn, int(get_swap_page(m.k))) == 1
    assert m.k.pages[pfn].flags & (PG_error | PG_arch_1 | PG_uptodate | PG_locked) == PG_uptodate | PG_locked
    assert m.k.pages[pfn].mapping == MAPPING_SWAP


@pytest.mark.row("S2-50")
@pytest.mark.parametrize(
    ("spoil", "message"), [("cached", "put into a cache though it is in one"), ("unlocked", "without being locked")]
)
def test_pages_that_must_not_enter_the_swap_cache_are_noticed(spoil: str, message: str) -> None:
    m = with_swap()
    k = m.k
    k.vm[0].profile = KERNEL_2_4_0
    pfn = page_of(m)
    k.pages[pfn].age = 2
    k.pages[pfn].flags |= PG_locked if spoil == "cached" else 0
    add_to_swap_cache(k, pfn, int(get_swap_page(k)))
    if spoil == "cached":
        check_bug(k)
        assert add_to_swap_cache(k, pfn, int(get_swap_page(k))) == 0
    with pytest.raises(InvariantViolation, match=message):
        check_bug(k)


# The page cache ------------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-53", "S2-53", "S2-56", "S2-57")
def test_a_page_that_joins_the_page_cache_is_on_three_lists() -> None:
    m = FileMachine()
    k, mapping = m.k, m.mapping(m.file(4))
    first, second = page_of(m), page_of(m)
    assert add_to_page_cache(k, first, mapping, 1) == 1
    assert add_to_page_cache(k, second, mapping, 2) == 1
    page = k.pages[second]
    assert (page.count, page.mapping, page.index) == (2, mapping, 2)
    assert page.flags & (PG_lru | PG_locked | PG_active) == PG_lru | PG_locked
    assert k.mappings[mapping].pages_head[CLEAN_PAGES] == second, "at the head"
    assert (page.list_next, k.pages[first].list_prev) == (first, second)
    assert (k.mappings[mapping].nrpages, k.vm[0].page_cache_size) == (2, 2)
    assert find_page(k, mapping, 2) == second
    assert k.vm[0].inactive_head == second


@pytest.mark.row("S2-49", "S2-57", "S2-58")
def test_pages_are_found_by_a_hash_of_their_file_and_index() -> None:
    """Spec 9.1: (i + (i >> bits)) over the table's size, i = the inode's number of steps + index; front insertion."""
    m = FileMachine()
    k = m.k
    mapping = m.mapping(m.file(4))
    buckets = len(k.page_hash)
    place = mapping * 15 + 7
    assert page_hash_bucket(k, mapping, 7) == (place + (place >> int(k.vm[0].page_hash_bits))) % buckets
    twins = [i for i in range(4 * buckets) if page_hash_bucket(k, mapping, i) == page_hash_bucket(k, mapping, 7)][:3]
    pages = {i: page_of(m) for i in twins}
    for i, pfn in pages.items():
        add_to_page_cache(k, pfn, mapping, i)
    assert k.page_hash[page_hash_bucket(k, mapping, 7)] - 1 == pages[twins[-1]]
    assert {i: int(find_page(k, mapping, i)) for i in twins} == pages
    assert page_hash_chains(k) == [3]


@pytest.mark.row("S2-39")
def test_a_page_used_twice_is_on_the_active_list() -> None:
    m = FileMachine()
    file = m.file(2, 100)
    lists = []
    for _ in range(2):
        m.read(file, 0, 4096)
        lists.append(bool(m.k.pages[m.cached(file)[0]].flags & PG_active))
    assert lists == [False, True]
    assert m.k.vm[0].active_head == m.cached(file)[0]


def test_a_page_moves_between_its_files_lists() -> None:
    m = FileMachine()
    file = m.file(8, 100)
    m.read(file, 0, 8 * 4096)
    k, space = m.k, m.k.mappings[m.mapping(file)]

    def lengths() -> list[int]:
        found = []
        for which in (CLEAN_PAGES, DIRTY_PAGES, LOCKED_PAGES):
            n, pfn = 0, int(space.pages_head[which])
            while pfn != NIL:
                n, pfn = n + 1, int(k.pages[pfn].list_next)
            found.append(n)
        return found

    assert lengths() == [8, 0, 0]
    set_page_dirty(k, m.cached(file)[3])
    assert lengths() == [7, 1, 0]
    move_to_page_list(k, m.cached(file)[3], LOCKED_PAGES)
    assert lengths() == [7, 0, 1]
    assert space.nrpages == 8


# Turnover ------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S2-03", "S2-30")
def test_frames_and_transfers_are_counted_apart() -> None:
    """The turnover of frames goes on without swap; with too little memory transfers come on top."""
    roomy, tight = small(nodes=(16,)), small()
    for machine in (roomy, tight):
        machine.add(sweep(6 * MIB_PAGES))
        finish(machine)
    calm, busy = counters(roomy), counters(tight)
    assert calm["pgalloc"] == calm["pgfree"] > 6 * MIB_PAGES
    assert calm["pswpin"] == calm["pswpout"] == 0
    assert busy["pgalloc"] > 6 * MIB_PAGES
    assert 0 < busy["pswpout"] < busy["pgalloc"]


@pytest.mark.row("S2-37", "S2-38", "S2-55")
def test_a_free_page_has_no_reference_and_an_allocated_one_has_one() -> None:
    m = FileMachine()
    pfn = page_of(m)
    page = m.k.pages[pfn]
    blocks = lambda: {p for z in range(3) for at in buddy.free_lists(m.k, z).values() for p in at}  # noqa: E731
    assert page.count == 1
    assert pfn not in blocks()
    page.count += 1
    page_cache_release(m.k, pfn)
    assert (page.count, pfn in blocks()) == (1, False)
    page_cache_release(m.k, pfn)
    assert page.count == 0


def test_page_tables_are_never_chosen() -> None:
    machine = small(run={"until": "30ms"})
    machine.add(sweep(6 * MIB_PAGES, times=100))
    finish(machine)
    k = machine.kernel
    tables = np.flatnonzero(k.pages["flags"] & PG_table)
    assert len(tables) >= 4
    assert not (k.pages["flags"][tables] & PG_lru).any()
    assert (k.pages["mapping"][tables] == 0).all()
    assert counters(machine)["pswpout"] > 0
    assert counters(machine)["table_pages_freed"] == 0
