"""The object graph of a live process: complete, right, bounded; and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from machine.small import MIB_PAGES, PAGE, ZRAM, small

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel import pgtable
from numa_sim.observe.object_graph import KINDS, object_graph
from numa_sim.processes.machine import Machine
from numa_sim.processes.watched import process_named
from numa_sim.results.pictures import object_graph as picture
from numa_sim.state.constants import PAGE_SHIFT

DISK = {"name": "sda", "device": "nvme", "size": "64MiB"}
get_pte = entry(pgtable.get_pte)


def program(task: Any) -> Any:
    heap = yield task.mmap(6 * MIB_PAGES * PAGE)
    file = yield task.open("lib.so")
    view = yield task.mmap(64 * PAGE, file=file, shared=True)
    yield task.touch(heap, write=1.0)
    yield task.touch(view, write=0.5)
    yield task.sleep("1s")


def machine(**more: Any) -> Machine:
    made = small(
        nodes=(4, 4), swap=(ZRAM,), disk=[DISK], file=[{"name": "lib.so", "size": "1MiB", "disk": "sda"}],
        kernel={"rmap": True, "numa_fallback": "nearest"}, **more,
    )  # fmt: skip
    made.add(program, name="db")
    made.run_until(500_000_000)
    return made


@pytest.fixture(scope="module")
def live() -> Machine:
    return machine()


def graph_of(made: Machine, pages: int = 40) -> Any:
    return object_graph(made.kernel, process_named(made, "db"), pages)


def of_kind(graph: Any, kind: str) -> list[Any]:
    return [node for node in graph.nodes if node[0] == kind]


@pytest.mark.row("S4-06")
def test_the_graph_is_complete_from_mm_struct_to_pg_data(live: Machine) -> None:
    graph = graph_of(live)
    assert {kind for kind, _ in graph.nodes} == set(KINDS) - {"p4d"}, "four levels: p4d is folded"
    mm, pgdats = of_kind(graph, "mm_struct")[0], of_kind(graph, "pg_data_t")
    assert len(pgdats) == 2
    for kind in ("vm_area_struct", "vaddr", "pte", "pfn", "page", "paddr", "zone", "pg_data_t"):
        assert all(nx.has_path(graph, mm, node) for node in of_kind(graph, kind)), kind
    for page in of_kind(graph, "page"):
        assert any(nx.has_path(graph, page, area) for area in of_kind(graph, "vm_area_struct")), "and back, by rmap"
    relations = {relation for *_, relation in graph.edges(data="relation")}
    assert {
        "find_vma", "pgd_offset", "pud_offset", "pmd_offset", "pte_offset_map", "pte_pfn", "pfn_to_page", "page_to_pfn",
        "page_zone", "zone_pgdat", "node_zones", "mapping", "i_mmap", "anon_vma_chain", "swp_entry",
    } <= relations  # fmt: skip


def test_every_arrow_is_true(live: Machine) -> None:
    k, graph = live.kernel, graph_of(live)
    mm = live.tasks[0].record.mm
    for _, vpn in of_kind(graph, "pte"):
        pte = int(get_pte(k, mm, vpn))
        after = {node[0]: node[1] for node in graph.successors(("pte", vpn))}
        assert after == ({"pfn": pte >> PAGE_SHIFT} if pte & 1 else {"swap slot": pte})
        assert ("vaddr", vpn << PAGE_SHIFT) in graph.predecessors(("pte", vpn))
    for _, pfn in of_kind(graph, "page"):
        zone = int(k.section_zone[pfn >> int(k.vm[0].section_shift)])
        assert ("zone", zone) in graph.successors(("page", pfn))
        assert ("pg_data_t", int(k.zones[zone].node)) in graph.successors(("zone", zone))
        assert ("paddr", pfn * PAGE) in graph.successors(("pfn", pfn))
    for _, vaddr in of_kind(graph, "vaddr"):
        (area,) = [node for node in graph.predecessors(("vaddr", vaddr)) if node[0] == "vm_area_struct"]
        assert k.vmas[area[1]].vm_start <= vaddr >> PAGE_SHIFT < k.vmas[area[1]].vm_end


@pytest.mark.parametrize("pages", [1, 2, 7, 30])
def test_it_is_bounded(live: Machine, pages: int) -> None:
    assert len(of_kind(graph_of(live, pages), "vaddr")) == pages
    assert len(of_kind(graph_of(live, pages), "vm_area_struct")) == 3, "areas without pages are shown, too"


def test_a_machine_of_two_levels_has_two(live: Machine) -> None:
    kinds = {kind for kind, _ in graph_of(machine(arch="i386"), 4).nodes}
    assert "pgd" in kinds
    assert not kinds & {"p4d", "pud", "pmd"}


def test_the_picture_has_every_node_and_can_be_written(live: Machine, tmp_path: Path) -> None:
    graph = graph_of(live, 9)
    axes = picture.plot(graph, title="db")
    figure = axes.figure
    drawn = [text.get_text() for text in figure.axes[0].texts]
    assert all(graph.nodes[node]["label"] in drawn for node in graph.nodes)
    assert "pfn_to_page" in drawn
    figure.savefig(tmp_path / "graph.svg")
    assert figure.png()[:4] == b"\x89PNG"
    boxes = [text.get_position() for text in figure.axes[0].texts if text.get_text()]
    assert len(set(boxes)) == len(boxes), "nothing lies on top of something else"


def test_a_task_that_has_ended_has_no_graph() -> None:
    made = small()
    made.add(_short, name="db")
    made.run_until(1_000_000_000)
    with pytest.raises(SimulationError, match="task db has no memory now"):
        graph_of(made)


def _short(task: Any) -> Any:
    yield task.compute("1ms")
