"""What calls on areas must keep or refuse: mremap, mlock, mprotect, fork, overcommit, and swap_out's cursor."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.file_machine import PAGE, TASK, FileMachine

from numa_sim.compiled import entry
from numa_sim.kernel import fork, mlock, mmap, mprotect, mremap, overcommit, swap_out
from numa_sim.state.answers import EAGAIN, ENOMEM, FAULT_MINOR, FORK_DONE
from numa_sim.state.constants import (
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PAGE_SHIFT,
    PROT_READ,
    PROT_WRITE,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    TASK_RUNNING,
)

RW = PROT_READ | PROT_WRITE
CHILD = 3

_mmap = entry(mmap.do_mmap_pgoff)
_mremap = entry(mremap.sys_mremap)
_mlock = entry(mlock.sys_mlock)
_present = entry(mlock.make_pages_present)
_mprotect = entry(mprotect.sys_mprotect)
_copy_areas = entry(fork.copy_areas)
_free_for_all = entry(overcommit.free_for_all)
_enough = entry(overcommit.vm_enough_memory)
_mmlist_del = entry(swap_out.mmlist_del)


def area(m: FileMachine, pages: int, file: int = 0, prot: int = RW, flags: int = MAP_PRIVATE) -> int:
    """First page of a new area."""
    m.k.tasks[TASK].root = 1
    answer = int(_mmap(m.k, TASK, file, 0, pages * PAGE, prot, flags, 0))
    assert answer > 0
    return answer >> PAGE_SHIFT


def test_the_middle_of_a_mapped_file_shows_the_same_pages_of_the_file_where_it_moves() -> None:
    m = FileMachine()
    start = area(m, 8, m.file(8, 100), PROT_READ)
    there = start + 100
    flags = MREMAP_MAYMOVE | MREMAP_FIXED
    moved = int(_mremap(m.k, TASK, (start + 2) * PAGE, 3 * PAGE, 3 * PAGE, flags, there * PAGE))
    assert moved == there * PAGE
    for page in range(3):
        m.fault(there + page, 0)
    assert [m.mapped_tag(there + page) for page in range(3)] == [102, 103, 104]


@pytest.mark.row("X-10")
def test_locked_memory_may_not_grow_beyond_its_limit() -> None:
    m = FileMachine()
    start = area(m, 8, flags=MAP_PRIVATE | MAP_LOCKED)
    m.k.tasks[TASK].rlim_memlock = 12 * PAGE
    for pages, answer in ((13, -EAGAIN), (12, start * PAGE)):
        assert _mremap(m.k, TASK, start * PAGE, 8 * PAGE, pages * PAGE, MREMAP_MAYMOVE, 0) == answer
    assert m.k.mms[m.k.tasks[TASK].mm].locked_vm == 12


def test_no_more_than_half_of_memory_can_be_locked_without_any_limit() -> None:
    m = FileMachine()
    m.k.vm[0].overcommit_memory = 1
    half = int(m.k.vm[0].total_pages) // 2
    start = area(m, half + 1)
    for pages, answer in ((half + 1, -ENOMEM), (half, 0)):
        assert _mlock(m.k, TASK, start * PAGE, pages * PAGE) == answer


def test_locked_writable_pages_get_frames_of_their_own() -> None:
    """The zero page is not memory: a store would still fault.  What may only be read keeps it."""
    m = FileMachine()
    for prot, own in ((RW, True), (PROT_READ, False)):
        start = area(m, 2, prot=prot)
        m.fault(start, 0)
        m.k.tasks[TASK].present_vpn = start
        assert _present(m.k, TASK, start + 2) == FAULT_MINOR
        for page in (start, start + 1):
            pte = m.pte(page)
            assert pte & PTE_PRESENT
            assert (pte >> PAGE_SHIFT == int(m.k.vm[0].zero_pfn), pte & PTE_RW != 0) == (not own, own)


def test_mprotect_keeps_what_the_hardware_has_noted() -> None:
    """Accessed and dirty stay as they are, set or not; else a dirty page would be dropped as clean."""
    m = FileMachine()
    start = area(m, 2)
    for page in (start, start + 1):
        m.fault(page, 1)
    row, index = int(m.k.mms[m.k.tasks[TASK].mm].pgd), start + 1
    for level in range(int(m.k.vm[0].levels) - 1, 0, -1):
        row = int(m.k.tables[row, (index >> (9 * level)) & 511]) >> PAGE_SHIFT
    m.k.tables[row, index & 511] &= ~(PTE_ACCESSED | PTE_DIRTY)
    m.k.tables[row, start & 511] |= PTE_ACCESSED | PTE_DIRTY
    assert _mprotect(m.k, TASK, start * PAGE, 2 * PAGE, PROT_READ) == 0
    noted = PTE_RW | PTE_ACCESSED | PTE_DIRTY
    assert [m.pte(page) & noted for page in (start, start + 1)] == [PTE_ACCESSED | PTE_DIRTY, 0]


def test_a_childs_entry_of_a_shared_page_is_clean_and_its_parents_stays_dirty() -> None:
    """Whoever wrote writes back: otherwise msync of either would write the page, once for each."""
    m = FileMachine()
    start = area(m, 1, m.file(1, 7), flags=MAP_SHARED)
    m.fault(start, 1)
    m.k.tasks[CHILD].state = TASK_RUNNING
    assert fork.dup_mmap(m.k, TASK, CHILD)
    assert _copy_areas(m.k, TASK) == FORK_DONE
    parent, m.k.tasks[TASK].mm = m.pte(start), m.k.tasks[CHILD].mm
    assert parent & PTE_DIRTY
    assert m.pte(start) == parent & ~(PTE_DIRTY | PTE_ACCESSED)


@pytest.mark.parametrize("swap_pages", [0, 500])
@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0", "linux-2.4.37"])
def test_what_can_be_promised_is_free_memory_cache_and_free_swap(profile: str, swap_pages: int) -> None:
    """2.2 keeps 6 % of memory back: 2 each for page cache, buffers and the kernel."""
    m = FileMachine(swap_pages=swap_pages, profile=profile)
    m.read(m.file(50, 1), 0, 50 * PAGE)
    vm = m.k.vm[0]
    kept = int(vm.total_pages) * 6 // 100 if profile == "linux-2.2" else 0
    swap = int(vm.nr_swap_pages)
    assert (swap > 400) is (swap_pages > 0)
    expected = int(m.k.zones["free_pages"].sum()) + 50 + swap - kept
    assert int(_free_for_all(m.k)) == expected
    vm.overcommit_memory = 0
    assert [bool(_enough(m.k, pages)) for pages in (expected - 1, expected)] == [True, False]


@pytest.mark.parametrize("stands_at", ["dying", "other"])
def test_the_cursor_of_swap_out_moves_on_when_its_address_space_dies(stands_at: str) -> None:
    m = FileMachine()
    k: Any = m.k
    dying = int(k.tasks[TASK].mm)
    other = int(mmap.mm_alloc(k, CHILD, after=dying))
    assert k.mms[dying].mmlist_next == other
    k.vm[0].swap_mm = dying if stands_at == "dying" else other
    _mmlist_del(k, dying)
    assert k.vm[0].swap_mm == other
    assert k.mms[0].mmlist_next == other
