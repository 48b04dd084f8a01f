"""Programs: the handle's operations, and programs written in a config."""

from types import SimpleNamespace as Table

import numpy as np
import pytest

from numa_sim.errors import ConfigError
from numa_sim.state.constants import MAP_NORESERVE
from numa_sim.units import GiB
from numa_sim.workloads.configured import PATTERNS, pattern_from_config, program_from_config
from numa_sim.workloads.patterns import sequential, uniform, zipf
from numa_sim.workloads.patterns.source import new_accesses
from numa_sim.workloads.program import Compute, Exit, Mmap, Munmap, Region, Sleep, TaskHandle, Touch


def run(program, task=None):
    """Execute a program on a machine that maps regions one after the other."""
    task = task or TaskHandle("t", 100, seed=1)
    generator, answer, done, next_vpn = program(task), None, [], 0x100
    while True:
        try:
            op = generator.send(answer)
        except StopIteration:
            return done
        answer = None
        if isinstance(op, Mmap):
            start = next_vpn if op.at_vpn is None else op.at_vpn
            answer = Region(start, op.size_pages, op.name)
            next_vpn = start + op.size_pages
        if isinstance(op, Touch):
            buffer = new_accesses(1000)
            op = (op.region, buffer[: op.source.fill(buffer)].copy())
        done.append(op)
        if isinstance(op, Exit):
            return done


def test_the_example_of_the_module():
    def hog(task):
        heap = yield task.mmap(3 * GiB)
        yield task.touch(heap, zipf(0.99), accesses=500, write=1)
        yield task.munmap(heap)

    mmap, (region, accesses), munmap = run(hog)
    assert mmap == Mmap(786432)
    assert region == Region(0x100, 786432)
    assert region.end_vpn == 0x100 + 786432
    assert len(accesses) == 500
    assert accesses["write"].all()
    assert munmap == Munmap(region, 0, 786432)


def test_units_and_rounding():
    task, region = TaskHandle("t", 1), Region(10, 8)
    assert task.mmap("5000B", at=0x5123, name="x") == Mmap(2, 5, "x")
    assert task.sleep("1.5us") == Sleep(1500)
    assert task.compute(7) == Compute(7)
    assert task.munmap(region, "5KiB", "4097B") == Munmap(region, 1, 2)
    assert task.munmap(region, offset=8192) == Munmap(region, 2, 6)
    buffer = new_accesses(100)
    n = task.touch(region, offset="4KiB", length=8192, compute="2ns").source.fill(buffer)
    assert buffer["vpn"][:n].tolist() == [11, 12]
    assert buffer["compute_ns"][:n].tolist() == [2, 2]


def test_touches_and_streams_are_named():
    def draws(name, seed, before=0):
        task, buffer = TaskHandle(name, 1, seed), new_accesses(50)
        for _ in range(before):
            task.touch(Region(0, 9), uniform())
        task.touch(Region(0, 1000), uniform(), 50).source.fill(buffer)
        return buffer["vpn"].tolist()

    assert draws("a", 1) == draws("a", 1)
    assert draws("a", 1) != draws("b", 1)
    assert draws("a", 1) != draws("a", 2)
    assert draws("a", 1) != draws("a", 1, before=1)
    task = TaskHandle("a", 1)
    first = task.rng("x").random()
    assert task.rng("x") is task.rng("x")
    assert TaskHandle("a", 9).rng("x").random() == first
    assert TaskHandle("a", 9).rng("y").random() != first


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t, r: t.mmap(0),
        lambda t, r: t.mmap("3G"),
        lambda t, r: t.mmap(-1),
        lambda t, r: t.mmap(1.5),
        lambda t, r: t.sleep("5"),
        lambda t, r: t.compute(-1),
        lambda t, r: t.touch(None, uniform()),
        lambda t, r: t.touch(r, "zipf"),
        lambda t, r: t.touch(r, uniform),
        lambda t, r: t.touch(r, uniform(), compute="3s"),
        lambda t, r: t.touch(r, uniform(), offset="32KiB"),
        lambda t, r: t.touch(r, uniform(), length=0),
        lambda t, r: t.touch(r, uniform(), offset="28KiB", length="8KiB"),
        lambda t, r: t.munmap(r, 0, "33KiB"),
    ],
)
def test_wrong_arguments_are_config_errors(wrong):
    with pytest.raises(ConfigError):
        wrong(TaskHandle("t", 1), Region(10, 8))


PLAIN_MAP = {"prot": "rw-", "fixed": True, "growsdown": False, "locked": False, "reserve": True}


def mmap(as_, size, at=None):
    return Table(op="mmap", as_=as_, size=size, file=None, shared=False, offset=0, at_bytes=lambda: at, **PLAIN_MAP)


def touch(on, pattern, **more):
    defaults = {"accesses": 3, "write": 0.0, "lines": 1, "compute": 0, "offset": 0, "length": None}
    return Table(op="touch", on=on, pattern=pattern, **(defaults | more))


def test_program_from_config():
    seq = Table(kind="sequential")
    program = [
        mmap("heap", 16384),
        Table(
            op="repeat",
            times=2,
            program=[
                mmap("tmp", 4096, 0x9000_0000),
                touch("tmp", seq, write=1.0, lines=7, compute=5),
                Table(op="munmap", on="tmp", offset=0, length=None),
            ],
        ),
        touch("heap", seq, offset=4096, length=8192),
        Table(op="sleep", for_=10),
        Table(op="compute", for_=11, fpu=False),
        Table(op="repeat", times=5, program=[Table(op="exit", status=0)]),
        Table(op="sleep", for_=99),
    ]
    done = run(program_from_config(Table(trace=None, program=program)))
    kinds = [type(op).__name__ for op in done]
    assert kinds == ["Mmap", *["Mmap", "tuple", "Munmap"] * 2, "tuple", "Sleep", "Compute", "Exit"]
    assert done[1] == Mmap(1, 0x90000, "tmp")
    assert done[2][1].tolist() == [(0x90000, 5, 7, 1)] * 3
    assert done[7][1]["vpn"].tolist() == [0x101, 0x102, 0x101]


def test_every_pattern_kind():
    seq, uni = Table(kind="sequential"), Table(kind="uniform")
    tables = {
        "none": {},
        "sequential": {},
        "strided": {"stride": 2},
        "uniform": {},
        "zipf": {"s": 1.0, "scramble": False},
        "pointer_chase": {},
        "phases": {"phases": [Table(pattern=seq, accesses=2), Table(pattern=uni, accesses=3)]},
        "mix": {"parts": [Table(weight=1.0, pattern=seq), Table(weight=2.0, pattern=uni)]},
    }
    assert set(tables) == set(PATTERNS)
    for kind, fields in tables.items():
        pattern = pattern_from_config(Table(kind=kind, **fields))
        assert type(pattern).__name__ == kind
        got = TaskHandle("t", 1).touch(Region(0, 10), pattern, 10).source.fill(new_accesses(10))
        assert got == (0 if kind == "none" else 10)
    assert pattern_from_config(Table(kind="zipf", s=2.0, scramble=True)) == zipf(2.0)
    with pytest.raises(ConfigError, match="zipf"):
        pattern_from_config(Table(kind="zip"))


def test_a_source_of_the_users_own():
    class Backwards:
        def bind(self, binding):
            from numa_sim.workloads.patterns import from_arrays

            return from_arrays(np.arange(binding.pages)[::-1]).bind(binding)

    buffer = new_accesses(10)
    n = TaskHandle("t", 1).touch(Region(5, 3), Backwards()).source.fill(buffer)
    assert buffer["vpn"][:n].tolist() == [7, 6, 5]
    assert sequential() == sequential()


def test_the_config_models_have_the_fields_read_here(tmp_path):
    from numa_sim.config.workload import Workload

    done = run(
        program_from_config(
            Workload.model_validate(
                {
                    "name": "db",
                    "program": [
                        {"op": "mmap", "as": "heap", "size": "1MiB", "at": "0x40000000"},
                        {
                            "op": "repeat",
                            "times": 2,
                            "program": [
                                {
                                    "op": "touch",
                                    "on": "heap",
                                    "pattern": {
                                        "kind": "mix",
                                        "parts": [
                                            {"weight": 1.0, "pattern": {"kind": "zipf", "s": 0.9}},
                                            {
                                                "weight": 1.0,
                                                "pattern": {
                                                    "kind": "phases",
                                                    "phases": [
                                                        {"pattern": {"kind": "strided", "stride": 3}, "accesses": 5}
                                                    ],
                                                },
                                            },
                                        ],
                                    },
                                    "accesses": 40,
                                    "offset": "8KiB",
                                    "length": "4KiB",
                                },
                                {"op": "sleep", "for": "1ms"},
                                {"op": "compute", "for": "2us"},
                            ],
                        },
                        {"op": "munmap", "on": "heap", "offset": "4KiB"},
                        {"op": "exit"},
                    ],
                }
            )
        )
    )
    heap = Region(0x40000, 256, "heap")
    assert done[0] == Mmap(256, 0x40000, "heap")
    assert set(done[1][1]["vpn"].tolist()) == {0x40002}
    assert len(done[1][1]) == len(done[4][1]) == 40
    assert done[2:4] == done[5:7] == [Sleep(1_000_000), Compute(2000)]
    assert done[7:] == [Munmap(heap, 1, 255), Exit()]

    (tmp_path / "t.txt").write_text(" L 5000,4\nI  5000,4\n S 5000,4\n L 9000,1\n")
    trace = {"file": "t.txt", "format": "lackey", "cache_hit": "3ns", "limit": 1, "instructions": False}
    done = run(program_from_config(Workload.model_validate({"name": "t", "trace": trace}), tmp_path.joinpath))
    assert done[0] == Mmap(512, 0, "0x0", flags=MAP_NORESERVE)
    assert done[1][1].tolist() == [(5, 9, 3, 1)]
