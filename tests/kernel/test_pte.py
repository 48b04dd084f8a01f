"""Page-table entries bit by bit, and what the sixteen combinations of protection become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel import pte as pte_module
from numa_sim.kernel.pte import (
    CODECS,
    FLAG_NAMES,
    PROTECTION_MAP,
    Protection,
    SwapSlot,
    hardware_present,
    pte_none,
    pte_present,
)
from numa_sim.state import constants
from numa_sim.state.constants import VM_EXEC, VM_READ, VM_SHARED, VM_WRITE

protection = entry(pte_module.protection)


@pytest.mark.row("S0-08", "S0-09", "S4-24")
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(data=st.data())
def test_frame_and_flags_come_back_and_leave_each_other_alone(codec, data):
    pfn = data.draw(st.integers(0, (1 << codec.frame_bits) - 1))
    flags = data.draw(st.integers(0, 0xFFF))
    if codec.no_execute and data.draw(st.booleans()):
        flags |= codec.NX
    pte = codec.mk_pte(pfn, flags)
    assert codec.pte_pfn(pte) == pfn
    assert codec.pte_protection(pte) == Protection(flags)
    assert pte < 1 << 8 * codec.entry_bytes
    assert codec.executable(pte) == (flags < 1 << 12)


@pytest.mark.row("S0-08")
def test_the_entry_of_frame_1234_shared():
    assert CODECS["i386"].mk_pte(0x1234, constants.PROT_SHARED) == 0x01234027
    assert CODECS["i386"].mk_pte(0x1234, constants.PROT_SHARED | constants.PTE_DIRTY) == 0x01234067


@pytest.mark.row("S0-09")
@pytest.mark.parametrize(("name", "pfn", "flags"), [
    ("i386", 1 << 20, 0), ("i386-pae", 1 << 24, 0), ("x86-64", 1 << 40, 0), ("i386", -1, 0),
    ("i386", 1, 0x1000), ("i386-pae", 1, 1 << 63), ("x86-64", 1, 1 << 52),
])  # fmt: skip
def test_what_does_not_fit_is_refused(name, pfn, flags):
    with pytest.raises(SimulationError, match=f"{name}: no entry for frame"):
        CODECS[name].mk_pte(pfn, flags)


@pytest.mark.row("S3-071", "S3-074", "S3-075", "S3-079", "S3-013")
def test_every_bit_has_its_name():
    assert [(bit, name) for bit, name in FLAG_NAMES] == [
        (0x001, "PRESENT"), (0x002, "RW"), (0x004, "USER"), (0x008, "PWT"), (0x010, "PCD"),
        (0x020, "ACCESSED"), (0x040, "DIRTY"), (0x080, "PSE"), (0x100, "GLOBAL"),
    ]  # fmt: skip
    assert str(Protection(constants.PROT_SHARED)) == "PRESENT RW USER ACCESSED"
    assert str(Protection(constants.PROT_KERNEL | constants.PTE_GLOBAL)) == "PRESENT RW ACCESSED DIRTY GLOBAL"
    assert str(Protection(constants.PROT_NONE)) == "PROTNONE ACCESSED"
    assert str(Protection(0)) == "not present"


@pytest.mark.row("S3-080")
def test_the_combined_protections():
    assert constants.PROT_NONE == 0xA0
    assert constants.PROT_READONLY == constants.PROT_COPY == 0x25
    assert constants.PROT_SHARED == 0x27
    assert constants.PROT_KERNEL == constants.PTE_KERNEL_TABLE == 0x63
    assert constants.PTE_TABLE == 0x67
    for value in (constants.PROT_NONE, constants.PROT_READONLY, constants.PROT_SHARED):
        assert value & constants.PTE_ACCESSED, "a fresh entry is young"


@pytest.mark.row("S0-10", "S3-072", "S3-034")
def test_all_sixteen_protections():
    for flags in range(16):
        shared, write, some = flags & VM_SHARED, flags & VM_WRITE, flags & (VM_READ | VM_WRITE | VM_EXEC)
        if not some:
            expected = 0xA0
        elif write and shared:
            expected = 0x27
        else:
            expected = 0x25
        assert PROTECTION_MAP[flags] == protection(flags) == protection(flags | 0x2000) == expected
    assert protection(VM_WRITE | VM_SHARED) & constants.PTE_PRESENT, "what may be written may be read"
    assert not protection(VM_READ | VM_WRITE) & constants.PTE_RW, "a private page comes write-protected"


@pytest.mark.row("S3-078")
def test_an_entry_of_no_access_has_a_page_for_the_kernel_but_not_for_the_hardware():
    pte = CODECS["i386"].mk_pte(0x1234, constants.PROT_NONE)
    assert pte_present(pte)
    assert not hardware_present(pte)
    assert CODECS["i386"].pte_pfn(pte) == 0x1234


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(data=st.data())
def test_swap_slots_come_back_and_are_never_taken_for_pages(codec, data):
    slot = SwapSlot(data.draw(st.integers(0, 0x3F)), data.draw(st.integers(1, (1 << 24) - 1)))
    pte = codec.swp_entry_to_pte(slot)
    assert codec.pte_to_swp_entry(pte) == slot
    assert not pte_present(pte)
    assert not pte_none(pte)


def test_the_slot_1234_of_area_3():
    assert CODECS["i386"].swp_entry_to_pte(SwapSlot(3, 0x1234)) == 0x123406
    for slot in (SwapSlot(64, 1), SwapSlot(0, 1 << 24), SwapSlot(0, -1)):
        with pytest.raises(SimulationError, match="no entry for slot"):
            CODECS["i386"].swp_entry_to_pte(slot)
