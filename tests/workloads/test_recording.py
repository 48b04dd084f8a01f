"""Recorded programs: strace logs, and their calls between the accesses of a lackey trace."""

import shutil
import subprocess
from pathlib import Path

import pytest
from trace_model import check_items

from numa_sim.errors import TraceFormatError
from numa_sim.workloads.traces import (
    MapCall,
    MoveCall,
    ProtectCall,
    Runs,
    UnmapCall,
    describe,
    import_trace,
    read_items,
)
from numa_sim.workloads.traces.items import EXECUTE, FILL, READ, WRITE
from numa_sim.workloads.traces.strace import SystemCall, read_strace

ANON = "MAP_PRIVATE|MAP_ANONYMOUS, -1, 0"
NOBODY = 2**64 - 1


def strace(path, text):
    path.write_text(text)
    return path


def test_arguments_become_numbers(tmp_path):
    log = f"""\
7 execve("/bin/prog", ["prog", "a, b"], 0x7ffd1 /* 35 vars */) = 0
7 brk(NULL)                         = 0x400000
7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, {ANON}) = 0x900000
7 mmap(0x910000, 0x1000, PROT_NONE, MAP_SHARED|MAP_FIXED, 3</lib/a, b.so>, 0x2000) = 0x910000
7 mprotect(0x900000, 4096, PROT_READ|PROT_EXEC) = 0
7 mremap(0x900000, 8192, 16384, MREMAP_MAYMOVE) = 0xa00000
7 munmap(0x1, 8192) = -1 EINVAL (Invalid argument)
7 openat(AT_FDCWD, "x(", O_RDONLY) = 3
--- SIGCHLD {{si_signo=SIGCHLD, si_pid=9}} ---
7 +++ exited with 0 +++
"""
    assert read_strace(strace(tmp_path / "log", log)) == [
        SystemCall(12, (0, 0, 0, 0, 0, 0), 0x400000),
        SystemCall(9, (0, 8192, 3, 0x22, NOBODY, 0), 0x900000),
        SystemCall(9, (0x910000, 4096, 0, 0x11, 3, 0x2000), 0x910000),
        SystemCall(10, (0x900000, 4096, 5, 0, 0, 0), 0),
        SystemCall(25, (0x900000, 8192, 16384, 1, 0, 0), 0xA00000),
        SystemCall(11, (1, 8192, 0, 0, 0, 0), NOBODY),
    ]


def test_threads_share_the_log_and_children_do_not(tmp_path):
    log = """\
[pid   7] 12:00:01.5 brk(NULL) = 0x1000
[pid   7] clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD, tls=0x7f) = 8
[pid   7] clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 9
[pid   8] brk(0x3000 <unfinished ...>
[pid   9] brk(0x9000) = 0x9000
[pid   7] brk(0x2000) = 0x2000
[pid   8] <... brk resumed>) = 0x3000
[pid   7] munmap(0x1000, 4096) = ?
"""
    calls = read_strace(strace(tmp_path / "log", log))
    assert [(call.number, call.result) for call in calls] == [
        (12, 0x1000),
        (12, 0x2000),
        (12, 0x3000),
        (11, NOBODY),
    ]


def test_what_stood_before_the_last_exec_is_gone(tmp_path):
    log = 'brk(NULL) = 0x1000\nexecve("b", [], 0x1) = -1 ENOENT (No)\nbrk(0x2000) = 0x2000\n'
    assert len(read_strace(strace(tmp_path / "log", log))) == 2
    log += 'execve("b", ["b"], 0x1) = 0\nbrk(NULL) = 0x5000\n'
    assert read_strace(strace(tmp_path / "log", log)) == [SystemCall(12, (0,) * 6, 0x5000)]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "", "no memory call"),
        ("brk(NULL) = 0x1000\nhello\n", "line 2", "no line of strace"),
        ("brk(NULL) = 0x1000\nmmap(x, 1, 2, 3, 4, 5) = 0\n", "line 2", "argument 'x'"),
    ],
)
def test_errors_of_logs_name_the_line(tmp_path, text, where, what):
    with pytest.raises(TraceFormatError, match=what) as caught:
        read_strace(strace(tmp_path / "log", text))
    assert caught.value.where == where
    with pytest.raises(TraceFormatError, match="cannot be read"):
        read_strace(tmp_path / "none")


def recording(tmp_path, accesses, calls, **options):
    (tmp_path / "t").write_text(accesses)
    log = strace(tmp_path / "log", calls)
    return list(read_items(tmp_path / "t", "lackey+strace", strace=log, exact=True, **options))


def flat(items):
    return [item if not isinstance(item, Runs) else [v.tolist() for v in item] for item in items]


def test_calls_come_as_late_as_the_accesses_allow(tmp_path):
    items = recording(
        tmp_path,
        "I  400000,4\n S 900000,8\n L 901000,8\nI  400004,4\n S 900008,8\n S 902000,8\n",
        f"brk(NULL) = 0x500000\nmmap(NULL, 8192, PROT_READ|PROT_WRITE, {ANON}) = 0x900000\n"
        "munmap(0x901000, 4096) = 0\n"
        f"mmap(NULL, 8192, PROT_NONE, {ANON}) = 0x902000\nmprotect(0x902000, 4096, PROT_READ|PROT_WRITE) = 0\n"
        "brk(0x502000) = 0x502000\n",
    )
    assert flat(items) == [
        MapCall(0x400, 1, 7, True),  # the program itself: no call maps it
        [[0x400], [1], [EXECUTE | FILL]],
        MapCall(0x900, 2, 3),
        [[0x900, 0x901, 0x400, 0x900], [1, 1, 1, 1], [WRITE, READ, EXECUTE, WRITE]],
        UnmapCall(0x901, 1),
        MapCall(0x902, 2, 0),
        ProtectCall(0x902, 1, 3),
        [[0x902], [1], [WRITE]],
        MapCall(0x500, 2, 3),
    ]
    check_items(items)


def test_a_moved_area_takes_its_pages_and_permissions_along(tmp_path):
    items = recording(
        tmp_path,
        " S 900000,8\n L a00000,8\n L a01000,8\n",
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, 3, 0) = 0x900000\n"
        "mprotect(0x901000, 4096, PROT_READ) = 0\n"
        "mremap(0x900000, 8192, 12288, MREMAP_MAYMOVE) = 0xa00000\n"
        "munmap(0xa00000, 12288) = 0\n",
    )
    assert flat(items) == [
        MapCall(0x900, 2, 3, True),
        [[0x900], [1], [WRITE | FILL]],
        ProtectCall(0x901, 1, 1),
        MoveCall(0x900, 2, 0xA00, True),
        MapCall(0xA02, 1, 3),
        [[0xA00, 0xA01], [1, 1], [READ, READ | FILL]],
        UnmapCall(0xA00, 3),
    ]
    check_items(items)


def test_a_page_no_call_ever_makes_writable_is_refused(tmp_path):
    with pytest.raises(TraceFormatError, match="no call of the strace log permits") as caught:
        recording(tmp_path, " S 900000,8\n", f"mmap(NULL, 8192, PROT_READ, {ANON}) = 0x900000\n")
    assert caught.value.where == "page 0x900"
    with pytest.raises(TraceFormatError, match="needs the strace log"):
        list(read_items(tmp_path / "t", "lackey+strace"))


def test_without_permissions_the_same_mappings_and_runs(tmp_path):
    (tmp_path / "t").write_text(" L 900000,8\n S 900000,8\n")
    log = strace(
        tmp_path / "log",
        "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x900000\nmprotect(0x900000, 4096, PROT_WRITE) = 0\n",
    )
    plain = flat(read_items(tmp_path / "t", "lackey+strace", strace=log))
    assert plain == [MapCall(0x900, 1, 1, True), [[0x900], [2], [READ | WRITE | FILL]]]


def test_an_imported_recording_reads_the_same(tmp_path):
    source = " L 900000,8\nI  400000,4\n S 901000,8\n"
    calls = (
        "mmap(NULL, 8192, PROT_READ, MAP_SHARED, 3, 0) = 0x900000\nmprotect(0x901000, 4096, PROT_READ|PROT_WRITE) = 0\n"
    )
    items = flat(recording(tmp_path, source, calls))
    import_trace("lackey+strace", tmp_path / "t", tmp_path / "t.npz", strace=tmp_path / "log", exact=True)
    again = flat(read_items(tmp_path / "t.npz", exact=True))
    assert items[0] == MapCall(0x900, 2, 1, True, True)
    assert sum(1 for item in items if not isinstance(item, list)) == 3
    for column in range(3):
        both = [[v for item in read if isinstance(item, list) for v in item[column]] for read in (items, again)]
        assert both[0] == both[1]
    assert [i for i in items if not isinstance(i, list)] == [i for i in again if not isinstance(i, list)]


@pytest.mark.skipif(not (shutil.which("strace") and shutil.which("valgrind")), reason="strace and valgrind not here")
def test_a_program_recorded_now(tmp_path):
    """Both tools on one real run: every access of it finds its page mapped as it needs it."""
    command = ["strace", "-f", "-e", "trace=%memory,%process", "-o", "log", "valgrind", "--tool=lackey"]
    command += ["--trace-mem=yes", "--log-file=trace", shutil.which("true")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode or not (tmp_path / "trace").exists():
        pytest.skip(f"cannot record here: {done.stderr[-200:]}")
    found = describe(tmp_path / "trace", "lackey+strace", strace=tmp_path / "log", exact=True)
    alone = describe(tmp_path / "trace", "lackey")
    assert {name: found[name] for name in ("records", "accesses", "pages")} == {
        name: alone[name] for name in ("records", "accesses", "pages")
    }
    assert found["unmaps"] > 0
    assert found["maps"] > alone["maps"]


LOGS = {"sort-text": (9, 3, 2), "sqlite-query": (32, 8, 3)}


@pytest.mark.parametrize("name", LOGS)
def test_shipped_logs(name):
    calls = read_strace(Path(__file__).parents[2] / "configs" / "traces" / f"{name}.strace.txt")
    assert tuple(sum(call.number == number for call in calls) for number in (9, 10, 11)) == LOGS[name]
