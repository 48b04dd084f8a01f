"""Run queues: turns, nice values, the address space that is loaded, balancing; and lazy TLBs."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import PAGE, counters, finish, parts, small

from numa_sim.observe.events import recorded_events
from numa_sim.processes.machine import Machine
from numa_sim.processes.run_queue import nice_to_ticks

MS = 1_000_000
RECORDED = {"record_events": 20_000, "check": "full"}


def computing(time: str) -> Any:
    def program(task: Any) -> Any:
        yield task.compute(time)

    return program


def order(machine: Machine) -> list[int]:
    """The tasks in the order in which CPU 0 ran them, row 2 as 0."""
    return [event.b - 2 for event in recorded_events(machine.kernel, "context_switch") if event.a == 0]


# Turns ---------------------------------------------------------------------------------------------------------------


@pytest.mark.row("X-02")
def test_equal_tasks_take_turns_in_the_order_of_their_coming() -> None:
    machine = small(run=RECORDED)
    for name in "abc":
        machine.add(computing("150ms"), name=name)
    finish(machine)
    assert order(machine) == [0, 1, 2] * 3


@pytest.mark.row("X-02")
def test_a_nice_task_gets_shorter_slices_and_the_lesser_share() -> None:
    """Until the first ends, CPU time is as the ticks: 11 at nice -20, 6 at 0, 1 at 19."""
    assert [nice_to_ticks(nice) for nice in (-20, 0, 19)] == [11, 6, 1]
    machine = small(run={**RECORDED, "until": "3.7s"})
    for name, nice in (("nice", 19), ("plain", 0), ("greedy", -20)):
        machine.add(computing("10s"), name=name, nice=nice)
    finish(machine)
    shares = [parts(machine, task)["compute"] / MS for task in (2, 3, 4)]
    assert shares[0] == pytest.approx(3.7e3 / 18, rel=0.1)
    assert shares[1] / shares[0] == pytest.approx(6, rel=0.15)
    assert shares[2] / shares[1] == pytest.approx(11 / 6, rel=0.15)


@pytest.mark.row("X-02")
def test_the_lower_nice_value_goes_first_within_a_round_and_nobody_starves() -> None:
    machine = small(run=RECORDED)
    machine.add(computing("120ms"), name="first")
    machine.add(computing("20ms"), name="nice", nice=10)
    machine.add(computing("120ms"), name="plain")
    machine.add(computing("120ms"), name="urgent", nice=-10)
    finish(machine)
    assert order(machine)[:5] == [0, 3, 2, 0, 1], "best first; all of a round before the first one again"


@pytest.mark.row("X-02", "X-01")
def test_the_slice_is_six_ticks_of_a_hundredth_of_a_second() -> None:
    machine = small(run=RECORDED)
    machine.add(computing("100ms"))
    machine.add(computing("100ms"))
    finish(machine)
    first = recorded_events(machine.kernel, "slice_end")[0]
    assert first.t_ns == 60 * MS + machine.costs.context_switch_ns + machine.costs.tlb_flush_ns


@pytest.mark.row("X-02")
def test_sleep_and_wake_up() -> None:
    """A task that sleeps leaves its CPU to the other; both end in the time of the longer."""

    def dozing(task: Any) -> Any:
        for _ in range(5):
            yield task.compute("1ms")
            yield task.sleep("9ms")

    machine = small(run=RECORDED)
    machine.add(dozing)
    machine.add(dozing)
    result = finish(machine)
    assert result.end_ns < 55 * MS


@pytest.mark.row("X-02")
def test_sched_yield_lets_the_others_run_first() -> None:
    def polite(task: Any) -> Any:
        for _ in range(3):
            yield task.compute("1ms")
            yield task.sched_yield()

    machine = small(run=RECORDED)
    machine.add(polite, name="a")
    machine.add(polite, name="b")
    finish(machine)
    assert order(machine) == [0, 1] * 4, "three turns with a yield at their ends, and one to exit"


def test_nice_changes_the_next_slices_and_only_root_may_lower_it() -> None:
    answers = []

    def program(task: Any) -> Any:
        answers.append((yield task.nice(5)))
        try:
            yield task.nice(-1)
        except OSError as error:
            answers.append(error.strerror)
        answers.append((yield task.nice(40)))
        yield task.compute("100ms")

    machine = small(run=RECORDED)
    machine.add(program, name="it")
    machine.add(computing("200ms"), name="other")
    finish(machine)
    assert answers == [5, "Operation not permitted", 19]
    slices = [event.t_ns for event in recorded_events(machine.kernel, "slice_end") if event.a == 2]
    switches = [event.t_ns for event in recorded_events(machine.kernel, "context_switch") if event.b == 2]
    assert slices[1] - switches[1] < 11 * MS, "a tick, and the switch"


@pytest.mark.row("X-02")
def test_who_wakes_goes_to_its_last_cpu_if_idle_else_to_an_idle_one() -> None:
    def dozing(task: Any) -> Any:
        for _ in range(4):
            yield task.compute("1ms")
            yield task.sleep("4ms")

    machine = small(cpus=("0-2",), run=RECORDED)
    machine.add(dozing)
    machine.add(computing("100ms"), name="late", start_ns=8 * MS, cpus=[0])
    finish(machine)
    where = [event.a for event in recorded_events(machine.kernel, "context_switch") if event.b == 2]
    assert where == [0, 1], "back to CPU 0 while that is idle, then to another, and there it stays"


# The address space that is loaded ------------------------------------------------------------------------------------


def threads(same_mm_bonus: bool) -> Machine:
    """While one task computes, others come: a thread, a process, a thread of the first one's, another process."""

    def thread(wakes: str) -> Any:
        def program(task: Any) -> Any:
            yield task.sleep(wakes)
            yield task.compute("180ms")

        return program

    def parent(task: Any) -> Any:
        yield task.clone(thread("3ms"))
        yield task.clone(thread("1ms"))

    machine = small(run=RECORDED, kernel={"switches": {"same_mm_bonus": same_mm_bonus}})
    machine.add(parent)
    machine.add(computing("20ms"), name="first", start_ns=MS // 2)
    machine.add(computing("180ms"), name="b", start_ns=2 * MS)
    machine.add(computing("180ms"), name="c", start_ns=4 * MS)
    finish(machine)
    return machine


@pytest.mark.row("S3-062", "X-02")
def test_of_equal_tasks_the_one_with_the_same_mm_runs_next_and_no_tlb_is_flushed() -> None:
    with_bonus, without = threads(True), threads(False)
    assert order(without)[-12:] == [5, 2, 4, 3] * 3
    assert order(with_bonus)[-12:-8] == [5, 4, 2, 3], "from thread to thread"
    assert int(with_bonus.kernel.cpus[0].tlb_flushes) < int(without.kernel.cpus[0].tlb_flushes)
    assert int(with_bonus.kernel.cpus[0].context_switches) == int(without.kernel.cpus[0].context_switches)


# Balancing -----------------------------------------------------------------------------------------------------------


@pytest.mark.row("X-02")
def test_idle_cpus_take_tasks_from_their_node_and_from_others_if_they_may() -> None:
    seen = {}
    for name, balance in (
        ("off", {}),
        ("within", {"within_node": True}),
        ("across", {"across_nodes": True}),
        ("both", {"within_node": True, "across_nodes": True}),
    ):
        machine = crowded(**balance)
        result = finish(machine)
        c = counters(machine)
        moves = recorded_events(machine.kernel, "migrate_task")
        assert len(moves) == c["migrations_within_node"] + c["migrations_across_nodes"]
        seen[name] = (c["migrations_within_node"], c["migrations_across_nodes"], result.end_ns)
    assert seen["off"][:2] == (0, 0)
    assert seen["within"][0] > 0 == seen["within"][1]
    assert seen["across"][1] > 0 == seen["across"][0]
    assert min(seen["both"][:2]) > 0
    assert seen["both"][2] < seen["within"][2] < seen["off"][2], "the sooner it is all done"


def crowded(**balance: bool) -> Machine:
    """Four busy CPUs on two nodes, with tasks queueing on each; those of CPU 0's queue are the long ones."""
    machine = small(nodes=(4, 4), cpus=("0-1", "2-3"), kernel={"balance": balance}, run=RECORDED)
    for cpu in range(4):
        machine.add(computing("5ms"), name=f"holder-{cpu}", cpus=[cpu])
    for number in range(12):
        time = "200ms" if number % 4 == 0 else "5ms"
        machine.add(computing(time), name=f"task-{number}", start_ns=1 * MS + number)
    return machine


def test_a_task_is_not_moved_to_where_it_must_not_run() -> None:
    machine = small(nodes=(4, 4), cpus=("0-1", "2-3"), kernel={"balance": {"within_node": True, "across_nodes": True}})
    for _ in range(4):
        machine.add(computing("5ms"), cpus=[0])
    finish(machine)
    c = counters(machine)
    assert c["migrations_within_node"] == c["migrations_across_nodes"] == 0
    assert [int(cpu.busy_ns) > 0 for cpu in machine.kernel.cpus] == [True, False, False, False]


# Lazy TLBs -----------------------------------------------------------------------------------------------------------


def shooting(lazy: bool, rounds: int = 20) -> Machine:
    """A thread touches and sleeps; then its CPU is idle on the mm whose pages another thread unmaps."""

    def sleeper(heap: Any) -> Any:
        def program(task: Any) -> Any:
            yield task.touch(heap, write=1.0)
            yield task.sleep("1s")

        return program

    def parent(task: Any) -> Any:
        heap = yield task.mmap(4 * PAGE)
        yield task.clone(sleeper(heap))
        yield task.compute("10ms")
        for _ in range(rounds):
            area = yield task.mmap(PAGE)
            yield task.touch(area, write=1.0)
            yield task.munmap(area)

    machine = small(cpus=("0-1",), run=RECORDED, kernel={"switches": {"lazy_tlb": lazy}})
    machine.add(parent)
    finish(machine)
    return machine


@pytest.mark.row("X-05", "S3-125")
def test_a_lazy_cpu_leaves_at_the_first_shoot_down_and_is_spared_the_others() -> None:
    rounds = 20
    lazy, eager = shooting(lazy=True).kernel.cpus[1], shooting(lazy=False).kernel.cpus[1]
    assert (int(lazy.ipis_received), int(lazy.lazy_leaves)) == (1, 1)
    assert int(lazy.ipis_spared) >= rounds - 1
    assert int(eager.ipis_received) >= rounds
    assert (int(eager.lazy_leaves), int(eager.ipis_spared)) == (0, 0)
