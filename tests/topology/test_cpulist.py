"""CPU lists and masks, as Linux and hwloc print them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numa_sim.topology.cpulist import format_list, parse_list, parse_mask


@given(st.sets(st.integers(0, 300)))
def test_lists_round_trip(numbers):
    assert parse_list(format_list(numbers)) == tuple(sorted(numbers))


@given(st.sets(st.integers(0, 300)))
def test_masks_of_many_words(numbers):
    value = sum(1 << n for n in numbers)
    words = [f"0x{value >> 32 * i & 0xFFFFFFFF:08x}" for i in reversed(range(10))]
    assert parse_mask(",".join(words)) == tuple(sorted(numbers))
    assert parse_mask(",".join("" if int(w, 16) == 0 else w for w in words)) == tuple(sorted(numbers))


def test_forms():
    assert format_list((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"
    assert parse_list("\n") == ()
    assert parse_mask("00000000,0000000f\n") == (0, 1, 2, 3)


@pytest.mark.parametrize("text", ["a", "3-1", "1,1", "0-3,2", "1,,2", "-1", "0-99999", "1 2", "\u0661"])
def test_bad_lists(text):
    with pytest.raises(ValueError, match=r"."):
        parse_list(text)


@pytest.mark.parametrize("text", ["0xf...f", "xyz", "0x123456789", ",".join(["0x1"] * 3000)])
def test_bad_masks(text):
    with pytest.raises(ValueError, match=r"."):
        parse_mask(text)
