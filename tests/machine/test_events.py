"""What nothing else can come before happens at once: fewer SimPy events, and not one difference in the run."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import PAGE, counters, finish, small

from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.processes.machine import Machine
from numa_sim.workloads.patterns import uniform

SLOW = {"device": "sata-ssd", "size": "16MiB"}


def thrash(pages: int) -> Any:
    """A program that reads at random from more pages than its machine has."""

    def program(task: Any) -> Any:
        heap = yield task.mmap(pages * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.touch(heap, uniform(), accesses=2000)

    return program


def thrashing(tasks: int, nodes: tuple[int, ...] = (4,), **tables: Any) -> Machine:
    machine = small(nodes, swap=(SLOW,), **tables)
    for number in range(tasks):
        machine.add(thrash(500 * sum(nodes) // tasks), name=f"task{number}")
    return machine


def events_scheduled(machine: Machine) -> int:
    return next(machine._eid)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("nodes", [(4,), (4, 4)])
def test_time_that_passes_at_once_changes_nothing(
    tasks: int, nodes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = thrashing(tasks, nodes)
    finish(quick)
    assert counters(quick)["pgmajfault"] > 400
    monkeypatch.setattr(Machine, "let_pass", lambda self, delay_ns: False)
    slow = thrashing(tasks, nodes)
    finish(slow)
    assert event_hash(slow.kernel) == event_hash(quick.kernel)
    assert state_hash(slow.kernel) == state_hash(quick.kernel)
    assert events_scheduled(slow) > events_scheduled(quick)


def test_a_major_fault_of_a_lone_task_is_one_event() -> None:
    machine = thrashing(1, kernel={"switches": {"readahead": False}})
    finish(machine)
    faults, written = counters(machine)["pgmajfault"], counters(machine)["pswpout"]
    assert faults > 800
    assert faults < events_scheduled(machine) < 1.1 * faults + written


def test_time_does_not_pass_at_once_over_an_event_or_a_running_cpu() -> None:
    machine = small()
    machine.timeout(50)
    machine.step()  # kswapd's start
    assert machine.let_pass(20)
    assert machine.now_ns == 20
    assert not machine.let_pass(30), "the event at 50 was there first"
    machine.on_hardware = 1
    assert not machine.let_pass(10), "a CPU runs accesses meanwhile"
    assert machine.let_pass(0)
    assert machine.now_ns == 20
