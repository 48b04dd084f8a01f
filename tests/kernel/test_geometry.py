"""How each MMU splits an address, folded levels included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numa_sim.config import Config
from numa_sim.config.machine import MMUS
from numa_sim.errors import ConfigError
from numa_sim.kernel.geometry import GEOMETRIES, LEVELS


def test_the_configuration_knows_every_geometry():
    assert sorted(name for names in MMUS.values() for name in names) == sorted(GEOMETRIES)


def test_an_architecture_has_its_own_mmus():
    nodes = [{"memory": "8MiB", "cpus": "0"}]
    for arch, mmu in (("i386", "x86-64"), ("x86-64", "i386-pae")):
        with pytest.raises(ConfigError, match=rf"machine.mmu: an {arch} machine has no MMU .*allowed: {MMUS[arch][0]}"):
            Config.of(machine={"nodes": nodes, "distances": [[10]], "arch": arch, "mmu": mmu})


@pytest.mark.row("S0-05", "S3-029", "S3-033")
def test_two_levels_of_ten_bits_and_an_offset():
    split = GEOMETRIES["i386"].split
    assert split(0x08048000) == {"pgd": 32, "pte": 72, "offset": 0}
    assert split(0xBFFFFFFF) == {"pgd": 767, "pte": 1023, "offset": 4095}
    assert split(0xC0000000)["pgd"] == 768


@pytest.mark.row("S3-031", "S4-19")
@pytest.mark.parametrize(("name", "shifts", "entries"), [
    ("i386", {"pgd": 22, "pte": 12}, {"pgd": 1024, "pte": 1024}),
    ("i386-pae", {"pgd": 30, "pmd": 21, "pte": 12}, {"pgd": 4, "pmd": 512, "pte": 512}),
    ("alpha", {"pgd": 32, "pmd": 22, "pte": 12}, {"pgd": 1024, "pmd": 1024, "pte": 1024}),
    ("x86-64", {"pgd": 39, "pud": 30, "pmd": 21, "pte": 12}, dict.fromkeys(("pgd", "pud", "pmd", "pte"), 512)),
    ("x86-64-la57", {"pgd": 48, "p4d": 39, "pud": 30, "pmd": 21, "pte": 12}, dict.fromkeys(LEVELS, 512)),
])  # fmt: skip
def test_shifts_and_sizes(name, shifts, entries):
    real = [level for level in GEOMETRIES[name].levels if not level.folded]
    assert {level.name: level.shift for level in real} == shifts
    assert {level.name: level.entries for level in real} == entries
    assert GEOMETRIES[name].tables == len(real)


@pytest.mark.row("S4-20", "S3-032", "S3-104")
@given(st.integers(0, (1 << 57) - 1))
def test_index_functions(address):
    five, four, two = (GEOMETRIES[name] for name in ("x86-64-la57", "x86-64", "i386"))
    for shift, level in zip((48, 39, 30, 21, 12), LEVELS, strict=True):
        assert five.index(level, address) == address >> shift & 511
    for shift, level in zip((39, 30, 21, 12), ("pgd", "pud", "pmd", "pte"), strict=True):
        assert four.index(level, address) == address >> shift & 511
    assert four.index("p4d", address) == 0, "folded: one entry, the one of the level above"
    low = address & 0xFFFFFFFF
    assert two.index("pgd", low) == low >> 22
    assert [two.index(level, low) for level in ("p4d", "pud", "pmd")] == [0, 0, 0]


@given(st.integers(0, (1 << 57) - 1))
def test_the_parts_of_an_address_make_it_up_again(address):
    for geometry in GEOMETRIES.values():
        known = address & ((1 << geometry.address_bits) - 1)
        parts = geometry.split(known)
        shifts = {level.name: level.shift for level in geometry.levels} | {"offset": 0}
        assert sum(part << shifts[name] for name, part in parts.items()) == known


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_compiled_walks_need_two_numbers_only(geometry):
    real = [level.bits for level in geometry.levels if not level.folded]
    assert set(real[1:]) == {geometry.entry_bits}
    assert real[0] <= geometry.entry_bits
    assert geometry.task_size <= 1 << geometry.address_bits


@pytest.mark.row("S3-106")
@given(st.integers(0, 0xFFFFFFFF))
def test_the_offset_arithmetic_of_pte_alloc(address):
    assert (address >> 10) & 4092 == 4 * GEOMETRIES["i386"].index("pte", address)


@pytest.mark.row("S0-06")
def test_the_kernel_quarter():
    assert GEOMETRIES["i386"].kernel_entries == range(768, 1024)
    assert GEOMETRIES["i386-pae"].kernel_entries == range(3, 4)
