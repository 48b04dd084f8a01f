"""R12: a sweep folder is whole whenever its writer is killed or the disk fails; `verify_sweep` finds what is not."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep import killed, tiny
from sweep_folders import write_failure

from numa_sim.cli.app import main
from numa_sim.errors import RunFolderError
from numa_sim.reproduction import reproduce
from numa_sim.results import FileLayer
from numa_sim.results.canonical import canonical_json, seal
from numa_sim.results.sweep_table import collect
from numa_sim.results.verify_sweep import verify_sweep
from numa_sim.sweep import run_sweep
from numa_sim.sweep.design import make_plan
from numa_sim.sweep.store import SweepFolder


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 10))])
def test_a_sweep_killed_at_random_moments_is_that_never_interrupted_and_no_finished_run_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """R12: 50 SIGKILLs, nightly 500: no run looks whole and is not.  R13: 100 runs, killed 10 times and more."""
    tests = Path(__file__).parents[1]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    command = [sys.executable, "-m", "sweep.killed", str(tmp_path), str(seed)]
    subprocess.run(command, env=variables, check=True, timeout=240)
    sweep = tmp_path / "sweep"
    left = [path.name for path in (sweep / "runs").iterdir()] + [log.name for log in (sweep / ".started").iterdir()]
    assert any(".writing-" in name or name.endswith(".log") for name in left), "no kill met a run"
    assert not any(".damaged-" in name for name in left)
    assert verify_sweep(sweep) == []

    begun = [line.split() for line in (tmp_path / "begun").read_text().splitlines()]
    before = [set(line.split()) for line in (tmp_path / "finished").read_text().splitlines()]
    assert len(before) == killed.KILLS
    assert len({child for child, _ in begun}) > killed.KILLS - 10, "kills came when all was done"
    assert not [run for child, run in begun if run in before[int(child)]]
    there = killed.finished(sweep)
    assert len(there) >= len(begun) - killed.KILLS  # each lost one run at most

    monkeypatch.setattr(FileLayer, "sync", lambda self, path: None)
    outcome = run_sweep(killed.CONFIG, sweep, jobs=0)
    assert (outcome.there, outcome.done, outcome.complete) == (len(there), killed.RUNS - len(there), True)
    run_sweep(killed.CONFIG, tmp_path / "uninterrupted", jobs=0)
    assert tiny.result_set(sweep) == tiny.result_set(tmp_path / "uninterrupted")


class FailsAt(FileLayer):
    """A disk whose n-th operation fails, after half of what it should write."""

    def __init__(self, n: int) -> None:
        self.n, self.calls = n, 0

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.n:
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, file: Path, content: bytes) -> None:
        if self.calls + 1 == self.n:
            file.write_bytes(content[: len(content) // 2])
        self._count()
        super().write(file, content)

    def sync(self, path: Path) -> None:
        self._count()
        super().sync(path)

    def replace(self, old: Path, new: Path) -> None:
        self._count()
        super().replace(old, new)


def test_whichever_write_of_a_plan_or_a_failure_fails_what_is_there_is_whole(tmp_path: Path) -> None:
    plan = make_plan(tiny.config(replicas=2))
    run, attempt = plan.runs[0], {"stage": "run", "error": "E", "message": "m", "traceback": "", "log": ""}
    for n in itertools.count(1):
        folder = tmp_path / str(n)
        disk, said = FailsAt(n), "No space left on device"
        store = SweepFolder(folder, disk)
        try:
            store.prepare(plan)
            for _ in range(2):
                store.add_attempt(store.failure(run.run, run.seed, run.factors), attempt)
        except RunFolderError as problem:
            said = str(problem)
        assert "No space left on device" in said
        visible = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        if not (folder / "sweep.json").is_file():
            assert visible == []
        else:
            assert verify_sweep(folder) == []
        if disk.calls < n:
            break
    assert n == 3 * 4 + 1


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    run_sweep(tiny.config(replicas=2), folder, jobs=0)
    return folder


@pytest.fixture
def sweep(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "sweep")


def verified(folder: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(folder)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command_tells_of_sweeps_too(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(sweep) == 0
    assert capsys.readouterr().out == f"{sweep}: whole\n"
    run = next((sweep / "runs").iterdir())
    (run / "summary.json").write_text("{}")
    assert verified(sweep) == 1
    assert f"{sweep}: runs/{run.name}: summary.json: has 2 bytes" in capsys.readouterr().err


def test_every_kind_of_damage_is_named(sweep: Path) -> None:
    runs = sorted((sweep / "runs").iterdir())
    (sweep / "results.parquet").write_bytes(b"PAR1")
    (sweep / "failures" / "x.json").write_text("{}")
    shutil.copytree(runs[0], sweep / "runs" / "0123456789abcdef")
    shutil.rmtree(runs[1])
    shutil.copytree(runs[0], runs[1])  # another replica's results
    (sweep / "runs" / f".{runs[1].name}.writing-1-{'0' * 32}").mkdir()
    problems = verify_sweep(sweep)
    assert problems[0] == "runs/0123456789abcdef: is not in the design"
    assert problems[1].startswith(f"runs/{runs[1].name}: seed is ")
    assert problems[2] == "failures/x.json is no record of a failure of run x"
    assert problems[3].startswith("results.parquet: cannot be read")
    assert len(problems) == 4
    shutil.rmtree(runs[1])
    assert not any(runs[1].name in problem for problem in verify_sweep(sweep))  # not there yet is no damage


def test_a_table_that_does_not_fit_the_runs_is_damage(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted((sweep / "runs").iterdir())
    kept = shutil.move(second, sweep.parent / "kept")
    assert verified(sweep) == 1
    said = f"{sweep}: runs: 1 of 2 runs are there; results.parquet has a row of another: {second.name}\n"
    assert capsys.readouterr().err == said
    (sweep / "results.parquet").unlink()
    assert verified(sweep) == 0
    assert capsys.readouterr().out == f"{sweep}: whole so far, 1 run of 2\n"
    collect(sweep)
    shutil.move(kept, second)
    assert verify_sweep(sweep) == [f"results.parquet: lacks 1 of the runs that are there: {second.name}"]
    shutil.rmtree(first.parent)
    assert verify_sweep(sweep) == []  # the table was handed on alone


def test_a_complete_sweep_is_repeated_without_a_write(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of an archive that is read-only, where empty folders were left out."""
    (sweep / ".started").rmdir()
    monkeypatch.setattr(Path, "mkdir", _read_only)
    monkeypatch.setattr(FileLayer, "write", _read_only)
    before = (sweep / "results.parquet").stat().st_mtime_ns
    outcome = run_sweep(tiny.config(replicas=2), sweep, jobs=0)
    assert (outcome.there, outcome.done, outcome.complete) == (2, 0, True)
    assert (sweep / "results.parquet").stat().st_mtime_ns == before


def _read_only(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


def test_a_changed_design_is_found(sweep: Path) -> None:
    document: dict[str, Any] = json.loads((sweep / "sweep.json").read_bytes())
    document["runs"][0]["seed"] += 1
    (sweep / "sweep.json").write_bytes(canonical_json(document))
    assert verify_sweep(sweep) == ["sweep.json was damaged or edited: its own digest does not fit"]
    del document["self_sha256"]
    (sweep / "sweep.json").write_bytes(canonical_json(seal(document)))
    (problem,) = verify_sweep(sweep)
    assert ": seed is " in problem
    with pytest.raises(RunFolderError, match=r"has no sweep\.json"):
        verify_sweep(sweep / "runs")


def test_a_run_of_a_sweep_can_be_made_again_by_itself(sweep: Path) -> None:
    for run in (sweep / "runs").iterdir():
        assert reproduce(run).same


DAMAGED: dict[str, dict[str, Any]] = {
    "format_version 2 of failures/": {"format_version": 2},
    "format_version None of failures/": {"format_version": None},
    "see its attempts": {"attempts": []},
    "see its seed, attempts": {"seed": "7", "attempts": None},
    "is no record of a failure of run": {"run": "x"},
}


@pytest.mark.parametrize("said", DAMAGED)
def test_records_of_failures_that_are_newer_or_damaged_are_said_by_every_command(
    said: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R16, and no traceback (R10)."""
    run = json.loads((sweep / "sweep.json").read_bytes())["runs"][0]
    shutil.rmtree(sweep / "runs" / run["run"])
    file = write_failure(sweep, run, "ValueError")
    assert main_says(["sweep", "status", str(sweep)], capsys) == (0, "")
    file.write_bytes(canonical_json({**json.loads(file.read_bytes()), **DAMAGED[said]}))
    for command in (["sweep", "status", str(sweep)], ["report", str(sweep), "--force"]):
        code, text = main_says(command, capsys)
        assert (code, said in text, text.count("\n")) == (2, True, 1), text
    assert verified(sweep) == 1
    assert said in capsys.readouterr().err
    with pytest.raises(RunFolderError, match="failures/"):
        run_sweep(tiny.config(replicas=2), sweep, jobs=0)


@pytest.mark.parametrize("command", [["sweep", "status"], ["report"], ["plot"], ["sweep", "table"]])
def test_a_sweep_of_a_newer_numa_sim_is_refused_by_every_command(
    command: list[str], sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R16."""
    document = json.loads((sweep / "sweep.json").read_bytes())
    del document["self_sha256"]
    (sweep / "sweep.json").write_bytes(canonical_json(seal({**document, "format_version": 2})))
    code, text = main_says([*command, str(sweep)], capsys)
    said = f"{sweep}: format_version 2 of sweep.json is unknown, this numa_sim reads 1"
    assert (code, text) == (2, f"numa-sim: error: {said}\n")


def main_says(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err
