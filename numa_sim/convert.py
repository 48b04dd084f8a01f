"""From one name of a page of memory to the others: pfn, physical address, struct page, PTE, zone, node, kernel address.

The conversions of include/asm-*/page.h and pgtable.h (spec 10.7), on the state of a machine::

    from numa_sim import Machine, convert

    k = Machine.of(preset="xeon-e5-2680-2s", memory_per_node="1GiB").kernel
    convert.page_to_nid(k, convert.pfn_to_page(k, 300_000))     # 1

They are for looking at a machine, from notebooks and tests, and change nothing.  Frames that no machine has are
SimulationError; what a frame need not have (a zone in a hole, a kernel address beyond low memory) is None.
"""

from __future__ import annotations

from typing import Any

from numa_sim.errors import SimulationError
from numa_sim.kernel.geometry import geometry_of
from numa_sim.state.constants import NR_ZONES, PAGE_SHIFT
from numa_sim.state.kernel import Kernel

__all__ = [
    "mk_pte",
    "node_zones",
    "paddr_to_nid",
    "paddr_to_pfn",
    "page_address",
    "page_index_in_node",
    "page_to_nid",
    "page_to_pfn",
    "page_zone",
    "pfn_to_paddr",
    "pfn_to_page",
    "phys_to_virt",
    "pte_page",
    "pte_pfn",
    "virt_to_phys",
    "zone_to_nid",
]


def _checked(k: Kernel, pfn: int) -> int:
    if not 0 <= pfn < len(k.pages):
        raise SimulationError(f"there is no frame {pfn}: the machine has frames 0 to {len(k.pages) - 1}")
    return pfn


def _position(array: Any, record: Any, what: str) -> int:
    """Index of a record in its array, from where it lies in memory, as the kernel subtracts pointers."""
    at, rest = divmod(record.__array_interface__["data"][0] - array.ctypes.data, array.dtype.itemsize)
    if rest or not 0 <= at < len(array):
        raise SimulationError(f"this record is not a {what} of this machine")
    return int(at)


# Frames and physical addresses ---------------------------------------------------------------------------------------


def paddr_to_pfn(paddr: int) -> int:
    """Number of the frame a physical address lies in."""
    return paddr >> PAGE_SHIFT


def pfn_to_paddr(pfn: int) -> int:
    """Physical address of a frame's first byte."""
    return pfn << PAGE_SHIFT


def paddr_to_nid(k: Kernel, paddr: int) -> int | None:
    """Node of a physical address, found in the nodes' ranges; None between them."""
    pfn = paddr_to_pfn(paddr)
    for number, node in enumerate(k.nodes):
        if node.node_start_pfn <= pfn < node.node_start_pfn + node.node_size:
            return number
    return None


# Descriptors ---------------------------------------------------------------------------------------------------------


def pfn_to_page(k: Kernel, pfn: int) -> Any:
    """The struct page of a frame (a record of ``mem_map``; frames in holes have one too).

    Raises
    ------
    SimulationError
        If the machine has no such frame.
    """
    return k.pages[_checked(k, pfn)]


def page_to_pfn(k: Kernel, page: Any) -> int:
    """Frame number of a struct page: its place in ``mem_map``.

    Raises
    ------
    SimulationError
        If the record is not one of this machine's pages.
    """
    return _position(k.pages, page, "page")


def page_index_in_node(k: Kernel, page: Any) -> int | None:
    """Place of a struct page in its node's part of ``mem_map`` (node_mem_map); None in a hole."""
    pfn = page_to_pfn(k, page)
    node = paddr_to_nid(k, pfn_to_paddr(pfn))
    return None if node is None else pfn - int(k.nodes[node].node_start_pfn)


# Zones and nodes -----------------------------------------------------------------------------------------------------


def page_zone(k: Kernel, page: Any) -> Any | None:
    """The struct zone of a page; None in a hole."""
    pfn = page_to_pfn(k, page)
    zone_id = int(k.section_zone[pfn >> k.vm[0].section_shift])
    if zone_id < 0:
        return None
    zone = k.zones[zone_id]
    # A section that the zone does not fill ends in a hole.
    return zone if zone.start_pfn <= pfn < zone.start_pfn + zone.size else None


def zone_to_nid(k: Kernel, zone: Any) -> int:
    """Node of a zone (zone_pgdat).

    Raises
    ------
    SimulationError
        If the record is not one of this machine's zones.
    """
    return _position(k.zones, zone, "zone") // NR_ZONES


def node_zones(k: Kernel, nid: int) -> tuple[Any, ...]:
    """The zones of a node: DMA, NORMAL, HIGHMEM; one of size 0 does not exist (pgdat->node_zones)."""
    return tuple(k.zones[nid * NR_ZONES + index] for index in range(NR_ZONES))


def page_to_nid(k: Kernel, page: Any) -> int | None:
    """Node of a page; None in a hole."""
    zone = page_zone(k, page)
    return None if zone is None else zone_to_nid(k, zone)


# Page-table entries --------------------------------------------------------------------------------------------------


def mk_pte(k: Kernel, page: Any, protection: int) -> int:
    """The page-table entry that maps a page (pfn_pte): frame number above, protection below."""
    return geometry_of(k).codec.mk_pte(page_to_pfn(k, page), protection)


def pte_pfn(k: Kernel, pte: int) -> int:
    """Frame number of a page-table entry."""
    return geometry_of(k).codec.pte_pfn(pte)


def pte_page(k: Kernel, pte: int) -> Any:
    """The struct page a page-table entry maps."""
    return pfn_to_page(k, pte_pfn(k, pte))


# Kernel addresses ----------------------------------------------------------------------------------------------------


def phys_to_virt(k: Kernel, paddr: int) -> int | None:
    """Kernel address of a physical address in the linear mapping; None for high memory, which has no fixed one."""
    geometry = geometry_of(k)
    return paddr + geometry.page_offset if 0 <= paddr < geometry.low_memory else None


def virt_to_phys(k: Kernel, vaddr: int) -> int | None:
    """Physical address of a kernel address; None if it is not in the linear mapping."""
    geometry = geometry_of(k)
    paddr = vaddr - geometry.page_offset
    return paddr if 0 <= paddr < geometry.low_memory else None


def page_address(k: Kernel, page: Any) -> int | None:
    """Kernel address of a page's contents; None for a page of high memory."""
    return phys_to_virt(k, pfn_to_paddr(page_to_pfn(k, page)))
