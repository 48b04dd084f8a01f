"""Replicas until a mean is precise: decided in rounds from what is there, so the same whoever makes the runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep import tiny

from numa_sim.config.sweep import HONEST_MIN, Replicas
from numa_sim.results.sweep import open_sweep
from numa_sim.results.sweep_folder import PlannedRun, SweepDesign
from numa_sim.results.sweep_precision import imprecise_points, precision_notes
from numa_sim.statistics import mean_interval
from numa_sim.sweep import Shard, run_sweep, sweep_status
from numa_sim.sweep.rounds import missing_runs

UNTIL = Replicas(min=4, max=20, metric="end_ns", within="10%")
RUNS = [PlannedRun(f"{point}-{replica}", point, replica, replica, {}) for replica in range(20) for point in range(2)]


def made(value_of: dict[int, list[float]], lost: tuple[str, ...] = ()) -> dict[int, int]:
    """Replicas of each point at the end, when its replicas have these values in turn."""
    settled: set[str] = set()

    def value(run: str) -> float | None:
        point, replica = map(int, run.split("-"))
        return None if run in lost else value_of[point][replica % len(value_of[point])]

    while missing := missing_runs(RUNS, UNTIL, settled.__contains__, value):
        assert not settled.intersection(run.run for run in missing)
        settled.update(run.run for run in missing)
    return {point: sum(run.startswith(f"{point}-") for run in settled) for point in (0, 1)}


def test_a_point_stops_when_its_mean_is_precise_and_at_the_latest_at_max() -> None:
    assert made({0: [100.0, 101.0], 1: [1.0, 1000.0]}) == {0: 4, 1: 20}
    assert made({0: [100.0, 130.0], 1: [5.0]}) == {0: 13, 1: 4}  # 4, half as many again: 6, 9, 13


def test_a_run_that_will_never_be_counts_as_made_but_has_no_value() -> None:
    lost = tuple(f"0-{replica}" for replica in range(20))
    assert made({0: [100.0], 1: [5.0]}, lost) == {0: 20, 1: 4}


def test_a_number_of_replicas_is_one_round() -> None:
    runs = missing_runs(RUNS, Replicas(min=20, max=20), lambda run: run == "0-3", lambda run: None)
    assert [run.run for run in runs] == [run.run for run in RUNS if run.run != "0-3"]


@pytest.mark.parametrize("layout", ["processes", "shards"])
def test_every_executor_makes_the_same_runs(layout: str, tmp_path: Path) -> None:
    """R2: also when the number of runs is found on the way."""
    replicas = {"min": 3, "max": 8, "metric": "pgmajfault", "within": "3%"}
    config = tiny.config(replicas=replicas, grid={"workload.0.program.1.write": [0.0, 0.5]})
    serial = run_sweep(config, tmp_path / "serial", jobs=0)
    table = open_sweep(tmp_path / "serial").table
    by_point = [[row["pgmajfault"] for row in table.to_pylist() if row["point"] == point] for point in (0, 1)]
    for values in by_point:
        interval = mean_interval(values)
        assert len(values) == 8 or interval.half_width <= 0.03 * interval.estimate
    assert serial.done == sum(map(len, by_point))
    if layout == "processes":
        other = run_sweep(config, tmp_path / "other", jobs=2)
        assert other.complete
    else:
        other = run_sweep(config, tmp_path / "other", jobs=0, shard=Shard(2, 2))
        assert not other.complete
        assert run_sweep(config, tmp_path / "other", jobs=0, shard=Shard(1, 2)).complete
    assert tiny.result_set(tmp_path / "other") == tiny.result_set(tmp_path / "serial")
    status = sweep_status(tmp_path / "other")
    assert status.until_precise
    assert (status.wanted, status.done) == (16, serial.done)
    assert status.missing == 0
    assert status.notes[0].startswith("Replicas end at the first mean that looks precise, here from 3 on: ")


def test_what_is_missing_is_the_next_round_and_means_that_never_became_precise_are_told(tmp_path: Path) -> None:
    replicas = {"min": 2, "max": 4, "metric": "end_ns", "within": "0.01%"}
    config = tiny.config(replicas=replicas, grid={"workload.0.program.1.write": [0.2, 0.5]})
    run_sweep(config, tmp_path / "sweep", jobs=0, shard=Shard(1, 2))
    assert sweep_status(tmp_path / "sweep").lines()[1:3] == ["  done         4", "  missing      2 at least"]
    run_sweep(config, tmp_path / "sweep", jobs=0)
    sweep = open_sweep(tmp_path / "sweep")
    assert sweep_status(tmp_path / "sweep").missing == 0
    assert [point for point, _ in imprecise_points(sweep.design, sweep.table)] == [0, 1]
    assert sweep.precision_notes[1] == (
        "2 means of end_ns (of 2 points) are not known within 0.01% by the runs that are there, at most 4 each: "
        "workload.0.program.1.write = 0.2; workload.0.program.1.write = 0.5."
    )


def test_replicas_begin_with_as_many_as_keep_the_coverage() -> None:
    """R18: below ten, stopping at the first precise mean makes intervals cover clearly less than they say."""
    assert Replicas(metric="end_ns").min == HONEST_MIN == 10
    sweep = {"replicas": {"min": 10, "max": 20, "metric": "end_ns"}}
    assert precision_notes(SweepDesign(Path(), "1", {"sweep": sweep}, (), ())) == []
    assert precision_notes(SweepDesign(Path(), "1", {"sweep": {"replicas": 3}}, (), ())) == []
