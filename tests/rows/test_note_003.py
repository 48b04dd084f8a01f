"""Note 003 of the acceptance list, parts on faults, reclaim and swap devices, rows that no other test shows."""

from __future__ import annotations

import numpy as np
import pytest
from kernel.file_machine import TASK, FileMachine
from machine.small import MIB_PAGES, NVME, counters, finish, small, sweep, walk

from numa_sim.compiled import entry
from numa_sim.errors import SwapError
from numa_sim.kernel import memory, pgtable, swap_out, swapfile
from numa_sim.kernel.mmap import do_mmap
from numa_sim.kernel.swapon import swapon
from numa_sim.state.answers import FAULT_MINOR, FAULT_OOM
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    PG_locked,
    PG_reserved,
)
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

get_pte = entry(pgtable.get_pte)
get_swap_page = entry(swapfile.get_swap_page)
handle_mm_fault = entry(memory.handle_mm_fault)
leaf_row = entry(pgtable.leaf_row)
look_at_page_tables = entry(swap_out.swap_out)
swap_free = entry(swapfile.swap_free)
swapoff_begin = entry(swapfile.swapoff_begin)
swapoff_end = entry(swapfile.swapoff_end)
swapoff_fail = entry(swapfile.swapoff_fail)


def with_pages(pages: int, mib: int = 4) -> tuple[FileMachine, int]:
    """A machine with swap whose task has written `pages` anonymous pages."""
    m = FileMachine(mib, swap_pages=200)
    start = do_mmap(m.k, TASK, pages, NIL)
    for i in range(pages):
        assert m.fault(start + i, 1) == FAULT_MINOR
    return m, start


def set_flags(m: FileMachine, vpn: int, clear: int = 0, add: int = 0) -> None:
    """Change bits of a PTE, as hardware or an earlier visit would."""
    row = int(leaf_row(m.k, m.k.tasks[TASK].mm, vpn))
    m.k.tables[row, vpn & 511] = int(m.k.tables[row, vpn & 511]) & ~clear | add


def visit(m: FileMachine) -> list[bool]:
    """swap_out goes over the whole address space once; which pages it has unmapped."""
    zone = int(m.k.zonelists[0, 2, 0])
    look_at_page_tables(m.k, zone)
    area = m.k.vmas[m.k.mms[m.k.tasks[TASK].mm].mmap]
    return [not m.pte(vpn) & PTE_PRESENT for vpn in range(int(area.vm_start), int(area.vm_end))]


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-114")
def test_faults_without_the_disk_are_minor() -> None:
    machine = small()
    machine.add(sweep(100, times=3))
    finish(machine)
    task = machine.kernel.tasks[TASK]
    assert (task.min_flt, task.maj_flt) == (100, 0)
    pressed = small()
    pressed.add(sweep(6 * MIB_PAGES, times=2))
    finish(pressed)
    task = pressed.kernel.tasks[TASK]
    assert task.maj_flt == counters(pressed)["pgmajfault"] > 0
    assert task.min_flt + task.maj_flt == counters(pressed)["pgfault"]


def swapped_and_read_back() -> tuple[FileMachine, int]:
    """One page, read back from swap by a read: write-protected, in the swap cache, its slot still in use."""
    m, vpn = with_pages(1)
    set_flags(m, vpn, clear=PTE_ACCESSED)
    assert visit(m) == [True]
    assert m.fault(vpn, 0) == FAULT_MINOR
    assert not m.pte(vpn) & PTE_RW
    return m, vpn


@pytest.mark.row("S3-115", "S3-116")
def test_a_page_only_the_swap_cache_has_besides_is_written_in_place() -> None:
    m, vpn = swapped_and_read_back()
    pfn = m.pte(vpn) >> PAGE_SHIFT
    allocated = m.counter("pgalloc")
    assert m.k.pages[pfn].count == 2
    assert m.fault(vpn, 1) == FAULT_MINOR
    assert m.pte(vpn) >> PAGE_SHIFT == pfn
    assert m.pte(vpn) & (PTE_RW | PTE_DIRTY) == PTE_RW | PTE_DIRTY
    assert m.counter("pgalloc") == allocated, "no copy"
    m.check()


@pytest.mark.row("S3-117", "S3-118")
def test_a_page_somebody_else_has_too_is_copied_and_given_up() -> None:
    m, vpn = swapped_and_read_back()
    old = m.pte(vpn) >> PAGE_SHIFT
    m.k.tags[old] = 4711
    m.k.pages[old].count += 1
    assert m.fault(vpn, 1) == FAULT_MINOR
    new = m.pte(vpn) >> PAGE_SHIFT
    assert new != old
    assert m.k.tags[new] == 4711
    assert m.k.pages[old].count == 2, "the entry's reference is gone"


@pytest.mark.row("S3-117")
def test_without_memory_for_the_copy_the_fault_fails() -> None:
    m, vpn = swapped_and_read_back()
    m.k.pages[m.pte(vpn) >> PAGE_SHIFT].count += 1
    m.k.tasks[TASK].alloc_failed = 1
    before = m.pte(vpn)
    assert handle_mm_fault(m.k, TASK, vpn, 1) == FAULT_OOM
    assert m.pte(vpn) == before


# Reclaim -------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-122")
@pytest.mark.parametrize("why", ["absent", "reserved", "locked"])
def test_swap_out_passes_over_pages_it_cannot_take(why: str) -> None:
    m, start = with_pages(5)
    for vpn in range(start, start + 5):
        set_flags(m, vpn, clear=PTE_ACCESSED)
    pfn = m.pte(start + 2) >> PAGE_SHIFT
    if why == "absent":
        m.k.tables[int(leaf_row(m.k, m.k.tasks[TASK].mm, start + 2)), start + 2 & 511] = 0
    else:
        m.k.pages[pfn].flags |= PG_reserved if why == "reserved" else PG_locked
    gone = visit(m)
    assert gone[:2] + gone[3:] == [True] * 4
    assert gone[2] == (why == "absent")
    assert m.counter("swap_out_ptes") == 4


@pytest.mark.row("S3-122")
@pytest.mark.parametrize(("class_zone", "taken_from"), [(0, {0}), (1, {0, 1})])
def test_a_request_for_dma_takes_no_other_pages(class_zone: int, taken_from: set[int]) -> None:
    m, start = with_pages(2300, mib=24)
    zones = {m.pte(start + page) >> PAGE_SHIFT: (m.pte(start + page) >> PAGE_SHIFT) // 4096 for page in range(2300)}
    assert set(zones.values()) == {0, 1}, "16 MiB of DMA and the rest"
    before = [m.pte(vpn) >> PAGE_SHIFT for vpn in range(start, start + 2300)]
    for vpn in range(start, start + 2300):
        set_flags(m, vpn, clear=PTE_ACCESSED)
    look_at_page_tables(m.k, 0)
    look_at_page_tables(m.k, class_zone)
    gone = [pfn for pfn, vpn in zip(before, range(start, start + 2300), strict=True) if not m.pte(vpn) & PTE_PRESENT]
    assert {zones[pfn] for pfn in gone} == taken_from
    assert len(gone) == 64


@pytest.mark.row("S3-076", "S3-123")
def test_a_page_used_lately_gets_a_second_chance() -> None:
    m, start = with_pages(64)
    for page in range(0, 64, 2):
        set_flags(m, start + page, clear=PTE_ACCESSED)
    for page in range(1, 64, 2):
        set_flags(m, start + page, add=PTE_ACCESSED)
    assert visit(m) == [True, False] * 32
    assert not any(m.pte(start + page) & PTE_ACCESSED for page in range(1, 63, 2)), "old now"
    set_flags(m, start + 3, add=PTE_ACCESSED)
    look_at_page_tables(m.k, int(m.k.zonelists[0, 2, 0]))
    assert not m.pte(start + 5) & PTE_PRESENT


def evict(m: FileMachine, start: int, pages: int = 1) -> None:
    """Nobody has used the pages lately: they are unmapped, written if need be, and freed."""
    for vpn in range(start, start + pages):
        set_flags(m, vpn, clear=PTE_ACCESSED)
    assert visit(m) == [True] * pages
    m.k.vm[0].vm_cache_scan_ratio = 1
    for _ in range(2):
        m.take(1)
        m.finish_io()


@pytest.mark.row("S3-077")
def test_a_dirty_page_is_written_when_it_goes_and_a_clean_one_dropped() -> None:
    m, vpn = with_pages(1)
    m.k.tags[m.pte(vpn) >> PAGE_SHIFT] = 4711
    written = []
    for write in (0, 1, 0):
        evict(m, vpn)
        assert not m.k.swap_cache.any()
        written.append(m.counter("pswpout"))
        m.fault(vpn, write)
        assert bool(m.pte(vpn) & PTE_DIRTY) is (write == 1)
        assert m.mapped_tag(vpn) == 4711
    assert written == [1, 1, 2], "read back and only read, it went without a write"


@pytest.mark.row("S3-077")
def test_of_a_mapped_file_only_the_dirty_pages_are_written_when_they_go() -> None:
    m = FileMachine()
    file = m.file(4, 100)
    start = do_mmap(m.k, TASK, 4, NIL, VM_READ | VM_WRITE | VM_SHARED, file)
    for page in range(4):
        m.fault(start + page, page % 2)
    evict(m, start, 4)
    assert m.counter("file_writepages") == 2
    assert m.cached(file) == {}


@pytest.mark.row("S3-124")
def test_rss_goes_down_with_every_page_unmapped() -> None:
    m, start = with_pages(6)
    assert m.k.mms[m.k.tasks[TASK].mm].rss == 6
    for page in range(6):
        set_flags(m, start + page, clear=PTE_ACCESSED)
    assert sum(visit(m)) == 6
    assert m.k.mms[m.k.tasks[TASK].mm].rss == 0


# Swap devices --------------------------------------------------------------------------------------------------------


def areas(*areas: tuple[int, int | None]) -> Kernel:
    """Swap areas of these (slots, priority)."""
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=1, tables=1, swap_slots=4096, io_ring=4))
    for slots, priority in areas:
        swapon(k, slots, priority)
    return k


def take(k: Kernel, n: int) -> list[tuple[int, int]]:
    entries = [int(get_swap_page(k)) for _ in range(n)]
    return [(pte >> 1 & 0x3F, pte >> 8) for pte in entries]


@pytest.mark.row("S3-134")
def test_the_search_goes_from_next_around_to_the_head_and_ends() -> None:
    k = areas((3, 5), (3, 5), (4, 1))
    assert [area for area, _ in take(k, 4)] == [1, 0, 1, 0]
    assert take(k, 3) == [(2, 1), (2, 2), (2, 3)]
    assert get_swap_page(k) == 0


@pytest.mark.row("S2-26", "S3-135")
def test_space_freed_at_a_higher_priority_is_used_next() -> None:
    k = areas((3, 5), (10, 1), (10, 1))
    assert take(k, 3) == [(0, 1), (0, 2), (2, 1)]
    assert k.vm[0].swap_list_next == 1
    swap_free(k, 0 << 1 | 2 << 8)
    assert k.vm[0].swap_list_next == 0
    assert take(k, 2) == [(0, 2), (2, 2)]


@pytest.mark.row("S3-139")
def test_an_area_that_is_being_removed_gives_no_slots() -> None:
    k = areas((10, 5), (10, 1))
    take(k, 2)
    swapoff_begin(k, 0)
    assert [area for area, _ in take(k, 5)] == [1] * 5
    swapoff_fail(k, 0)
    assert [area for area, _ in take(k, 2)] == [0, 0], "put back, it is the first again"


@pytest.mark.row("S3-140", "S3-141")
def test_indexes_are_used_again_and_the_high_water_mark_stays() -> None:
    k = areas((10, None), (10, None), (10, None))
    assert k.vm[0].nr_swapfiles == 3
    swapoff_begin(k, 1)
    swapoff_end(k, 1)
    assert (k.swap_info[1].flags, k.vm[0].nr_swapfiles) == (0, 3)
    assert swapon(k, 10) == 1
    assert k.vm[0].nr_swapfiles == 3


@pytest.mark.row("S3-149")
def test_an_area_goes_in_front_of_its_equals() -> None:
    k = areas((10, 5), (10, 7), (10, 5), (10, 3))
    order, area = [], int(k.vm[0].swap_list_head)
    while area != NIL:
        order.append(area)
        area = int(k.swap_info[area].next)
    assert order == [1, 2, 0, 3]


def test_an_area_without_room_is_refused() -> None:
    with pytest.raises(SwapError, match="swapon"):
        areas((5000, None))


@pytest.mark.row("S3-126")
def test_writes_of_reclaim_go_on_while_the_task_computes() -> None:
    """Slow writes and computing together take less than one after the other."""
    times = {}
    for compute_ns in (0, 50_000):
        machine = small(swap=({**NVME, "latency": "2ms", "channels": 1},))
        machine.add(walk(6 * MIB_PAGES, np.arange(6 * MIB_PAGES), compute_ns=compute_ns))
        finish(machine)
        times[compute_ns] = machine.now_ns
    assert times[50_000] < times[0] + 6 * MIB_PAGES * 50_000
