"""R5: random streams go by name: what else is on a machine changes no draw, and no two components share a stream."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
from reproduction.cases import NAMES, machine_of, write_inputs

import numa_sim
from numa_sim.config.model import Config
from numa_sim.errors import ConfigError
from numa_sim.observe.events import recorded_events
from numa_sim.processes.machine import Machine
from numa_sim.workloads import streams
from numa_sim.workloads.program import TaskHandle

HEAP = {"op": "mmap", "as": "heap", "size": "4MiB"}


def user(name: str, kind: str = "uniform", **more: Any) -> dict[str, Any]:
    """A task of random accesses to a region of its own."""
    touch = {"op": "touch", "on": "heap", "pattern": {"kind": kind, **more}, "accesses": 600, "write": 0.5}
    return {"name": name, "cpus": "0", "program": [HEAP, touch, {**touch, "accesses": 100}]}


def machine(*workloads: dict[str, Any], nodes: int = 1, **tables: Any) -> Machine:
    distances = [[10 if i == j else 20 for j in range(nodes)] for i in range(nodes)]
    table = {
        "nodes": [{"memory": "64MiB", "cpus": f"{2 * i}-{2 * i + 1}"} for i in range(nodes)],
        "distances": distances,
        **tables.pop("machine", {}),
    }
    return Machine(
        Config.of(machine=table, workload=list(workloads), run={"seed": 9, "record_events": 20_000}, **tables)
    )


def first_touches(of: Machine, name: str) -> list[int]:
    """Pages of a task in the order in which it first used them."""
    of.run_to_end()
    task = next(task.index for task in of.tasks if task.name == name)
    return [event.a for event in recorded_events(of.kernel, "do_anonymous_page") if event.task == task]


DISK = {"disk": [{"device": "hdd", "name": "sda", "size": "16MiB"}]}
FILE = [{"name": "data", "size": "1MiB", "disk": "sda", "fragments": 20}]
READ = [{"op": "open", "file": "data", "as": "fd"}, {"op": "read", "on": "fd", "size": "4KiB", "count": 50}]
READ[1]["pattern"] = {"kind": "uniform"}
SWAP = {"swap": [{"device": "nvme", "size": "8MiB"}]}
FORK = {"op": "fork", "program": [{"op": "exit"}]}


@pytest.mark.parametrize(
    "added",
    [
        lambda: machine(user("db"), user("more")),
        lambda: machine(user("before", "zipf", s=0.9), user("db")),
        lambda: machine({**user("many", "pointer_chase"), "count": 5}, user("db"), user("after")),
        lambda: machine(user("db"), nodes=3),
        lambda: machine(user("db"), kernel={"reclaim": "clock"}, machine=SWAP),
        lambda: machine(user("db"), {"name": "reader", "program": READ}, machine={**DISK, "file": FILE}),
        lambda: machine({**user("db"), "program": [*user("db")["program"], FORK]}),
    ],
    ids=["task", "task before", "tasks around", "nodes and CPUs", "policy and swap", "file and disk", "child"],
)
def test_adding_a_component_leaves_the_draws_of_the_others_unchanged(added: Any) -> None:
    alone = first_touches(machine(user("db")), "db")
    assert len(set(alone)) > 200
    touched = first_touches(added(), "db")
    base = alone[0] - touched[0]
    assert [page + base for page in touched] == alone


def test_another_name_or_seed_is_another_stream() -> None:
    alone = first_touches(machine(user("db")), "db")
    assert first_touches(machine(user("bd")), "bd") != alone


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Of thirty runs of every kind: the names of the streams they made, in order."""
    place = tmp_path_factory.mktemp("inputs")
    write_inputs(place / "in")
    asked: dict[str, list[str]] = {}
    original = streams.stream
    with pytest.MonkeyPatch.context() as patch:
        for module in pkgutil.walk_packages(numa_sim.__path__, "numa_sim."):
            if module.name.endswith("__main__"):
                continue
            there = importlib.import_module(module.name)
            if getattr(there, "stream", None) is original:

                def noted(seed: int, name: str) -> np.random.Generator:
                    asked[run].append(name)
                    return original(seed, name)

                patch.setattr(there, "stream", noted)
        for run in NAMES:
            asked[run] = []
            machine_of(run, place / "in").run_to_end()
    return asked


def test_no_component_gets_a_stream_that_another_has(asked: dict[str, list[str]]) -> None:
    """A name made twice in one run would give two components the same draws."""
    for run, names in asked.items():
        assert len(names) == len(set(names)), run
    kinds = {name.split("/")[0] for names in asked.values() for name in names}
    assert kinds == {"task", "file", "policy"}


def test_no_two_names_map_to_one_key(asked: dict[str, list[str]]) -> None:
    every = {name for names in asked.values() for name in names}
    every |= {f"task/t-{i}/touch {j}" for i in range(300) for j in range(300)}
    assert len(every) > 90_000
    assert len({streams.words(name) for name in every}) == len(every)
    first_draws = {streams.stream(7, name).integers(1 << 62) for name in sorted(every)[::30]}
    assert len(first_draws) == len(sorted(every)[::30])


@pytest.mark.parametrize("name", ["access", "touch 1", "file 12", "b/touch 1", "/"])
def test_a_program_s_own_stream_cannot_be_that_of_its_accesses_or_of_another_task(name: str) -> None:
    with pytest.raises(ConfigError, match=r"a: rng: .* \(allowed: a name not taken, without /\)"):
        TaskHandle("a", 9).rng(name)
    TaskHandle("a", 9).rng("touch")
