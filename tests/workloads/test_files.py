"""What a task's handle says about files."""

from __future__ import annotations

from types import SimpleNamespace as Table
from typing import Any

import pytest

from numa_sim.errors import ConfigError
from numa_sim.state.constants import VM_RAND_READ, VM_SEQ_READ, VM_SHARED
from numa_sim.workloads.configured import program_from_config
from numa_sim.workloads.files import Close, Fsync, Madvise, Msync, Open, OpenFile, Truncate
from numa_sim.workloads.patterns import sequential, strided, uniform
from numa_sim.workloads.program import Region, TaskHandle

TASK = TaskHandle("t", 1, seed=3)
FILE = OpenFile(4, "data", 100_000)
REGION = Region(16, 8, "map", FILE)


def test_simple_calls() -> None:
    assert TASK.open("data") == Open("data")
    assert TASK.fsync(FILE) == Fsync(FILE)
    assert TASK.truncate(FILE, "5kB") == Truncate(FILE, 5000)
    assert TASK.close(FILE) == Close(FILE)
    assert TASK.msync(REGION, "5KiB", "4097B") == Msync(REGION, 1, 2)
    assert TASK.madvise(REGION, "random") == Madvise(REGION, 0, 8, VM_RAND_READ)
    assert TASK.madvise(REGION, "sequential", "4KiB").hint == VM_SEQ_READ
    read = TASK.read(FILE, "4KiB", offset=5, compute="1us")
    assert (read.write, read.size_bytes, read.offset_bytes, read.records, read.compute_ns) == (
        False,
        4096,
        5,
        None,
        1000,
    )
    assert TASK.write(FILE, 10).write
    assert TASK.write(FILE, 10).offset_bytes is None


def test_mapping_a_file() -> None:
    whole = TASK.mmap(file=FILE)
    assert (whole.size_pages, whole.file, whole.first_page, whole.prot & VM_SHARED) == (25, FILE, 0, 0)
    part = TASK.mmap("8KiB", file=FILE, shared=True, offset="4KiB")
    assert (part.size_pages, part.first_page, part.prot & VM_SHARED) == (2, 1, VM_SHARED)


def test_records() -> None:
    in_turn = TASK.read(FILE, 30_000, pattern=sequential())
    assert list(in_turn.records.offsets()) == [0, 30_000, 60_000]
    apart = TASK.read(FILE, 1000, pattern=strided(40), count=4)
    assert list(apart.records.offsets()) == [0, 40_000, 80_000, 20_000]
    many = list(TASK.read(FILE, 1000, pattern=uniform(), count=2000).records.offsets())
    assert len(many) == 2000
    assert {offset % 1000 for offset in many} == {0}
    assert max(many) == 99_000
    assert many != list(TASK.read(FILE, 1000, pattern=uniform(), count=2000).records.offsets())
    again = TaskHandle("t", 1, seed=3)
    assert [list(again.read(FILE, 1000, pattern=p, count=2000).records.offsets()) for p in (uniform(),) * 3][2] == many


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: TASK.open(3), r"open\.file"),
        (lambda: TASK.open("data", "rw"), r"open\.access"),
        (lambda: TASK.read("data", 5), r"read\.file"),
        (lambda: TASK.read(FILE, 0), r"read\.size"),
        (lambda: TASK.write(FILE, "-1B"), r"write\.size"),
        (lambda: TASK.read(FILE, 5, offset=1, pattern=uniform()), r"read\.offset"),
        (lambda: TASK.read(FILE, "1MiB", pattern=uniform()), r"read\.size"),
        (lambda: TASK.mmap(), r"mmap\.size"),
        (lambda: TASK.mmap(file=FILE, offset=5), r"mmap\.offset"),
        (lambda: TASK.mmap(file=FILE, offset="1MiB"), r"mmap\.size"),
        (lambda: TASK.madvise(REGION, "never"), r"madvise\.advice"),
        (lambda: TASK.msync(REGION, offset="1MiB"), r"msync\.offset"),
        (lambda: TASK.close(REGION), r"close\.file"),
    ],
)
def test_wrong_arguments_are_named(call: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        call()


def test_every_operation_from_a_configuration() -> None:
    whole: dict[str, Any] = {"offset": 0, "length": None}
    plain: dict[str, Any] = {"prot": "rw-", "fixed": True, "growsdown": False, "locked": False, "reserve": True}
    transfer = {"on": "fd", "size": 10, "offset": 5, "pattern": None, "count": None, "compute": 0}
    program = [
        Table(op="open", file="data", as_="fd", access="read-write"),
        Table(op="read", **transfer),
        Table(op="write", **transfer),
        Table(op="mmap", as_="m", size=None, file="fd", shared=True, offset=4096, at_bytes=lambda: None, **plain),
        Table(op="madvise", on="m", advice="random", **whole),
        Table(op="msync", on="m", **whole),
        Table(op="fsync", on="fd"),
        Table(op="truncate", on="fd", size=7),
        Table(op="close", on="fd"),
    ]
    steps = program_from_config(Table(trace=None, program=program))(TASK)
    answers = {"Open": FILE, "Mmap": REGION}
    seen: list[Any] = [next(steps)]
    while len(seen) < len(program):
        seen.append(steps.send(answers.get(type(seen[-1]).__name__)))
    assert [type(each).__name__ for each in seen] == [
        "Open", "Transfer", "Transfer", "Mmap", "Madvise", "Msync", "Fsync", "Truncate", "Close",
    ]  # fmt: skip
    assert [each.write for each in seen[1:3]] == [False, True]
    assert seen[3].first_page == 1
    assert seen[4].region is REGION
