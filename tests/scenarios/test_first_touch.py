"""Scenario 2: one process whose threads run on CPUs of different nodes: who touches first decides where a page is."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import PAGE, counters
from scenarios.shipped import CONFIGS

from numa_sim.config import load
from numa_sim.observe import user_pages
from numa_sim.observe.latency import pair_rows
from numa_sim.processes.machine import Machine

QUARTER = 256


def touching(task: Any, heap: Any, first: int) -> Any:
    """Write a quarter of the region once, then go on living."""
    yield task.touch(heap, offset=first * PAGE, length=QUARTER * PAGE, write=1.0)
    yield task.sleep("50ms")


def process(task: Any) -> Any:
    heap = yield task.mmap(4 * QUARTER * PAGE)
    for node in range(1, 4):
        yield task.clone(lambda thread, first=node * QUARTER: touching(thread, heap, first))
    yield from touching(task, heap, 0)
    return heap


def machine(program: Any = process) -> Machine:
    """Four nodes in a row, one CPU each."""
    made = Machine.of(
        nodes=[{"memory": "16MiB", "cpus": str(node)} for node in range(4)],
        distances=[[10 + 10 * abs(i - j) for j in range(4)] for i in range(4)],
        swap=[],
        kernel={"numa_fallback": "nearest"},
    )
    made.add(program, name="process")
    return made


def nodes_of(made: Machine) -> list[int]:
    """Node of each page of the heap."""
    k = made.kernel
    mm = int(made.tasks[0].record.mm)
    pages = user_pages.mapped_pages(k, user_pages.areas(k, mm)[0])
    return [int(node) for node in user_pages.node_of_frames(k, pages.pfns)]


@pytest.mark.row("S4-03", "S4-04")
def test_each_thread_has_its_pages_on_its_own_node() -> None:
    made = machine()
    made.run_until(30_000_000)
    assert "Threads:\t4" in made.procfs("process/status")
    cpus = [int(task.record.cpu) for task in made.tasks]
    assert sorted(cpus) == [0, 1, 2, 3]
    assert nodes_of(made) == [cpu for cpu in cpus for _ in range(QUARTER)]
    assert (
        made.procfs("process/numa_maps")
        .splitlines()[0]
        .endswith(f"N0={QUARTER} N1={QUARTER} N2={QUARTER} N3={QUARTER} kernelpagesize_kB=4")
    )
    assert counters(made)["numa_miss"] == counters(made)["other_node"] == 0
    assert all(pair["cpu_node"] == pair["memory_node"] for pair in pair_rows(made.kernel))


def test_latency_grows_with_the_distance_of_what_another_has_touched() -> None:
    def reading(task: Any) -> Any:
        heap = yield from process(task)
        for node in range(4):
            yield task.touch(heap, offset=node * QUARTER * PAGE, length=QUARTER * PAGE)

    made = machine(reading)
    made.run_to_end()
    home = int(made.tasks[0].record.cpu)
    latency = {
        pair["memory_node"]: pair["latency_ns"] / pair["accesses"]
        for pair in pair_rows(made.kernel)
        if pair["cpu_node"] == home
    }
    by_distance = [latency[node] for node in sorted(latency, key=lambda node: abs(node - home))]
    assert len(latency) == 4
    assert by_distance == sorted(by_distance)
    assert by_distance[0] < by_distance[-1]
    assert by_distance == [
        float(made.kernel.latency[home, node]) for node in sorted(latency, key=lambda n: abs(n - home))
    ]


def test_the_shipped_configuration_says_so_too() -> None:
    made = Machine(load(CONFIGS / "first-touch.toml", ()))
    made.run_until(8_000_000)
    assert " N0=1024 N1=1024 N2=1024 N3=1024 " in made.procfs("process/numa_maps").splitlines()[0]
    alone = Machine(load(CONFIGS / "first-touch.toml", ("workload.0.cpus=0",)))
    alone.run_until(8_000_000)
    assert " N0=4096 " in alone.procfs("process/numa_maps").splitlines()[0]


def test_one_thread_alone_has_everything_at_home() -> None:
    def alone(task: Any) -> Any:
        heap = yield task.mmap(4 * QUARTER * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.sleep("50ms")

    made = machine(alone)
    made.run_until(30_000_000)
    assert set(nodes_of(made)) == {0}
