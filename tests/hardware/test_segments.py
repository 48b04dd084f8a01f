"""Segments: selectors, descriptors, the tables Linux fills, and what is checked before paging."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numa_sim.errors import SimulationError
from numa_sim.hardware.segments import Descriptor, DescriptorTables, SegmentFault, Selector
from numa_sim.kernel import desc
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0, KERNEL_2_4_37


@pytest.mark.row("S0-02", "S3-045", "S3-046")
@pytest.mark.parametrize(("value", "index", "in_ldt", "rpl"), [
    (0x10, 2, False, 0), (0x18, 3, False, 0), (0x23, 4, False, 3), (0x2B, 5, False, 3),
    (0x07, 0, True, 3), (0x0F, 1, True, 3),
])  # fmt: skip
def test_selectors(value, index, in_ldt, rpl):
    assert Selector.decode(value) == Selector(index, in_ldt, rpl)
    assert Selector(index, in_ldt, rpl).encode() == value


@given(st.integers(0, 0xFFFF))
def test_every_selector_comes_back(value):
    assert Selector.decode(value).encode() == value


@pytest.mark.row("S3-044")
def test_the_flat_user_code_descriptor():
    flat = Descriptor.decode(0x00CFFA000000FFFF)
    assert flat == Descriptor(base=0, limit=(4 << 30) - 1, dpl=3, code=True, writable=False)
    assert flat.encode() == 0x00CFFA000000FFFF
    assert [hex(d >> 40 & 0xFF) for d in desc.gdt()[2:6]] == ["0x9a", "0x92", "0xfa", "0xf2"]


@given(
    base=st.integers(0, (1 << 32) - 1), limit=st.integers(0, (1 << 20) - 1), pages=st.booleans(),
    dpl=st.integers(0, 3), code=st.booleans(), permission=st.booleans(), present=st.booleans(),
)  # fmt: skip
def test_every_descriptor_comes_back(base, limit, pages, dpl, code, permission, present):
    limit = limit << 12 | 0xFFF if pages else limit
    segment = Descriptor(base, limit, dpl, code, permission and not code, permission or not code, present)
    assert Descriptor.decode(segment.encode()) == segment
    assert segment.encode() < 1 << 64


def test_a_limit_above_a_megabyte_ends_with_a_page():
    with pytest.raises(SimulationError, match="ends with a page"):
        Descriptor(0, (1 << 20) + 1, 3, False, True).encode()


@pytest.mark.row("S0-04", "S3-023")
@given(st.integers(0, (1 << 32) - 1))
def test_in_flat_segments_the_logical_address_is_the_linear_one(address):
    tables = DescriptorTables(desc.default_ldt())
    for selector in (desc.USER_CS, desc.USER_DS, desc.LDT_USER_CS, desc.LDT_USER_DS):
        assert tables.linear(selector, address) == address
    for selector in (desc.KERNEL_CS, desc.KERNEL_DS):
        assert tables.linear(selector, address, cpl=0) == address


@pytest.mark.row("S0-03", "S0-04", "S3-041", "S3-043")
def test_a_segment_of_the_ldt_shifts_addresses_and_has_an_end():
    base, limit = 0x08048000, 0x1FFF
    tables = DescriptorTables([*desc.default_ldt(), Descriptor(base, limit, 3, False, True).encode()])
    own = Selector(2, True, 3).encode()
    assert tables.linear(own, 0x123, write=True) == base + 0x123
    assert tables.linear(own, limit - 3, size=4) == base + limit - 3
    for offset, size in ((limit + 1, 1), (limit - 2, 4)):
        with pytest.raises(SegmentFault, match="beyond the limit 0x1fff"):
            tables.linear(own, offset, size=size)
    # TI = 0 looks in the other table: entry 2 there is the kernel's code.
    with pytest.raises(SegmentFault, match="privilege"):
        tables.linear(own & ~4, 0x123)
    with pytest.raises(SegmentFault, match="no entry 2 in the LDT"):
        DescriptorTables(desc.default_ldt()).linear(own, 0x123)


def test_what_a_segment_forbids():
    tables = DescriptorTables(desc.default_ldt())
    with pytest.raises(SegmentFault, match="null selector"):
        tables.linear(3, 0)
    with pytest.raises(SegmentFault, match="privilege 0"):
        tables.linear(desc.KERNEL_DS, 0)
    with pytest.raises(SegmentFault, match="not writable"):
        tables.linear(desc.USER_CS, 0, write=True)
    with pytest.raises(SegmentFault, match="no entry 6 in the GDT"):
        tables.linear(0x33, 0)
    unreadable = DescriptorTables([Descriptor(0, 0xFFF, 3, True, False, readable=False).encode()])
    with pytest.raises(SegmentFault, match="not readable"):
        unreadable.linear(desc.LDT_USER_CS, 0)


@pytest.mark.row("S3-047", "S3-048")
def test_each_task_of_2_2_takes_two_entries_so_4090_fit():
    assert [desc.tss_entry(KERNEL_2_2, n) for n in (0, 1, 4089)] == [12, 14, 8190]
    assert desc.ldt_entry(KERNEL_2_2, 4089) == desc.GDT_ENTRIES - 1
    assert desc.gdt_room(KERNEL_2_2, 4089, 1)
    assert not desc.gdt_room(KERNEL_2_2, 4090, 1)
    assert [desc.tss_entry(KERNEL_2_4_0, n) for n in (0, 1)] == [12, 16]
    assert desc.max_tasks(KERNEL_2_4_0) is None
    assert desc.gdt_room(KERNEL_2_4_37, 100_000, 32)
