"""Mapped files: faults, copies on write, the way of dirty bits, and what truncate takes away."""

from __future__ import annotations

import pytest
from kernel.file_machine import PAGE, TASK, FileMachine, filemap_sync, invalidate

from numa_sim.kernel.mmap import do_mmap, do_munmap, mmput
from numa_sim.state.answers import FAULT_MAJOR, FAULT_MINOR, FAULT_SIGBUS, FILE_DONE
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    PG_dirty,
)


def mapped(shared: bool, pages: int = 16) -> tuple[FileMachine, int, int]:
    m = FileMachine(swap_pages=100)
    file = m.file(pages, 1000)
    flags = VM_READ | VM_WRITE | (VM_SHARED if shared else 0)
    return m, file, do_mmap(m.k, TASK, pages, NIL, flags, file)


def store(m: FileMachine, vpn: int, tag: int) -> None:
    """A store the hardware lets through: contents and the PTE's dirty bit change."""
    k = m.k
    assert m.pte(vpn) & PTE_RW
    k.tags[m.pte(vpn) >> PAGE_SHIFT] = tag
    row = int(k.mms[k.tasks[TASK].mm].pgd)
    for level in range(int(k.vm[0].levels) - 1, 0, -1):
        row = int(k.tables[row, (vpn >> (9 * level)) & 511]) >> PAGE_SHIFT
    k.tables[row, vpn & 511] |= PTE_DIRTY


def test_every_nopage_fault_is_major_but_only_misses_read() -> None:
    m, _, start = mapped(shared=True)
    assert [m.fault(start + i, 0) for i in range(8)] == [FAULT_MAJOR] * 8
    clusters = 8 >> int(m.k.vm[0].page_cluster)
    assert m.counter("file_faults") == 8
    assert m.counter("file_faults_read") == m.counter("pagecache_miss") == clusters
    assert m.counter("pagecache_hit") == 8 - clusters
    assert m.k.tasks[TASK].maj_flt == 8
    assert m.k.mms[m.k.tasks[TASK].mm].rss == 8
    m.check()


def test_the_last_page_of_a_file_is_read_with_its_block_though_only_a_part_of_it_is_the_file() -> None:
    m, file, start = mapped(shared=True, pages=6)
    m.k.mappings[m.mapping(file)].i_size = 5 * PAGE + 1
    m.fault(start + 4, 0)
    assert sorted(m.cached(file)) == [4, 5]
    assert m.fault(start + 5, 0) == FAULT_MAJOR
    assert m.counter("file_faults_read") == 1
    assert m.mapped_tag(start + 5) == 1005


def test_a_shared_page_is_mapped_writable_and_clean() -> None:
    m, file, start = mapped(shared=True)
    m.fault(start, 0)
    assert m.pte(start) & (PTE_RW | PTE_DIRTY) == PTE_RW
    assert m.pte(start) >> PAGE_SHIFT == m.cached(file)[0]


@pytest.mark.row("S3-117")
def test_a_private_page_is_copied_on_write_and_the_file_stays() -> None:
    m, file, start = mapped(shared=False)
    m.fault(start, 0)
    assert not m.pte(start) & PTE_RW
    assert m.fault(start, 1) == FAULT_MINOR
    assert m.fault(start + 1, 1) == FAULT_MAJOR
    for i in (0, 1):
        assert m.pte(start + i) >> PAGE_SHIFT != m.cached(file)[i]
        assert m.mapped_tag(start + i) == 1000 + i
        store(m, start + i, 77)
    assert m.read(file, 0, 2 * PAGE) == [1000, 1001]
    m.check()


@pytest.mark.parametrize("how", ["munmap", "exit", "msync"])
def test_stores_through_a_shared_mapping_reach_the_disk(how: str) -> None:
    m, file, start = mapped(shared=True)
    m.fault(start + 3, 1)
    store(m, start + 3, 4242)
    if how == "munmap":
        do_munmap(m.k, TASK, start, 16)
    elif how == "exit":
        mmput(m.k, TASK)
    else:
        assert filemap_sync(m.k, int(m.k.tasks[TASK].mm), start, start + 16) == 1
        assert not m.pte(start + 3) & PTE_DIRTY
    assert m.k.pages[m.cached(file)[3]].flags & PG_dirty
    if how != "exit":
        m.check()
    invalidate(m.k, m.mapping(file))
    assert 3 in m.cached(file)
    assert m.on_disk(file)[3] == 1003
    assert m.fsync(file) == FILE_DONE
    assert m.on_disk(file)[3] == 4242
    assert m.counter("nr_dirty") == 0


@pytest.mark.row("S3-095")
def test_beyond_the_end_of_the_file_is_sigbus() -> None:
    m = FileMachine()
    file = m.file(3, 1)
    start = do_mmap(m.k, TASK, 8, NIL, VM_READ | VM_SHARED, file)
    assert m.fault(start + 2, 0) == FAULT_MAJOR
    assert m.fault(start + 3, 0) == FAULT_SIGBUS


@pytest.mark.parametrize("shared", [True, False])
def test_truncate_takes_mapped_pages_away(shared: bool) -> None:
    m, file, start = mapped(shared)
    for i in range(16):
        m.fault(start + i, 1)
    assert m.truncate(file, 5 * PAGE) == FILE_DONE
    assert [bool(m.pte(start + i) & PTE_PRESENT) for i in range(16)] == [i < 5 for i in range(16)]
    assert m.fault(start + 5, 0) == FAULT_SIGBUS
    assert set(m.cached(file)) <= set(range(5))
    m.check()


def test_truncate_zeroes_the_rest_of_the_last_page_and_a_longer_file_reads_zeros() -> None:
    m, file, _ = mapped(shared=True)
    assert m.truncate(file, 2 * PAGE + 10) == FILE_DONE
    assert m.truncate(file, 6 * PAGE) == FILE_DONE
    contents = m.read(file, 0, 6 * PAGE)
    assert contents[:2] == [1000, 1001]
    assert contents[2] not in (0, 1002)
    assert contents[3:] == [0, 0, 0]
    m.check()


def test_an_unmapped_part_leaves_two_areas_on_the_file() -> None:
    m, file, start = mapped(shared=True)
    do_munmap(m.k, TASK, start + 4, 4)
    m.fault(start + 8, 0)
    assert m.mapped_tag(start + 8) == 1008
    assert m.k.files[file].f_count == 3
    do_munmap(m.k, TASK, start, 16)
    assert m.k.files[file].f_count == 1
    assert m.k.mappings[m.mapping(file)].i_mmap_shared == NIL
    m.check()


def test_dirty_mapped_pages_are_unmapped_written_and_come_back() -> None:
    m, file, start = mapped(shared=True, pages=200)
    for i in range(200):
        m.fault(start + i, 1)
        store(m, start + i, 5000 + i)
    m.take(8)
    assert m.counter("file_writepages") > 0
    assert m.counter("swap_out_ptes") > 0
    assert len(m.cached(file)) < 200
    for i in range(200):
        if not m.pte(start + i) & PTE_PRESENT:
            m.fault(start + i, 0)
        assert m.mapped_tag(start + i) == 5000 + i
    assert m.counter("pswpout") == 0
    m.check()
