"""Note 000 of the acceptance list, rows that no other test shows: addresses, tables, faults, allocation."""

from __future__ import annotations

import numpy as np
import pytest
from kernel.file_machine import FileMachine
from machine.small import MIB_PAGES, PAGE, counters, finish, small, sweep, walk

from numa_sim.compiled import entry
from numa_sim.kernel import buddy, memory, numa, pgtable, swapfile
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, mmput
from numa_sim.kernel.swapon import swapon
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, FAULT_MAJOR, FAULT_MINOR, FAULT_SEGV
from numa_sim.state.constants import (
    GFP_ATOMIC,
    GFP_DMA_BIT,
    GFP_HIGHUSER,
    GFP_KERNEL,
    GFP_USER,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PROT_SHARED,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    TASK_RUNNING,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

alloc_pages = entry(numa.alloc_pages)
find_vma = entry(memory.find_vma)
free_pages = entry(buddy.free_pages)
get_pte = entry(pgtable.get_pte)
handle_mm_fault = entry(memory.handle_mm_fault)
leaf_row = entry(pgtable.leaf_row)
page_zone = entry(buddy.page_zone)
set_pte = entry(pgtable.set_pte)

TASK = 2
MIB = 256


def booted(mib: tuple[int, ...], arch: str = "x86-64", fallback: str = "strict24") -> Kernel:
    """Nodes of these sizes, a CPU each; task 2 is about to run on CPU 0."""
    nodes, start = [], 0
    for size in mib:
        nodes.append((start, size * MIB))
        start += size * MIB
    k = new_kernel(Sizes(nodes=len(mib), cpus=len(mib), frames=start, tables=64, mms=4, vmas=16, swap_slots=1024))
    distance = [[10 if i == j else 20 for j in range(len(mib))] for i in range(len(mib))]
    boot(k, nodes, arch, "linux-2.4.37", fallback, distance)
    k.cpus.node = range(len(mib))
    k.tasks[TASK].state, k.vm[0].current_task = TASK_RUNNING, TASK
    return k


def with_mm(arch: str = "i386", mib: int = 8) -> tuple[Kernel, int]:
    """One node; the task has an empty address space and is about to run on CPU 0."""
    machine = Machine.of(nodes=[{"memory": f"{mib}MiB", "cpus": "0"}], distances=[[10]], arch=arch)
    machine.kernel.tasks[TASK].state = TASK_RUNNING
    machine.enter_kernel(TASK, 0)
    return machine.kernel, mm_alloc(machine.kernel, TASK)


def mapped(k: Kernel, vpn: int, pages: int = 1, flags: int = VM_READ | VM_WRITE) -> None:
    assert do_mmap(k, TASK, pages, vpn, flags) == vpn


def fault(k: Kernel, vpn: int, write: int) -> int:
    return int(handle_mm_fault(k, TASK, vpn, write))


# Page tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-01", "S0-05", "S3-104")
@pytest.mark.parametrize(("address", "directory", "table"), [(0x08048000, 32, 72), (0xBFFFFFFF, 767, 1023)])
def test_an_i386_address_is_ten_bits_of_directory_ten_of_table_and_an_offset(
    address: int, directory: int, table: int
) -> None:
    k, mm = with_mm("i386")
    vpn = address >> PAGE_SHIFT
    mapped(k, vpn)
    fault(k, vpn, 1)
    top = int(k.mms[mm].pgd)
    assert k.mms[mm].nr_tables == 2
    assert np.flatnonzero(k.tables[top, :768]).tolist() == [directory] == [address >> 22]
    leaf = int(k.tables[top, directory]) >> PAGE_SHIFT
    assert np.flatnonzero(k.tables[leaf]).tolist() == [table]


@pytest.mark.row("S3-106")
def test_the_entry_lies_where_the_offset_arithmetic_of_pte_alloc_says() -> None:
    """((address >> 10) & 4092) bytes into the table."""
    k, mm = with_mm("i386")
    for address in np.random.default_rng(1).integers(0, 0xC0000000, 100).tolist():
        mapped(k, address >> PAGE_SHIFT)
        fault(k, address >> PAGE_SHIFT, 1)
        leaf = int(k.tables[k.mms[mm].pgd, address >> 22]) >> PAGE_SHIFT
        assert np.flatnonzero(k.tables[leaf]).tolist() == [((address >> 10) & 4092) // 4]
        do_munmap(k, TASK, address >> PAGE_SHIFT, 1)


@pytest.mark.row("S0-08", "S0-13")
def test_an_entry_is_the_frame_number_above_the_flags() -> None:
    m = FileMachine()
    file = m.file(4, 100)
    start = do_mmap(m.k, TASK, 4, NIL, VM_READ | VM_WRITE | VM_SHARED, file)
    m.fault(start, 0)
    pfn = m.cached(file)[0]
    assert m.pte(start) == pfn << 12 | PROT_SHARED == pfn << 12 | 0x27
    assert 0x1234 << PAGE_SHIFT | PROT_SHARED == 0x01234027
    page = m.k.pages[m.pte(start) >> 12]
    assert (page.mapping, page.index, page.count) == (m.mapping(file), 0, 3), "one use each: cache, buffers, entry"


@pytest.mark.row("S0-08", "S0-09")
def test_flags_and_frame_do_not_disturb_each_other() -> None:
    k, mm = with_mm("i386")
    mapped(k, 0x100)
    fault(k, 0x100, 1)
    row, rng = int(leaf_row(k, mm, 0x100)), np.random.default_rng(2)
    for pfn in rng.integers(0, 1 << 20, 10).tolist():
        for flags in range(PAGE):
            set_pte(k, row, 0x100, pfn << PAGE_SHIFT | flags)
            pte = int(get_pte(k, mm, 0x100))
            assert (pte >> PAGE_SHIFT, pte & (PAGE - 1)) == (pfn, flags)


@pytest.mark.row("S0-41", "S3-108")
def test_the_first_touch_of_four_megabytes_takes_a_page_for_their_table() -> None:
    k, mm = with_mm("i386")
    mapped(k, 0, 2048)
    taken = []
    for vpn in (0, 1, 1023, 1024, 1025):
        before = int(k.zones["free_pages"].sum())
        fault(k, vpn, 1)
        taken.append(before - int(k.zones["free_pages"].sum()))
    assert taken == [3, 1, 1, 2, 1], "directory and table, page; page; page; table, page; page"
    assert k.mms[mm].nr_tables == 3


# Frames, zones, nodes ------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-11", "S0-12")
def test_every_frame_has_a_descriptor_holes_included() -> None:
    k = new_kernel(Sizes(nodes=2, cpus=1, frames=40 * MIB, tables=1))
    boot(k, [(0, 16 * MIB), (24 * MIB, 16 * MIB)], "x86-64", "linux-2.4.37", "strict24", [[10, 20], [20, 10]])
    assert len(k.pages) == k.vm[0].nr_frames == 40 * MIB
    assert page_zone(k, 20 * MIB) == NIL, "a hole"
    assert not k.pages[20 * MIB].tobytes().strip(b"\0")
    fields = {"flags", "count", "mapping", "index", "list_next", "list_prev", "lru_next", "lru_prev", "next_hash"}
    assert fields | {"buffers", "age"} <= set(k.pages.dtype.names)
    pfn = int(alloc_pages(k, TASK, 1, GFP_HIGHUSER, 0))
    assert 24 * MIB <= pfn < 40 * MIB
    assert k.pages[pfn].count == 1


@pytest.mark.row("S0-18", "S0-19", "S2-07")
def test_every_page_is_reached_from_its_node_and_leads_back() -> None:
    k = booted((32, 24, 16))
    order, node = [], int(k.vm[0].pgdat_list)
    while node != NIL:
        order.append(node)
        node = int(k.nodes[node].pgdat_next)
    assert order == [2, 1, 0]
    for number, record in enumerate(k.nodes):
        start, size = int(record.node_start_pfn), int(record.node_size)
        assert (start, size) == ([0, 32 * MIB, 56 * MIB][number], [32 * MIB, 24 * MIB, 16 * MIB][number])
        zones = [k.zones[number * NR_ZONES + z] for z in range(record.nr_zones)]
        assert sum(int(zone["size"]) for zone in zones) == size
        assert k.zonelists[number].max() >= number * NR_ZONES
        for z, zone in enumerate(zones):
            assert (zone.node, zone.index) == (number, z)
            for pfn in range(int(zone.start_pfn), int(zone.start_pfn + zone["size"]), 512):
                assert page_zone(k, pfn) == number * NR_ZONES + z
        assert start <= record.mem_map_start < record.mem_map_end <= start + size, "its slice of mem_map is its own"


@pytest.mark.row("S0-20")
def test_the_fields_of_a_zone_are_alive() -> None:
    k = booted((64,))
    zone = k.zones[1]
    assert (zone.start_pfn, zone["size"], zone.realsize) == (16 * MIB, 48 * MIB, 48 * MIB)
    assert zone.watermarks[1].tolist() == [96, 192, 288]
    assert zone.wait_table_size == 64
    held = int(alloc_pages(k, TASK, 0, GFP_KERNEL, 0))
    free, blocks = int(zone.free_pages), zone.nr_free.tolist()
    assert sum(n << order for order, n in enumerate(blocks)) == free
    while zone.need_balance == 0:
        assert alloc_pages(k, TASK, 0, GFP_KERNEL, 0) >= 0
    assert zone.free_pages < free
    before = int(zone.free_pages)
    free_pages(k, held, 0)
    assert zone.free_pages == before + 1
    machine = FileMachine()
    machine.read(machine.file(8, 1), 0, 8 * PAGE)
    cached = machine.k.zones[0]
    assert (cached.nr_cache_pages, cached.nr_active_pages + cached.nr_inactive_pages) == (8, 8)


@pytest.mark.row("S0-14")
def test_on_a_uma_machine_all_cpus_and_frames_cost_the_same() -> None:
    costs = set()
    for cpu in range(3):
        machine = small(nodes=(4,), cpus=("0-2",))
        machine.add(walk(256, np.arange(256)), cpus=[cpu])
        finish(machine)
        latency = machine.kernel.traffic["latency_ns"].sum() / machine.kernel.traffic["accesses"].sum()
        costs.add((float(latency), machine.now_ns))
    assert len(costs) == 1


@pytest.mark.row("S0-56", "S1-17")
@pytest.mark.parametrize("cpu", [0, 1])
def test_a_page_comes_from_the_node_of_the_cpu_that_faults(cpu: int) -> None:
    machine = small(nodes=(8, 8))
    machine.add(sweep(2 * MIB_PAGES), cpus=[cpu])
    finish(machine)
    taken = machine.kernel.vmstat[:, 0]  # numa_hit
    assert taken[cpu] > 2 * MIB_PAGES
    assert taken[1 - cpu] == 0


# Allocation ----------------------------------------------------------------------------------------------------------


def test_waiting_dma_and_highmem_requests_go_their_own_ways() -> None:
    def zone_of(gfp: int) -> int:
        k = booted((1024,), "i386")
        return int(page_zone(k, int(alloc_pages(k, TASK, 0, gfp, 0))))

    assert [zone_of(gfp) for gfp in (GFP_DMA_BIT | GFP_KERNEL, GFP_KERNEL, GFP_HIGHUSER)] == [0, 1, 2]

    def drained(gfp: int) -> tuple[int, int]:
        k = booted((24,))
        while (pfn := int(alloc_pages(k, TASK, 0, gfp, 0))) >= 0:
            pass
        return pfn, int(k.zones["free_pages"].sum())

    waits, left = drained(GFP_USER)
    high, left_high = drained(GFP_ATOMIC)
    assert (waits, high) == (ALLOC_RECLAIM, ALLOC_FAIL), "WAIT: it may reclaim"
    assert left_high < left, "who cannot wait goes deeper"


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-23", "S0-25", "S0-34")
def test_find_vma_gives_the_first_area_that_ends_above_the_address() -> None:
    k, mm = with_mm()
    for start, pages, flags in ((100, 10, VM_READ), (200, 5, VM_READ), (205, 5, VM_READ | VM_WRITE)):
        mapped(k, start, pages, flags)
    asked = {50: 100, 100: 100, 109: 100, 110: 200, 199: 200, 204: 200, 205: 205, 209: 205}
    for vpn, start in asked.items():
        vma = int(find_vma(k, mm, vpn))
        assert k.vmas[vma].vm_start == start
        assert k.vmas[vma].vm_mm == mm
    assert find_vma(k, mm, 210) == NIL


@pytest.mark.row("S0-23", "S0-33", "S0-37", "S3-087")
def test_the_end_of_an_area_and_what_is_above_all_are_not_mapped() -> None:
    k, mm = with_mm()
    mapped(k, 100, 10)
    mapped(k, 120, 1)
    assert fault(k, 109, 1) == FAULT_MINOR
    for vpn in (110, 119, 121, 99):
        assert fault(k, vpn, 0) == FAULT_SEGV
    assert k.mms[mm].rss == 1
    assert k.mms[mm].total_vm == 11, "nothing grew"


@pytest.mark.row("S0-22", "S1-33")
def test_areas_are_sorted_apart_and_protected_each_in_its_way() -> None:
    k, mm = with_mm()
    for start, pages, flags in ((300, 10, VM_READ), (100, 10, VM_READ | VM_WRITE), (195, 10, VM_READ), (198, 4, 3)):
        mapped(k, start, pages, flags)
    areas, vma = [], int(k.mms[mm].mmap)
    while vma != NIL:
        areas.append((int(k.vmas[vma].vm_start), int(k.vmas[vma].vm_end)))
        vma = int(k.vmas[vma].vm_next)
    assert areas == [(100, 110), (195, 198), (198, 202), (202, 205), (300, 310)]
    assert [fault(k, vpn, 1) for vpn in (100, 196, 199, 203, 305)] == [
        FAULT_MINOR, FAULT_SEGV, FAULT_MINOR, FAULT_SEGV, FAULT_SEGV,
    ]  # fmt: skip


@pytest.mark.row("S0-27", "S0-28", "S0-40", "S0-44")
def test_the_first_write_to_an_empty_entry_takes_one_frame_and_maps_it() -> None:
    k, mm = with_mm()
    mapped(k, 100, 2)
    fault(k, 100, 1)
    assert get_pte(k, mm, 101) == 0
    free = int(k.zones["free_pages"].sum())
    assert fault(k, 101, 1) == FAULT_MINOR
    assert int(k.zones["free_pages"].sum()) == free - 1
    pte = int(get_pte(k, mm, 101))
    assert pte & (PTE_PRESENT | PTE_RW | PTE_DIRTY) == PTE_PRESENT | PTE_RW | PTE_DIRTY
    assert k.pages[pte >> PAGE_SHIFT].count == 1
    assert k.mms[mm].rss == 2


@pytest.mark.row("S0-43")
def test_reads_of_fresh_pages_share_one_frame_and_take_none() -> None:
    k, mm = with_mm()
    mapped(k, 100, 50)
    fault(k, 100, 0)
    free = int(k.zones["free_pages"].sum())
    for vpn in range(101, 150):
        assert fault(k, vpn, 0) == FAULT_MINOR
    frames = {int(get_pte(k, mm, vpn)) >> PAGE_SHIFT for vpn in range(100, 150)}
    assert frames == {int(k.vm[0].zero_pfn)}
    assert not any(int(get_pte(k, mm, vpn)) & PTE_RW for vpn in range(100, 150))
    assert (k.mms[mm].rss, int(k.zones["free_pages"].sum())) == (0, free)


@pytest.mark.row("S0-42", "S3-110", "S3-111", "S3-119")
def test_handle_pte_fault_goes_four_ways() -> None:
    """Nothing there; a swap entry; present but write-protected; present and only its bits missing."""
    m = FileMachine(swap_pages=100)
    k = m.k
    vpn = do_mmap(k, TASK, 4, NIL)
    assert m.fault(vpn, 0) == FAULT_MINOR
    assert m.counter("zero_page_maps") == 1
    assert m.fault(vpn, 1) == FAULT_MINOR
    assert m.counter("zero_page_cow") == 1
    row, index = int(leaf_row(k, k.tasks[TASK].mm, vpn)), vpn & 511
    k.tables[row, index] &= ~(PTE_ACCESSED | PTE_DIRTY)
    frame = m.pte(vpn) >> PAGE_SHIFT
    assert m.fault(vpn, 0) == FAULT_MINOR
    assert m.pte(vpn) & (PTE_ACCESSED | PTE_DIRTY) == PTE_ACCESSED
    assert m.fault(vpn, 1) == FAULT_MINOR
    assert m.pte(vpn) & (PTE_ACCESSED | PTE_DIRTY) == PTE_ACCESSED | PTE_DIRTY
    assert m.pte(vpn) >> PAGE_SHIFT == frame
    file = m.file(4, 500)
    on_file = do_mmap(k, TASK, 4, NIL, VM_READ, file)
    assert m.fault(on_file, 0) == FAULT_MAJOR
    assert m.counter("file_faults") == 1


@pytest.mark.row("S0-45", "S3-085")
def test_a_faulting_access_is_made_again_and_counted_once() -> None:
    machine = small()
    machine.add(walk(64, np.repeat(np.arange(64), 3)))
    finish(machine)
    assert counters(machine)["pgfault"] == 64
    assert int(machine.kernel.tasks[TASK].accesses_done) == 192
    assert int(machine.kernel.traffic["accesses"].sum()) == 192


@pytest.mark.row("S0-45", "S3-085", "S3-087")
def test_an_access_that_cannot_be_served_ends_its_task_which_says_where() -> None:
    def wild(task: object) -> object:
        heap = yield task.mmap(4 * PAGE)  # type: ignore[attr-defined]
        yield task.munmap(heap)  # type: ignore[attr-defined]
        yield task.touch(heap)  # type: ignore[attr-defined]

    machine = small()
    machine.add(wild)
    result = finish(machine)
    assert machine.tasks[0].outcome == "segmentation fault"
    assert "segmentation fault at page 0x" in result.warnings[0]
    assert int(machine.kernel.tasks[TASK].accesses_done) == 0


# Swap ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swapped() -> Machine:
    """A machine of 4 MiB whose program wrote 6 MiB and is still there."""
    machine = small(run={"until": "1s"})

    def program(task: object) -> object:
        heap = yield task.mmap(6 * MIB_PAGES * PAGE)  # type: ignore[attr-defined]
        yield task.touch(heap, write=1.0)  # type: ignore[attr-defined]
        yield task.sleep("10s")  # type: ignore[attr-defined]

    machine.add(program)
    finish(machine)
    return machine


def entries(machine: Machine) -> list[int]:
    k = machine.kernel
    mm = int(k.tasks[TASK].mm)
    start = int(k.vmas[k.mms[mm].mmap].vm_start)
    return [int(get_pte(k, mm, start + page)) for page in range(6 * MIB_PAGES)]


@pytest.mark.row("S0-29", "S0-31", "S0-46", "S0-48", "S2-21", "S2-22", "S2-23")
def test_an_entry_without_the_present_bit_names_area_and_slot(swapped: Machine) -> None:
    k = swapped.kernel
    gone = [pte for pte in entries(swapped) if pte and not pte & PTE_PRESENT]
    assert len(gone) > 2 * MIB_PAGES
    assert len(set(gone)) == len(gone)
    for pte in gone:
        type_, offset = (pte >> 1) & 0x3F, pte >> 8
        assert type_ == 0
        assert 0 < offset < k.swap_info[0].max
        assert pte < 1 << 32, "it fits where a PTE was"
        assert k.swap_map[k.swap_info[0].map_start + offset] > 0
        cached = int(k.swap_cache[k.swap_info[0].map_start + offset]) - 1
        if cached >= 0:
            assert k.pages[cached].index == pte, "the entry is the page's index in swapper_space"
        else:
            assert k.swap_tags[k.swap_info[0].map_start + offset] != 0, "written before its frame was reused"


@pytest.mark.row("S3-124")
def test_rss_is_the_number_of_resident_pages(swapped: Machine) -> None:
    resident = sum(bool(pte & PTE_PRESENT) for pte in entries(swapped))
    assert swapped.kernel.mms[swapped.kernel.tasks[TASK].mm].rss == resident < 4 * MIB_PAGES


@pytest.mark.row("S0-49", "S2-13", "S3-137")
def test_the_window_of_free_slots_shrinks_at_its_ends_and_widens_again() -> None:
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=1, tables=1, swap_slots=64, io_ring=1))
    swapon(k, 11)
    si = k.swap_info[0]
    take, free = entry(swapfile.get_swap_page), entry(swapfile.swap_free)
    seen = [(int(si.lowest_bit), int(si.highest_bit))]
    for _ in range(10):
        take(k)
        seen.append((int(si.lowest_bit), int(si.highest_bit)))
    assert seen[:4] == [(1, 10), (2, 10), (3, 10), (4, 10)]
    assert seen[-1] == (11, 0), "full: no slot is between the bounds"
    for offset in (7, 3):
        free(k, offset << 8)
    assert si.lowest_bit == 3
    assert si.highest_bit == 7
    assert [int(take(k)) >> 8 for _ in range(3)] == [3, 7, 0], "bounds may be wider than needed"


@pytest.mark.row("S0-32", "S2-31")
def test_clean_pages_of_a_file_are_dropped_without_a_write_and_read_again() -> None:
    m = FileMachine(swap_pages=100)
    file = m.file(64, 700)
    start = do_mmap(m.k, TASK, 64, NIL, VM_READ, file)
    for i in range(64):
        m.fault(start + i, 0)
    m.take(20)
    gone = [i for i in range(64) if not m.pte(start + i) & PTE_PRESENT and i not in m.cached(file)]
    assert len(gone) > 10
    assert m.counter("pgpgout") == m.counter("pswpout") == 0
    reads = m.counter("pgpgin")
    m.fault(start + gone[0], 0)
    assert m.mapped_tag(start + gone[0]) == 700 + gone[0]
    assert m.counter("pgpgin") > reads


def test_an_exit_gives_everything_back() -> None:
    k, _ = with_mm()
    free = int(k.zones["free_pages"].sum())
    mapped(k, 100, 50)
    for vpn in range(100, 150):
        fault(k, vpn, 1)
    mmput(k, TASK)
    assert int(k.zones["free_pages"].sum()) == free
