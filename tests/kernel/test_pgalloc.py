"""Page-table pages: the kernel's quarter of every directory, spare tables per CPU, entries somebody wrote over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from numa_sim.compiled import entry
from numa_sim.hardware.mmu import access_pte
from numa_sim.kernel import memory, pgtable
from numa_sim.kernel.debug_vm import check_frames
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, mmput
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import FAULT_MINOR, FAULT_OOM, FAULT_SEGV
from numa_sim.state.constants import (
    KERNEL_2_4_0,
    NIL,
    PAGE_SHIFT,
    PGD_QUICKLIST,
    PROT_KERNEL,
    PROT_NONE,
    PROT_READONLY,
    PROT_SHARED,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    PTE_USER,
    TASK_RUNNING,
)
from numa_sim.state.counters import VMSTAT
from numa_sim.state.kernel import Kernel
from numa_sim.workloads.program import Region

fault = entry(memory.handle_mm_fault)
get_pte = entry(pgtable.get_pte)
leaf_row = entry(pgtable.leaf_row)

TASK, OTHER = 2, 3
TABLE_SPAN = 1024
"""Pages one leaf table of i386 maps."""


def machine(arch: str = "i386", profile: str = "linux-2.4.37", mmu: str | None = None, mib: int = 16) -> Machine:
    nodes = [{"memory": f"{mib}MiB", "cpus": "0"}]
    made = Machine.of(nodes=nodes, distances=[[10]], arch=arch, mmu=mmu, kernel={"profile": profile})
    for task in (TASK, OTHER):
        made.kernel.tasks[task].state = TASK_RUNNING
    made.enter_kernel(TASK, 0)
    return made


def counter(k: Kernel, name: str) -> int:
    return int(k.vmstat[:, VMSTAT.index(name)].sum())


def touch_tables(k: Kernel, n: int) -> None:
    """Touch a page in each of `n` leaf tables."""
    for number in range(n):
        assert do_mmap(k, TASK, 1, number * TABLE_SPAN) >= 0
        assert fault(k, TASK, number * TABLE_SPAN, 1) == FAULT_MINOR


# The kernel's quarter ------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-06", "S1-32", "S3-004")
def test_every_directory_has_the_same_kernel_quarter_and_its_own_user_part() -> None:
    k = machine(mib=64).kernel
    spaces = [mm_alloc(k, task) for task in (TASK, OTHER)]
    for task in (TASK, OTHER):
        do_mmap(k, task, 1, 32 * TABLE_SPAN)
        assert fault(k, task, 32 * TABLE_SPAN, 1) == FAULT_MINOR
    mine, other = (k.tables[k.mms[mm].pgd] for mm in spaces)
    swapper = k.tables[k.mms[0].pgd]
    assert mine[768:].tolist() == other[768:].tolist() == swapper[768:].tolist()
    assert not swapper[:768].any()
    assert mine[32] != other[32]
    # 64 MiB of low memory, 4 MiB an entry: present, writable, accessed, dirty, large, global; not for users.
    assert swapper[768:785].tolist() == [n << 22 | 0x1E3 for n in range(16)] + [0]
    assert not swapper[768] & PTE_USER
    assert k.table_info[k.mms[spaces[0]].pgd].used == 1, "the kernel's entries are not the process's"
    assert k.table_info[k.mms[0].pgd].pfn == 0x101, "swapper_pg_dir at 0x101000"


@pytest.mark.row("S0-06")
def test_with_pae_the_quarter_is_one_shared_middle_table() -> None:
    k = machine(mmu="i386-pae").kernel
    mm = mm_alloc(k, TASK)
    do_mmap(k, TASK, 1, 0)
    assert fault(k, TASK, 0, 1) == FAULT_MINOR
    shared = int(k.tables[k.mms[mm].pgd, 3])
    assert shared == int(k.tables[k.mms[0].pgd, 3])
    assert k.tables[shared >> PAGE_SHIFT, :9].tolist() == [n << 21 | 0x1E3 for n in range(8)] + [0]
    assert leaf_row(k, mm, 0xC0000) == NIL, "large pages have no leaf table"
    mmput(k, TASK)


@pytest.mark.row("S0-06", "S3-020", "S3-073")
def test_a_program_that_goes_to_kernel_addresses_faults() -> None:
    made = machine()
    k = made.kernel
    mm_alloc(k, TASK)
    assert do_mmap(k, TASK, 1, 0xC0000) < 0, "TASK_SIZE is the end"
    assert fault(k, TASK, 0xC0000, 0) == FAULT_SEGV
    made = machine()

    def intruder(task: Any) -> Any:
        own = yield task.mmap("4KiB")
        yield task.touch(own, write=1.0)
        yield task.touch(Region(0xC0100, 1, "kernel"))

    made.add(intruder)
    made.run_to_end()
    assert made.tasks[0].outcome == "segmentation fault"


@pytest.mark.row("S3-025", "S3-026", "S3-071", "S3-072", "S3-073", "S3-076", "S3-078")
@pytest.mark.parametrize(("bits", "read", "write"), [
    (PROT_SHARED, True, True), (PROT_READONLY, True, False), (PROT_NONE, False, False), (PROT_KERNEL, False, False),
    (PROT_SHARED & ~PTE_PRESENT, False, False), (0x106, False, False),
])  # fmt: skip
def test_what_the_hardware_lets_a_program_do(bits: int, read: bool, write: bool) -> None:
    user = PTE_PRESENT | PTE_USER
    for store, allowed, needs in ((0, read, user), (1, write, user | PTE_RW)):
        tables = np.array([[0x1234 << PAGE_SHIFT | bits & ~PTE_ACCESSED]])
        answer = int(access_pte(tables, 0, 0, store, needs, needs))
        assert (answer != 0) == allowed
        if allowed:
            assert answer == tables[0, 0] == 0x1234 << PAGE_SHIFT | bits | PTE_ACCESSED | (PTE_DIRTY if store else 0)
        else:
            assert tables[0, 0] == 0x1234 << PAGE_SHIFT | bits & ~PTE_ACCESSED, "a refused access leaves no trace"


@pytest.mark.row("S3-078")
def test_a_page_of_no_access_is_a_page_for_the_kernel() -> None:
    """It counts, and goes with its area like any other: nobody takes its entry for a swap slot."""
    k = machine().kernel
    mm = mm_alloc(k, TASK)
    free = int(k.zones["free_pages"].sum())
    touch_tables(k, 1)
    pte = int(get_pte(k, mm, 0))
    k.tables[leaf_row(k, mm, 0), 0] = pte & ~0xFFF | PROT_NONE
    assert k.mms[mm].rss == 1
    assert do_munmap(k, TASK, 0, 1) == 0
    assert get_pte(k, mm, 0) == 0
    assert k.mms[mm].rss == 0
    mmput(k, TASK)
    assert int(k.zones["free_pages"].sum()) == free


# Spare tables --------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-107", "S3-108")
def test_a_freed_table_is_used_again_without_taking_a_page() -> None:
    taken = {}
    for cache in (1, 0):
        k = machine().kernel
        k.vm[0].pgt_cache = cache
        mm_alloc(k, TASK)
        touch_tables(k, 1)
        free = int(k.zones["free_pages"].sum())
        do_munmap(k, TASK, 0, 1)
        assert int(k.zones["free_pages"].sum()) == free + (1 if cache else 2), "the page; and the table, if not kept"
        assert counter(k, "pgt_cache_kept") == cache
        before = counter(k, "table_pages")
        do_mmap(k, TASK, 1, 500 * TABLE_SPAN)
        assert fault(k, TASK, 500 * TABLE_SPAN, 1) == FAULT_MINOR
        taken[cache] = counter(k, "table_pages") - before
        assert counter(k, "pgt_cache_hit") == cache
        mmput(k, TASK)
    assert taken == {1: 0, 0: 1}


@pytest.mark.row("S3-107", "S1-32")
def test_a_spare_directory_still_has_the_kernel_in_it_and_nothing_else() -> None:
    k = machine().kernel
    k.vm[0].pgt_cache = 1
    mm_alloc(k, TASK)
    touch_tables(k, 3)
    mmput(k, TASK)
    row = int(k.cpus[0].quicklist[PGD_QUICKLIST])
    assert row != NIL
    assert not k.tables[row, :768].any()
    assert k.tables[row, 768:].tolist() == k.tables[k.mms[0].pgd, 768:].tolist()
    mm = mm_alloc(k, TASK)
    touch_tables(k, 1)
    assert k.mms[mm].pgd == row


@pytest.mark.row("S3-107")
def test_more_than_fifty_spare_tables_are_trimmed_to_twenty_five() -> None:
    k = machine().kernel
    k.vm[0].pgt_cache = 1
    mm_alloc(k, TASK)
    touch_tables(k, 50)
    do_munmap(k, TASK, 0, 50 * TABLE_SPAN)
    assert k.cpus[0].pgtable_cache_size == 50
    assert counter(k, "pgt_cache_freed") == 0
    mmput(k, TASK)
    assert k.cpus[0].pgtable_cache_size == 25
    assert counter(k, "pgt_cache_freed") == 26, "the directory was the fifty-first"
    assert k.cpus[0].quicklist[PGD_QUICKLIST] == NIL, "pgd, pmd and pte in turn"
    assert entry(check_frames)(k) == (0, 0)


def test_a_configuration_chooses_whether_cpus_keep_spare_tables() -> None:
    def program(task: Any) -> Any:
        for _ in range(5):
            heap = yield task.mmap("4KiB", at=0x4000_0000)
            yield task.touch(heap, write=1.0)
            yield task.munmap(heap)

    seen = {}
    for on in (True, False):
        nodes, kernel = [{"memory": "4MiB", "cpus": "0"}], {"switches": {"table_cache": on}}
        made = Machine.of(nodes=nodes, distances=[[10]], kernel=kernel)
        made.add(program)
        made.run_to_end()
        seen[on] = [counter(made.kernel, name) for name in ("pgt_cache_kept", "pgt_cache_hit", "table_pages")]
    assert seen[False][:2] == [0, 0]
    assert min(seen[True][:2]) >= 4, "one table goes to and fro"
    assert seen[True][2] <= seen[False][2] - 4


@pytest.mark.row("S3-107")
def test_2_4_0_frees_tables_at_once() -> None:
    k = machine(profile="linux-2.4.0").kernel
    assert k.vm[0].profile == KERNEL_2_4_0
    k.vm[0].pgt_cache = 1
    mm_alloc(k, TASK)
    free = int(k.zones["free_pages"].sum())
    touch_tables(k, 3)
    mmput(k, TASK)
    assert k.cpus[0].pgtable_cache_size == counter(k, "pgt_cache_kept") == 0
    assert int(k.zones["free_pages"].sum()) == free


# Bad entries ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-109")
@pytest.mark.parametrize("garbage", [0xDEAD000, 0x12345066, 0x1E3])
def test_an_entry_somebody_wrote_over_is_noticed_and_not_followed(garbage: int) -> None:
    k = machine().kernel
    mm = mm_alloc(k, TASK)
    touch_tables(k, 2)
    k.tables[k.mms[mm].pgd, 1] = garbage
    k.mms[mm].leaf_vpn = NIL
    assert leaf_row(k, mm, TABLE_SPAN) == NIL
    assert fault(k, TASK, TABLE_SPAN, 1) == FAULT_OOM, "given up"
    assert counter(k, "pmd_bad") == 1
    assert fault(k, TASK, 0, 1) == FAULT_MINOR, "others are not affected"
    do_munmap(k, TASK, 0, 2 * TABLE_SPAN)
    assert counter(k, "pmd_bad") == 2
    assert not k.tables[k.mms[mm].pgd, :768].any(), "cleared"


# Hooks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-112")
def test_the_hook_of_other_architectures_is_called_once_for_every_entry_a_fault_establishes() -> None:
    for hooks in (0, 1):
        k = machine().kernel
        k.vm[0].mmu_hooks = hooks
        mm = mm_alloc(k, TASK)
        do_mmap(k, TASK, 8, 0)
        assert [fault(k, TASK, vpn, vpn & 1) for vpn in range(8)] == [FAULT_MINOR] * 8
        assert fault(k, TASK, 0, 1) == FAULT_MINOR, "copies ZERO_PAGE"
        assert fault(k, TASK, 8, 1) == FAULT_SEGV
        assert counter(k, "update_mmu_cache") == 9 * hooks
        assert np.count_nonzero(k.tables[leaf_row(k, mm, 0)]) == 8, "and changes nothing"
