"""One bad run does not sink a sweep (R14)."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep import faulty, tiny

from numa_sim.cli.app import main
from numa_sim.config.model import Config
from numa_sim.results.durable import FileLayer
from numa_sim.results.sweep import open_sweep
from numa_sim.sweep import SerialExecutor, run_sweep, sweep_status
from numa_sim.sweep.design import make_plan

DESIGN = {
    "grid": {"workload.0.program.1.accesses": [1000, 1001, 1002, 1003, 1004, 1005, 1006]},
    "limits": {"wall": "1min", "memory": "600MiB"},
}


def told(folder: Path, faults: dict[int, str], design: dict[str, Any] = DESIGN) -> list[str]:
    """Tell the runs of these points what to do, and give the names of all."""
    runs = [run.run for run in make_plan(tiny.config(**design)).runs]
    folder.mkdir()
    for point, fault in faults.items():
        (folder / runs[point]).write_text(fault)
    return runs


def test_killed_hungry_raising_and_crashing_runs_are_set_aside_and_the_others_finish(tmp_path: Path) -> None:
    sweep, orders = tmp_path / "sweep", tmp_path / "orders"
    faults = {0: "kill 9", 1: "throw 9", 2: "throw_unpicklable 9", 3: "eat 1", 4: "crash 1", 5: "throw 2"}
    runs = told(orders, faults)
    config = tiny.config(**DESIGN)
    outcome = run_sweep(config, sweep, lambda: faulty.FaultyExecutor(orders, 2))
    assert sorted(outcome.quarantined) == sorted(runs[:3])
    assert (outcome.done, outcome.complete, outcome.whole) == (4, True, False)
    assert faulty.begun(orders) == dict(zip(runs, [3, 3, 3, 2, 2, 3, 1], strict=True))
    assert open_sweep(sweep).table.num_rows == 4

    records = {file.stem: json.loads(file.read_text()) for file in (sweep / "failures").iterdir()}
    assert set(records) == set(runs[:3])  # those that were mended are forgotten
    for run, record in records.items():
        assert (record["run"], record["seed"], record["quarantined"]) == (run, 7, True)
        assert [attempt["stage"] for attempt in record["attempts"]] == ["run"] * 3
        assert record["factors"] == {"workload.0.program.1.accesses": 1000 + runs.index(run)}
    killed, threw, unpicklable = (records[run]["attempts"][-1] for run in runs[:3])
    assert (killed["error"], "SIGKILL" in killed["message"]) == ("WorkerDied", True)
    assert (threw["error"], threw["message"]) == ("ValueError", "as told")
    assert 'raise ValueError("as told")' in threw["traceback"]
    assert "what the run printed" in threw["log"]
    assert (unpicklable["error"], unpicklable["message"]) == ("Unpicklable", "(it cannot say)")

    status = sweep_status(sweep)
    assert (status.done, len(status.quarantined), status.missing, status.under_way) == (4, 3, 0, 0)
    again = run_sweep(config, sweep, jobs=0)
    assert (again.done, again.there, sorted(again.quarantined)) == (0, 4, sorted(runs[:3]))
    mended = run_sweep(config, sweep, jobs=0, retry=True)
    assert (mended.done, mended.there, mended.whole) == (3, 4, True)
    assert not list((sweep / "failures").iterdir())
    assert open_sweep(sweep).table.num_rows == 7


def test_hangs_and_hunger_are_recorded_as_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is ended by its own clock, the second by its own watch, the third only by the sweep."""
    sweep, orders = tmp_path / "sweep", tmp_path / "orders"
    monkeypatch.setattr("numa_sim.sweep.store.ATTEMPTS", 1)
    axis = {"workload.0.program.1.accesses": [1000, 1001, 1002]}
    design = {"grid": axis, "limits": {"wall": "6s", "memory": "500MiB"}}
    runs = told(orders, {0: "hang 9", 1: "eat 9", 2: "stop 9"}, design)
    with faulty.FaultyExecutor(orders, 2, patience_s=8) as executor:
        outcome = run_sweep(tiny.config(**design), sweep, executor)
    assert sorted(outcome.quarantined) == sorted(runs)
    last = [json.loads((sweep / "failures" / f"{run}.json").read_text())["attempts"][-1] for run in runs]
    assert "longer than sweep.limits.wall" in last[0]["message"]
    assert "in hang" in last[0]["log"]
    assert "more than sweep.limits.memory" in last[1]["message"]
    assert "SIGKILL" in last[2]["message"]


def test_the_command_exits_with_3_and_says_what_failed_and_where_to_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny.write(tmp_path, 'grid = { "workload.0.program.1.accesses" = [10, 11] }')
    healthy = faulty._HEALTHY

    def simulate(job: Any, log: Any) -> None:
        if job.document["workload"][0]["program"][1]["accesses"] == 11:
            raise ValueError("as told")
        healthy(job, log)

    monkeypatch.setattr("numa_sim.sweep.one._simulate", simulate)
    sweep = tmp_path / "sweep"
    arguments = ["sweep", str(file), "--out", str(sweep), "--executor", "serial", "--progress", "plain"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    assert ended.value.code == 3
    assert "done         1" in said.out
    assert "accesses = 11; seed 7): start: ValueError: as told; see " in said.out
    assert "2 retried, 1 quarantined" in said.err
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "status", str(sweep)])
    assert ended.value.code == 3
    monkeypatch.setattr("numa_sim.sweep.one._simulate", healthy)
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--retry"])
    assert ended.value.code == 0


def test_a_full_disk_in_a_worker_fails_the_run_and_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full(_layer: FileLayer, file: Path, content: bytes) -> None:
        calls.append(file)
        if 5 < len(calls) < 40 and "runs" in file.parts:
            raise OSError(errno.ENOSPC, "No space left on device")
        healthy(_layer, file, content)

    healthy = FileLayer.write
    monkeypatch.setattr(FileLayer, "write", full)
    outcome = run_sweep(tiny.config(**{**DESIGN, "replicas": 1}), tmp_path / "sweep", jobs=0)
    assert 0 < len(outcome.quarantined) < 7
    assert outcome.done == 7 - len(outcome.quarantined)
    for run in outcome.quarantined:
        attempt = json.loads((tmp_path / "sweep" / "failures" / f"{run}.json").read_text())["attempts"][-1]
        assert (attempt["stage"], attempt["error"]) == ("writing", "RunFolderError")
        assert "No space left on device" in attempt["message"]
    tiny.result_set(tmp_path / "sweep")
    monkeypatch.setattr(FileLayer, "write", healthy)
    assert run_sweep(tiny.config(**DESIGN), tmp_path / "sweep", jobs=0, retry=True).whole


def test_a_damaged_run_is_put_aside_and_made_again(tmp_path: Path) -> None:
    config = tiny.config(replicas=2)
    run_sweep(config, tmp_path / "sweep", jobs=0)
    before = tiny.result_set(tmp_path / "sweep")
    damaged = next((tmp_path / "sweep" / "runs").iterdir())
    (damaged / "summary.json").write_text("{}")
    outcome = run_sweep(config, tmp_path / "sweep", jobs=0)
    assert (outcome.done, outcome.there) == (1, 1)
    aside = list((tmp_path / "sweep").glob("runs/.*damaged*"))
    assert len(aside) == 1
    for folder in aside:
        subprocess.run([sys.executable, "-c", f"import shutil; shutil.rmtree({str(folder)!r})"], check=True)
    assert tiny.result_set(tmp_path / "sweep") == before


def test_ctrl_c_ends_with_130_leaves_whole_results_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny.write(tmp_path, "replicas = 5")
    healthy = faulty._HEALTHY
    done = []

    def simulate(job: Any, log: Any) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        healthy(job, log)
        done.append(job.run)

    monkeypatch.setattr("numa_sim.sweep.one._simulate", simulate)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file), "--out", str(tmp_path / "sweep"), "--executor", "serial"])
    assert ended.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr("numa_sim.sweep.one._simulate", healthy)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file), "--out", str(tmp_path / "sweep"), "--executor", "serial"])
    assert ended.value.code == 0
    status = sweep_status(tmp_path / "sweep")
    assert (status.done, status.under_way) == (5, 0)
    tiny.result_set(tmp_path / "sweep")


def test_a_run_that_hangs_is_ended_after_an_hour_unless_told_otherwise(tmp_path: Path) -> None:
    """R14: also by who asked for no limit."""
    jobs = []

    class Listening(SerialExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            jobs.append(args[0])
            return super().submit(fn, *args, **kwargs)

    run_sweep(tiny.config(), tmp_path / "sweep", Listening())
    assert (jobs[0].wall_ns, jobs[0].memory_bytes) == (3600 * 10**9, None)
    switched_off = tiny.config(limits={"wall": "none", "memory": "none"})
    assert switched_off.sweep is not None
    assert (switched_off.sweep.limits.wall, switched_off.sweep.limits.memory) == (None, None)
    assert Config.model_validate(switched_off.resolved()).resolved() == switched_off.resolved()
