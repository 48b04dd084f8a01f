"""The reverse map equals a scan of all page tables, whatever processes do (spec 10)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kernel.file_machine import PAGE, TASK, FileMachine
from observe.page_scan import scanned

from numa_sim.compiled import entry
from numa_sim.kernel import fork as kernel_fork
from numa_sim.kernel import mprotect, mremap, pgtable, rmap, swap_out
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, mmput
from numa_sim.state.answers import FORK_DONE
from numa_sim.state.constants import (
    KERNEL_6_1,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_PRESENT,
    VM_LOCKED,
    VM_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_WRITE,
)
from numa_sim.state.kernel import Kernel

TASKS = (2, 3, 4, 5)
RW = VM_READ | VM_WRITE
FILE_PAGES = 12

get_pte = entry(pgtable.get_pte)
page_referenced = entry(rmap.page_referenced)
try_to_unmap = entry(rmap.try_to_unmap)
vma_address = entry(rmap.vma_address)
swap_out_some = entry(swap_out.swap_out)


def walked(k: Kernel) -> dict[int, set[tuple[int, int]]]:
    """What the reverse map says of every frame it knows."""
    return {
        pfn: {(place.mm, place.vpn) for place in rmap.mapped_at(k, pfn)}
        for pfn in np.flatnonzero(k.rmap["mapcount"]).tolist()
    }


def check(k: Kernel) -> None:
    """The reverse map and the scan agree, and so do the counts."""
    check_bug(k)
    scan = scanned(k)
    assert walked(k) == scan
    assert {pfn: int(k.rmap[pfn].mapcount) for pfn in scan} == {pfn: len(places) for pfn, places in scan.items()}
    nobodys = k.rmap[k.rmap["mapcount"] == 0]
    assert not nobodys["mapping"].any()
    assert not nobodys["index"].any()


class Machine(FileMachine):
    """A machine with a reverse map and several processes that share a file."""

    def __init__(self, mib: int = 4, swap_pages: int = 600, profile: str = "linux-2.4.37") -> None:
        super().__init__(mib, swap_pages, profile=profile, tasks=6, mms=6, vmas=256, rmap=True)
        self.shared = self.file(FILE_PAGES, first_tag=500)

    def be(self, t: int) -> None:
        """Task `t` runs on the CPU: what `fault` does, it does for it."""
        self.k.vm[0].current_task = t
        self.k.cpus[0].mm = self.k.tasks[t].mm
        self.k.cpus[0].task = t

    def touch(self, t: int, vpn: int, write: int = 1) -> int:
        """A fault of task `t`, to its end."""
        assert TASK == 2
        self.be(t)
        if t == TASK:
            return self.fault(vpn, write)
        # `FileMachine` drives one task: lend it the other's address space.
        own, self.k.tasks[TASK].mm = int(self.k.tasks[TASK].mm), int(self.k.tasks[t].mm)
        status = self.fault(vpn, write)
        self.k.tasks[TASK].mm = own
        return status

    def map(self, t: int, pages: int, at: int = NIL, file: int = 0, flags: int = RW, pgoff: int = 0) -> int:
        self.be(t)
        return do_mmap(self.k, t, pages, at, flags, file, pgoff)

    def unmap(self, t: int, start: int, pages: int) -> None:
        self.be(t)
        do_munmap(self.k, t, start, pages)

    def exit(self, t: int) -> None:
        self.be(t)
        mmput(self.k, t)

    def fork(self, t: int, child: int) -> None:
        self.be(t)
        assert kernel_fork.dup_mmap(self.k, t, child)
        assert int(copy_areas(self.k, t)) == FORK_DONE

    def pfn(self, t: int, vpn: int) -> int:
        return int(get_pte(self.k, self.k.tasks[t].mm, vpn)) >> PAGE_SHIFT

    def areas(self, t: int) -> list[int]:
        found, vma = [], int(self.k.mms[self.k.tasks[t].mm].mmap)
        while vma != NIL:
            found.append(vma)
            vma = int(self.k.vmas[vma].vm_next)
        return found

    def areas_of(self, pfn: int) -> set[int]:
        """Tasks in one of whose areas the page is looked for, mapped there or not."""
        k, found, at = self.k, set(), int(k_first(self.k, pfn))
        while at != NIL:
            mm = int(k.vmas[k_vma(k, pfn, at)].vm_mm)
            found |= {t for t in TASKS if k.tasks[t].mm == mm}
            at = int(k_next(k, pfn, at))
        return found


k_first, k_next, k_vma = entry(rmap.rmap_first), entry(rmap.rmap_next), entry(rmap.rmap_vma)
copy_areas = entry(kernel_fork.copy_areas)
sys_mremap = entry(mremap.sys_mremap)
sys_mprotect = entry(mprotect.sys_mprotect)


@pytest.mark.row("S4-15", "S4-10")
def test_an_anonymous_page_names_its_anon_vma_and_its_first_address() -> None:
    m = Machine()
    start = m.map(TASK, 4)
    m.touch(TASK, start + 2)
    page, vma = m.k.rmap[m.pfn(TASK, start + 2)], m.areas(TASK)[0]
    assert page.mapping & rmap.PAGE_MAPPING_ANON
    assert page.mapping >> 1 == m.k.vmas[vma].anon_vma != 0
    assert page.mapcount == 1
    assert int(vma_address(m.k, vma, int(page.index), int(m.k.vmas[vma].anon_shift))) == start + 2
    assert int(vma_address(m.k, vma, int(page.index) + 2, int(m.k.vmas[vma].anon_shift))) == NIL, "beyond the area"


@pytest.mark.row("S4-10", "S4-17", "S4-18")
def test_a_file_page_is_where_its_offset_says_not_its_frame_number() -> None:
    m = Machine()
    start = m.map(TASK, 5, file=m.shared, pgoff=3)
    m.touch(TASK, start + 4, 0)
    pfn, vma = m.pfn(TASK, start + 4), m.areas(TASK)[0]
    page = m.k.rmap[pfn]
    assert page.mapping == m.mapping(m.shared) << 1
    assert page.index == 7 == m.k.pages[pfn].index
    area = m.k.vmas[vma]
    assert area.vm_start + page.index - area.vm_pgoff == start + 4
    assert int(vma_address(m.k, vma, 7, int(area.vm_pgoff - area.vm_start))) == start + 4
    assert int(vma_address(m.k, vma, pfn, int(area.vm_pgoff - area.vm_start))) == NIL, "the study note's formula"


@pytest.mark.row("S4-13", "S4-17", "S4-18")
def test_one_page_of_a_file_is_found_in_every_process_that_maps_it() -> None:
    m = Machine()
    places = {}
    for n, t in enumerate(TASKS):
        if t != TASK:
            mm_alloc(m.k, t)
        start = m.map(t, 4, at=1000 * (n + 1), file=m.shared, flags=RW | (VM_SHARED if n % 2 else 0), pgoff=n)
        m.touch(t, start + 3 - n, 0)
        places[int(m.k.tasks[t].mm)] = start + 3 - n
    pfn = m.cached(m.shared)[3]
    assert {place.mm: place.vpn for place in rmap.mapped_at(m.k, pfn)} == places
    assert m.k.rmap[pfn].mapcount == 4
    check(m.k)


@pytest.mark.row("S4-16")
def test_pages_before_a_fork_are_looked_for_in_both_pages_after_it_in_one() -> None:
    m = Machine()
    start = m.map(TASK, 8)
    m.touch(TASK, start)
    m.fork(TASK, 3)
    m.fork(3, 4)
    for t, page in ((TASK, 1), (3, 2), (4, 3)):
        m.touch(t, start + page)
    before = m.pfn(TASK, start)
    assert m.areas_of(before) == {TASK, 3, 4}
    assert m.areas_of(m.pfn(4, start + 3)) == {4}
    assert m.areas_of(m.pfn(3, start + 2)) == {3, 4}, "the grandchild may have it"
    m.touch(4, start, 1)
    assert m.areas_of(m.pfn(4, start)) == {4}, "its copy is its own"
    assert {place.mm for place in rmap.mapped_at(m.k, before)} == {int(m.k.tasks[t].mm) for t in (TASK, 3)}
    check(m.k)


@pytest.mark.row("S4-16")
def test_an_anon_vma_without_areas_of_its_own_is_adopted_by_the_next_child() -> None:
    m = Machine()
    start = m.map(TASK, 2)
    m.touch(TASK, start)
    m.fork(TASK, 3)
    child = int(m.k.vmas[m.areas(3)[0]].anon_vma)
    m.fork(3, 4)
    m.exit(3)
    assert m.k.anon_vmas[child].num_active_vmas == 0, "a grandchild still has pages of it, perhaps"
    m.fork(4, 3)
    assert int(m.k.vmas[m.areas(3)[0]].anon_vma) == child
    check(m.k)


def test_a_neighbour_shares_its_anon_vma_and_the_last_area_frees_it() -> None:
    m = Machine()
    start = m.map(TASK, 4)
    m.touch(TASK, start)
    m.map(TASK, 4, at=start + 4)
    m.touch(TASK, start + 5)
    assert len({int(m.k.vmas[vma].anon_vma) for vma in m.areas(TASK)}) == 1
    m.unmap(TASK, start + 1, 1)
    check(m.k)
    m.exit(TASK)
    assert not m.k.anon_vmas.used.any()
    assert not m.k.rmap.mapcount.any()
    assert m.counter("rmap_pages") == 0


def test_areas_that_late_2_4_merges_are_linked_with_the_anon_vmas_of_both() -> None:
    m = Machine()
    for first in (5000, 5004):
        m.map(TASK, 2, at=first)
        m.touch(TASK, first)
    one, two = (int(m.k.vmas[vma].anon_vma) for vma in m.areas(TASK)[:2])
    assert one != two
    m.map(TASK, 2, at=5002)
    assert [int(m.k.vmas[vma].vm_end) for vma in m.areas(TASK)][:1] == [5006], "the gap is closed: one area"
    check(m.k)
    m.touch(TASK, 5005)
    assert m.k.rmap[m.pfn(TASK, 5004)].mapping >> 1 == two
    assert m.k.rmap[m.pfn(TASK, 5005)].mapping >> 1 == one
    m.fork(TASK, 3)
    m.exit(TASK)
    check(m.k)


def test_page_referenced_counts_and_clears_accessed_bits_of_all_who_map() -> None:
    m = Machine()
    for t in (TASK, 3, 4):
        if t != TASK:
            mm_alloc(m.k, t)
        start = m.map(t, 1, at=5000, file=m.shared, flags=VM_READ | (VM_SEQ_READ if t == 4 else 0))
        m.touch(t, start, 0)
    pfn = m.cached(m.shared)[0]
    assert int(page_referenced(m.k, pfn)) == 2, "whoever reads in sequence does not count"
    assert not any(get_pte(m.k, m.k.tasks[t].mm, 5000) & PTE_ACCESSED for t in (TASK, 3, 4))
    assert int(page_referenced(m.k, pfn)) == 0
    assert m.counter("rmap_walked_areas") == 6


def test_try_to_unmap_takes_a_page_from_everybody_and_a_locked_area_refuses() -> None:
    m = Machine()
    for t in (TASK, 3):
        if t != TASK:
            mm_alloc(m.k, t)
        m.touch(t, m.map(t, 1, at=5000, file=m.shared, flags=RW | VM_SHARED), 1)
    pfn = m.cached(m.shared)[0]
    m.k.vmas[m.areas(3)[0]].vm_flags |= VM_LOCKED
    assert int(try_to_unmap(m.k, pfn)) == rmap.SWAP_FAIL
    m.k.vmas[m.areas(3)[0]].vm_flags &= ~VM_LOCKED
    assert int(try_to_unmap(m.k, pfn)) == rmap.SWAP_SUCCESS
    assert m.counter("rmap_unmapped") == 2
    assert not rmap.mapped_at(m.k, pfn)
    assert all(int(m.k.mms[m.k.tasks[t].mm].rss) == 0 for t in (TASK, 3))
    check(m.k)


def test_try_to_unmap_turns_ptes_of_a_forked_page_into_its_swap_entry() -> None:
    m = Machine(mib=4)
    start = m.map(TASK, 4)
    for i in range(4):
        m.touch(TASK, start + i)
    m.fork(TASK, 3)
    assert int(try_to_unmap(m.k, m.pfn(TASK, start))) == rmap.SWAP_FAIL, "it has no slot yet"
    m.be(TASK)
    zone = int(m.k.zonelists[0, 2, 0])
    for _ in range(40):
        swap_out_some(m.k, zone)
    gone = [i for i in range(4) if not int(get_pte(m.k, m.k.tasks[TASK].mm, start + i)) & PTE_PRESENT]
    assert gone, "swap_out unmapped some from the parent"
    check(m.k)
    entry_of = int(get_pte(m.k, m.k.tasks[TASK].mm, start + gone[0]))
    m.touch(TASK, start + gone[0], 0)
    pfn = m.pfn(TASK, start + gone[0])
    m.k.pages[pfn].count += 1
    assert int(try_to_unmap(m.k, pfn)) == rmap.SWAP_SUCCESS
    ptes = {int(get_pte(m.k, m.k.tasks[t].mm, start + gone[0])) for t in (TASK, 3)}
    assert ptes == {entry_of}
    check(m.k)


class ReverseMap(RuleBasedStateMachine):
    """Processes map, fork, touch, lose pages to swap, unmap and exit; the reverse map is a scan of all tables."""

    profile = "linux-2.4.37"
    modern_areas = False

    @initialize()
    def boot(self) -> None:
        self.m = Machine(mib=4, profile=self.profile)
        if self.modern_areas:
            self.m.k.vm[0].vma_rules = KERNEL_6_1
        self.alive = [TASK]
        self.m.map(TASK, 6)

    def one(self, number: int) -> int:
        return self.alive[number % len(self.alive)]

    numbers = st.integers(0, 1000)

    @rule(who=numbers, pages=st.integers(1, 6))
    def mmap_anonymous(self, who: int, pages: int) -> None:
        self.m.map(self.one(who), pages)

    @rule(who=numbers, pages=st.integers(1, 6), pgoff=st.integers(0, 6), shared=st.booleans())
    def mmap_file(self, who: int, pages: int, pgoff: int, shared: bool) -> None:
        self.m.map(self.one(who), pages, file=self.m.shared, pgoff=pgoff, flags=RW | (VM_SHARED if shared else 0))

    @rule(who=numbers, where=numbers, write=st.integers(0, 1))
    def touch(self, who: int, where: int, write: int) -> None:
        t = self.one(who)
        if pages := self.pages_of(t):
            self.m.touch(t, pages[where % len(pages)], write)

    @rule(who=numbers, where=numbers, pages=st.integers(1, 4))
    def munmap(self, who: int, where: int, pages: int) -> None:
        t = self.one(who)
        if mapped := self.pages_of(t):
            self.m.unmap(t, mapped[where % len(mapped)], pages)

    @rule(who=numbers, pages=st.integers(1, 6))
    def mmap_shared_anonymous(self, who: int, pages: int) -> None:
        self.m.map(self.one(who), pages, flags=RW | VM_SHARED)

    @rule(who=numbers, which=numbers, new=st.integers(1, 8), to=st.integers(0, 20))
    def mremap(self, who: int, which: int, new: int, to: int) -> None:
        """Resize an area, or (`to` above 0) move it to one of a few places, over whatever is there."""
        k, t = self.m.k, self.one(who)
        areas = self.m.areas(t)
        if not areas:
            return  # all is unmapped
        area = k.vmas[areas[which % len(areas)]]
        start, pages = int(area.vm_start), int(area.vm_end - area.vm_start)
        flags, place = (MREMAP_MAYMOVE | MREMAP_FIXED, (1 << 20) + 8 * to) if to else (MREMAP_MAYMOVE, 0)
        self.m.be(t)
        sys_mremap(k, t, start * PAGE, pages * PAGE, new * PAGE, flags, place * PAGE)

    @rule(who=numbers, where=numbers, pages=st.integers(1, 4), prot=st.sampled_from((0, 1, 3)))
    def mprotect(self, who: int, where: int, pages: int, prot: int) -> None:
        t = self.one(who)
        if mapped := self.pages_of(t):
            self.m.be(t)
            sys_mprotect(self.m.k, t, mapped[where % len(mapped)] * PAGE, pages * PAGE, prot)

    @precondition(lambda self: len(self.alive) < len(TASKS))
    @rule(who=numbers)
    def fork(self, who: int) -> None:
        child = next(t for t in TASKS if t not in self.alive)
        self.m.fork(self.one(who), child)
        self.alive.append(child)

    @precondition(lambda self: len(self.alive) > 1)
    @rule(who=numbers)
    def exit(self, who: int) -> None:
        t = self.one(who)
        if t != TASK:
            self.m.exit(t)
            self.alive.remove(t)

    @precondition(lambda self: self.profile == "linux-2.4.37")
    @rule()
    def swap_out(self) -> None:
        self.m.be(TASK)
        swap_out_some(self.m.k, int(self.m.k.zonelists[0, 2, 0]))
        self.m.finish_io()

    @rule(who=numbers, where=numbers)
    def unmap_everywhere(self, who: int, where: int) -> None:
        k, t = self.m.k, self.one(who)
        mapped = [vpn for vpn in self.pages_of(t) if k.rmap[self.m.pfn(t, vpn)].mapcount]
        if mapped:
            self.m.be(t)
            try_to_unmap(k, self.m.pfn(t, mapped[where % len(mapped)]))

    def pages_of(self, t: int) -> list[int]:
        k = self.m.k
        return [vpn for vma in self.m.areas(t) for vpn in range(int(k.vmas[vma].vm_start), int(k.vmas[vma].vm_end))]

    @invariant()
    def equals_the_scan(self) -> None:
        if hasattr(self, "m"):
            check(self.m.k)

    def teardown(self) -> None:
        if hasattr(self, "m"):
            for t in self.alive:
                self.m.exit(t)
            k: Any = self.m.k
            assert not k.anon_vmas.used.any()
            assert not k.rmap.mapcount.any()


_SETTINGS = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.mark.row("S4-14")
@pytest.mark.parametrize("kernel", ["linux-2.2", "linux-2.4.0", "linux-2.4.37", "linux-2.4.37 with areas of 6.1"])
def test_the_reverse_map_equals_a_scan_of_all_page_tables(kernel: str) -> None:
    class OfThisKernel(ReverseMap):
        profile = kernel.split()[0]
        modern_areas = "6.1" in kernel

    run_state_machine_as_test(OfThisKernel, settings=_SETTINGS)
