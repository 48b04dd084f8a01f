"""Scenario 6: a working set slightly above memory, under every idea of which page goes."""

from __future__ import annotations

import pytest
from scenarios.shipped import end_ns, part_ns, run, total

from numa_sim.results import Run

IDEAS = ("kernel", "immediate", "lru", "staging", "dirty-clean", "whole-process")


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return {idea: run("thrashing", f"kernel.reclaim={idea}") for idea in IDEAS}


@pytest.fixture(scope="module")
def roomy() -> Run:
    return run("thrashing", "machine.nodes.0.memory=10MiB")


@pytest.mark.row("S2-34")
def test_with_slightly_too_little_memory_the_run_is_swap_wait(runs: dict[str, Run], roomy: Run) -> None:
    assert total(roomy, "pswpin") == total(roomy, "pswpout") == 0
    for idea, result in runs.items():
        assert result.summary["run"]["exit_state"] == "ok", idea
        assert end_ns(result) > 2 * end_ns(roomy), idea
        assert part_ns(result, "swap_wait") > part_ns(result, "compute"), idea


@pytest.mark.row("S2-33")
def test_immediate_replacement_is_the_slowest(runs: dict[str, Run]) -> None:
    page_by_page = runs.keys() - {"whole-process"}
    assert max(page_by_page, key=lambda idea: end_ns(runs[idea])) == "immediate"
    assert part_ns(runs["immediate"], "direct_reclaim") > 10 * part_ns(runs["lru"], "direct_reclaim")


@pytest.mark.row("S2-35")
def test_a_staging_queue_reads_less(runs: dict[str, Run]) -> None:
    assert total(runs["staging"], "pswpin") < 0.9 * total(runs["lru"], "pswpin")
    assert total(runs["staging"], "policy_rescues") > 10 * total(runs["lru"], "policy_rescues")
    assert end_ns(runs["staging"]) < end_ns(runs["lru"])


@pytest.mark.row("S2-36")
def test_dirty_and_clean_states_write_less(runs: dict[str, Run]) -> None:
    assert total(runs["dirty-clean"], "pswpout") < 0.9 * total(runs["staging"], "pswpout")
    assert total(runs["dirty-clean"], "pswpin") <= 1.05 * total(runs["staging"], "pswpin")


@pytest.mark.row("S2-05", "S3-009", "S3-012")
def test_whole_processes_move_the_most(runs: dict[str, Run]) -> None:
    moved = {idea: total(result, "pswpin") + total(result, "pswpout") for idea, result in runs.items()}
    assert max(moved, key=lambda idea: moved[idea]) == "whole-process"
    assert moved["whole-process"] > 5 * moved["lru"]
    assert end_ns(runs["whole-process"]) > end_ns(runs["lru"])
