"""Page tables against a dictionary: entries, the frames tables take, and when they come back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from numa_sim.compiled import entry
from numa_sim.kernel import memory, pgtable
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, mmput
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import ENOMEM, FAULT_MINOR, FAULT_SEGV
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_DIRTY, PTE_PRESENT, PTE_RW, TASK_RUNNING, PG_table
from numa_sim.state.counters import TABLE_PAGES, TABLE_PAGES_FREED
from numa_sim.state.kernel import Kernel

_fault = entry(memory.handle_mm_fault)
_get_pte = entry(pgtable.get_pte)
_leaf_row = entry(pgtable.leaf_row)
_check_frames = entry(check_frames)
_check_zones = entry(check_zones)

GEOMETRY = {"i386": (2, 10), "i386-pae": (3, 9), "alpha": (3, 10), "x86-64": (4, 9), "x86-64-la57": (5, 9)}
"""Levels, index bits of a level."""
ARCH = {"i386": "i386", "i386-pae": "i386"}
TASK = 2


def boot(mmu: str) -> Kernel:
    """A booted machine with one task of an empty address space, about to run on CPU 0."""
    nodes = [{"memory": "8MiB", "cpus": "0"}]
    machine = Machine.of(nodes=nodes, distances=[[10]], arch=ARCH.get(mmu, "x86-64"), mmu=mmu)
    k = machine.kernel
    k.tasks[TASK].state = TASK_RUNNING
    machine.enter_kernel(TASK, 0)
    return k


class PageTables(RuleBasedStateMachine):
    """Areas are mapped, touched and unmapped; `pages` says what each touched page must be."""

    MMU = "x86-64"

    @initialize()
    def start(self) -> None:
        self.k = boot(self.MMU)
        self.levels, self.bits = GEOMETRY[self.MMU]
        self.free_at_boot = int(self.k.zones["free_pages"].sum())
        self.mapped: set[int] = set()
        self.pages: dict[int, bool] = {}
        """Touched page: whether it was written (so has a frame of its own)."""
        self.tables: dict[tuple[int, int], None] = {}
        self.mm = mm_alloc(self.k, TASK)

    # What is near shares tables, what is far does not; starts straddle the borders of tables of every level.
    def place(self, level: int, number: int, back: int) -> int:
        limit = int(self.k.vm[0].task_size_vpn)
        at = (number << (self.bits * min(level, self.levels - 1))) - back
        return max(0, at % (limit - 64))

    places = (st.integers(0, 3), st.integers(0, 3), st.integers(0, 20))

    @rule(place=st.tuples(*places), pages=st.integers(1, 40))
    def mmap(self, place: tuple[int, int, int], pages: int) -> None:
        at = self.place(*place)
        assert do_mmap(self.k, TASK, pages, at) == at
        self.forget(at, pages)
        self.mapped.update(range(at, at + pages))

    @rule(place=st.tuples(*places), pages=st.integers(1, 60))
    def munmap(self, place: tuple[int, int, int], pages: int) -> None:
        at = self.place(*place)
        assert do_munmap(self.k, TASK, at, pages) == 0
        self.forget(at, pages)

    @precondition(lambda self: self.mapped)
    @rule(data=st.data(), write=st.integers(0, 1))
    def touch(self, data: Any, write: int) -> None:
        for vpn in data.draw(st.lists(st.sampled_from(sorted(self.mapped)), min_size=1, max_size=10)):
            before = self.pages.get(vpn)
            assert _fault(self.k, TASK, vpn, write) == FAULT_MINOR
            self.pages[vpn] = bool(before or write)
            for level in range(self.levels):
                self.tables[level, vpn >> self.bits * (level + 1)] = None

    @rule(place=st.tuples(*places))
    def touch_nothing(self, place: tuple[int, int, int]) -> None:
        vpn = self.place(*place)
        if vpn not in self.mapped:
            assert _fault(self.k, TASK, vpn, 0) == FAULT_SEGV

    @rule()
    def exit(self) -> None:
        assert mmput(self.k, TASK) == len(self.pages)
        assert int(self.k.zones["free_pages"].sum()) == self.free_at_boot
        self.mapped.clear()
        self.pages.clear()
        self.tables.clear()
        self.mm = mm_alloc(self.k, TASK)

    def forget(self, at: int, pages: int) -> None:
        """Unmapping drops pages, leaf tables whose whole reach is now unmapped, and what is empty above them."""
        gone = self.mapped & set(range(at, at + pages))
        if not gone:
            return
        self.mapped -= gone
        for vpn in gone & self.pages.keys():
            del self.pages[vpn]
        top, used = self.levels - 1, {vpn >> self.bits for vpn in self.mapped}
        reach = range(at >> self.bits, (at + pages - 1 >> self.bits) + 1)
        leaves = {slot for level, slot in self.tables if level == 0 and (slot in used or slot not in reach)}
        needed = {(level, slot >> self.bits * level) for slot in leaves for level in range(top)}
        self.tables = {table: None for table in self.tables if table[0] == top or table in needed}

    @invariant()
    def entries_are_those_of_the_model(self) -> None:
        k = self.k
        frames = set()
        for vpn, written in self.pages.items():
            pte = _get_pte(k, self.mm, vpn)
            assert pte & PTE_PRESENT
            assert bool(pte & PTE_RW) == bool(pte & PTE_DIRTY) == written
            assert (pte >> PAGE_SHIFT == k.vm[0].zero_pfn) != written
            if written:
                frames.add(pte >> PAGE_SHIFT)
        assert len(frames) == sum(self.pages.values()) == k.mms[self.mm].rss
        for vpn in self.mapped - self.pages.keys():
            assert _get_pte(k, self.mm, vpn) == 0
        for vpn in self.pages:
            assert _leaf_row(k, self.mm, vpn) != NIL

    @invariant()
    def tables_take_frames_and_give_them_back(self) -> None:
        k = self.k
        tables = int(k.mms[self.mm].nr_tables)
        assert tables == len(self.tables)
        assert tables == int((k.pages["flags"] & PG_table != 0).sum())
        assert tables == int(k.vmstat[:, TABLE_PAGES].sum() - k.vmstat[:, TABLE_PAGES_FREED].sum())
        in_use = tables + int(k.mms[self.mm].rss)
        assert int(k.zones["free_pages"].sum()) == self.free_at_boot - in_use

    @invariant()
    def nothing_is_broken(self) -> None:
        check_bug(self.k)
        assert _check_zones(self.k) == (0, 0)
        assert _check_frames(self.k) == (0, 0)


class I386PageTables(PageTables):
    MMU = "i386"


class PaePageTables(PageTables):
    MMU = "i386-pae"


class FiveLevelPageTables(PageTables):
    MMU = "x86-64-la57"


TestX8664 = PageTables.TestCase
TestI386 = I386PageTables.TestCase
TestPae = PaePageTables.TestCase
TestFiveLevels = FiveLevelPageTables.TestCase
TestX8664.settings = TestI386.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestPae.settings = TestFiveLevels.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


@pytest.mark.row("S3-103", "S3-105", "S3-108")
@pytest.mark.parametrize("mmu", GEOMETRY)
def test_a_page_at_the_far_end_needs_one_table_of_each_level(mmu: str) -> None:
    k = boot(mmu)
    mm = mm_alloc(k, TASK)
    levels, bits = GEOMETRY[mmu]
    end = int(k.vm[0].task_size_vpn)
    do_mmap(k, TASK, 1, 0)
    do_mmap(k, TASK, 1, end - 1)
    assert _fault(k, TASK, 0, 1) == FAULT_MINOR
    assert k.mms[mm].nr_tables == levels
    assert _fault(k, TASK, end - 1, 1) == FAULT_MINOR
    assert k.mms[mm].nr_tables == 2 * levels - 1
    do_munmap(k, TASK, end - 1, 1)
    assert k.mms[mm].nr_tables == levels
    assert 1 << bits == k.tables.shape[1]


def test_addresses_beyond_user_space_are_not_mapped() -> None:
    k = boot("i386")
    mm_alloc(k, TASK)
    assert do_mmap(k, TASK, 2, 0xC0000 - 1) == -ENOMEM
    assert do_mmap(k, TASK, 0xC0000, NIL) == -ENOMEM
