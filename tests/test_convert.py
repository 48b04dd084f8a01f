"""Conversions: every frame of machines with several nodes and holes, through all of them and back."""

from __future__ import annotations

import pytest

from numa_sim import convert
from numa_sim.errors import SimulationError
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.geometry import GEOMETRIES, use_geometry
from numa_sim.state.constants import NR_ZONES
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

MIB = 256
NODES = ((0, 17 * MIB), (18 * MIB, MIB + 100), (20 * MIB, 0), (22 * MIB, 2 * MIB))
"""Holes: between nodes 0 and 1, the end of node 1's last section, and up to node 3."""


def machine(arch: str = "i386", mmu: str = "i386", nodes: tuple[tuple[int, int], ...] = NODES) -> Kernel:
    n = len(nodes)
    frames = max(start + frames for start, frames in nodes)
    bits = GEOMETRIES[mmu].entry_bits
    k = new_kernel(Sizes(nodes=n, cpus=1, frames=frames, tables=2, table_entries=1 << bits))
    use_geometry(k, mmu)
    boot(k, nodes, arch, "linux-2.4.37", "strict24", [[10 if i == j else 20 for j in range(n)] for i in range(n)])
    return k


def node_of(pfn: int) -> int | None:
    return next((node for node, (start, frames) in enumerate(NODES) if start <= pfn < start + frames), None)


@pytest.mark.row("S0-07", "S3-021", "S3-022", "S4-11", "S4-21", "S4-22", "S4-23", "S4-24", "S4-25", "S4-26", "S4-27")
@pytest.mark.parametrize(("arch", "mmu"), [
    ("i386", "i386"), ("i386", "i386-pae"), ("x86-64", "alpha"), ("x86-64", "x86-64"), ("x86-64", "x86-64-la57"),
])  # fmt: skip
def test_every_frame_comes_back_from_everything_it_is_called(arch, mmu):
    k = machine(arch, mmu)
    for pfn in range(len(k.pages)):
        paddr = convert.pfn_to_paddr(pfn)
        assert convert.paddr_to_pfn(paddr) == convert.paddr_to_pfn(paddr + 4095) == pfn
        page = convert.pfn_to_page(k, pfn)
        assert convert.page_to_pfn(k, page) == pfn
        pte = convert.mk_pte(k, page, 0x27)
        assert convert.pte_pfn(k, pte) == convert.page_to_pfn(k, convert.pte_page(k, pte)) == pfn
        vaddr = convert.page_address(k, page)
        assert vaddr == GEOMETRIES[mmu].page_offset + paddr
        assert convert.virt_to_phys(k, vaddr) == paddr
        node, zone = node_of(pfn), convert.page_zone(k, page)
        assert convert.page_to_nid(k, page) == convert.paddr_to_nid(k, paddr) == node
        if node is None:
            assert zone is None
            assert convert.page_index_in_node(k, page) is None
        else:
            assert convert.page_index_in_node(k, page) == pfn - NODES[node][0]
            assert convert.zone_to_nid(k, zone) == zone.node == node
            assert zone in convert.node_zones(k, node)


@pytest.mark.row("S0-07")
def test_a_page_of_high_memory_has_no_kernel_address_of_its_own():
    k = machine(nodes=((0, 1024 * MIB),))
    low, high = convert.pfn_to_page(k, 896 * MIB - 1), convert.pfn_to_page(k, 896 * MIB)
    assert convert.page_address(k, low) == 0xC0000000 + (896 << 20) - 4096
    assert convert.page_address(k, high) is None
    assert convert.page_zone(k, high).index == 2
    assert convert.virt_to_phys(k, 0xC0000000) == 0
    assert convert.virt_to_phys(k, 0xBFFFFFFF) is convert.virt_to_phys(k, 0xC0000000 + (896 << 20)) is None


@pytest.mark.row("S3-019")
def test_the_frames_of_a_machine_of_64_mib():
    k = machine(nodes=((0, 64 * MIB),))
    assert convert.pfn_to_paddr(len(k.pages)) == 0x4000000
    assert convert.paddr_to_nid(k, 0x3FFFFFF) == 0
    assert convert.paddr_to_nid(k, 0x4000000) is None


@pytest.mark.row("S4-27")
def test_the_zones_of_a_node_are_dma_normal_and_highmem():
    k = machine(nodes=((0, 1024 * MIB), (1024 * MIB, 64 * MIB)))
    assert [[int(zone.size) // MIB for zone in convert.node_zones(k, node)] for node in range(2)] == [
        [16, 880, 128], [0, 0, 64],
    ]  # fmt: skip
    assert len(convert.node_zones(k, 0)) == NR_ZONES


def test_what_is_not_of_this_machine_is_refused():
    k = machine()
    for pfn in (-1, len(k.pages)):
        with pytest.raises(SimulationError, match="no frame"):
            convert.pfn_to_page(k, pfn)
    with pytest.raises(SimulationError, match="not a page"):
        convert.page_to_pfn(k, machine().pages[0])
    with pytest.raises(SimulationError, match="not a zone"):
        convert.zone_to_nid(k, k.pages[0])
