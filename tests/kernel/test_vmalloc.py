"""vmalloc: ranges, gaps, guard pages, page tables of init_mm and of processes; against a naive model of intervals."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kernel.kmem_machine import TASK, booted, sound

from numa_sim.compiled import entry
from numa_sim.kernel import memory, vmalloc
from numa_sim.kernel.mmap import mm_alloc
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.vmalloc import VFREE_NONEXISTENT, VFREE_UNALIGNED, areas
from numa_sim.state.answers import ALLOC_RECLAIM, FAULT_MINOR, FAULT_OOPS, FAULT_SEGV
from numa_sim.state.constants import KERNEL_2_2, NIL, PLACE_BEST, PLACE_FIRST, PLACE_WORST, PROT_KERNEL
from numa_sim.state.counters import NR_VMALLOC, NUMA_HIT, OOPS, VMALLOC_FAULTS
from numa_sim.state.event_codes import EV_OOPS
from numa_sim.state.kernel import Kernel

PAGE = 4096
_begin = entry(vmalloc.vmalloc_begin)
_fill = entry(vmalloc.vmalloc_area_pages)
_find_gap = entry(vmalloc.find_gap)
vfree = entry(vmalloc.vfree)
fault = entry(memory.handle_mm_fault)
pte_of = entry(get_pte)
to_page = entry(vmalloc.vmalloc_to_page)


def alloc(k: Kernel, size: int) -> int:
    """First page of a new area of `size` bytes, NIL if it is refused."""
    area = int(_begin(k, size))
    if area == NIL:
        return NIL
    assert _fill(k, TASK, area) == 0
    return int(k.vm_structs[area].addr)


def counted(k: Kernel, counter: int) -> int:
    """A counter of all nodes."""
    return int(k.vmstat[:, counter].sum())


def in_kernel_mode(k: Kernel) -> None:
    """Task 2 has an address space and runs in the kernel."""
    mm_alloc(k, TASK)
    k.tasks[TASK].kernel_mode = 1


# Ranges --------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-182")
@pytest.mark.parametrize(
    ("mib", "profile", "start"),
    [
        (24, "linux-2.4.37", 0xC2000000),  # high_memory 0xC1800000: at least 8 MB, less than 16
        (28, "linux-2.4.37", 0xC2800000),
        (32, "linux-2.4.0", 0xC2800000),
        (64, "linux-2.4.37", 0xC4800000),
    ],
)
def test_areas_begin_at_least_8_mb_behind_physical_memory(mib, profile, start):
    k = booted(mib=mib, profile=profile)
    assert k.vm[0].vmalloc_start << 12 == start
    assert k.vm[0].vmalloc_end << 12 == 0xFFFFD000


def test_2_2_begins_at_the_next_8_mb_and_high_memory_ends_the_range_below_kmap():
    k = booted()
    k.vm[0].profile = KERNEL_2_2
    vmalloc.vmalloc_init(k)
    assert k.vm[0].vmalloc_start << 12 == 0xC2000000
    k = booted(mib=1024)
    assert (k.vm[0].vmalloc_start << 12, k.vm[0].vmalloc_end << 12) == (0xF8800000, 0xFDFFE000)


@pytest.mark.row("S3-182")
def test_the_hole_in_front_of_the_areas_is_an_oops():
    k = booted()
    in_kernel_mode(k)
    first = alloc(k, 3 * PAGE)
    assert first == k.vm[0].vmalloc_start
    assert fault(k, TASK, first - 1, 1) in (FAULT_MINOR, FAULT_OOPS)  # the directory entry, then the hole itself
    assert fault(k, TASK, first - 1, 1) == FAULT_OOPS


# Areas ---------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-183")
def test_sizes_are_rounded_up_and_nothing_or_too_much_is_refused():
    k = booted()
    alloc(k, 1)
    alloc(k, PAGE + 1)
    assert [size for _, size in areas(k)] == [2, 3]  # with the guard page
    assert counted(k, NR_VMALLOC) == 3
    for size in (0, -PAGE, (24 << 20) + 1):
        assert alloc(k, size) == NIL
    sound(k)


@pytest.mark.row("S3-185", "S1-34")
def test_vmlist_is_sorted_and_each_area_ends_with_a_page_that_is_not_mapped():
    k = booted()
    got = [alloc(k, pages * PAGE) for pages in (3, 1, 2, 5)]
    assert vfree(k, got[1] << 12) == 1
    assert [addr for addr, _ in areas(k)] == [got[0], got[2], got[3]]
    for addr, size in areas(k):
        mapped = [pte_of(k, 0, vpn) != 0 for vpn in range(addr, addr + size)]
        assert mapped == [True] * (size - 1) + [False]
        assert pte_of(k, 0, addr) & 0xFFF == PROT_KERNEL
    # The same again goes where it was: late 2.4 lets an area fill its gap to the last page, 2.4.0 does not.
    assert alloc(k, PAGE) == got[1]
    k.vm[0].profile = 1
    assert vfree(k, got[1] << 12) == 1
    assert alloc(k, PAGE) > got[3]


@pytest.mark.row("S3-188")
def test_vfree_complains_about_what_is_no_area():
    k = booted()
    addr = alloc(k, 2 * PAGE)
    assert vfree(k, (addr << 12) + 1) == VFREE_UNALIGNED
    assert vfree(k, (addr + 1) << 12) == VFREE_NONEXISTENT
    assert (len(areas(k)), counted(k, NR_VMALLOC)) == (1, 2)
    assert vfree(k, addr << 12) == 2
    assert vfree(k, addr << 12) == VFREE_NONEXISTENT
    assert (areas(k), counted(k, NR_VMALLOC)) == ([], 0)
    sound(k)


@pytest.mark.row("S3-180", "S3-181")
def test_an_area_needs_no_contiguous_frames_and_may_lie_in_high_memory():
    """Every second page of a small machine is free: no block of two, and yet an area of fifty."""
    k = booted()
    held = []
    alloc_page = entry(vmalloc.alloc_for_task)
    while (pfn := int(alloc_page(k, TASK, 0x1F2))) != ALLOC_RECLAIM:
        held.append(pfn)
    k.tasks[TASK].flags = 0
    free_pages = entry(vmalloc.free_pages)
    for pfn in held:
        if pfn % 2:
            free_pages(k, pfn, 0)
    hits = counted(k, NUMA_HIT)
    addr = alloc(k, 50 * PAGE)
    frames = [int(to_page(k, vpn)) for vpn in range(addr, addr + 50)]
    assert all(abs(a - b) > 1 for a, b in pairwise(frames))
    assert counted(k, NUMA_HIT) >= hits + 50
    big = booted(mib=1024)
    first = alloc(big, PAGE)
    assert to_page(big, first) >= 896 << 8


def test_an_area_waits_for_pages_and_goes_on_where_it_was():
    k = booted(mib=8)
    area = int(_begin(k, 7 << 20))
    assert _fill(k, TASK, area) == ALLOC_RECLAIM
    mapped = int(k.vm_structs[area].mapped)
    assert mapped == counted(k, NR_VMALLOC) > 500
    k.tasks[TASK].flags = 0
    for zone in k.zones:
        zone.watermarks[:] = 0
    assert _fill(k, TASK, area) in (0, ALLOC_RECLAIM)
    assert k.vm_structs[area].mapped > mapped
    assert vfree(k, int(k.vm_structs[area].addr) << 12) == k.vm_structs[area].mapped


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-184")
@pytest.mark.parametrize("mmu", ["i386", "i386-pae", "alpha", "x86-64", "x86-64-la57"])
def test_a_process_gets_the_directory_entry_when_it_faults_there(mmu):
    k = booted(arch="i386" if mmu.startswith("i386") else "x86-64", mmu=mmu)
    in_kernel_mode(k)
    first = alloc(k, 2 * PAGE)
    mm = int(k.tasks[TASK].mm)
    assert fault(k, TASK, first, 0) == FAULT_MINOR
    assert pte_of(k, mm, first) == pte_of(k, 0, first) != 0
    faults = counted(k, VMALLOC_FAULTS)
    # What comes later in the same part of the directory is there at once.
    second = alloc(k, PAGE)
    assert pte_of(k, mm, second) == pte_of(k, 0, second) != 0
    assert counted(k, VMALLOC_FAULTS) == faults


@pytest.mark.row("S3-187")
def test_the_guard_page_is_an_oops_and_user_mode_gets_a_signal():
    k = booted()
    in_kernel_mode(k)
    k.vm[0].record_events = 1
    addr = alloc(k, 2 * PAGE)
    other = alloc(k, PAGE)
    assert fault(k, TASK, addr + 1, 1) == FAULT_MINOR
    assert fault(k, TASK, addr + 2, 1) == FAULT_OOPS
    assert addr + 2 == other - 1
    last = k.events[int(k.vm[0].events_used) - 1]
    assert (last.code, last.a, last.b, counted(k, OOPS)) == (EV_OOPS, addr + 2, 1, 1)
    k.tasks[TASK].kernel_mode = 0
    assert fault(k, TASK, addr + 2, 1) == FAULT_SEGV
    assert counted(k, OOPS) == 1


def test_2_2_enters_an_area_into_every_directory_at_once():
    k = booted(profile="linux-2.2")
    mm_alloc(k, TASK)
    mm = int(k.tasks[TASK].mm)
    k.tasks[TASK].kernel_mode = 1
    assert fault(k, TASK, int(k.vm[0].vmalloc_start), 0) == FAULT_OOPS  # it makes the directory
    addr = alloc(k, PAGE)
    assert pte_of(k, mm, addr) == pte_of(k, 0, addr) != 0
    assert counted(k, VMALLOC_FAULTS) == 0


def test_every_cpu_forgets_its_translations():
    k = booted(cpus=3)
    before = k.cpus.tlb_flushes.copy()
    addr = alloc(k, PAGE)
    assert list(k.cpus.tlb_flushes - before) == [1, 1, 1]
    vfree(k, addr << 12)
    assert list(k.cpus.tlb_flushes - before) == [2, 2, 2]


# Placement -----------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-186")
@pytest.mark.parametrize(("placement", "gap"), [(PLACE_FIRST, 0), (PLACE_BEST, 1), (PLACE_WORST, 2)])
def test_first_best_and_worst_fit(placement, gap):
    """Gaps of 5, 3 and 9 pages (guard pages included) between areas, and the long rest behind them."""
    k = booted()
    got = [alloc(k, pages * PAGE) for pages in (4, 1, 2, 1, 8, 1)]
    # Nothing else is free: the rest of the range is taken by one long area, entered by hand.
    k.vm[0].vmalloc_end = got[-1] + 2
    for addr in got[0:5:2]:
        vfree(k, addr << 12)
    k.vm[0].vmalloc_placement = placement
    assert alloc(k, 2 * PAGE) == got[0:5:2][gap]


class Areas(RuleBasedStateMachine):
    """Areas come and go; `taken` holds the intervals, and every new one must be where a naive search says."""

    @initialize(
        placement=st.sampled_from([PLACE_FIRST, PLACE_BEST, PLACE_WORST]),
        kernel=st.sampled_from(["2.2", "2.4.0", "2.4.37"]),
    )
    def start(self, placement: int, kernel: str) -> None:
        self.k = booted(mib=8, profile=f"linux-{kernel}")
        vm = self.k.vm[0]
        vm.vmalloc_placement = placement
        vm.vmalloc_end = vm.vmalloc_start + 60
        self.taken: dict[int, int] = {}

    def gaps(self) -> list[tuple[int, int, bool]]:
        """(start, end, whether another area follows) of every gap."""
        vm, found = self.k.vm[0], []
        start = int(vm.vmalloc_start)
        for addr in sorted(self.taken):
            found.append((start, addr, True))
            start = addr + self.taken[addr]
        return [*found, (start, int(vm.vmalloc_end), False)]

    def fits(self, pages: int, start: int, end: int, inner: bool) -> bool:
        """The comparisons of get_vm_area as the kernels write them."""
        profile = int(self.k.vm[0].profile)
        if profile == 0:
            return start + pages < end if inner else start <= end - pages
        size = pages + 1
        if not inner:
            return start <= end - size
        return start + size < end if profile == 1 else start + size <= end

    @rule(pages=st.integers(1, 12))
    def alloc(self, pages: int) -> None:
        usable = [(end - start, start) for start, end, inner in self.gaps() if self.fits(pages, start, end, inner)]
        placement = int(self.k.vm[0].vmalloc_placement)
        if placement == PLACE_FIRST:
            wanted = min((start for _, start in usable), default=NIL)
        elif placement == PLACE_BEST:
            wanted = min(usable, default=(0, NIL))[1]
        else:
            wanted = min(((-length, start) for length, start in usable), default=(0, NIL))[1]
        assert alloc(self.k, pages * PAGE) == wanted
        if wanted != NIL:
            self.taken[wanted] = pages + 1

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def free(self, data: Any) -> None:
        addr = data.draw(st.sampled_from(sorted(self.taken)))
        assert vfree(self.k, addr << 12) == self.taken.pop(addr) - 1

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "k"):
            assert areas(self.k) == sorted(self.taken.items())
            assert counted(self.k, NR_VMALLOC) == sum(size - 1 for size in self.taken.values())

    def teardown(self) -> None:
        if hasattr(self, "k"):
            sound(self.k)


TestAreas = Areas.TestCase
TestAreas.settings = settings(max_examples=8, stateful_step_count=30, deadline=None)
