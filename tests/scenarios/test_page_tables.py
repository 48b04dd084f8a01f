"""Scenario 15: every frame and every mapped page through all conversions, with tables of two to five levels."""

from __future__ import annotations

from typing import Any

import pytest
from scenarios.shipped import CONFIGS, part_ns, run, total

from numa_sim import convert
from numa_sim.compiled import entry
from numa_sim.config import load
from numa_sim.config.machine import MMUS
from numa_sim.kernel import pgtable
from numa_sim.kernel.geometry import GEOMETRIES, geometry_of
from numa_sim.observe.user_pages import areas
from numa_sim.observe.walk import walk
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import PTE_MAPPED, PTE_PRESENT

_get_pte = entry(pgtable.get_pte)
_leaf_row = entry(pgtable.leaf_row)


def settings(mmu: str) -> tuple[str, ...]:
    arch = next(arch for arch, names in MMUS.items() if mmu in names)
    return (f"machine.arch={arch}", f"machine.mmu={mmu}")


def touched(k: Any, mm: int) -> list[int]:
    """Every page of an address space whose entry is not empty."""
    span, found = 1 << int(k.vm[0].entry_bits), []
    for area in areas(k, mm):
        vpn, end = int(k.vmas[area].vm_start), int(k.vmas[area].vm_end)
        while vpn < end:
            stop = min(end, (vpn // span + 1) * span)
            row = int(_leaf_row(k, mm, vpn))
            if row >= 0:
                first = vpn % span
                found += [vpn + int(at) for at in k.tables[row, first : first + stop - vpn].nonzero()[0]]
            vpn = stop
    return found


@pytest.mark.row("S3-032", "S4-11", "S4-19", "S4-20", "S4-21", "S4-22", "S4-23", "S4-24", "S4-25", "S4-26", "S4-27")
@pytest.mark.parametrize("mmu", GEOMETRIES)
def test_every_frame_and_every_mapped_page_through_all_conversions(mmu: str) -> None:
    machine = Machine(load(CONFIGS / "page-tables.toml", settings(mmu)))
    k, at_ns = machine.kernel, 0
    while int(k.vmstat[:, 0].sum()) < 3000:
        at_ns += 100_000
        machine.run_until(at_ns)
    geometry = geometry_of(k)
    for pfn in range(len(k.pages)):
        page = convert.pfn_to_page(k, pfn)
        assert convert.page_to_pfn(k, page) == convert.paddr_to_pfn(convert.pfn_to_paddr(pfn)) == pfn
        assert convert.pte_pfn(k, convert.mk_pte(k, page, 0x27)) == pfn
        vaddr = convert.page_address(k, page)
        assert vaddr is None or convert.virt_to_phys(k, vaddr) == convert.pfn_to_paddr(pfn)
        zone, nid = convert.page_zone(k, page), convert.paddr_to_nid(k, convert.pfn_to_paddr(pfn))
        assert (zone is None) == (nid is None)
        if zone is not None:
            assert convert.zone_to_nid(k, zone) == convert.page_to_nid(k, page) == nid
            assert zone in convert.node_zones(k, nid)
    mapped = swapped = 0
    for task in machine.tasks:
        mm = int(task.record.mm)
        resident = 0
        for vpn in touched(k, mm):
            pte, found = int(_get_pte(k, mm, vpn)), walk(k, mm, (vpn << 12) + 0x7B)
            assert found.steps[-1].entry == pte
            assert [step.index for step in found.steps] == [
                geometry.index(step.level, vpn << 12) for step in found.steps
            ]
            if pte & PTE_PRESENT:
                pfn = convert.pte_pfn(k, pte)
                assert found.paddr == convert.pfn_to_paddr(pfn) + 0x7B
                assert convert.page_to_pfn(k, convert.pte_page(k, pte)) == pfn
                assert convert.paddr_to_nid(k, found.paddr) == convert.page_to_nid(k, convert.pfn_to_page(k, pfn))
                resident += pfn != k.vm[0].zero_pfn
                mapped += 1
            else:
                assert not pte & PTE_MAPPED
                slot = geometry.codec.pte_to_swp_entry(pte)
                assert k.swap_map[slot.offset] > 0, "somebody uses this slot: this entry"
                assert geometry.codec.swp_entry_to_pte(slot) == pte
                swapped += 1
        assert resident == k.mms[mm].rss
    assert mapped > 1000
    assert swapped > 100


@pytest.mark.row("S3-029", "S3-031")
def test_what_the_levels_cost() -> None:
    """The first lines of the configuration: tables by the page touched, walks by the level."""
    results = {mmu: run("page-tables", *settings(mmu)) for mmu in ("i386", "x86-64", "x86-64-la57")}
    tables = {mmu: total(result, "table_pages") for mmu, result in results.items()}
    assert tables["i386"] > 254
    assert tables["x86-64"] > 254
    assert tables["x86-64-la57"] >= tables["x86-64"] + 2, "one more for each process"
    misses = {mmu: part_ns(result, "tlb_walk") // GEOMETRIES[mmu].tables for mmu, result in results.items()}
    assert max(misses.values()) < 1.1 * min(misses.values())
    assert part_ns(results["x86-64-la57"], "tlb_walk") > 2 * part_ns(results["i386"], "tlb_walk")
