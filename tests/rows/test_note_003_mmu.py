"""Note 003 of the acceptance list, rows about addresses and the TLB that no other test shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from kernel.test_pgtable import TASK, boot
from machine.small import finish, small, sweep

from numa_sim.compiled import entry
from numa_sim.kernel import memory, tlb
from numa_sim.kernel.mmap import do_mmap, mm_alloc
from numa_sim.state.answers import FAULT_MINOR

_fault = entry(memory.handle_mm_fault)
_invalidate_page = entry(tlb.invalidate_page)

ROOT = Path(__file__).parents[2]


@pytest.mark.row("S3-035")
def test_a_tlb_holds_as_many_translations_as_it_has_entries() -> None:
    """64 pages, four times over: they fit, or each evicts one that is wanted before it comes again."""
    misses = {}
    for entries in (16, 64):
        machine = small(tlb={"entries": entries, "ways": 4})
        machine.add(sweep(64, times=4))
        finish(machine)
        cpu = machine.kernel.cpus[0]
        misses[entries] = int(cpu.tlb_misses)
        assert cpu.tlb_misses + cpu.tlb_hits == 4 * 64
    assert misses == {16: 4 * 64, 64: 64}


@pytest.mark.row("S3-038")
def test_invlpg_drops_one_entry_and_no_other() -> None:
    machine = small(tlb={"entries": 64, "ways": 4})
    machine.add(sweep(16))
    machine.run_until(1)
    k = machine.kernel
    k.tlb["vpn"][0, :4] = [[1 + at + 16 * way for way in range(4)] for at in range(4)]
    before = k.tlb["vpn"][0].copy()
    _invalidate_page(k, 0, 2 + 16)
    gone = before != k.tlb["vpn"][0]
    assert before[gone].tolist() == [2 + 16 + 1]
    assert k.cpus[0].tlb_invlpg == 1


@pytest.mark.row("S3-039")
def test_the_kernel_never_loads_an_entry() -> None:
    """A page is mapped by a fault: its translation is in the tables, and in no TLB before the access is made again."""
    k = boot("i386")
    mm_alloc(k, TASK)
    do_mmap(k, TASK, 4, 0)
    assert [_fault(k, TASK, vpn, 1) for vpn in range(4)] == [FAULT_MINOR] * 4
    assert not k.tlb["vpn"].any()


@pytest.mark.row("S3-049", "S3-040")
def test_only_what_is_about_segments_knows_them() -> None:
    knows = set()
    for path in (ROOT / "numa_sim").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in (
                "numa_sim.hardware.segments", "numa_sim.kernel.desc", "numa_sim.workloads.segments",
            ):  # fmt: skip
                knows.add(path.stem)
    assert knows <= {
        "segments",
        "segment_stage",
        "walk",
        "children",  # fork asks for room in the GDT
        "program",  # the operations
    }


@pytest.mark.row("S3-018", "S3-049")
def test_the_page_about_addresses_says_what_is_left_out() -> None:
    page = " ".join((ROOT / "docs" / "model" / "mmu.md").read_text().split())
    assert "I/O addresses, the fourth kind beside logical, linear and physical ones, are out of scope" in page
    assert "Linux uses as little of them as it can" in page
