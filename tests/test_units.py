"""Quantities parse and print exactly, and everything inexact is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numa_sim import units

QUANTITIES = st.one_of(st.integers(0, 10**7), st.integers(0, units.LARGEST))


@given(QUANTITIES)
def test_printing_then_parsing_gives_the_same_number(value):
    assert units.parse_bytes(units.format_bytes(value)) == value
    assert units.parse_ns(units.format_ns(value)) == value
    assert units.parse_bandwidth(units.format_bandwidth(value)) == value
    assert units.parse_pages(units.format_pages(value)) == value


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_bytes, "64GiB", 64 * 2**30),
        (units.parse_bytes, "64GB", 64 * 10**9),
        (units.parse_bytes, " 1.5 KiB ", 1536),
        (units.parse_bytes, "0.1kB", 100),
        (units.parse_bytes, "16_384KiB", 2**24),
        (units.parse_bytes, "2TiB", 2**41),
        (units.parse_ns, "120ns", 120),
        (units.parse_ns, "1.5us", 1500),
        (units.parse_ns, "1.5\u00b5s", 1500),
        (units.parse_ns, "0.000000001s", 1),
        (units.parse_ns, "30s", 30 * 10**9),
        (units.parse_ns, "2min", 120 * 10**9),
        (units.parse_bandwidth, "100GB/s", 10**11),
        (units.parse_bandwidth, "1GiB/s", 2**30),
        (units.parse_pages, "300pages", 300),
        (units.parse_pages, "1page", 1),
        (units.parse_pages, "1MiB", 256),
    ],
)
def test_parse(parse, text, value):
    assert parse(text) == value
    assert type(parse(text)) is int


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (units.format_bytes(0), "0B"),
        (units.format_bytes(1000), "1000B"),
        (units.format_bytes(65536), "64KiB"),
        (units.format_bytes(3 << 40), "3TiB"),
        (units.format_ns(0), "0ns"),
        (units.format_ns(999), "999ns"),
        (units.format_ns(1500), "1.5us"),
        (units.format_ns(123_456_789), "123.456789ms"),
        (units.format_ns(90 * 10**9), "90s"),
        (units.format_bandwidth(58_908_900_000), "58.9089GB/s"),
        (units.format_pages(7), "7pages"),
    ],
)
def test_format(printed, text):
    assert printed == text


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (units.parse_bytes, "64G", "write GiB .* or GB"),
        (units.parse_bytes, "64k", "write KiB .* or kB"),
        (units.parse_bandwidth, "64M/s", "write MiB/s .* or MB/s"),
        (units.parse_bytes, "64gib", "did you mean 'GiB'"),
        (units.parse_bytes, "64", "unit is missing"),
        (units.parse_bytes, "64ns", "unknown unit 'ns'"),
        (units.parse_bytes, "0.3B", "not a whole number of B"),
        (units.parse_ns, "0.5ns", "not a whole number of ns"),
        (units.parse_bytes, "-1GiB", "negative"),
        (units.parse_ns, "-0ns", "negative"),
        (units.parse_ns, "nan", "not a number"),
        (units.parse_ns, "infs", "not a number"),
        (units.parse_ns, "1e9ns", "not a number"),
        (units.parse_ns, "", "not a number"),
        (units.parse_ns, "\u0663ns", "not a number"),
        (units.parse_bytes, "9" * 5000 + "B", "not a number"),
        (units.parse_bytes, "8388608TiB", "too large"),
        (units.parse_bandwidth, "10GB", "unknown unit"),
        (units.parse_pages, "5000B", "whole number of pages"),
        (units.parse_pages, "5", "unit is missing"),
    ],
)
def test_parse_refuses(parse, text, says):
    with pytest.raises(ValueError, match=says):
        parse(text)


@pytest.mark.parametrize("value", [True, 1.0, math.nan, np.int64(5), "5", None])
def test_check_refuses_other_types(value):
    for check in (units.check_ns, units.check_bytes, units.check_pages, units.check_bandwidth):
        with pytest.raises(TypeError, match="duration must be a whole number"):
            check(value, "duration")
    with pytest.raises(TypeError):
        units.parse_ns(value) if value != "5" else units.parse_ns(5)


def test_check_range():
    assert units.check_ns(0, "t") == 0
    assert units.check_ns(units.LARGEST, "t") == units.LARGEST
    for bad in (-1, units.LARGEST + 1):
        with pytest.raises(ValueError, match="t must be at"):
            units.check_ns(bad, "t")
    with pytest.raises(ValueError, match="at least 1 B/s"):
        units.check_bandwidth(0, "bandwidth")
