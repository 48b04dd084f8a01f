"""Rows of note 003 (and 004) on areas that no other test shows: layout, file modes, page-table slots, references."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.file_machine import TASK, FileMachine

from numa_sim.compiled import entry
from numa_sim.kernel import memory, mmap, munmap, pgtable
from numa_sim.kernel.file_table import open_file
from numa_sim.kernel.user_space import ELF_BASE_32
from numa_sim.kernel.vma_index import areas
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import EACCES, FAULT_MAJOR, FAULT_MINOR, FAULT_SEGV
from numa_sim.state.constants import (
    FMODE_READ,
    FMODE_WRITE,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    NIL,
    PAGE_SHIFT,
    PROT_READ,
    PROT_WRITE,
    TASK_RUNNING,
    VM_EXEC,
    VM_MAYWRITE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from numa_sim.state.kernel import Kernel

MIB = 256
_do_mmap = entry(mmap.do_mmap_pgoff)
_munmap = entry(munmap.sys_munmap)
_leaf_row = entry(pgtable.leaf_row)
_find_vma = entry(areas.find_vma)


def i386() -> tuple[Kernel, int]:
    """A booted machine of 32 bits with one task, its stack mapped."""
    machine = Machine.of(nodes=[{"memory": "16MiB", "cpus": "0"}], distances=[[10]], arch="i386")
    k = machine.kernel
    k.tasks[TASK].state = TASK_RUNNING
    machine.enter_kernel(TASK, 0)
    mm = mmap.mm_alloc(k, TASK)
    mmap.setup_arg_pages(k, TASK)
    return k, mm


@pytest.mark.row("S0-35", "S3-058", "S3-061", "S3-173")
def test_code_is_low_mappings_in_the_middle_and_the_stack_high() -> None:
    k, mm = i386()
    space = k.mms[mm]
    assert k.tasks[TASK].mm == mm
    assert space.start_code == ELF_BASE_32 == 0x0804_8000
    assert space.start_code < space.brk < 0x4000_0000
    assert _do_mmap(k, TASK, 0, 0, 1 << PAGE_SHIFT, PROT_READ, MAP_PRIVATE, 0) == 0x4000_0000
    stack = k.vmas[_find_vma(k, mm, 0xBFFFF)]
    assert stack.vm_end == 0xC0000
    assert _find_vma(k, mm, 0xC0000) == NIL


@pytest.mark.row("S3-155", "S3-158")
@pytest.mark.parametrize("mode", [FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE])
@pytest.mark.parametrize("prot", [PROT_READ, PROT_READ | PROT_WRITE])
@pytest.mark.parametrize("kind", [MAP_SHARED, MAP_PRIVATE])
def test_how_a_file_is_open_decides_what_may_be_mapped(mode: int, prot: int, kind: int) -> None:
    m = FileMachine()
    file = open_file(m.k, m.mapping(m.file(4, 500)), mode)
    answer = int(_do_mmap(m.k, TASK, file, 0, 4 << PAGE_SHIFT, prot, kind, 0))
    unreadable = mode & FMODE_READ == 0
    unwritable = kind == MAP_SHARED and prot & PROT_WRITE != 0 and mode & FMODE_WRITE == 0
    assert (answer == -EACCES) == (unreadable or unwritable)
    if answer > 0:
        flags = int(m.k.vmas[_find_vma(m.k, m.k.tasks[TASK].mm, answer >> PAGE_SHIFT)].vm_flags)
        shares = kind == MAP_SHARED and mode & FMODE_WRITE != 0
        assert bool(flags & VM_SHARED) == shares, "a shared mapping of an unwritable file is as good as private"
        assert bool(flags & VM_MAYWRITE) == (kind == MAP_PRIVATE or shares)


@pytest.mark.row("S3-168")
def test_page_tables_go_in_whole_slots_of_four_megabytes() -> None:
    k, mm = i386()
    fault = entry(memory.handle_mm_fault)
    slot = 0x40000
    start = slot << PAGE_SHIFT
    kind = MAP_PRIVATE | MAP_FIXED
    assert _do_mmap(k, TASK, 0, start, 1024 << PAGE_SHIFT, PROT_READ | PROT_WRITE, kind, 0) == start
    assert fault(k, TASK, slot + 10, 1) == FAULT_MINOR
    tables = int(k.mms[mm].nr_tables)
    assert _munmap(k, TASK, start, 1023 << PAGE_SHIFT) == 0
    assert k.mms[mm].rss == 0
    assert _leaf_row(k, mm, slot) != NIL, "one page of the slot is still mapped"
    assert _munmap(k, TASK, start + (1023 << PAGE_SHIFT), 1 << PAGE_SHIFT) == 0
    assert _leaf_row(k, mm, slot) == NIL
    assert k.mms[mm].nr_tables == tables - 1


@pytest.mark.row("S3-054", "S3-152")
def test_the_area_decides_what_a_fault_does() -> None:
    m = FileMachine()
    k = m.k
    file = m.file(4, 500)
    results: dict[str, Any] = {}
    for name, flags, number in (
        ("anonymous", VM_READ | VM_WRITE, 0),
        ("file", VM_READ, file),
        ("code", VM_READ | VM_EXEC, 0),
    ):
        vpn = mmap.do_mmap(k, TASK, 4, 0x5000, flags, number)
        assert vpn == 0x5000
        results[name] = (m.fault(vpn, 0), m.counter("file_faults"), m.counter("zero_page_maps"))
    assert results == {
        "anonymous": (FAULT_MINOR, 0, 1),
        "file": (FAULT_MAJOR, 1, 1),
        "code": (FAULT_MINOR, 1, 2),
    }
    assert m.fault(0x5000, 1) == FAULT_SEGV, "code is not writable"


@pytest.mark.row("S3-059", "S3-057", "S3-167", "S4-07", "S4-12")
def test_areas_keep_their_file_open_and_know_which_part_of_it_they_show() -> None:
    m = FileMachine()
    k, file = m.k, m.file(16, 500)
    mapping = m.mapping(file)
    start = mmap.do_mmap(k, TASK, 16, NIL, VM_READ, file)
    assert k.files[file].f_count == 2
    assert k.mappings[mapping].i_mmap != NIL
    assert mmap.do_munmap(k, TASK, start + 4, 4) == 0
    assert k.files[file].f_count == 3, "the upper half opened it once more"
    lower = k.vmas[_find_vma(k, k.tasks[TASK].mm, start)]
    upper = k.vmas[_find_vma(k, k.tasks[TASK].mm, start + 8)]
    assert (lower.vm_start, lower.vm_end, lower.vm_pgoff) == (start, start + 4, 0)
    assert (upper.vm_start, upper.vm_end, upper.vm_pgoff) == (start + 8, start + 16, 8)
    mmap.mmput(k, TASK)
    assert k.files[file].f_count == 1
    assert k.mappings[mapping].i_mmap == NIL
