"""Access patterns against closed forms, and the rules every source keeps."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from numa_sim.compiled import COMPILED
from numa_sim.errors import ConfigError
from numa_sim.workloads.patterns import (
    Binding,
    from_arrays,
    from_generator,
    mix,
    none,
    phases,
    pointer_chase,
    sequential,
    strided,
    uniform,
    zipf,
)
from numa_sim.workloads.patterns.source import new_accesses
from numa_sim.workloads.patterns.spread import bits_for, spread
from numa_sim.workloads.streams import stream

START = 0x1000
PATTERNS = {
    "sequential": sequential(),
    "strided": strided(7),
    "uniform": uniform(),
    "zipf": zipf(0.99),
    "zipf one": zipf(1.0, scramble=False),
    "zipf steep": zipf(2.5),
    "pointer_chase": pointer_chase(),
    "phases": phases([(sequential(), 13), (zipf(0.7), 29), (uniform(), 5)]),
    "mix": mix([(1, sequential()), (2.5, zipf(1.2)), (0.5, phases([(uniform(), 3), (pointer_chase(), 2)]))]),
}
SAMPLES = 100_000 if COMPILED else 5_000
P_LEAST = 1e-4
"""Seeds are fixed: a test below this is wrong, not unlucky."""


def bound(pattern, pages=100, accesses=None, write=0.0, lines=1, compute_ns=0, seed=1, name="touch"):
    return pattern.bind(Binding(START, pages, accesses, write, lines, compute_ns, stream(seed, name)))


def drain(source, batch=4096):
    buffer = new_accesses(batch)
    parts = []
    while n := source.fill(buffer):
        parts.append(buffer[:n].copy())
    return np.concatenate(parts) if parts else new_accesses(0)


def pages_of(pattern, **kwargs):
    return drain(bound(pattern, **kwargs))["vpn"] - START


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("write", [0.0, 0.3, 1.0])
def test_count_bounds_and_fields(name, write):
    source = bound(PATTERNS[name], pages=50, accesses=9_001 if COMPILED else 1_001, write=write, lines=9, compute_ns=77)
    got = drain(source, 1000)
    assert len(got) == source.given == (9_001 if COMPILED else 1_001)
    assert source.fill(new_accesses(10)) == 0
    assert got["vpn"].min() >= START
    assert got["vpn"].max() < START + 50
    assert set(got["lines"].tolist()) == {9}
    assert set(got["compute_ns"].tolist()) == {77}
    low, high = stats.binom.interval(1 - P_LEAST, len(got), write)
    assert low <= got["write"].sum() <= high


@pytest.mark.parametrize("name", PATTERNS)
def test_one_page(name):
    assert set(pages_of(PATTERNS[name], pages=1, accesses=300).tolist()) == {0}


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=10, deadline=None)
@given(batches=st.lists(st.integers(1, 700), min_size=1, max_size=8), write=st.sampled_from([0.0, 0.4]))
def test_batches_do_not_matter(name, batches, write):
    whole = drain(bound(PATTERNS[name], pages=37, accesses=1500, write=write))
    source = bound(PATTERNS[name], pages=37, accesses=1500, write=write)
    parts = []
    i = 0
    while True:
        buffer = new_accesses(batches[i % len(batches)])
        n = source.fill(buffer)
        if n == 0:
            break
        parts.append(buffer[:n])
        i += 1
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_sequential_and_strided():
    assert pages_of(sequential(), pages=5, accesses=12).tolist() == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert pages_of(strided(3), pages=7, accesses=9).tolist() == [0, 3, 6, 2, 5, 1, 4, 0, 3]
    assert pages_of(strided(15), pages=7, accesses=3).tolist() == [0, 1, 2]
    assert len(pages_of(sequential(), pages=5)) == 5
    assert len(pages_of(strided(3), pages=7)) == 3


def test_uniform_is_uniform_and_independent():
    pages = pages_of(uniform(), pages=64, accesses=SAMPLES)
    assert stats.chisquare(np.bincount(pages, minlength=64)).pvalue > P_LEAST
    pairs = np.bincount(pages[:-1] // 8 * 8 + pages[1:] // 8, minlength=64)
    assert stats.chisquare(pairs).pvalue > P_LEAST


def test_uniform_writes_do_not_depend_on_the_page():
    got = drain(bound(uniform(), pages=16, accesses=SAMPLES, write=0.25))
    table = np.array([np.bincount(got["vpn"][got["write"] == w] - START, minlength=16) for w in (0, 1)])
    assert stats.chi2_contingency(table).pvalue > P_LEAST


@pytest.mark.parametrize("s", [0.2, 0.99, 1.0, 1.0 + 1e-10, 1.5, 4.0])
@pytest.mark.parametrize("pages", [2, 3, 200])
def test_zipf_has_the_zipf_distribution(s, pages):
    got = pages_of(zipf(s, scramble=False), pages=pages, accesses=SAMPLES)
    expected = np.arange(1, pages + 1, dtype=float) ** -s
    expected *= SAMPLES / expected.sum()
    observed = np.bincount(got, minlength=pages).astype(float)
    while len(expected) > 2 and expected[-1] < 10:  # pool what is rare
        expected[-2] += expected[-1]
        observed[-2] += observed[-1]
        expected, observed = expected[:-1], observed[:-1]
    if expected.min() >= 5:
        assert stats.chisquare(observed, expected).pvalue > P_LEAST


def test_zipf_over_a_terabyte():
    pages = 1 << 28
    got = pages_of(zipf(0.9, scramble=False), pages=pages, accesses=SAMPLES)
    share = (np.log2(got + 1.0) < 14).mean()
    area = [(n**0.1 - 1) / 0.1 + 0.5 for n in (2.0**14, float(pages))]  # Euler-Maclaurin, good to 1e-3
    assert share == pytest.approx(area[0] / area[1], abs=4 * (0.25 / SAMPLES) ** 0.5 + 0.01)


def test_zipf_scramble_is_a_fixed_bijection():
    straight = pages_of(zipf(1.1, scramble=False), pages=300, accesses=SAMPLES)
    spread_out = pages_of(zipf(1.1), pages=300, accesses=SAMPLES)
    seen = dict(zip(straight.tolist(), spread_out.tolist(), strict=True))
    assert [seen[p] for p in straight.tolist()] == spread_out.tolist()
    assert len(set(seen.values())) == len(seen)
    assert sum(a == b for a, b in seen.items()) < len(seen) // 4
    other = pages_of(zipf(1.1), pages=300, accesses=SAMPLES, seed=2)
    assert np.bincount(other).argmax() == np.bincount(spread_out).argmax()


@settings(max_examples=60, deadline=None)
@given(pages=st.integers(1, 600), key=st.integers(0, 2**20))
def test_spread_is_a_bijection(pages, key):
    bits = bits_for(pages)
    assert sorted(spread(i, pages, bits, key) for i in range(pages)) == list(range(pages))


def test_pointer_chase_is_one_cycle_that_looks_random():
    pages = pages_of(pointer_chase(), pages=1000, accesses=3000)
    assert sorted(pages[:1000].tolist()) == list(range(1000))
    assert pages[:1000].tolist() == pages[1000:2000].tolist() == pages[2000:].tolist()
    steps = np.abs(np.diff(pages[:1000]))
    assert steps.mean() == pytest.approx(1000 / 3, rel=0.1)
    assert pages_of(pointer_chase(), pages=1000, seed=2).tolist() != pages[:1000].tolist()


def test_phases_go_on_where_they_stopped():
    got = pages_of(phases([(sequential(), 3), (strided(2), 2)]), pages=10, accesses=11)
    assert got.tolist() == [0, 1, 2, 0, 2, 3, 4, 5, 4, 6, 6]
    assert len(pages_of(phases([(sequential(), 3), (none(), 2)]), pages=10, accesses=7)) == 7
    assert len(pages_of(phases([(none(), 3), (none(), 2)]), pages=10, accesses=7)) == 0
    assert len(pages_of(phases([(uniform(), 3), (uniform(), 4)]))) == 7


def test_mix_takes_each_part_by_weight_and_in_order():
    parts = [(1, from_arrays(np.zeros(SAMPLES, int), lines=2)), (3, strided(3)), (0, uniform())]
    got = drain(bound(mix(parts), pages=99, accesses=SAMPLES // 2))
    first = got["lines"] == 2
    low, high = stats.binom.interval(1 - P_LEAST, len(got), 0.25)
    assert low <= first.sum() <= high
    assert ((got["vpn"][~first] - START) == np.arange(len(got) - first.sum()) * 3 % 99).all()


def test_mix_ends_with_a_part():
    got = drain(bound(mix([(1, from_arrays([7, 8, 9], lines=2)), (1, sequential())]), pages=50, accesses=50))
    assert (got["vpn"][got["lines"] == 2] - START).tolist() == [7, 8, 9]
    assert (got["vpn"][got["lines"] == 1] - START).tolist() == list(range(len(got) - 3))
    assert len(got) < 50


def test_none_gives_nothing():
    assert bound(none(), accesses=100).fill(new_accesses(10)) == 0


def test_from_arrays():
    got = drain(bound(from_arrays([3, 1, 2], [1, 0, 1], [5, 6, 7], 9), pages=4), 2)
    assert got.tolist() == [(START + 3, 9, 5, 1), (START + 1, 9, 6, 0), (START + 2, 9, 7, 1)]
    assert drain(bound(from_arrays([3, 1, 2]), accesses=2, write=1.0, lines=4))["lines"].tolist() == [4, 4]
    assert len(drain(bound(from_arrays([]), accesses=5))) == 0


def test_from_generator():
    def walk(rng):
        yield 5
        yield (2, 1, 3)
        yield (int(rng.integers(9, 10)), 0, 64)

    got = drain(bound(from_generator(walk), lines=2, compute_ns=4), 2)
    assert got.tolist() == [(START + 5, 4, 2, 0), (START + 2, 4, 3, 1), (START + 9, 4, 64, 0)]

    def endless(rng):
        while True:
            yield 1

    assert len(drain(bound(from_generator(endless), accesses=10), 3)) == 10


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: zipf(0),
        lambda: zipf(float("nan")),
        lambda: strided(0),
        lambda: phases([]),
        lambda: phases([(uniform(), 0)]),
        lambda: mix([]),
        lambda: mix([(-1, uniform())]),
        lambda: mix([(0, uniform())]),
        lambda: bound(uniform(), pages=0),
        lambda: bound(uniform(), accesses=-1),
        lambda: bound(uniform(), write=1.5),
        lambda: bound(uniform(), lines=65),
        lambda: bound(uniform(), compute_ns=2**31),
        lambda: bound(pointer_chase(), pages=2**33),
        lambda: bound(from_arrays([4]), pages=4),
        lambda: bound(from_arrays([0.5])),
        lambda: bound(from_arrays([1, 2], lines=[1])),
        lambda: bound(from_arrays([1], writes=2)),
        lambda: drain(bound(from_generator(lambda rng: [100]))),
        lambda: drain(bound(from_generator(lambda rng: [(1, 0, 65)]))),
    ],
)
def test_wrong_arguments_are_config_errors(wrong):
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert caught.value.allowed


def digest():
    """Digest of what every pattern gives."""
    total = hashlib.sha256()
    for name, pattern in PATTERNS.items():
        for write in (0.0, 0.3):
            total.update(drain(bound(pattern, pages=333, accesses=700, write=write, name=name)).tobytes())
    return total.hexdigest()


def test_plain_python_and_compiled_give_the_same_bytes():
    code = "import sys; sys.path[:0] = sys.argv[1:]; import test_patterns; print(test_patterns.digest())"
    env = os.environ | {"NUMBA_DISABLE_JIT": "1" if COMPILED else "0"}
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(folder.parents[1])],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest()
