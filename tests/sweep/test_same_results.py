"""A sweep's results do not depend on who made them, how often they were interrupted, or in which order.

R2: result sets of a 40-run sweep are equal by checksum for serial, 1, 2 and 4 workers, shards, Dask, kill and resume.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sweep import faulty, tiny

from numa_sim.results.sweep import open_sweep
from numa_sim.sweep import Shard, run_sweep


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial") / "sweep"
    outcome = run_sweep(tiny.config(**tiny.FORTY), folder, jobs=0)
    assert (outcome.done, outcome.there, outcome.quarantined, outcome.complete) == (40, 0, [], True)
    return folder


def test_a_serial_sweep_has_every_run_and_one_row_for_each(serial: Path) -> None:
    table = open_sweep(serial).table
    assert table.num_rows == 40
    assert len(set(table["run"].to_pylist())) == 40
    assert sorted(set(table["machine"].to_pylist())) == ["nvme", "zram"]
    assert len(set(table["seed"].to_pylist())) == 5
    assert table.group_by("point").aggregate([("seed", "count_distinct")])["seed_count_distinct"].to_pylist() == [5] * 8


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_worker_processes_give_the_serial_results(serial: Path, tmp_path: Path, workers: int) -> None:
    outcome = run_sweep(tiny.config(**tiny.FORTY), tmp_path / "sweep", jobs=workers)
    assert outcome.done == 40
    assert tiny.result_set(tmp_path / "sweep") == tiny.result_set(serial)


def test_three_shards_in_any_order_give_the_serial_results(serial: Path, tmp_path: Path) -> None:
    config = tiny.config(**tiny.FORTY)
    done = []
    for index in (2, 3, 1):
        outcome = run_sweep(config, tmp_path / "sweep", jobs=0, shard=Shard(index, 3))
        done.append(outcome.done)
        assert outcome.complete == (index == 1)
        assert (tmp_path / "sweep" / "results.parquet").exists() == (index == 1)
    assert done == [13, 13, 14]
    assert run_sweep(config, tmp_path / "sweep", jobs=0, shard=Shard(2, 3)).done == 0
    assert tiny.result_set(tmp_path / "sweep") == tiny.result_set(serial)


def test_dask_gives_the_serial_results_though_a_worker_is_killed(serial: Path, tmp_path: Path) -> None:
    from numa_sim.sweep.dask import dask_executor

    with dask_executor(workers=2) as executor:
        client = executor._client  # type: ignore[attr-defined]
        pids = client.run(os.getpid)
        kill = threading.Thread(target=_kill_one, args=(tmp_path / "sweep", lambda: list(pids.values())))
        kill.start()
        outcome = run_sweep(tiny.config(**tiny.FORTY), tmp_path / "sweep", executor)
        kill.join()
        assert set(client.run(os.getpid).values()) != set(pids.values())
    assert outcome.whole
    assert tiny.result_set(tmp_path / "sweep") == tiny.result_set(serial)


def _kill_one(folder: Path, pids: object) -> None:
    """Kill a worker as soon as a few runs are there."""
    _wait_for_runs(folder, 5)
    os.kill(pids()[0], signal.SIGKILL)  # type: ignore[operator]


def _wait_for_runs(folder: Path, number: int) -> None:
    runs = folder / "runs"
    deadline = time.monotonic() + 120
    while not runs.is_dir() or len(list(runs.glob("[0-9a-f]*"))) < number:
        assert time.monotonic() < deadline, f"no {number} runs in {folder}"
        time.sleep(0.005)


def test_a_sweep_killed_again_and_again_is_continued_and_no_run_made_twice(serial: Path, tmp_path: Path) -> None:
    """R13: resume loses at most the runs under way."""
    file, folder, counts = _forty_in_a_file(tmp_path), tmp_path / "sweep", tmp_path / "counts"
    counts.mkdir()
    for stop_at in (4, 15):
        sweeper = _start(file, folder, counts)
        _wait_for_runs(folder, stop_at)
        sweeper.kill()
        sweeper.wait()
    there = {path.parent.name for path in (folder / "runs").glob("[0-9a-f]*/manifest.json")}  # none being written
    before = faulty.begun(counts)
    assert len(there) >= 15
    assert _start(file, folder, counts).wait(120) == 0
    after = faulty.begun(counts)
    assert all(after[run] == before[run] for run in there)
    assert sum(after.values()) <= 40 + 2 * 2  # two kills, two workers each
    assert tiny.result_set(folder) == tiny.result_set(serial)


def _forty_in_a_file(folder: Path) -> Path:
    return tiny.write(
        folder,
        """
replicas = 5
grid = { "workload.0.program.1.write" = [0.0, 1.0], "kernel.sysctl.vm.vm_passes" = [5, 60] }
cases = [
  { label = "nvme", machine = { swap = [{ device = "nvme", size = "8MiB" }] } },
  { label = "zram", machine = { swap = [{ device = "zram", size = "8MiB" }] } },
]
""",
    )


def _start(file: Path, folder: Path, counts: Path) -> subprocess.Popen[bytes]:
    """A process of its own that does the sweep with two workers, and counts what they begin."""
    code = (
        "import sys; from pathlib import Path; from sweep.faulty import FaultyExecutor\n"
        "from numa_sim import load, run_sweep\n"
        "if __name__ == '__main__':\n"
        "    file, folder, counts = map(Path, sys.argv[1:])\n"
        "    run_sweep(load(file), folder, lambda: FaultyExecutor(counts, 2))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(file), str(folder), str(counts)], env={**os.environ, "PYTHONPATH": path}
    )
