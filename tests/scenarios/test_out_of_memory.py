"""Scenario 14: out of memory with and without swap, and who dies: the task of the highest badness."""

from __future__ import annotations

import pytest
from scenarios.shipped import run, task

GROWN = "workload.1.program.0.size=40MiB"


@pytest.mark.parametrize("swap", [(), ("machine.swap=[]",)], ids=["swap", "no swap"])
def test_the_greedy_task_dies_and_the_modest_one_runs_on(swap: tuple[str, ...]) -> None:
    result = run("out-of-memory", *swap)
    assert result.summary["run"]["exit_state"] == "oom"
    assert [kill["task"] for kill in result.summary["oom_kills"]] == ["greedy"]
    assert task(result, "modest")["state"] == "exited"
    assert [area["peak_used_pages"] for area in result.summary["swap_areas"]] == ([] if swap else [2047])


def test_without_swap_the_greedy_task_gets_less_far() -> None:
    with_swap, without = run("out-of-memory"), run("out-of-memory", "machine.swap=[]")
    gained = task(with_swap, "greedy")["accesses"] - task(without, "greedy")["accesses"]
    assert 0.95 * 2047 < gained < 1.05 * 2047, "as many pages as swap has"


def test_enough_swap_and_nobody_dies() -> None:
    result = run("out-of-memory", "machine.swap.0.size=64MiB")
    assert result.summary["oom_kills"] == []
    assert [task(result, name)["state"] for name in ("greedy", "modest")] == ["exited", "exited"]


@pytest.mark.parametrize(("nice", "victim"), [(0, "greedy"), (19, "modest")])
def test_a_nice_value_doubles_badness_and_changes_the_victim(nice: int, victim: str) -> None:
    result = run("out-of-memory", GROWN, f"workload.1.nice={nice}")
    first = min(result.summary["oom_kills"], key=lambda kill: kill["t_ns"])
    assert first["task"] == victim
