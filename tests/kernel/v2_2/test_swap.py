"""Swap of 2.2: slots under I/O, which pages go, how they come back, and what a write to a shared page does."""

from __future__ import annotations

import pytest
from kernel.v2_2.small import TASK, Small

from numa_sim.compiled import entry
from numa_sim.kernel.numa import alloc_pages
from numa_sim.kernel.swapfile import get_swap_page, swap_free
from numa_sim.kernel.v2_2.page_io import rw_swap_page
from numa_sim.kernel.v2_2.swap_out import swap_out, try_to_swap_out
from numa_sim.state.answers import FAULT_MINOR, FAULT_OOM, FAULT_WAIT
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_USER,
    IO_WRITE,
    NIL,
    PAGE_SHIFT,
    PF_MEMALLOC,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    TASK_RUNNING,
    VM_LOCKED,
    PG_locked,
    PG_referenced,
    PG_reserved,
)

_get_swap_page = entry(get_swap_page)
_swap_free = entry(swap_free)
_swap_out = entry(swap_out)
_try_to_swap_out = entry(try_to_swap_out)
_rw_swap_page = entry(rw_swap_page)
_alloc_pages = entry(alloc_pages)


def filled(pages: int = 40, **sizes: int) -> Small:
    """A machine whose task has written its first pages, and not used them since the last look."""
    machine = Small(**sizes)
    for page in range(pages):
        machine.touch(page, 1)
        machine.set_pte(page, machine.pte(page) & ~PTE_ACCESSED)
    return machine


def look(machine: Small, page: int, gfp: int = GFP_USER) -> int:
    """try_to_swap_out of one page."""
    row, index = machine.place(page)
    machine.enter(TASK)
    return int(_try_to_swap_out(machine.k, TASK, machine.mms[TASK], 0x1000 + page, row, index, gfp))


def write_all(machine: Small, pages: int) -> None:
    for page in range(pages):
        assert look(machine, page) == 1
    machine.finish_io()


# The lock map --------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-132")
def test_a_slot_under_io_is_passed_over_by_the_allocator() -> None:
    machine = filled(4)
    assert look(machine, 0) == 1
    entry_ = machine.pte(0)
    assert machine.k.swap_lockmap[entry_ >> 8] == (int(machine.k.swap_cache[entry_ >> 8]))
    # The task gives its use up, and a new cluster is begun: the slot is free by its count, but not taken.
    machine.k.swap_map[entry_ >> 8] = 0
    machine.k.swap_info[0].cluster_nr = 0
    assert _get_swap_page(machine.k) >> 8 == (entry_ >> 8) + 1
    assert machine.count("swap_lock_skips") == 1
    machine.k.swap_map[entry_ >> 8] = 2
    machine.finish_io()
    assert not machine.k.swap_lockmap.any()
    machine.k.swap_info[0].cluster_nr = 0
    machine.k.swap_map[entry_ >> 8] = 0
    machine.k.swap_info[0].lowest_bit = 1
    assert _get_swap_page(machine.k) == entry_
    assert machine.count("swap_lock_skips") == 1


@pytest.mark.row("S3-132")
def test_read_ahead_stops_at_a_slot_under_io() -> None:
    ahead = {}
    for locked in (False, True):
        machine = filled(32)
        write_all(machine, 32)
        while machine.reclaim(TASK, GFP_USER) and machine.k.vm[0].nr_swapcache_pages:
            pass
        block = [page for page in range(32) if machine.pte(page) >> 8 >> 2 == 2]  # slots 8 to 11
        assert [machine.pte(page) >> 8 for page in block] == [8, 9, 10, 11]
        if locked:
            machine.k.swap_lockmap[10] = 1
        machine.fault(block[0], 0)
        ahead[locked] = machine.count("swap_ra")
        machine.k.swap_lockmap[10] = 0
    assert ahead == {False: 3, True: 1}


@pytest.mark.row("S3-132")
def test_a_second_io_with_a_slot_waits_for_the_first() -> None:
    machine = filled(8)
    write_all(machine, 8)
    while machine.reclaim(TASK, GFP_USER) and machine.k.vm[0].nr_swapcache_pages:
        pass
    k, slot = machine.k, machine.pte(5) >> 8
    k.vm[0].swap_readahead = 0
    other = int(_alloc_pages(k, TASK, 0, GFP_USER, 0))
    k.pages[other].flags |= PG_locked
    k.swap_lockmap[slot] = other + 1
    reads = machine.count("pswpin")
    assert machine.try_fault(5, 0) == FAULT_WAIT
    assert k.tasks[TASK].wait_pfn == other
    assert machine.count("swap_lock_waits") == 1
    assert machine.count("pswpin") == reads
    k.pages[other].flags &= ~PG_locked
    k.swap_lockmap[slot] = 0
    machine.touch(5, 0)
    assert k.pages[other].count == 1
    assert machine.count("pswpin") == reads + 1


@pytest.mark.row("S3-137")
def test_bounds_wider_than_needed_are_allowed_and_the_search_is_right() -> None:
    machine = Small(slots=20)
    k, area = machine.k, machine.k.swap_info[0]
    got = [int(_get_swap_page(k)) for _ in range(12)]
    assert area.lowest_bit == 1  # every slot up to 12 is taken
    _swap_free(k, got[3])
    assert _swap_free(k, got[3]) == 1  # a complaint, and both bounds are widened all the same
    k.swap_info[0].lowest_bit, k.swap_info[0].highest_bit = 8, 15
    assert _swap_free(k, got[3]) == 1
    assert (area.lowest_bit, area.highest_bit) == (4, 15)
    rest = []
    while entry_ := int(_get_swap_page(k)):
        rest.append(entry_ >> 8)
    assert sorted([*rest, *(entry_ >> 8 for entry_ in got if entry_ != got[3])]) == list(range(1, 16))


def test_more_than_32_pages_under_io_make_the_next_writer_wait() -> None:
    machine = filled(40)
    for page in range(33):
        assert look(machine, page) == 1
        assert machine.k.tasks[TASK].wait_pfn == NIL
    assert machine.k.vm[0].nr_async_pages == 33
    assert look(machine, 33) == 1
    waits_for = int(machine.k.tasks[TASK].wait_pfn)
    assert machine.k.swap_cache[machine.pte(33) >> 8] == waits_for + 1
    assert machine.k.vm[0].nr_async_pages == 33
    machine.finish_io()
    assert machine.k.vm[0].nr_async_pages == 0
    assert machine.k.pages[waits_for].count == 2  # the cache's and the waiter's
    machine.check()


def test_the_buffers_and_the_reference_of_an_io_end_with_it() -> None:
    machine = filled(1)
    pfn = machine.frame(0)
    assert look(machine, 0) == 1
    assert machine.k.pages[pfn].count == 2
    machine.finish_io()
    page = machine.k.pages[pfn]
    assert (page.count, page.buffers) == (1, 0)
    machine.check()


# Which pages go ------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-121")
def test_absent_pages_and_frames_that_are_not_there_are_passed_by() -> None:
    machine = filled(3)
    machine.touch(5, 0)  # ZERO_PAGE
    machine.set_pte(1, 0)
    machine.k.pages[machine.frame(2)].flags |= PG_reserved
    before = [machine.pte(page) for page in (1, 2, 5)]
    machine.k.tasks[TASK].swap_cnt = 10
    machine.enter(TASK)
    assert _swap_out(machine.k, TASK, 6, GFP_USER) == 1  # page 0
    assert _swap_out(machine.k, TASK, 6, GFP_USER) == 0
    assert [machine.pte(page) for page in (1, 2, 5)] == before
    assert machine.count("swap_out_ptes") == 1


@pytest.mark.row("S3-122")
def test_locked_pages_and_pages_dma_does_not_reach_are_passed_by() -> None:
    machine = filled(300, mib=20)
    machine.page(0).flags |= PG_locked
    assert look(machine, 0) == 0
    assert machine.pte(0) & PTE_PRESENT
    high = next(page for page in range(300) if machine.frame(page) >= (16 << 20) >> PAGE_SHIFT)
    assert look(machine, high, GFP_USER | GFP_DMA_BIT) == 0
    assert machine.pte(high) & PTE_PRESENT
    assert look(machine, high) == 1


@pytest.mark.row("S3-122")
def test_locked_areas_are_passed_by() -> None:
    machine = filled(4)
    machine.k.vmas[machine.k.mms[machine.mms[TASK]].mmap].vm_flags |= VM_LOCKED
    machine.enter(TASK)
    assert _swap_out(machine.k, TASK, 0, GFP_USER) == 0
    assert machine.count("swap_out_ptes") == 0


@pytest.mark.row("S3-076", "S3-123")
def test_a_page_used_since_the_last_look_is_made_old_and_goes_the_next_time() -> None:
    machine = filled(3)
    machine.touch(0, 0)
    assert look(machine, 0) == 0
    assert machine.pte(0) & (PTE_PRESENT | PTE_ACCESSED) == PTE_PRESENT
    assert machine.page(0)["flags"] & PG_referenced
    assert look(machine, 0) == 1
    assert not machine.pte(0) & PTE_PRESENT
    # In the order of addresses, those not used first.
    machine.touch(1, 0)
    machine.k.tasks[TASK].swap_cnt = machine.k.tasks[TASK].swap_address = 0
    gone = []
    for _ in range(2):
        machine.enter(TASK)
        assert _swap_out(machine.k, TASK, 6, GFP_USER) == 1
        gone.append([page for page in (1, 2) if not machine.pte(page) & PTE_PRESENT])
    assert gone == [[2], [1, 2]]


@pytest.mark.row("S3-124")
def test_rss_counts_the_ptes_that_are_left() -> None:
    machine = filled(10)
    rss = machine.k.mms[machine.mms[TASK]]
    assert rss.rss == 10
    for page in range(4):
        assert look(machine, page) == 1
    assert rss.rss == 6 == sum(bool(machine.pte(page) & PTE_PRESENT) for page in range(10))
    machine.finish_io()
    machine.check()


def test_a_clean_page_goes_without_a_write_and_a_page_in_the_swap_cache_to_its_old_slot() -> None:
    machine = filled(2)
    write_all(machine, 2)
    machine.touch(0, 0)
    machine.set_pte(0, machine.pte(0) & ~PTE_ACCESSED)
    slot = int(machine.page(0).index)
    writes = machine.count("pswpout")
    assert look(machine, 0) == 0
    assert machine.pte(0) == slot
    assert machine.count("pswpout") == writes
    machine.check()


def test_the_task_with_the_largest_quota_is_searched_and_quotas_are_refreshed_to_rss() -> None:
    machine = Small(tasks=2)
    for task, pages in ((TASK, 6), (TASK + 1, 9)):
        for page in range(pages):
            machine.touch(page, 1, task)
            machine.set_pte(page, machine.pte(page, task) & ~PTE_ACCESSED, task)
    k = machine.k
    machine.enter(TASK)
    assert _swap_out(k, TASK, 6, GFP_USER) == 1
    assert [int(k.tasks[t].swap_cnt) for t in (TASK, TASK + 1)] == [6, 9]
    assert not machine.pte(0, TASK + 1) & PTE_PRESENT
    # A task that was searched to its end comes after all others.
    for _ in range(8):
        assert _swap_out(k, TASK, 6, GFP_USER) == 1
    assert k.mms[machine.mms[TASK + 1]].rss == 0
    assert _swap_out(k, TASK, 6, GFP_USER) == 1
    assert not machine.pte(0, TASK) & PTE_PRESENT
    assert k.tasks[TASK].state == TASK_RUNNING


def test_without_swap_space_the_pte_stays() -> None:
    machine = filled(2, slots=1)
    assert look(machine, 0) == 1
    before = machine.pte(1)
    assert look(machine, 1) == 0
    assert machine.pte(1) == before


# Coming back ---------------------------------------------------------------------------------------------------------


def test_every_swap_in_is_a_minor_fault_and_a_write_frees_the_slot() -> None:
    machine = filled(4)
    write_all(machine, 4)
    while machine.reclaim(TASK, GFP_USER) and machine.k.vm[0].nr_swapcache_pages:
        pass
    free = int(machine.k.vm[0].nr_swap_pages)
    assert machine.fault(0, 0) == FAULT_MINOR
    assert machine.k.vm[0].nr_swap_pages == free  # read: the cache keeps the slot
    assert machine.fault(1, 1) == FAULT_MINOR
    assert machine.k.vm[0].nr_swap_pages == free + 1
    assert machine.page(1).mapping == 0
    assert machine.count("pgmajfault") == 0
    for page in range(4):
        machine.touch(page, 0)
    machine.check()


@pytest.mark.row("S3-113")
def test_a_write_fault_allocates_before_it_looks_and_gives_back_what_it_need_not() -> None:
    machine = filled(1)
    machine.set_pte(0, machine.pte(0) & ~PTE_RW)
    before = {name: machine.count(name) for name in ("pgalloc", "pgfree", "cow_reuses")}
    frame = machine.frame(0)
    assert machine.fault(0, 1) == FAULT_MINOR
    assert machine.frame(0) == frame
    after = {name: machine.count(name) - before[name] for name in before}
    assert after == {"pgalloc": 1, "pgfree": 1, "cow_reuses": 1}
    # The allocation may sleep; a failed one does not matter if the page can be reused.
    machine.k.tasks[TASK].flags |= PF_MEMALLOC
    while _alloc_pages(machine.k, TASK, 0, GFP_USER, 0) >= 0:
        pass
    machine.set_pte(0, machine.pte(0) & ~PTE_RW)
    assert machine.fault(0, 1) == FAULT_MINOR
    machine.k.pages[frame].count += 1
    machine.set_pte(0, machine.pte(0) & ~PTE_RW)
    with pytest.raises(AssertionError, match=str(FAULT_OOM)):
        machine.fault(0, 1)


@pytest.mark.row("S3-115")
def test_a_page_only_the_swap_cache_has_besides_leaves_it_and_is_written_to_without_a_copy() -> None:
    machine = filled(2)
    write_all(machine, 2)
    machine.touch(0, 0)
    frame, slot = machine.frame(0), int(machine.page(0).index) >> 8
    assert machine.page(0).count == 2
    assert machine.k.swap_map[slot] == 1
    free = int(machine.k.vm[0].nr_swap_pages)
    machine.touch(0, 1)
    assert machine.frame(0) == frame
    assert machine.page(0).mapping == 0
    assert machine.k.swap_map[slot] == 0
    assert machine.k.vm[0].nr_swap_pages == free + 1
    assert machine.pte(0) & PTE_DIRTY
    machine.check()


def test_a_page_under_io_is_waited_for_before_it_is_mapped() -> None:
    machine = filled(2)
    assert look(machine, 0) == 1
    assert machine.try_fault(0, 0) == FAULT_WAIT
    machine.finish_io()
    assert machine.try_fault(0, 0) == FAULT_MINOR
    assert machine.count("pswpin") == 0
    assert machine.k.pages[machine.frame(0)].count == 2
    machine.check()


def test_an_io_that_is_waited_for_is_not_counted_as_asynchronous() -> None:
    machine = filled(1)
    assert look(machine, 0) == 1
    machine.finish_io()
    pfn = int(machine.k.swap_cache[machine.pte(0) >> 8]) - 1
    machine.k.pages[pfn].flags |= PG_locked
    assert _rw_swap_page(machine.k, IO_WRITE, pfn, 1) == 1
    assert machine.k.vm[0].nr_async_pages == 0
    machine.finish_io()
