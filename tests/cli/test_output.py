"""Files that commands write: never over another one unasked, and whole whichever step fails (R12)."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest
from reproduction.cases import pressed

from numa_sim.cli.app import main
from numa_sim.config.model import Config
from numa_sim.processes.machine import Machine
from numa_sim.results import FileLayer, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a timeline, and a trace beside it."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "trace.csv").write_text("page\n1\n2\n1\n")
    document = pressed(mib=2)
    config = Config.of(**{**document, "run": {**document["run"], "timeline": True}})
    return write_run(Machine(config).run_to_end(), folder / "run", picture=False)


@pytest.fixture(autouse=True)
def short_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report takes seconds to draw; what matters here is how it is written."""
    monkeypatch.setattr("numa_sim.results.report.of_run.page_of_run", lambda *_: None)
    monkeypatch.setattr("numa_sim.results.report.write.rendered", lambda _: "<!doctype html><title>run</title>")


COMMANDS = {
    "plot.svg": ["plot", "{run}", "--picture", "node_fill", "--out", "{out}"],
    "report.html": ["report", "{run}", "--out", "{out}"],
    "events.txt": ["export", "{run}", "--format", "ftrace", "--out", "{out}"],
    "curve.csv": ["mrc", "{run}/../trace.csv", "--format", "csv", "--out", "{out}"],
    "curve.mrc": ["mrc", "{run}/../trace.csv", "--format", "csv", "--out", "{out}"],
}


def write(name: str, run: Path, out: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([word.format(run=run, out=out) for word in COMMANDS[name]] + list(options))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_exists_is_written_over_by_force_only(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    out.write_text("mine")
    assert write(name, run, out) == 2
    said = capsys.readouterr().err
    assert said == f"numa-sim: error: {out}: exists already (allowed: another name with --out, --force)\n"
    assert out.read_text() == "mine"
    assert write(name, run, out, "--force") == 0
    assert len(out.read_bytes()) > 20
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", COMMANDS)
def test_whichever_step_fails_the_old_file_is_there_or_the_new_one_is_whole(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: the n-th write, sync or replace fails, for every n, after half of what it should write."""
    out = tmp_path / name
    assert write(name, run, out) == 0
    whole = out.read_bytes()
    steps = {step: getattr(FileLayer, step) for step in ("write", "sync", "replace")}
    calls = 0

    def failing(step: str, n: int) -> object:
        def call(layer: FileLayer, *arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls == n:
                if step == "write":
                    Path(str(arguments[0])).write_bytes(bytes(arguments[1])[:10])  # type: ignore[call-overload]
                raise OSError(errno.ENOSPC, "No space left on device")
            steps[step](layer, *arguments)

        return call

    for n in itertools.count(1):
        out.write_text("mine")
        calls = 0
        for step in steps:
            monkeypatch.setattr(FileLayer, step, failing(step, n))
        code = write(name, run, out, "--force")
        assert list(tmp_path.iterdir()) == [out]
        if code == 0:
            break
        assert "No space left on device" in capsys.readouterr().err
        assert out.read_bytes() in ((b"mine",) if n < 4 else (whole,))
    assert n == 5
    assert out.read_bytes() == whole
