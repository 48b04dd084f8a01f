"""Histograms of how long page faults take: exact on a machine whose costs are known, and only on request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine.small import MIB_PAGES, NVME, PAGE, counters, finish, parts, small, sweep

from numa_sim.compiled import entry
from numa_sim.kernel.fault_latency import BUCKETS, FAULT_KINDS, latency_bucket
from numa_sim.observe.fault_rows import bucket_bounds, fault_rows
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine
from numa_sim.results import Run

DISK = {"name": "sda", "device": "nvme", "size": "64MiB"}
bucket = entry(latency_bucket)


@given(st.integers(0, 1 << 60))
@settings(deadline=None)
def test_a_bucket_holds_its_time_and_is_narrow(time_ns: int) -> None:
    number = int(bucket(time_ns))
    low, high = bucket_bounds(number)
    assert 0 <= number < BUCKETS
    assert low <= time_ns <= high
    assert high - low <= low // 4


def program(task: Any) -> Any:
    heap = yield task.mmap(128 * PAGE)
    file = yield task.open("data")
    view = yield task.mmap(64 * PAGE, file=file)
    yield task.touch(heap, write=1.0)
    yield task.touch(view)
    yield task.touch(view, write=1.0)
    child = yield task.fork(writing(heap), name="child")
    yield task.wait(child)


def writing(heap: Any) -> Any:
    def child(task: Any) -> Any:
        yield task.touch(heap, accesses=32, write=1.0)

    return child


def machine(on: bool, program: Any = program, **more: Any) -> Machine:
    more.setdefault("run", {})
    made = small(
        nodes=(8,), disk=[DISK], file=[{"name": "data", "size": "1MiB", "disk": "sda"}],
        **{**more, "run": {**more["run"], "fault_latency": on}},
    )  # fmt: skip
    made.add(program, name="task")
    return made


def rows(made: Machine) -> dict[tuple[str, str], dict[str, int]]:
    found = fault_rows(made.kernel, [(task.name, task.index) for task in made.tasks])
    return {(row["task"], row["kind"]): row for row in found}


@pytest.mark.row("X-13")
def test_each_kind_of_fault_is_counted_and_takes_what_it_costs() -> None:
    made = machine(on=True)
    finish(made)
    found = rows(made)
    anonymous, costs = found["task", "anonymous"], made.kernel.costs[0]
    assert anonymous["count"] == 128
    # The first faults make page tables; all others cost the same.
    assert anonymous["p50_ns"] >= int(costs.minor_fault_ns + costs.clear_page_ns) >= anonymous["p50_ns"] * 4 // 5
    assert anonymous["max_ns"] >= int(costs.minor_fault_ns + costs.clear_page_ns + costs.table_alloc_ns)
    assert found["task", "file"]["count"] == 64
    assert found["task", "file"]["max_ns"] > 10_000, "some had to wait for the disk"
    assert found["task", "copy_on_write"]["count"] == 64
    (child,) = [name for name, kind in found if name != "task" and kind == "copy_on_write"]
    assert found[child, "copy_on_write"]["count"] == 32
    assert sum(row["count"] for row in found.values()) == counters(made)["pgfault"]


def test_the_times_are_those_of_the_account() -> None:
    made = machine(on=True, program=sweep(200))
    finish(made)
    account = parts(made)
    (row,) = rows(made).values()
    assert row["total_ns"] == account["minor_fault"] + account["major_fault"] + account["lock_wait"]


def test_swap_ins_are_told_from_first_touches() -> None:
    made = machine(on=True, program=sweep(10 * MIB_PAGES, times=2), swap=(NVME,))
    finish(made)
    found = rows(made)
    assert found["task", "swap"]["count"] == counters(made)["swap_faults"] > 500
    assert found["task", "swap"]["p99_ns"] > 10 * found["task", "anonymous"]["p50_ns"]
    assert {kind for _, kind in found} <= set(FAULT_KINDS)


def test_it_is_off_unless_asked_for_and_changes_nothing() -> None:
    on, off = machine(on=True), machine(on=False)
    results = [finish(made) for made in (on, off)]
    assert event_hash(on.kernel) == event_hash(off.kernel)
    assert rows(off) == {}
    assert off.kernel.fault_latency.shape[0] == 1
    assert Run.of(results[1]).summary["faults"] == []
    assert len(Run.of(results[0]).summary["faults"]) >= 3


def test_the_summary_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from numa_sim.results import print_summary, summarise

    print_summary(summarise(finish(machine(on=True))), Console(width=100))
    said = capsys.readouterr().out
    assert "How long page faults took" in said
    assert "copy on write" in said
