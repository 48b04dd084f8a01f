"""R9: no run goes on for ever: budgets of events and of host time end it, and tell what it did last."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from reproduction.cases import TWO_NODES, hog, pressed
from twin.random_machines import random_config, random_topology

from numa_sim.cli.app import main
from numa_sim.config.model import Config
from numa_sim.errors import BudgetError
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.observe.result import RunResult
from numa_sim.processes.machine import Machine
from numa_sim.results import leftovers
from numa_sim.state.counters import VMSTAT

SEEDS = range(1000, 1025)
"""Random machines of every run of the tests."""
NIGHTLY = [range(first, first + 25) for first in range(1025, 2000, 25)]
"""Those that make them a thousand."""


def for_ever(*program: dict[str, Any]) -> dict[str, Any]:
    workload = {"name": "w", "program": [{"op": "repeat", "times": 10**9, "program": list(program)}]}
    return {"machine": TWO_NODES, "workload": [workload]}


def given_up(document: dict[str, Any], **budget: Any) -> BudgetError:
    machine = Machine(Config.of(**{**document, "run": {"seed": 3, "budget": budget}}))
    with pytest.raises(BudgetError) as caught:
        machine.run_to_end()
    return caught.value


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ([{"op": "compute", "for": "0ns"}], "task w begins compute"),
        ([{"op": "sleep", "for": "1us"}], "Timeout resumes task w"),
        ([{"op": "sched_yield"}], "task w enters the kernel on CPU 0"),
        ([{"op": "nice", "by": 0}], "task w begins nice"),
    ],
)
def test_a_program_without_end_is_given_up_and_what_it_does_is_told(program: list[Any], told: str) -> None:
    """Also one that takes no simulated time, so that nothing else would ever happen."""
    error = given_up(for_ever(*program), events=5000)
    assert len(error.last) == 50
    assert sum(told in line for line in error.last) > 10
    assert all(re.match(r"at [\d.]+ ?\w+: \w+", line) for line in error.last)
    assert str(error).startswith("the budget is used up: 5000 events, seed 3, at t=")
    assert "\n" not in str(error)


def test_a_process_that_wakes_itself_at_one_instant_is_told_of_by_its_name() -> None:
    def stuck(machine: Machine) -> Any:
        while True:
            yield machine.timeout(0)

    machine = Machine(Config.of(machine=TWO_NODES, workload=[hog(1)], run={"budget": {"events": 3000}}))
    machine.process(stuck(machine))
    with pytest.raises(BudgetError) as caught:
        machine.run_to_end()
    assert caught.value.t_ns == 0
    assert any("stuck" in line for line in caught.value.last)


def test_the_host_s_time_is_a_budget_too() -> None:
    error = given_up(for_ever({"op": "compute", "for": "0ns"}), wall="100ms")
    assert error.budget == "100ms of the host's time, seed 3"
    assert len(error.last) == 50


def test_kernel_events_count() -> None:
    assert given_up(pressed(), events=3000).t_ns > 0


def test_a_run_within_its_budget_is_the_same_run() -> None:
    hashes = []
    for run in ({}, {"budget": {"events": 10**8, "wall": "1h"}}):
        machine = Machine(Config.of(**{**pressed(), "run": {"seed": 5, **run}}))
        machine.run_to_end()
        hashes.append((event_hash(machine.kernel), state_hash(machine.kernel), machine.now_ns))
    assert hashes[0] == hashes[1]


def test_a_run_given_up_leaves_no_folder_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R14: what a failing run leaves: nothing that looks like a result, and its seed and last acts on the terminal."""
    (tmp_path / "a.json").write_text(json.dumps({**pressed(), "run": {"seed": 8, "budget": {"events": 2000}}}))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "a.json"), "--out", str(tmp_path / "runs" / "a")])
    assert ended.value.code == 2
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("numa-sim: error: the budget is used up: 2000 events, seed 8, at t=")
    assert others[0] == "it did last:"
    assert len(others) == 51
    assert not (tmp_path / "runs" / "a").exists()
    assert leftovers(tmp_path / "runs") == []


def random_machine(seed: int, **run: Any) -> Machine:
    """Machine, kernel and programs drawn from the seed; it may run as long as `run` says."""

    def with_a_budget(document: dict[str, Any]) -> None:
        document["run"].pop("until", None)
        document["run"].update({"check": "cheap", **run})

    config = random_config(seed, accesses=500).varied(with_a_budget)
    return Machine(config, random_topology(config))


def check_the_end(machine: Machine, result: RunResult, *, stopped: bool = False) -> None:
    """Every task ended in a way of its own, if the machine was not stopped before, and every kill is told."""
    outcomes = [task.outcome for task in machine.tasks]
    assert set(outcomes) - {""} <= {"exited", "out of memory", "segmentation fault"}
    assert stopped or "" not in outcomes
    killed = outcomes.count("out of memory")
    assert (killed > 0) == (result.exit_state == "oom")
    assert killed == 0 or any("kill" in warning.lower() for warning in result.warnings)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_machines_end_within_their_budget(seed: int) -> None:
    """All run to their end."""
    machine = random_machine(seed, budget={"events": 4_000_000, "wall": "60s"})
    check_the_end(machine, machine.run_to_end())


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seeds", NIGHTLY, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_a_thousand_random_machines_end_within_their_budget(seeds: range) -> None:
    """R9: with those above 1,000 seeds, none of which runs past its budget of simulated time, events or host time.

    Some thrash for hours, as the kernels did: what has not ended after 4 s must still get its pages in the second half,
    or end later, for 2.4.37 waits for a second before it kills, and for five before it kills again.  Only 2.4.0 may
    wait for ever: for a node that is full while another has room.
    """
    for seed in seeds:
        machine = random_machine(seed, until="12s", budget={"events": 1_000_000_000, "wall": "200s"})
        machine.run_until(2_000_000_000)
        half = faults(machine)
        machine.run_until(4_000_000_000)
        if faults(machine) == half:
            result = machine.run_to_end()
            stopped = machine.now_ns >= 12_000_000_000
            check_the_end(machine, result, stopped=stopped)
            assert not stopped or faults(machine) > half or waits_for_a_node(machine), f"seed {seed} hangs"


def faults(machine: Machine) -> int:
    """Page faults so far, of all nodes."""
    return int(machine.kernel.vmstat[:, [VMSTAT.index("pgfault"), VMSTAT.index("pgmajfault")]].sum())


def waits_for_a_node(machine: Machine) -> bool:
    """Whether this is what 2.4.0 does without swap: no page from another node, and no kill, for there are free ones.

    `tests/machine/test_linux_2_4_0.py` has it on a machine of two nodes.
    """
    vm, zones = machine.vm, machine.kernel.zones
    free = zones["free_pages"][zones["size"] > 0]
    kernel = machine.config.kernel
    is_2_4_0 = (kernel.profile, kernel.numa_fallback) == ("linux-2.4.0", "strict24")
    return is_2_4_0 and bool(free.min() < vm.freepages_min < free.sum())
