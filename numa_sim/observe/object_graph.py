"""The structures around a process's memory as a graph: from mm_struct to pg_data_t, read off a live machine.

Every arrow is a conversion the kernel makes: find_vma, the offset functions of the page tables, pte_pfn, pfn_to_page,
page_zone, zone_pgdat, and back by page.mapping (spec 10.6, 10.7).  Nothing is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from numa_sim import convert
from numa_sim.errors import SimulationError
from numa_sim.kernel.geometry import geometry_of
from numa_sim.kernel.mmzone import ZONE_NAMES
from numa_sim.kernel.rmap import PAGE_MAPPING_ANON
from numa_sim.observe.proc_pid import Process, area_name
from numa_sim.observe.user_pages import areas, entries, is_present
from numa_sim.state.constants import KIND_INODE, NIL, NR_ZONES, PAGE_SHIFT
from numa_sim.state.kernel import Kernel

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["KINDS", "object_graph"]

KINDS: Final = (
    "task_struct", "mm_struct", "vm_area_struct", "vaddr", "pgd", "p4d", "pud", "pmd", "pte table", "pte", "pfn",
    "page", "paddr", "zone", "pg_data_t", "address_space", "anon_vma", "swap slot",
)  # fmt: skip
"""Kinds of nodes, in the order in which one leads to the next."""

Node = tuple[str, int]


class _Drawer:
    """Adds nodes and arrows for one process."""

    def __init__(self, k: Kernel, graph: nx.DiGraph, process: Process) -> None:
        self.k = k
        self.graph = graph
        self.process = process
        self.mm = int(k.tasks[process.task].mm)

    def node(self, kind: str, number: int, label: str) -> Node:
        """A node of one kind, made on first sight."""
        self.graph.add_node((kind, number), kind=kind, label=label)
        return kind, number

    def arrow(self, start: Node, end: Node, relation: str) -> None:
        self.graph.add_edge(start, end, relation=relation)

    def area(self, vma: int) -> Node:
        area = self.k.vmas[vma]
        addresses = f"{int(area.vm_start) << PAGE_SHIFT:x}-{int(area.vm_end) << PAGE_SHIFT:x}"
        return self.node("vm_area_struct", vma, f"{addresses}\n{area_name(self.k, self.process, vma) or 'anonymous'}")

    def walk(self, mm: Node, vaddr: Node, pte: Node, vpn: int) -> None:
        """Arrows through the page tables, level by level (folded ones have no table of their own)."""
        k, geometry, row = self.k, geometry_of(self.k), int(self.k.mms[self.mm].pgd)
        levels = [level for level in geometry.levels if not level.folded]
        above, relation = mm, "pgd"
        for level in levels:
            name = "pte table" if level is levels[-1] else level.name
            table = self.node(name, row, f"{name}\nframe {int(k.table_info[row].pfn)}")
            self.arrow(above, table, relation)
            above, relation = table, f"{level.name}_offset"
            if level is not levels[-1]:
                row = int(k.tables[row, geometry.index(level.name, vpn << PAGE_SHIFT)]) >> PAGE_SHIFT
        self.arrow(above, pte, "pte_offset_map")
        self.arrow(vaddr, pte, "page-table walk")

    def page(self, vma: Node, mm: Node, vpn: int, entry: int) -> None:
        """One virtual page: its address, its PTE and what that leads to."""
        vaddr = self.node("vaddr", vpn << PAGE_SHIFT, f"{vpn << PAGE_SHIFT:#x}")
        pte = self.node("pte", vpn, f"pte {entry:#x}")
        self.arrow(vma, vaddr, "vm_start + offset")
        self.arrow(mm, vma, "find_vma")
        self.walk(mm, vaddr, pte, vpn)
        if not is_present(entry):
            slot = self.node("swap slot", entry, f"area {entry >> 1 & 0x3F}\nslot {entry >> 8}")
            self.arrow(pte, slot, "swp_entry")
            return
        number = convert.pte_pfn(self.k, entry)
        page_record = convert.pte_page(self.k, entry)
        pfn = self.node("pfn", number, f"pfn {number}")
        page = self.node("page", number, f"page\ncount {int(page_record.count)}")
        address = convert.pfn_to_paddr(number)
        self.arrow(pte, pfn, "pte_pfn")
        self.arrow(pfn, page, "pfn_to_page")
        self.arrow(page, pfn, "page_to_pfn")
        self.arrow(pfn, self.node("paddr", address, f"{address:#x}"), "<< PAGE_SHIFT")
        self.home(page, page_record)
        self.mapping(page, number)

    def home(self, page: Node, record: Any) -> None:
        """Zone and node of a page."""
        zone_record = convert.page_zone(self.k, record)
        if zone_record is None:
            return
        nid = convert.zone_to_nid(self.k, zone_record)
        name = ZONE_NAMES[int(zone_record.index)]
        zone = self.node("zone", nid * NR_ZONES + int(zone_record.index), f"zone {name}\nof node {nid}")
        pgdat = self.node("pg_data_t", nid, f"pg_data_t\nnode {nid}")
        self.arrow(page, zone, "page_zone")
        self.arrow(zone, pgdat, "zone_pgdat")
        self.arrow(pgdat, zone, "node_zones")

    def mapping(self, page: Node, pfn: int) -> None:
        """Back from a page to the areas that may show it, by file or (with a reverse map) by anon_vma."""
        k = self.k
        mapping = int(k.pages[pfn].mapping)
        if mapping and k.mappings[mapping].kind == KIND_INODE:
            name = self.process.files.get(mapping, f"inode {mapping}")
            space = self.node("address_space", mapping, f"address_space\n{name}")
            self.arrow(page, space, "mapping")
            for vma in areas(k, self.mm):
                if k.vmas[vma].vm_file and k.files[k.vmas[vma].vm_file].f_mapping == mapping:
                    self.arrow(space, self.area(vma), "i_mmap")
        elif k.vm[0].rmap and int(k.rmap[pfn].mapping) & PAGE_MAPPING_ANON:
            number = int(k.rmap[pfn].mapping) >> 1
            anon_vma = self.node("anon_vma", number, f"anon_vma {number}")
            self.arrow(page, anon_vma, "mapping")
            link = int(k.anon_vmas[number].rb_root)
            while link != NIL:
                vma = int(k.anon_vma_chains[link].vma)
                if k.vmas[vma].vm_mm == self.mm:
                    self.arrow(anon_vma, self.area(vma), "anon_vma_chain")
                link = int(k.anon_vma_chains[link].rb_next)


def object_graph(k: Kernel, process: Process, pages_max: int = 12) -> nx.DiGraph:
    """Graph of a process's memory at this moment.

    Nodes are ``(kind, number)`` with the attributes ``kind`` (one of `KINDS`) and ``label``; edges have a ``relation``.

    Parameters
    ----------
    process : Process
        Whose; see `numa_sim.observe.proc_pid`.
    pages_max : int
        Most virtual pages shown; where an area has more, they are taken evenly from it, each area in turn.

    Raises
    ------
    SimulationError
        If the task has no address space now.
    """
    import networkx as nx

    mm = int(k.tasks[process.task].mm)
    if mm == NIL:
        raise SimulationError(f"task {process.name} has no memory now: not started yet, or ended")
    graph = nx.DiGraph()
    drawer = _Drawer(k, graph, process)
    task = drawer.node("task_struct", process.task, f"task_struct\n{process.name}")
    mm_node = drawer.node("mm_struct", mm, f"mm_struct\n{int(k.mms[mm].rss)} pages")
    drawer.arrow(task, mm_node, "mm")
    for vma, vpn, entry in _chosen(k, mm, pages_max):
        drawer.page(drawer.area(vma), mm_node, vpn, entry)
    for vma in areas(k, mm):
        drawer.arrow(mm_node, drawer.area(vma), "find_vma")
    return graph


def _chosen(k: Kernel, mm: int, pages_max: int) -> list[tuple[int, int, int]]:
    """(area, virtual page, entry) of the pages to show: an equal part of each area that has some, evenly spread."""
    mapped = [(vma, *entries(k, mm, int(k.vmas[vma].vm_start), int(k.vmas[vma].vm_end))) for vma in areas(k, mm)]
    mapped = [each for each in mapped if len(each[1])][: max(pages_max, 0)]
    chosen: list[tuple[int, int, int]] = []
    left = pages_max
    for n_after, (vma, vpns, ptes) in zip(
        range(len(mapped), 0, -1), sorted(mapped, key=lambda m: len(m[1])), strict=True
    ):
        n = min(len(vpns), left // n_after)
        places = np.unique(np.linspace(0, len(vpns) - 1, n).astype(np.int64)).tolist()
        chosen += [(vma, int(vpns[at]), int(ptes[at])) for at in places]
        left -= n
    return sorted(chosen, key=lambda page: page[1])
