"""What the MMU does in whole machines: page tables of every kind, global pages, the 386, pages past the caches."""

from __future__ import annotations

from errno import EINVAL
from typing import Any

import pytest
from machine.small import PAGE, counters, finish, small, sweep

from numa_sim.compiled import entry
from numa_sim.config.machine import MMUS
from numa_sim.errors import ConfigError
from numa_sim.kernel import vmalloc
from numa_sim.kernel.geometry import GEOMETRIES
from numa_sim.kernel.pgtable import get_pte, leaf_row
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import PAGE_SHIFT, PTE_DIRTY, PTE_GLOBAL, PTE_MAPPED, PTE_PROTNONE, PTE_RW
from numa_sim.workloads.program import Region

vmalloc_begin = entry(vmalloc.vmalloc_begin)
vmalloc_area_pages = entry(vmalloc.vmalloc_area_pages)
_get_pte = entry(get_pte)
_leaf_row = entry(leaf_row)

TASK = 2


def set_flags(machine: Machine, vpn: int, drop: int, add: int) -> None:
    """Change the bits of a mapped page's entry, and forget it in the TLB."""
    k = machine.kernel
    row, index = int(_leaf_row(k, int(k.tasks[TASK].mm), vpn)), vpn & ((1 << int(k.vm[0].entry_bits)) - 1)
    k.tables[row, index] = int(k.tables[row, index]) & ~drop | add
    k.tlb["vpn"] = 0


# Geometries ----------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-024", "S3-031", "S4-19")
@pytest.mark.parametrize("mmu", GEOMETRIES)
def test_the_same_program_on_every_mmu(mmu: str) -> None:
    """Same faults, one table more or less for each level; a miss of the TLB costs each level of the walk."""
    arch = next(arch for arch, names in MMUS.items() if mmu in names)
    machine = small(arch=arch, mmu=mmu)
    machine.add(sweep(200, times=2))
    result = finish(machine)
    counted = counters(machine)
    assert counted["pgfault"] == 200
    levels = GEOMETRIES[mmu].tables
    assert levels <= counted["table_pages"] <= levels + 1
    assert counted["table_pages_freed"] == counted["table_pages"]
    misses = int(machine.kernel.cpus[0].tlb_misses)
    assert machine.kernel.time_parts[TASK].sum() == result.end_ns
    assert machine.kernel.time_parts[TASK, 4] == misses * levels * machine.costs.tlb_walk_level_ns
    assert misses == 200, "the kernel has set up 200 entries, the MMU has done the other 200 accesses by itself"


# Global pages --------------------------------------------------------------------------------------------------------


def misses_of_two_kernel_tasks(global_pages: bool) -> int:
    """TLB misses of two tasks on one CPU that take turns in using the same eight pages of a vmalloc area."""
    machine = small(arch="i386", global_pages=global_pages)
    k = machine.kernel
    vmalloc.vmalloc_init(k)
    places: list[int] = []

    def worker(task: Any) -> Any:
        index = TASK + task.pid - 100
        if not places:
            area = int(vmalloc_begin(k, 8 * PAGE))
            assert vmalloc_area_pages(k, index, area) == 0
            places.append(int(k.vm_structs[area].addr))
        for _ in range(10):
            k.tasks[index].kernel_mode = 1
            yield task.touch(Region(places[0], 8, "vmalloc"), write=1.0)
            k.tasks[index].kernel_mode = 0
            yield task.sleep("50us")

    for name in ("one", "two"):
        machine.add(worker, name=name)
    finish(machine)
    pte = int(_get_pte(k, 0, places[0]))
    assert bool(pte & PTE_GLOBAL) == global_pages
    assert int(k.cpus[0].tlb_flushes) >= 19, "every change of address space writes CR3"
    return int(k.cpus[0].tlb_misses)


@pytest.mark.row("S3-036", "S3-037", "S3-079")
def test_global_entries_survive_a_change_of_address_space() -> None:
    assert misses_of_two_kernel_tasks(True) == 8
    assert misses_of_two_kernel_tasks(False) == 8 * 20


@pytest.mark.row("S3-073")
def test_a_program_cannot_use_what_the_kernel_left_in_the_tlb() -> None:
    machine = small(arch="i386")
    k = machine.kernel
    vmalloc.vmalloc_init(k)

    def program(task: Any) -> Any:
        area = int(vmalloc_begin(k, PAGE))
        assert vmalloc_area_pages(k, TASK, area) == 0
        secret = Region(int(k.vm_structs[area].addr), 1, "vmalloc")
        k.tasks[TASK].kernel_mode = 1
        yield task.touch(secret, write=1.0)
        k.tasks[TASK].kernel_mode = 0
        assert secret.start_vpn + 1 in k.tlb["vpn"][0], "its translation is there"
        yield task.touch(secret)
        raise AssertionError("the program has read it")

    machine.add(program)
    finish(machine)
    assert machine.tasks[0].outcome == "segmentation fault"


# The 386 -------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-028", "S3-100")
@pytest.mark.parametrize("write_protect", [True, False])
def test_the_kernel_of_a_386_writes_to_read_only_pages(write_protect: bool) -> None:
    machine = small(arch="i386", write_protect=write_protect)
    k = machine.kernel
    assert k.vm[0].wp_works_ok == write_protect, "found out at boot"
    faults = []

    def program(task: Any) -> Any:
        own = yield task.mmap(PAGE)
        yield task.touch(own, write=1.0)
        set_flags(machine, own.start_vpn, PTE_RW | PTE_DIRTY, 0)
        faults.append(counters(machine)["pgfault"])
        k.tasks[TASK].kernel_mode = 1
        yield task.touch(own, write=1.0)
        k.tasks[TASK].kernel_mode = 0
        faults.append(counters(machine)["pgfault"])
        pte = int(_get_pte(k, int(k.tasks[TASK].mm), own.start_vpn))
        assert bool(pte & PTE_RW) == write_protect, "made writable by the fault, or written to as it was"
        assert pte & PTE_DIRTY
        set_flags(machine, own.start_vpn, PTE_RW | PTE_DIRTY, 0)
        yield task.touch(own, write=1.0)
        faults.append(counters(machine)["pgfault"])

    machine.add(program)
    finish(machine)
    assert faults == [1, 1 + write_protect, 2 + write_protect], "a program's write faults on both"


# PROTNONE ------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-078")
def test_memory_of_no_access_is_in_memory_and_faults() -> None:
    """mprotect(PROT_NONE): the page is the process's as before, but the next access is a segmentation fault."""
    machine = small(arch="i386")
    k = machine.kernel
    seen: list[int] = []

    def program(task: Any) -> Any:
        own = yield task.mmap(PAGE)
        yield task.touch(own, write=1.0)
        mm = int(k.tasks[TASK].mm)
        before, rss = int(_get_pte(k, mm, own.start_vpn)), int(k.mms[mm].rss)
        yield task.mprotect(own, 0)
        pte = int(_get_pte(k, mm, own.start_vpn))
        assert pte >> PAGE_SHIFT == before >> PAGE_SHIFT
        assert pte & PTE_MAPPED == PTE_PROTNONE
        assert k.mms[mm].rss == rss
        machine.check()
        seen.append(pte)
        yield task.touch(own)
        raise AssertionError("it could be read")

    machine.add(program)
    finish(machine)
    assert len(seen) == 1
    assert machine.tasks[0].outcome == "segmentation fault"


# Cache modes ---------------------------------------------------------------------------------------------------------


def lines_moved(mode: str, write: float, *, before: bool) -> int:
    """Cache lines that 1000 accesses to one page move to or from memory; nine of ten hit the CPU's caches."""
    machine = small(cache_hit_ratio=0.9)

    def program(task: Any) -> Any:
        own = yield task.mmap(PAGE)
        if before:
            yield task.touch(own, write=1.0)
        yield task.cache_mode(own, mode)
        yield task.touch(own, write=1.0)
        machine.kernel.traffic["lines"] = 0
        for _ in range(1000):
            yield task.touch(own, write=write)

    machine.add(program)
    finish(machine)
    return int(machine.kernel.traffic["lines"].sum())


@pytest.mark.row("S3-074", "S3-075")
@pytest.mark.parametrize("before", [True, False])
def test_write_through_stores_and_all_uncached_accesses_go_to_memory(before: bool) -> None:
    """Of a page that was mapped before, or that a fault maps afterwards."""
    moved = {
        (mode, kind): lines_moved(mode, write, before=before)
        for mode in ("write-back", "write-through", "uncached")
        for kind, write in (("read", 0.0), ("write", 1.0))
    }
    cached = moved["write-back", "read"]
    assert 95 <= cached <= 105
    assert moved == {
        ("write-back", "read"): cached, ("write-back", "write"): cached,
        ("write-through", "read"): cached, ("write-through", "write"): 1000,
        ("uncached", "read"): 1000, ("uncached", "write"): 1000,
    }  # fmt: skip


def test_a_cache_mode_is_of_whole_areas_and_has_a_known_name() -> None:
    machine = small()
    refused = []

    def program(task: Any) -> Any:
        own = yield task.mmap(2 * PAGE)
        try:
            yield task.cache_mode(Region(own.start_vpn, 1), "uncached")
        except OSError as error:
            refused.append(error.errno)

    machine.add(program)
    finish(machine)
    assert refused == [EINVAL]
    with pytest.raises(ConfigError, match=r"cache_mode.mode: got 'warm' .allowed: write-back, write-through, uncached"):
        machine.tasks[0].handle.cache_mode(Region(0, 1), "warm")
