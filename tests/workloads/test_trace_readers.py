"""Each trace format: what is read, and exactly what is refused."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_model import check_items

from numa_sim.errors import ConfigError, TraceFormatError
from numa_sim.state.constants import MAP_NORESERVE
from numa_sim.workloads.patterns.source import new_accesses
from numa_sim.workloads.program import Compute, Mmap, Munmap, Region, TaskHandle, Touch
from numa_sim.workloads.traces import (
    Accesses,
    MapCall,
    MoveCall,
    Runs,
    UnmapCall,
    describe,
    import_trace,
    read_accesses,
    read_items,
    trace_program,
    write_canonical,
)
from numa_sim.workloads.traces.items import EXECUTE, FILL, READ, WRITE

ANON, FIXED_FILE = 0x22, 0x12
BASE = 0x400000


def canonical(path, records=(), calls=(), vmas=((BASE, BASE + 0x4000, 3),), **replace):
    """Write a canonical trace of (address, flags, count) records and (at, number, args, result) calls."""
    vpns = sorted({address >> 12 for address, _, _ in records})
    arrays = {
        "vpn": np.array(vpns, "<u8"),
        "page": np.array([vpns.index(address >> 12) for address, _, _ in records], "<u2"),
        "flags": np.array([flags for _, flags, _ in records], "u1"),
        "count": np.array([count for _, _, count in records], "<u4"),
        "sys_at": np.array([c[0] for c in calls], "<u4"),
        "sys_no": np.array([c[1] for c in calls], "<u2"),
        "sys_args": np.array([[*c[2], *[0] * (6 - len(c[2]))] for c in calls], "<u8").reshape(-1, 6),
        "sys_ret": np.array([c[3] for c in calls], "<u8"),
        "vma0": np.array(vmas, "<u8").reshape(-1, 3),
    }
    arrays |= replace
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


def mappings(items):
    return [item for item in items if not isinstance(item, Runs)]


def test_canonical_records_and_first_touches(tmp_path):
    path = canonical(
        tmp_path / "t.npz",
        [(BASE, 4, 10), (BASE, 1, 3), (BASE + 0x1000, 3, 100), (0x900000, 1, 1), (0x900000, 2, 1)],
        [(3, 9, [0, 0x1800, 3, ANON], 0x900000)],
    )
    items = list(read_items(path))
    assert mappings(items) == [MapCall(0x400, 4, 3, True), MapCall(0x900, 2, 3, False)]
    assert check_items(items) == [
        (0x400, 10, EXECUTE | FILL),
        (0x400, 3, READ),
        (0x401, 100, READ | WRITE | FILL),
        (0x900, 1, READ),  # anonymous memory: zeros, nothing to fill
        (0x900, 1, WRITE),
    ]
    without = check_items(read_items(path, instructions=False))
    assert [flags for _, _, flags in without][:2] == [EXECUTE, READ | FILL]


def test_runs_become_accesses(tmp_path):
    path = canonical(tmp_path / "t.npz", [(BASE, 2, 5), (BASE, 4, 1000), (BASE + 0x1000, 1, 100), (BASE, 1, 1)])
    chunks = [i.chunk.tolist() for i in read_accesses(path, cache_hit_ns=3) if isinstance(i, Accesses)]
    assert chunks == [[(0x400, 15, 5, 1), (0x400, 3000, 64, 0), (0x401, 300, 64, 1), (0x400, 3, 1, 0)]]
    chunks = [
        i.chunk.tolist() for i in read_accesses(path, cache_hit_ns=3, instructions=False) if isinstance(i, Accesses)
    ]
    assert chunks == [[(0x400, 15, 5, 1), (0x401, 3300, 64, 1), (0x400, 3, 1, 0)]]


def test_time_beyond_a_record_goes_to_the_next(tmp_path):
    path = canonical(tmp_path / "t.npz", [(BASE, 1, 4_000_000), (BASE, 1, 1)])
    got = [i.chunk["compute_ns"].tolist() for i in read_accesses(path, cache_hit_ns=1000) if isinstance(i, Accesses)]
    assert got == [[2**31 - 1, 4_000_001_000 - (2**31 - 1)]]


PAGE = 4096
CALLS = [
    ("map over", (0, 9, [BASE, 0x1000, 3, ANON | 0x10], BASE), [UnmapCall(0x400, 1), MapCall(0x400, 1, 3, False)]),
    ("file map", (0, 9, [0, 0x123, 1, 2, 5], 0x900000), [MapCall(0x900, 1, 1, True)]),
    ("failed map", (0, 9, [0, 0x1000, 3, ANON], 2**64 - 12), []),
    ("unmap a hole's edge", (0, 11, [BASE + 0x3000, 0x9000], 0), [UnmapCall(0x403, 1)]),
    ("unmap the middle", (0, 11, [BASE + 0x1000, 0x2000], 0), [UnmapCall(0x401, 2)]),
    ("failed unmap", (0, 11, [BASE, 0x1000], 2**64 - 22), []),
    ("protect", (0, 10, [BASE, 0x1000, 0], 0), []),
    ("clone", (0, 56, [], 77), []),
    ("grow in place", (0, 25, [BASE, 0x4000, 0x6000], BASE), [MapCall(0x404, 2, 3, False)]),
    ("shrink", (0, 25, [BASE, 0x4000, 0x1000], BASE), [UnmapCall(0x401, 3)]),
    (
        "move and grow",
        (0, 25, [BASE, 0x2000, 0x3000, 1], 0x900000),
        [MoveCall(0x400, 2, 0x900, True), MapCall(0x902, 1, 3, False)],
    ),
    (
        "move over another and shrink",
        (0, 25, [BASE, 0x2000, 0x1000, 3, BASE + 0x3000], BASE + 0x3000),
        [UnmapCall(0x403, 1), MoveCall(0x400, 1, 0x403, True), UnmapCall(0x401, 1)],
    ),
    (
        "move and keep the place",
        (0, 25, [BASE, 0x1000, 0x1000, 7, 0x900000], 0x900000),
        [MoveCall(0x400, 1, 0x900, True), MapCall(0x400, 1, 3, False)],
    ),
    ("move what is not known", (0, 25, [0xA00000, 0x1000, 0x1000, 1], 0x900000), [MapCall(0x900, 1, 3, True)]),
    ("a second mapping of shared memory", (0, 25, [BASE, 0, 0x1000, 1], 0x900000), [MapCall(0x900, 1, 3, True)]),
    ("drop", (0, 28, [BASE, 0x1000, 4], 0), [UnmapCall(0x400, 1), MapCall(0x400, 1, 3, False)]),
    ("other advice", (0, 28, [BASE, 0x1000, 14], 0), []),
    ("first break is the heap's end", (0, 12, [0], BASE + 0x4000), []),
    ("first break grows", (0, 12, [0], BASE + 0x5001), [MapCall(0x404, 2, 3, False)]),
    ("first break inside a page", (0, 12, [0], BASE + 0x3FFF), []),
    ("first break shrinks", (0, 12, [0], BASE + 0x2FFF), [UnmapCall(0x403, 1)]),
]


@pytest.mark.parametrize(("call", "expected"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_system_calls(tmp_path, call, expected):
    items = list(read_items(canonical(tmp_path / "t.npz", calls=[call])))
    check_items(items)
    assert items[1:] == expected


def test_breaks_follow_each_other(tmp_path):
    breaks = [(0, 12, [0], BASE + end) for end in (0x4000, 0x6000, 0x6800, 0x5000, 0x4000)]
    items = list(read_items(canonical(tmp_path / "t.npz", calls=breaks)))
    assert items[1:] == [
        MapCall(0x404, 2, 3, False),
        MapCall(0x406, 1, 3, False),
        UnmapCall(0x405, 2),
        UnmapCall(0x404, 1),
    ]


def test_neighbours_at_the_start_are_one_mapping_and_the_kernels_page_none(tmp_path):
    vmas = [(BASE, BASE + PAGE, 1), (BASE + PAGE, BASE + 2 * PAGE, 5), (2**64 - 10 * 2**20, 2**64 - 9 * 2**20, 4)]
    assert list(read_items(canonical(tmp_path / "t.npz", vmas=vmas))) == [MapCall(0x400, 2, 5, True)]


ONE = [(BASE, 1, 1)]
WRONG = {
    "no such page": ({"page": np.array([1], "<u2")}, "record 0", "page index 1"),
    "flags": ({"flags": np.array([8], "u1")}, "record 0", "flags 8"),
    "no flags": ({"flags": np.array([0], "u1")}, "record 0", "flags 0"),
    "count": ({"count": np.array([0], "<u4")}, "record 0", "count of 0"),
    "not mapped": ({"vma0": np.zeros((0, 3), "<u8")}, "record 0", "not mapped"),
    "beyond user space": ({"vpn": np.array([1 << 35], "<u8")}, "vpn.npy row 0", "beyond user space"),
    "order": ({"vpn": np.array([5, 5], "<u8")}, "vpn.npy row 1", "ascend"),
    "type": ({"count": np.array([1], "<u8")}, "count.npy", "uint64"),
    "objects": ({"count": np.array([{}], object)}, "count.npy", "object"),
    "shape": ({"sys_args": np.zeros((0, 5), "<u8")}, "sys_args.npy", "shape"),
    "lengths": ({"flags": np.array([1, 1], "u1")}, "page.npy", "2 flags"),
    "call lengths": ({"sys_no": np.array([9], "<u2")}, "sys_at.npy", "length"),
    "missing": ({"flags": None}, "flags.npy", "flags.npy"),
    "area": ({"vma0": np.array([[BASE, BASE, 3]], "<u8")}, "vma0.npy", "no memory area"),
    "overlap": ({"vma0": np.array([[BASE, BASE + PAGE, 3]] * 2, "<u8")}, "vma0.npy", "overlaps"),
}


@pytest.mark.parametrize("name", WRONG)
def test_canonical_errors_say_where(tmp_path, name):
    replace, where, what = WRONG[name]
    path = canonical(tmp_path / "bad.npz", ONE, **replace)
    with pytest.raises(TraceFormatError, match=r"bad\.npz") as caught:
        list(read_items(path))
    assert caught.value.where == where
    assert what in caught.value.message


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ((0, 9, [0, 0, 3, ANON], 0x900000), "no range"),
        ((0, 9, [0, 0x1000, 3, ANON], 0x900001), "no range"),
        ((0, 9, [0, 1 << 50, 3, ANON], 0x900000), "no range"),
        ((0, 11, [BASE, 1 << 50], 0), "no range"),
        ((0, 12, [0], 1 << 60), "beyond user space"),
        ((0, 25, [BASE, 0x1000, 0], 0x900000), "no range"),
        ((0, 60, [0], 0), "60"),
    ],
)
def test_impossible_calls(tmp_path, call, what):
    path = canonical(tmp_path / "bad.npz", ONE, [(0, 10, [], 0), call])
    with pytest.raises(TraceFormatError, match=what) as caught:
        list(read_items(path))
    assert caught.value.where == "system call 1"


def test_calls_out_of_order(tmp_path):
    for at in ([2], [1, 0]):
        path = canonical(tmp_path / "bad.npz", ONE, [(a, 10, [], 0) for a in at])
        with pytest.raises(TraceFormatError, match="out of order"):
            list(read_items(path))


def test_no_file_and_no_archive(tmp_path):
    for format in ("numa_sim", "lackey", "oracleGeneral", "csv"):
        with pytest.raises(TraceFormatError, match="nowhere"):
            list(read_items(tmp_path / "nowhere", format))
    (tmp_path / "x").write_bytes(b"no archive")
    with pytest.raises(TraceFormatError, match="zip"):
        list(read_items(tmp_path / "x"))
    with pytest.raises(ConfigError, match="oracleGeneral"):
        read_items(tmp_path / "x", "oraclegeneral")
    with pytest.raises(ConfigError, match="cache_hit"):
        trace_program(tmp_path / "x", cache_hit_ns=-1)


# Lackey --------------------------------------------------------------------------------------------------------------
def lackey(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_lackey(tmp_path):
    text = (
        "==1== Lackey, an example Valgrind tool\n--1-- warning\n\n"
        "I  04001000,3\n L 04001008,8\n S 1ffeffe,4\n M 1fff000,8\r\nI  04001003,5"
    )
    path = lackey(tmp_path / "t", text)
    items = list(read_items(path, "lackey"))
    assert mappings(items) == [MapCall(0x1E00, 512, 3, True), MapCall(0x4000, 512, 3, True)]
    assert check_items(items) == [
        (0x4001, 2, EXECUTE | READ | FILL),
        (0x1FFE, 1, WRITE | FILL),
        (0x1FFF, 2, READ | WRITE | FILL),
        (0x4001, 1, EXECUTE),
    ]
    zipped = tmp_path / "t.gz"
    zipped.write_bytes(gzip.compress(text.encode()))
    assert check_items(read_items(zipped, "lackey")) == check_items(items)
    zipped.write_bytes(gzip.compress(text.encode())[:-20])
    with pytest.raises(TraceFormatError, match="cannot be read"):
        list(read_items(zipped, "lackey"))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("X  10,4", "none of I, L, S, M"),
        (" L10,4", "none of I, L, S, M"),
        ("L", "none of I, L, S, M"),
        (" L  ,4", "hexadecimal"),
        (" L 12", "hexadecimal"),
        (" L 1g,4", "hexadecimal"),
        (" L 12,", "decimal size"),
        (" L 12,x", "decimal size"),
        (" L 12,4 5", "after the size"),
        (" L 12,0", "size that is not"),
        (" L 12,65537", "size that is not"),
        (" L 12,99999999999999999999999", "size that is not"),
        (" L 7fffffffffff,2", "beyond user space"),
        (" L ffffffffffffffffffffffffffffffffff,2", "beyond user space"),
        ("\xff\xfe", "none of I, L, S, M"),
        ("=", "none of I, L, S, M"),
    ],
)
def test_lackey_errors_name_the_line(tmp_path, line, what):
    for end in ("\n", "", "\nI  10,4\n"):
        path = lackey(tmp_path / "bad", f"I  10,4\n\n{line}{end}".encode("latin-1"))
        with pytest.raises(TraceFormatError, match=what) as caught:
            list(read_items(path, "lackey"))
        assert caught.value.where == "line 3"


def naive_lackey(text):
    runs = []
    for line in text.splitlines():
        if not line.strip() or line.startswith(("==", "--")):
            continue
        kind, place = line.split()
        address, size = int(place.split(",")[0], 16), int(place.split(",")[1])
        flags = {"I": 4, "L": 1, "S": 2, "M": 3}[kind]
        for page in range(address >> 12, (address + size - 1 >> 12) + 1):
            if runs and runs[-1][0] == page:
                runs[-1] = (page, runs[-1][1] + 1, runs[-1][2] | flags)
            else:
                runs.append((page, 1, flags))
    return runs


LINES = st.one_of(
    st.tuples(
        st.sampled_from(["I  ", " L ", " S ", " M ", "L    "]),
        st.one_of(st.integers(0, 20_000), st.integers(0, (1 << 47) - 70_000)),
        st.integers(1, 20_000),
        st.sampled_from(["", "\r", "  "]),
        st.booleans(),
    ).map(lambda t: f"{t[0]}{t[1]:{'X' if t[4] else '08x'}},{t[2]}{t[3]}"),
    st.sampled_from(["", "==12== text", "--12-- text", "  "]),
)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(LINES, max_size=60), repeat=st.sampled_from([1, 1, 1, 2000]))
def test_lackey_equals_a_naive_reader(tmp_path_factory, lines, repeat):
    text = ("\n".join(lines) + "\n") * (repeat if len(lines) < 8 else 1)
    path = lackey(tmp_path_factory.mktemp("t") / "t", text)
    got = check_items(read_items(path, "lackey"))
    assert [(vpn, count, flags & ~FILL) for vpn, count, flags in got] == naive_lackey(text)
    seen = set()
    for vpn, _, flags in got:
        assert bool(flags & FILL) == (vpn not in seen)
        seen.add(vpn)


def test_lackey_lines_across_blocks(tmp_path):
    """More text than a block, more runs than a chunk; pages stay known from chunk to chunk."""
    pages = [i % 70_000 for i in range(160_000)]
    text = "".join(f" L {page << 12:09x},4\n" for page in pages)
    assert len(text) > 2 << 20
    got = check_items(read_items(lackey(tmp_path / "t", text), "lackey"))
    assert [vpn for vpn, _, _ in got] == pages
    assert [flags for _, _, flags in got] == [READ | FILL] * 70_000 + [READ] * 90_000
    with pytest.raises(TraceFormatError, match="longer") as caught:
        list(read_items(lackey(tmp_path / "t", "I  10,4\n" + " " * (3 << 20)), "lackey"))
    assert caught.value.where == "line 2"


# oracleGeneral -------------------------------------------------------------------------------------------------------
def oracle(path, requests):
    path.write_bytes(b"".join(struct.pack("<IQIq", *request) for request in requests))
    return path


def test_oracle_general(tmp_path):
    requests = [(1, 2**64 - 1, 100, 2), (1, 7, 1, -1), (2, 2**64 - 1, 10**9, -1), (3, 0, 4096, -1), (3, 9, 0, -1)]
    path = oracle(tmp_path / "t", requests)  # the last one asks for nothing
    first = 1 << 18
    assert check_items(read_items(path, "oracleGeneral")) == [
        (first, 2, READ | FILL),
        (first + 1, 1, READ | FILL),
        (first, 64, READ),
        (first + 2, 64, READ | FILL),
    ]


def test_oracle_general_errors(tmp_path):
    path = oracle(tmp_path / "t", [(1, 1, 1, -1), (1, 1, 1, -2)])
    with pytest.raises(TraceFormatError, match="below -1") as caught:
        list(read_items(path, "oracleGeneral"))
    assert caught.value.where == "byte 24"
    path.write_bytes(oracle(path, [(1, 1, 1, -1)] * 3).read_bytes()[:-1])
    with pytest.raises(TraceFormatError, match="cut short") as caught:
        list(read_items(path, "oracleGeneral"))
    assert caught.value.where == "byte 48"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    with pytest.raises(TraceFormatError, match="zstd"):
        list(read_items(path, "oracleGeneral"))


# CSV -----------------------------------------------------------------------------------------------------------------
def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('Op, address ,count,note\nr,0x5000,3,"a, b"\n\nW,20481,1,\nfetch,0x5fff,9,\n')
    assert check_items(read_items(path, "csv")) == [(5, 3, READ | FILL), (5, 1, WRITE), (5, 9, EXECUTE)]
    path.write_text("7\n0x8\n")
    assert check_items(read_items(path, "csv", columns=["page"])) == [(7, 1, READ | FILL), (8, 1, READ | FILL)]
    path.write_text("")
    assert list(read_items(path, "csv")) == []


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("op,count\n", "line 1", "exactly one of page and address"),
        ("page,address\n", "line 1", "exactly one of page and address"),
        ("page,page\n", "line 1", "twice"),
        ("page,op\n1,r\n1\n", "line 3", "1 columns, not 2"),
        ("page\n1\n-1\n", "line 3", "no number"),
        ("page\n1_0\n", "line 2", "no number"),
        ("page\n34359738368\n", "line 2", "is not 0 to"),
        ("page\n" + "9" * 5000 + "\n", "line 2", "no number"),
        ("page,op\n1,q\n", "line 2", "'q' is not one of"),
        ("page,count\n1,0\n", "line 2", "is not 1 to"),
        ("page,op\n1,r\n1,\xff\n", "line 3", "is not one of"),
        ('page,op\n1,"r\n\n', "line 2", "is no CSV text"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, text, where, what):
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(TraceFormatError) as caught:
        list(read_items(path, "csv"))
    assert caught.value.where == where
    assert what in caught.value.message


# Writing, importing, replaying ---------------------------------------------------------------------------------------
RUNS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 2**32 - 1), st.integers(1, 7)), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(RUNS, max_size=5), contents=st.booleans())
def test_written_traces_read_the_same(tmp_path_factory, groups, contents):
    items = []
    for i, group in enumerate(groups):
        items.append(MapCall(1000 * i, 21, 3, contents))
        vpn, count, flags = (np.array(column) for column in zip(*group, strict=True))
        items.append(Runs(vpn + 1000 * i, count.astype(np.int64), flags.astype(np.uint8)))
        if i % 2:
            items.append(UnmapCall(1000 * i, 21))
    path = tmp_path_factory.mktemp("t") / "t.npz"
    assert write_canonical(path, items) == sum(map(len, groups))
    again = list(read_items(path))
    assert mappings(again) == mappings(items)
    written = [(v, c, f) for item in items if isinstance(item, Runs) for v, c, f in zip(*item, strict=True)]
    assert [(v, c, f & ~FILL) for v, c, f in check_items(again)] == written
    first = path.read_bytes()
    write_canonical(path, again)
    assert path.read_bytes() == first
    assert len(list(path.parent.iterdir())) == 1


def test_what_mremap_moves_is_not_touched_for_the_first_time_again(tmp_path):
    """Pages 0 and 1 held contents at the start; page 0 is used before the move, 1 after it, 2 was mapped as zeros."""
    new = 0x900000
    path = canonical(
        tmp_path / "t.npz",
        [(BASE, READ, 1), (new, WRITE, 1), (new + 0x1000, READ, 1), (new + 0x2000, READ, 1)],
        [(0, 9, [BASE + 0x2000, 0x1000, 3, ANON], BASE + 0x2000), (1, 25, [BASE, 0x3000, 0x3000, 1], new)],
        [(BASE, BASE + 0x2000, 3)],
    )
    items = list(read_items(path))
    assert mappings(items)[-1] == MoveCall(0x400, 3, 0x900, True)
    flags = [flags for _, _, flags in check_items(items)]
    assert flags[:2] == [READ | FILL, WRITE]
    assert flags[2] == READ | FILL
    write_canonical(tmp_path / "again.npz", items)
    assert mappings(read_items(tmp_path / "again.npz")) == mappings(items)
    exact = list(read_items(path, exact=True))
    assert [flags & ~FILL for _, _, flags in check_items(exact)] == [READ, WRITE, READ, READ]


def test_many_pages_need_a_wider_index(tmp_path):
    n = 70_000
    runs = Runs(np.arange(n)[::-1].copy(), np.ones(n, np.int64), np.full(n, WRITE, np.uint8))
    write_canonical(tmp_path / "t.npz", [MapCall(0, n), runs])
    assert np.load(tmp_path / "t.npz")["page"].dtype == np.uint32
    assert [r[0] for r in check_items(read_items(tmp_path / "t.npz"))] == list(range(n))[::-1]


def test_import_and_describe(tmp_path):
    source = lackey(tmp_path / "t", "I  10,4\n S 5000,4\n L 5000,4\n L 6000,4\n")
    assert import_trace("lackey", source, tmp_path / "t.npz") == 3
    assert check_items(read_items(tmp_path / "t.npz")) == check_items(read_items(source, "lackey"))
    assert describe(tmp_path / "t.npz") == {
        "file": "t.npz", "format": "numa_sim", "records": 3, "accesses": 4, "pages": 3, "data_pages": 2,
        "written_pages": 1, "write_records": 1, "mapped_pages": 512, "maps": 1, "moves": 0, "unmaps": 0,
    }  # fmt: skip
    with pytest.raises(TraceFormatError, match="line 1"):
        import_trace("csv", source, tmp_path / "new.npz")
    with pytest.raises(TraceFormatError, match="cannot be written"):
        import_trace("lackey", source, tmp_path / "no folder" / "new.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "t.npz"]


def operations(program):
    done, buffer = [], new_accesses(2)
    for op in program(TaskHandle("t", 1)):
        if isinstance(op, Touch):
            pages = []
            while n := op.source.fill(buffer):
                pages += buffer["vpn"][:n].tolist()
            op = pages
        done.append(op)
    return done


def test_trace_program(tmp_path):
    path = canonical(
        tmp_path / "t.npz",
        [(BASE, 1, 1), (BASE + PAGE, 1, 1), (BASE, 1, 1), (0x900000, 2, 1), (0x900000, 4, 50)],
        [(3, 9, [0, 0x1000, 3, ANON], 0x900000), (3, 10, [], 0), (4, 11, [BASE, 0x1000], 0)],
    )
    free = {"flags": MAP_NORESERVE}
    start = [Mmap(4, 0x400, "0x400000", **free), [0x400, 0x401, 0x400], Mmap(1, 0x900, "0x900000", **free), [0x900]]
    end = [Munmap(Region(0x400, 1), 0, 1)]
    assert operations(trace_program(path)) == [*start, *end, [0x900]]
    assert operations(trace_program(path, instructions=False, cache_hit_ns=2))[-2:] == [[], Compute(100)]
    assert operations(trace_program(path, limit=2)) == [start[0], start[1][:2]]
    assert operations(trace_program(path, limit=4)) == start
