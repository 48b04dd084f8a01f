"""What goes wrong inside a simulated machine, or in a program, ends as the kernel would end it and is reported."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, NVME, PAGE, counters, finish, free_pages, parts, small, sweep

from numa_sim.errors import SimulationError
from numa_sim.processes.machine import Machine
from numa_sim.workloads.patterns import from_generator
from numa_sim.workloads.program import Region

FULL = {"check": "full"}
QUICK = {"context_switch": "100us"}
"""out_of_memory waits a second, in which a reclaimer yields again and again: make that fewer times."""


# Out of memory -------------------------------------------------------------------------------------------------------


def test_the_oom_killer_takes_the_biggest_and_the_rest_goes_on() -> None:
    machine = small(swap=(), cpus=("0-1",), costs=QUICK)
    machine.add(sweep(64, times=20), name="little")
    machine.add(sweep(8 * MIB_PAGES), name="big")
    result = finish(machine)
    assert result.exit_state == "oom"
    assert [task.outcome for task in machine.tasks] == ["exited", "out of memory"]
    assert [w.partition(": ")[2] for w in result.warnings] == ["Out of Memory: Killed process 101 (big)."]
    assert int(machine.kernel.tasks[2].accesses_done) == 64 * 20


@pytest.mark.parametrize(("nice", "victim"), [(0, "big"), (19, "niced")])
def test_niceness_doubles_badness(nice: int, victim: str) -> None:
    machine = small(nodes=(12,), swap=(), cpus=("0-1",), costs=QUICK)
    machine.add(sweep(6 * MIB_PAGES), name="big")
    machine.add(sweep(5 * MIB_PAGES), name="niced", nice=nice)
    result = finish(machine)
    assert len(result.warnings) == 1
    assert f"({victim})" in result.warnings[0]


def test_a_sleeping_victim_wakes_to_die() -> None:
    """SIGKILL ends a sleep: the memory of a sleeping giant comes back at once."""

    def giant(task: Any) -> Any:
        heap = yield task.mmap(8 * MIB_PAGES * PAGE)
        yield task.touch(heap, length=MIB_PAGES * PAGE, write=1.0)
        yield task.sleep("1h")

    machine = small(swap=(), cpus=("0-1",), costs=QUICK)
    machine.add(giant, name="giant")
    machine.add(sweep(MIB_PAGES), name="small", start_ns=1_000_000)
    machine.add(sweep(MIB_PAGES // 2), name="late", start_ns=2_000_000)
    result = finish(machine)
    assert [task.outcome for task in machine.tasks] == ["out of memory", "exited", "exited"]
    assert result.end_ns < 60_000_000_000


def test_a_computing_victim_dies_before_its_computation_ends() -> None:
    def giant(task: Any) -> Any:
        heap = yield task.mmap(8 * MIB_PAGES * PAGE)
        yield task.touch(heap, length=MIB_PAGES * PAGE, write=1.0)
        yield task.compute("1h")

    machine = small(swap=(), cpus=("0-1",), costs=QUICK)
    machine.add(giant, name="giant")
    machine.add(sweep(MIB_PAGES), name="small", start_ns=1_000_000)
    result = finish(machine)
    assert [task.outcome for task in machine.tasks] == ["out of memory", "exited"]
    assert 0 < parts(machine)["compute"] < 60_000_000_000
    assert result.end_ns < 60_000_000_000


def test_without_the_oom_killer_the_task_that_faults_dies() -> None:
    machine = small(swap=(), cpus=("0-1",), kernel={"oom_killer": False})
    machine.add(sweep(8 * MIB_PAGES), name="big")
    machine.add(sweep(32, times=5), name="little")
    result = finish(machine)
    assert result.exit_state == "oom"
    assert [task.outcome for task in machine.tasks] == ["out of memory", "exited"]
    assert [w.partition(": ")[2] for w in result.warnings] == ["VM: killing process big"]
    assert counters(machine)["oom_kill"] == 0 < counters(machine)["pgalloc_fail"]


def test_full_swap_is_out_of_memory_too() -> None:
    machine = small(swap=({**NVME, "size": "1MiB"},), costs=QUICK, run=FULL)
    machine.add(sweep(5 * MIB_PAGES), name="hog")
    result = finish(machine)
    assert result.exit_state == "oom"
    assert counters(machine)["pswpout"] > 0
    assert counters(machine)["oom_kill"] == 1


def test_all_memory_comes_back_after_a_kill() -> None:
    machine = small(swap=(), costs=QUICK)
    before = free_pages(machine)
    machine.add(sweep(8 * MIB_PAGES), name="hog")
    finish(machine)
    assert free_pages(machine) == before


# Segmentation faults -------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-37")
def test_touching_what_is_not_mapped_kills_the_task_and_only_it() -> None:
    def wild(task: Any) -> Any:
        heap = yield task.mmap(4 * PAGE)
        yield task.munmap(heap, offset=2 * PAGE)
        yield task.touch(heap)
        raise AssertionError("unreachable")

    machine = small(cpus=("0-1",), run=FULL)
    before = free_pages(machine)
    machine.add(wild, name="wild")
    machine.add(sweep(32, times=5), name="tame")
    result = finish(machine)
    assert [task.outcome for task in machine.tasks] == ["segmentation fault", "exited"]
    assert len(result.warnings) == 1
    assert "task wild: segmentation fault at page 0x" in result.warnings[0]
    assert result.exit_state == "ok"  # nothing was short; the warning tells
    assert int(machine.kernel.tasks[2].accesses_done) == 2
    assert free_pages(machine) == before


@pytest.mark.row("S1-31", "S3-092")
def test_writing_to_a_read_only_area_is_a_segmentation_fault() -> None:
    from numa_sim.state.constants import VM_READ

    def writer(task: Any) -> Any:
        heap = yield task.mmap(4 * PAGE, prot=VM_READ)
        yield task.touch(heap)
        yield task.touch(heap, write=1.0)

    machine = small()
    machine.add(writer)
    finish(machine)
    assert machine.tasks[0].outcome == "segmentation fault"
    assert int(machine.kernel.tasks[2].accesses_done) == 4


def test_a_region_of_another_task_is_not_mapped_here() -> None:
    shared: list[Region] = []

    def owner(task: Any) -> Any:
        shared.append((yield task.mmap(4 * PAGE)))
        yield task.touch(shared[0], write=1.0)

    def thief(task: Any) -> Any:
        yield task.touch(shared[0])

    machine = small()
    machine.add(owner)
    machine.add(thief, start_ns=1_000_000)
    finish(machine)
    assert [task.outcome for task in machine.tasks] == ["exited", "segmentation fault"]


# Odd machines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", ["strict24", "nearest"])
def test_a_node_without_cpus_gives_memory(fallback: str) -> None:
    # With the OOM killer on, strict24 never gives up on the first node: it kills while the second is empty.
    kernel = {"numa_fallback": fallback, "oom_killer": False}
    machine = small(nodes=(4, 8), cpus=("0", ""), kernel=kernel, swap=())
    machine.add(sweep(3 * MIB_PAGES, times=2))
    assert finish(machine).exit_state == "ok"
    assert counters(machine)["numa_miss"] > 0
    assert parts(machine)["remote"] > 0 < parts(machine)["local"]


@pytest.mark.parametrize("fallback", ["strict24", "nearest"])
def test_a_node_without_memory_runs_on_its_neighbours(fallback: str) -> None:
    machine = small(nodes=(4, 0), cpus=("0", "1"), kernel={"numa_fallback": fallback})
    machine.add(sweep(3 * MIB_PAGES, times=2), cpus=[1])
    assert finish(machine).exit_state == "ok"
    counts = counters(machine)
    assert counts["numa_hit"] == 0 < counts["numa_foreign"]
    assert counts["local_node"] == 0 < counts["other_node"]
    assert counts["pswpout"] > 0
    assert parts(machine)["local"] == 0 < parts(machine)["remote"]


# The end of time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", ["1ns", "700ns", "35us", "300us", "2ms", "5ms", "9ms"])
def test_accounts_are_exact_wherever_the_run_is_cut(until: str) -> None:
    def napping(task: Any) -> Any:
        yield task.sleep("400us")
        yield task.compute("300us")
        heap = yield task.mmap(MIB_PAGES * PAGE)
        while True:
            yield task.touch(heap, write=1.0)
            yield task.sleep("50us")

    machine = small(nodes=(4, 4), run={"until": until}, kernel={"time_slice": "100us"})
    for name in "abc":
        machine.add(sweep(4 * MIB_PAGES, times=100), name=name)
    machine.add(napping, name="nap")
    machine.add(sweep(16), name="late", start_ns=3_000_000_000)
    result = finish(machine)  # checks the sums
    assert result.exit_state == "until"
    assert result.end_ns == machine.now_ns
    for task in (2, 3, 4, 5):
        assert 0 <= int(machine.kernel.tasks[task].end_ns) - result.end_ns < 200_000  # daemons' work ahead


# Errors in programs --------------------------------------------------------------------------------------------------


def run_one(program: Any) -> Machine:
    machine = small()
    machine.add(program, name="mine")
    machine.run_to_end()
    return machine


@pytest.mark.parametrize("rubbish", [None, 17, "touch", object(), Region(0, 1)])
def test_yielding_something_else_than_an_operation_names_the_task(rubbish: Any) -> None:
    def program(task: Any) -> Any:
        yield rubbish

    with pytest.raises(SimulationError, match="task mine: a program must yield operations, not"):
        run_one(program)


def test_a_function_that_is_no_generator_is_refused() -> None:
    with pytest.raises(SimulationError, match="task mine: a program must be a generator of operations, not None"):
        run_one(lambda task: None)


class Awkward(Exception):
    """An exception that cannot be rebuilt from its args."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number}: {text}")
        self.number = number


def test_an_exception_of_the_program_comes_out_as_it_is() -> None:
    raised = Awkward(7, "mine")

    def program(task: Any) -> Any:
        heap = yield task.mmap(16 * PAGE)
        yield task.touch(heap, write=1.0)
        raise raised

    with pytest.raises(Awkward) as caught:
        run_one(program)
    assert caught.value is raised
    assert caught.value.__cause__ is None


def test_an_exception_of_an_access_generator_comes_out_as_it_is() -> None:
    """Also when it is raised in the middle, while the hardware asks for more accesses."""

    def pages(rng: Any) -> Any:
        for i in range(10_000):
            yield i % 16
        raise Awkward(8, "later")

    def program(task: Any) -> Any:
        heap = yield task.mmap(16 * PAGE)
        yield task.touch(heap, from_generator(pages), write=1.0)

    with pytest.raises(Awkward, match="8: later"):
        run_one(program)


def test_a_program_may_clean_up_when_it_is_killed() -> None:
    seen = []

    def program(task: Any) -> Any:
        try:
            heap = yield task.mmap(8 * MIB_PAGES * PAGE)
            yield task.touch(heap, write=1.0)
        finally:
            seen.append("closed")

    machine = small(swap=(), costs=QUICK)
    machine.add(program)
    finish(machine)
    assert seen == ["closed"]


def test_mapping_more_than_the_address_space_says_so() -> None:
    def program(task: Any) -> Any:
        yield task.mmap("200TiB")

    with pytest.raises(SimulationError, match=r"task mine: mmap of \d+ pages failed"):
        run_one(program)


def test_a_machine_without_programs_has_nothing_to_run() -> None:
    with pytest.raises(SimulationError, match="nothing to run"):
        small().run_to_end()


@pytest.mark.parametrize("cpus", [[], [1], [-1], [0, 7]])
def test_cpus_a_machine_does_not_have_are_refused(cpus: list[int]) -> None:
    with pytest.raises(SimulationError, match="this machine has CPUs 0 to 0"):
        small().add(sweep(1), cpus=cpus)


# Python use ----------------------------------------------------------------------------------------------------------


def test_simpy_processes_of_the_user_run_in_the_same_time() -> None:
    """A machine is a SimPy environment: a user's process sees simulated time and the state at its instants."""
    seen: list[tuple[int, int]] = []

    def observer(machine: Machine) -> Any:
        while True:
            yield machine.timeout(10_000)
            seen.append((machine.now_ns, int(machine.kernel.tasks[2].accesses_done)))

    machine = small()
    machine.process(observer(machine))
    machine.add(sweep(64, times=100))
    finish(machine)
    assert [t for t, _ in seen] == [10_000 * (i + 1) for i in range(len(seen))]
    assert [n for _, n in seen] == sorted(n for _, n in seen)
    assert 0 < seen[len(seen) // 2][1] < 6400
