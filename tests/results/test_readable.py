"""Numbers for people."""

import pytest

from numa_sim.results.canonical import canonical_json, seal, seal_is_broken
from numa_sim.results.readable import readable_bytes, readable_count, readable_ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1 µs"),
        (1_234_567, "1.23 ms"),
        (12_340_000_000, "12.3 s"),
        (10**13, "10000 s"),
    ],
)
def test_times(ns, text):
    assert readable_ns(ns) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0"), (12345, "12 345"), (99_999, "99 999"), (123_456, "123 k"), (1_500_000, "1.5 M")]
)
def test_counts(n, text):
    assert readable_count(n) == text


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (100 << 20, "100 MiB"), (1 << 40, "1 TiB")])
def test_sizes(n, text):
    assert readable_bytes(n) == text


def test_canonical_json():
    assert canonical_json({"b": 1, "a": "ä"}) == '{\n  "a": "ä",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": float("nan")})


def test_seals():
    sealed = seal({"a": 1})
    assert not seal_is_broken(sealed)
    assert seal_is_broken({**sealed, "a": 2})
    assert seal_is_broken({"a": 1})
    assert seal_is_broken({**sealed, "a": float("nan")})
