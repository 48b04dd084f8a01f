"""``numa-sim run`` with a timeline and ``numa-sim export``, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from timelines.decoded import decode

from numa_sim.cli.app import main
from numa_sim.results import verify_run

CONFIG = """
[machine]
nodes = [{ memory = "4MiB", cpus = "0" }]
distances = [[10]]
swap = [{ device = "nvme", size = "8MiB" }]

[[workload]]
name = "hog"
program = [
  { op = "mmap", as = "heap", size = "3MiB" },
  { op = "touch", on = "heap", pattern = { kind = "sequential" }, accesses = 1536, write = 1.0 },
]

[run]
timeline = TIMELINE
"""


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("runs")
    (parent / "run.toml").write_text(CONFIG.replace("TIMELINE", "true"))
    assert command("run", parent / "run.toml", "--out", parent / "run", "--no-picture", "--quiet") == 0
    return parent / "run"


def test_the_run_folder_holds_the_timeline_and_is_whole(folder: Path) -> None:
    assert verify_run(folder) == []
    assert "hog in the kernel" in decode((folder / "trace.pftrace").read_bytes())


@pytest.mark.parametrize(("form", "begin"), [("perfetto", b""), ("chrome", b'{"display'), ("ftrace", b"# tracer: nop")])
def test_export_writes_each_format(folder: Path, tmp_path: Path, form: str, begin: bytes) -> None:
    out = tmp_path / "out"
    assert command("export", folder, "--format", form, "--out", out) == 0
    assert out.read_bytes().startswith(begin)
    if form == "perfetto":
        assert out.read_bytes() == (folder / "trace.pftrace").read_bytes()


def test_export_names_the_file_after_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("export", folder, "--format", "chrome") == 0
    assert capsys.readouterr().out == "run-trace.json: written\n"
    assert (tmp_path / "run-trace.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "{folder}/new"), "must stay as it was written"),
        (("--out", "{folder}/../run.toml"), "exists already"),
        (("--out", "{folder}/../none/new"), "cannot be written: No such file"),
    ],
)
def test_export_refuses_with_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], message: str
) -> None:
    assert command("export", folder, *(argument.format(folder=folder) for argument in arguments)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_export_of_a_run_without_a_timeline_says_how_to_record_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.toml").write_text(CONFIG.replace("TIMELINE", "false"))
    assert command("run", tmp_path / "run.toml", "--out", tmp_path / "run", "--no-picture", "--quiet") == 0
    assert not list((tmp_path / "run").glob("*spans*"))
    assert command("export", tmp_path / "run", "--out", tmp_path / "x") == 2
    assert "run.timeline = true" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_cut_timeline_is_said_when_it_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.toml").write_text(CONFIG.replace("TIMELINE", "{ most = 100 }"))
    assert command("run", tmp_path / "run.toml", "--out", tmp_path / "run", "--no-picture") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "timeline: " in said
    assert "or raise run.timeline.most" in said


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        ('{ from = "2ms", until = "1ms" }', "run.timeline.until: ends before it begins"),
        ("3", "run.timeline"),
        ('{ since = "2ms" }', "run.timeline.since"),
    ],
)
def test_a_wrong_window_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], timeline: str, message: str
) -> None:
    (tmp_path / "run.toml").write_text(CONFIG.replace("TIMELINE", timeline))
    assert command("run", tmp_path / "run.toml", "--out", tmp_path / "run") == 2
    assert message in capsys.readouterr().err
