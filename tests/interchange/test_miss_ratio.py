"""Miss-ratio curves against independent models, against published counts, and by the definitions of libCacheSim."""

from __future__ import annotations

import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numa_sim import miss_ratio_curve
from numa_sim.cli.app import main
from numa_sim.errors import ConfigError, TraceFormatError
from numa_sim.policies import PageTrace

TRACES = Path(__file__).parents[2] / "configs" / "traces"


def misses_by_the_book(pages: list[int], size: int, policy: str) -> int:
    """A cache of `size` objects of equal size, by the rules of libCacheSim's LRU, FIFO and Clock (n-bit-counter=1).

    Looked up in LRU.c, FIFO.c and Clock.c of its source at commit 0da6555, and written anew.  A request that is not in
    the cache misses; if the cache is full, one object is evicted from the tail; the new one is put at the head with
    counter 0.  LRU: a hit moves to the head.  CLOCK: a hit sets the counter to 1, and at the tail an object of counter
    1 is put at the head with counter 0 instead of being evicted.
    """
    cache: OrderedDict[int, int] = OrderedDict()  # tail first
    misses = 0
    for page in pages:
        if page in cache:
            if policy == "lru":
                cache.move_to_end(page)
            cache[page] = 1
            continue
        misses += 1
        if len(cache) == size:
            victim, counter = cache.popitem(last=False)
            while policy == "clock" and counter:
                cache[victim] = 0
                victim, counter = cache.popitem(last=False)
        cache[page] = 0
    return misses


@settings(deadline=None, max_examples=120)
@given(pages=st.lists(st.integers(0, 14), min_size=1, max_size=120), policy=st.sampled_from(["lru", "fifo", "clock"]))
def test_every_size_misses_as_often_as_a_cache_by_the_book(pages: list[int], policy: str) -> None:
    curve = miss_ratio_curve(pages, sizes=list(range(1, 17)), policy=policy)
    assert curve.misses.tolist() == [misses_by_the_book(pages, size, policy) for size in range(1, 17)]
    assert curve.requests == len(pages)
    assert curve.misses[-1] == curve.working_set == len(set(pages))


# Faults at 10, 25 and 50 % of the pages: counted by those who recorded the traces, with array models of their own.
PUBLISHED = {"lru": (19957, 18747, 16923), "clock": (19937, 18809, 16897)}


@pytest.mark.parametrize("policy", PUBLISHED)
def test_the_published_counts_of_a_recorded_program(policy: str) -> None:
    curve = miss_ratio_curve(TRACES / "sqlite-query.npz", [0.1, "0.25", 0.5], policy)
    assert curve.working_set == 14128
    assert curve.requests == 343333
    assert curve.sizes.tolist() == [1412, 3532, 7064]
    assert tuple(curve.misses.tolist()) == PUBLISHED[policy]


def test_lru_in_one_pass_gives_the_published_counts_of_two_million_requests() -> None:
    curve = miss_ratio_curve(TRACES / "graph-bfs-pagerank.npz", [0.1, 0.25, 0.5, 1.0])
    assert curve.misses.tolist() == [487753, 183023, 45004, 1914]


def test_lru_never_misses_more_in_more_memory_but_fifo_may() -> None:
    """Belady's anomaly: the reference string of Belady, Nelson and Shedler (1969) misses 9 and 10 times."""
    string = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5]
    assert miss_ratio_curve(string, [3, 4], "fifo").misses.tolist() == [9, 10]
    assert miss_ratio_curve(string, [3, 4], "lru").misses.tolist() == [10, 8]
    pages = np.random.default_rng(1).zipf(1.3, 20_000) % 500
    assert (np.diff(miss_ratio_curve(pages, list(range(1, 400))).misses) <= 0).all()


def test_every_first_request_counts_and_so_do_all_requests() -> None:
    curve = miss_ratio_curve(np.arange(100), [1, 100], "fifo")
    assert curve.miss_ratio.tolist() == [1.0, 1.0]
    assert miss_ratio_curve([7] * 10, [1]).miss_ratio.tolist() == [0.1]


def test_sizes_are_pages_bytes_or_shares_of_the_working_set() -> None:
    pages = np.arange(1000) % 200
    curve = miss_ratio_curve(pages, [0.33, "64KiB", 150, "150", "0.5", "1.0"])
    assert curve.sizes.tolist() == [16, 66, 100, 150, 200]
    assert miss_ratio_curve(pages).sizes.tolist() == list(range(10, 201, 10))


@pytest.mark.parametrize(
    "size", [0, -1, 0.0, 1.5, "x", "", "5 parsecs", "1KiB", float("nan"), "inf", True, None, 10**30]
)
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        miss_ratio_curve([1, 2], [5, size])
    assert refused.value.path == "sizes.1"
    assert "fraction of the working set" in str(refused.value)


def test_an_unknown_policy_is_refused_with_near_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'clock'"):
        miss_ratio_curve([1], policy="clok")


def test_a_trace_without_requests_has_a_curve_of_zeros() -> None:
    curve = miss_ratio_curve([], [4])
    assert (curve.requests, curve.misses.tolist(), curve.miss_ratio.tolist()) == (0, [0], [0.0])


def test_the_table_has_units_and_the_text_the_same_rows() -> None:
    curve = miss_ratio_curve([1, 2, 3, 1, 2, 3], [2, 3])
    table = curve.table
    assert table.column_names == [
        "policy", "size_pages", "size_bytes", "fraction", "requests", "misses", "miss_ratio",
    ]  # fmt: skip
    assert table.schema.field("size_bytes").metadata[b"unit"] == b"bytes"
    assert curve.to_csv().splitlines()[1:] == ["lru,2,8192,0.666667,6,6,1.000000", "lru,3,12288,1.000000,6,3,0.500000"]
    assert "1.0000 at 2 pages, 0.5000 at 3, 6 requests" in repr(curve)


def test_the_curve_draws_itself() -> None:
    curve = miss_ratio_curve(np.arange(40) % 20, [5, 10, 20], "fifo")
    (line,) = curve.plot().get_lines()
    assert line.get_xdata().tolist() == [5, 10, 20]
    assert list(line.get_ydata()) == [100, 100, 50]


def test_a_trace_of_libcachesim_gives_its_curve(tmp_path: Path) -> None:
    """Requests of an oracleGeneral file, whose object numbers are no addresses."""
    objects = (np.random.default_rng(4).zipf(1.2, 3000) % 97 * 10**12).tolist()
    file = tmp_path / "trace.oracleGeneral"
    file.write_bytes(b"".join(struct.pack("<IQIq", i, each, 100, -1) for i, each in enumerate(objects)))
    for policy in ("lru", "fifo", "clock"):
        curve = miss_ratio_curve(file, [10, 0.5], policy, format="oracleGeneral")
        sizes = curve.sizes.tolist()
        assert curve.misses.tolist() == [misses_by_the_book(objects, size, policy) for size in sizes]
    with pytest.raises(TraceFormatError):
        miss_ratio_curve(file)


def as_cachesim_reads(records: list[tuple[int, int]], sizes: str) -> tuple[list[int], list[int]]:
    """Objects and sizes of ``cachesim FILE oracleGeneral ALGO SIZES --ignore-obj-size 1``, from (object, bytes).

    By cli_parser.c and reader.c of the same source: requests of size 0 are skipped; a size with a point in it is that
    share of all objects, cut to a whole number; one without is objects.
    """
    objects = [each for each, size in records if size]
    working_set = len(set(objects))
    return objects, [int(working_set * float(size)) if "." in size else int(size) for size in sizes.split(",")]


@pytest.mark.parametrize("policy", ["lru", "fifo", "clock"])
def test_a_trace_of_libcachesim_has_the_requests_sizes_and_misses_that_cachesim_counts(
    policy: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(8)
    records = [
        (int(each), int(size)) for each, size in zip(rng.zipf(1.2, 2000) % 301, rng.integers(0, 9, 2000), strict=True)
    ]
    file = tmp_path / "trace.oracleGeneral"
    file.write_bytes(b"".join(struct.pack("<IQIq", 0, each, size, -1) for each, size in records))
    asked = "7,0.013,0.1,0.33,1.0"
    objects, sizes = as_cachesim_reads(records, asked)
    assert len(objects) < 1900
    curve = miss_ratio_curve(file, asked.split(","), policy, format="oracleGeneral")
    assert (curve.requests, curve.working_set) == (len(objects), len(set(objects)))
    assert curve.sizes.tolist() == sorted(sizes)
    assert curve.misses.tolist() == [misses_by_the_book(objects, size, policy) for size in sorted(sizes)]


def test_the_profile_has_the_layout_of_mrc_profiler() -> None:
    """As MRCProfilerBase::print of libCacheSim (commit 6cecdd8) writes it: five lines, heads, tabs, six decimals."""
    curve = miss_ratio_curve([1, 2, 3, 1, 2, 3], [2, 3], "clock")
    assert curve.to_profile("a trace") == (
        "profiler: numa_sim\ntrace: a trace\ncache_algorithm: Clock\nn_req: 6\nsum_obj_size_req: 6\n"
        "wss_ratio\tcache_size\tmiss_rate\tbyte_miss_rate\n"
        "0.666667\t2B\t1.000000\t1.000000\n1.000000\t3B\t0.500000\t0.500000\n"
    )


def test_a_policy_that_frees_nothing_has_a_curve_only_where_all_fits() -> None:
    pages = [1, 2, 3, 1, 2, 3]
    assert miss_ratio_curve(pages, [3], "none").misses.tolist() == [3]
    with pytest.raises(ConfigError, match="policy: 'none' frees no page at request 2 in 2 pages: the program dies"):
        miss_ratio_curve(pages, [2, 3], "none")


def test_the_command_prints_a_table_or_writes_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text("page\n" + "\n".join(str(page) for page in [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5]) + "\n")
    command = ["mrc", str(file), "--format", "csv", "--policy", "lru", "--policy", "fifo", "--sizes", "3,0.8"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        ["12", "requests", "for", "5", "pages"],
        ["pages", "of", "all", "lru", "fifo"],
        ["3", "60.0%", "0.833333", "0.750000"],
        ["4", "80.0%", "0.666667", "0.833333"],
    ]
    for code in (0, 2):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--out", str(tmp_path / "mrc.csv")])
        assert ended.value.code == code
    assert (tmp_path / "mrc.csv").read_text().splitlines()[3] == "fifo,3,12288,0.600000,12,9,0.750000"
    assert "exists already" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "two.mrc")])
    assert ended.value.code == 2
    assert "*.mrc holds one policy (allowed: one --policy, *.csv)" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["mrc", str(file), "--format", "csv", "--sizes", "3", "--out", str(tmp_path / "one.mrc")])
    assert ended.value.code == 0
    assert (tmp_path / "one.mrc").read_text().endswith("byte_miss_rate\n0.600000\t3B\t0.833333\t0.833333\n")
    with pytest.raises(SystemExit) as ended:
        main([*command[:-1], "3,none"])
    assert ended.value.code == 2
    assert PageTrace.read(file, "csv").footprint == 5
