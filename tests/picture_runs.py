"""Small real runs for pictures, each made once."""

from __future__ import annotations

from functools import cache
from typing import Any

from machine.small import NVME, small
from synthetic_run import small_run

from numa_sim.results import Run
from numa_sim.workloads.patterns import uniform

PAGE = 4096


def pressing(task: Any) -> Any:
    """Fills both nodes and a part of swap, then goes about in what it has."""
    heap = yield task.mmap(3000 * PAGE)
    yield task.touch(heap, write=1.0)
    yield task.touch(heap, uniform(), accesses=4000, write=0.3)


def waiting(task: Any) -> Any:
    heap = yield task.mmap(64 * PAGE)
    yield task.touch(heap, write=1.0)
    yield task.sleep("2ms")


@cache
def recorded(profile: str = "linux-2.4.37") -> Run:
    """A run under memory pressure of which everything is recorded."""
    observe = ["buddy", "access_map"]
    run = {"sample": "500us", "fault_latency": True, "observe": observe}
    knobs = {} if profile == "linux-2.2" else {"numa_fallback": "nearest"}  # 2.2 knows no nodes
    machine = small(nodes=(4, 6), swap=(NVME,), run=run, kernel={"profile": profile, **knobs})
    machine.add(pressing, name="db", cpus=[0])
    machine.add(waiting, name="idle", cpus=[1])
    return Run.of(machine.run_to_end())


@cache
def plain() -> Run:
    """A run of which nothing is recorded but what always is; it never swaps."""
    machine = small(nodes=(4, 4), swap=(), run={"sample": "100us"})
    machine.add(waiting, cpus=[0])
    return Run.of(machine.run_to_end())


@cache
def made_up() -> Run:
    """A made-up run of two nodes, two tasks and two swap areas, 20 samples of 50 ms."""
    return Run.of(small_run(samples=20))
