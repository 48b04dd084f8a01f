"""Walks through page tables: every level named, folded ones too, and where and why one stops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from kernel.test_pgtable import TASK, boot

from numa_sim.compiled import entry
from numa_sim.hardware.segments import Descriptor
from numa_sim.kernel import desc, memory, pgtable
from numa_sim.kernel.geometry import GEOMETRIES, LEVELS
from numa_sim.kernel.mmap import do_mmap, mm_alloc
from numa_sim.observe.walk import translate, walk
from numa_sim.state.answers import FAULT_MINOR
from numa_sim.state.constants import NIL, PROT_NONE
from numa_sim.state.kernel import Kernel

_fault = entry(memory.handle_mm_fault)
_get_pte = entry(pgtable.get_pte)
_leaf_row = entry(pgtable.leaf_row)


def with_pages(mmu: str, vpns: list[int]) -> tuple[Kernel, int]:
    """A machine with an address space of these pages, all written to."""
    k = boot(mmu)
    mm = mm_alloc(k, TASK)
    for vpn in vpns:
        assert do_mmap(k, TASK, 1, vpn) == vpn
        assert _fault(k, TASK, vpn, 1) == FAULT_MINOR
    return k, mm


@pytest.mark.row("S3-029", "S3-030", "S3-032", "S4-19", "S4-20", "S4-21")
@pytest.mark.parametrize("mmu", GEOMETRIES)
def test_the_generic_walk_comes_to_what_the_compiled_one_finds(mmu: str) -> None:
    top = GEOMETRIES[mmu].task_size >> 12
    vpns = sorted({int(vpn) for vpn in np.random.default_rng(3).integers(0, top - 1, 12)} | {0, top - 3})
    k, mm = with_pages(mmu, vpns)
    for vpn in vpns:
        found = walk(k, mm, (vpn << 12) + 0x123)
        assert [step.level for step in found.steps] == list(LEVELS)
        assert {step.level for step in found.steps if step.folded} == {
            level.name for level in GEOMETRIES[mmu].levels if level.folded
        }
        pte = int(_get_pte(k, mm, vpn))
        assert found.steps[-1].entry == pte
        assert found.paddr == (pte >> 12 << 12) + 0x123
        assert found.stopped == ""
        # An entry holds the physical address of the next table: the next entry lies in that page.
        real = [step for step in found.steps if not step.folded]
        for upper, lower in pairwise(real):
            assert upper.entry >> 12 == lower.entry_paddr >> 12
        for upper, lower in pairwise(found.steps):
            assert not lower.folded or lower.entry == upper.entry, "folded: the entry of the level above"


@pytest.mark.row("S4-19", "S3-025")
@pytest.mark.parametrize(("mmu", "level"), [
    (mmu, level.name) for mmu, geometry in GEOMETRIES.items() for level in geometry.levels if not level.folded
])  # fmt: skip
def test_a_missing_level_is_reported(mmu: str, level: str) -> None:
    """Beside a mapped page: an address whose tables are shared down to `level`, which has no entry for it."""
    k, mm = with_pages(mmu, [0])
    shift = next(each.shift for each in GEOMETRIES[mmu].levels if each.name == level)
    found = walk(k, mm, 1 << shift)
    assert found.stopped == f"{level} is none: not mapped"
    assert found.paddr is None
    assert found.steps[-1].level == level


def test_why_a_walk_stops() -> None:
    k, mm = with_pages("i386", [0x8048, 0x8049])
    row = int(_leaf_row(k, mm, 0x8048))
    pte = int(k.tables[row, 72])
    k.tables[row, 72] = pte & ~0xFFF | PROT_NONE
    assert walk(k, mm, 0x08048000).stopped == "pte allows no access (PROTNONE)"
    k.tables[row, 72] = 0x123406
    assert walk(k, mm, 0x08048000).stopped == "pte names slot 4660 of swap area 3"
    k.tables[k.mms[mm].pgd, 32] = 0xB0D
    assert walk(k, mm, 0x08048000).stopped == "pgd is bad: 0xb0d"
    k.mms[mm].pgd = NIL
    assert walk(k, mm, 0).stopped == "there are no page tables"


@pytest.mark.row("S0-07")
def test_kernel_addresses_of_low_memory() -> None:
    k, mm = with_pages("i386", [0])
    for space in (0, mm):
        assert walk(k, space, 0xC0123456).paddr == 0x123456
    assert "PSE GLOBAL" in str(walk(k, 0, 0xC0123456))


@pytest.mark.row("S3-017", "S3-023", "S3-040", "S3-042", "S0-04")
def test_a_translation_shows_all_three_addresses() -> None:
    k, mm = with_pages("i386", [0x8048])
    frame = int(_get_pte(k, mm, 0x8048)) >> 12 << 12
    flat = translate(k, mm, desc.USER_DS, 0x08048123)
    assert flat.walk is not None
    assert (flat.offset, flat.walk.address, flat.walk.paddr) == (0x08048123, 0x08048123, frame + 0x123)
    assert flat.walk == walk(k, mm, 0x08048123), "a flat segment does nothing"
    ldt = [*desc.default_ldt(), Descriptor(0x08048000, 0xFFF, 3, False, True).encode()]
    own = translate(k, mm, 0x17, 0x123, ldt)
    assert own.walk is not None
    assert (own.offset, own.walk.address, own.walk.paddr) == (0x123, 0x08048123, frame + 0x123)
    text = str(own).splitlines()
    assert text[0] == "logical 0x0017:0x123"
    assert text[1] == "linear 0x8048123"
    assert text[2].startswith("  pgd[32] at ")
    assert text[3:6] == ["  p4d folded", "  pud folded", "  pmd folded"]
    assert text[6].startswith("  pte[72] at ")
    assert text[-1] == f"physical {frame + 0x123:#x}"
    # Not mapped, and beyond the segment: what the segment forbids comes first.
    both = translate(k, mm, 0x17, 0x2000, ldt)
    assert both.walk is None
    assert str(both).splitlines() == ["logical 0x0017:0x2000", "stops: beyond the limit 0xfff (LDT)"]
    assert "pte is none" in str(translate(k, mm, desc.USER_DS, 0x0804A000))
