"""``numa-sim plot``: pictures of run and sweep folders as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from numa_sim.cli.app import main
from numa_sim.config import Config
from numa_sim.processes.machine import Machine
from numa_sim.results import write_run
from numa_sim.results.pictures import ALL
from numa_sim.sweep import run_sweep

SMALL = {
    "machine": {
        "nodes": [{"memory": "4MiB", "cpus": "0"}],
        "distances": [[10]],
        "swap": [{"device": "nvme", "size": "16MiB"}],
    },
    "workload": [
        {
            "name": "hog",
            "program": [
                {"op": "mmap", "as": "heap", "size": "6MiB"},
                {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 3000, "write": 0.5},
            ],
        }
    ],
}


def plot(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plot", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = {"run": {"sample": "500us", "fault_latency": True, "observe": ["buddy", "access_map"]}}
    return write_run(
        Machine(Config.of(**SMALL, **run)).run_to_end(), tmp_path_factory.mktemp("runs") / "a", picture=False
    )


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(Machine(Config.of(**SMALL)).run_to_end(), tmp_path_factory.mktemp("runs") / "b", picture=False)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sweeps") / "sizes"
    grid = {"machine.nodes.0.memory": ["4MiB", "5MiB"], "machine.swap.0.device": ["nvme", "zram"]}
    run_sweep(Config.of(**SMALL, sweep={"replicas": 2, "grid": grid}), made, jobs=0)
    return made


@pytest.mark.parametrize("name", ["overview", *(name for name, each in ALL.items() if each.source == "run")])
def test_every_picture_of_a_run(folder: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "picture.png"
    assert plot(folder, "--picture", name, "--out", out) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_without_names_it_is_the_overview_here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert plot(folder) == 0
    assert (tmp_path / "overview.png").is_file()
    assert plot(folder, "--against", folder, "--option", "column=pgfault") == 0
    assert (tmp_path / "two_runs.png").is_file()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (None, []),
        ("facets", ["metric=pgmajfault", "x=machine.nodes.0.memory", 'where={"machine.swap.0.device": "nvme"}']),
        ("memory_curve", []),
        ("difference", ["metric=end_ns", "factor=machine.swap.0.device", "a=nvme", "b=zram", "relative=true"]),
    ],
)
def test_every_picture_of_a_sweep(sweep: Path, tmp_path: Path, name: str | None, options: list[str]) -> None:
    out = tmp_path / "picture.svg"
    chosen = ["--picture", name] if name else []
    assert plot(sweep, *chosen, *(x for option in options for x in ("--option", option)), "--out", out) == 0
    assert "</svg>" in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--picture", "fill"], "picture: there is no picture 'fill'; of a run there are (allowed: node_fill, "),
        (["--picture", "facets"], "picture: facets is drawn from a sweep; of a run there are (allowed: node_fill, "),
        (["--out", "fill.gif"], "fill.gif: is no picture file by its name (allowed: *.png, *.svg, *.pdf)"),
        (["--out", "no/such/fill.png"], "fill.png: cannot be written: "),
        (["--option", "node"], "--option: 'node' says nothing (allowed: NAME=VALUE)"),
        (["--option", "node=1"], "--option: node: overview has no such option (allowed: none)"),
        (["--picture", "numa_hits", "--option", "n=1"], "numa_hits has no such option (allowed: node, kind)"),
        (["--picture", "numa_hits", "--option", "node=x"], '"x" is not a whole number'),
        (["--picture", "numa_hits", "--option", "node=7"], "there is no node 7 (allowed: 0 to 0)"),
        (["--picture", "numa_hits", "--option", "kind=sum"], "kind: is 'sum' (allowed: total, rate)"),
        (["--picture", "reclaim_timeline", "--option", "node=-1"], "there is no node -1"),
        (["--picture", "fragmentation", "--option", "zone=Movable"], "has no zone Movable (allowed: node 0: DMA"),
        (["--picture", "swap_queue", "--option", 'disks=["sdz"]'], "there is no disk 'sdz' (allowed: nvme0)"),
        (["--picture", "node_fill", "--option", "nodes=0"], "0 is not a list of node numbers"),
        (["--picture", "access_map", "--option", "process=1"], "there is no process 1 (allowed: "),
        (["--picture", "topology", "--option", "pos=1"], "topology has no such option (allowed: none)"),
        (["--where", "machine.swap.0.device=nvme"], "--where: chooses points of a sweep; a run is one point"),
        (["--against", "no/such/run"], "no/such/run: does not exist"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert plot(folder, *arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.startswith("numa-sim: error: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize("name", [name for name, each in ALL.items() if each.needs])
def test_a_missing_recording_says_how_to_get_it(
    plain_folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert plot(plain_folder, "--picture", name) == 2
    assert f"record it with {ALL[name].needs}" in capsys.readouterr().err


def test_points_of_a_sweep_are_chosen_by_where(sweep: Path, tmp_path: Path) -> None:
    for name, chosen in (("all", ()), ("some", ("--where", "machine.swap.0.device=nvme"))):
        assert plot(sweep, *chosen, "--out", tmp_path / f"{name}.svg") == 0
    drawn = [(tmp_path / name).read_text().replace("\n", "") for name in ("all.svg", "some.svg")]
    assert ["fixed: device = nvme" in svg for svg in drawn] == [False, True]
    panels = ("--picture", "facets", "--option", "metric=end_ns", "--option", "panels=machine.swap.0.device")
    assert plot(sweep, *panels, "--out", tmp_path / "panels.png") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--picture", "overview"], "picture: there is no picture 'overview'; of a sweep there are (allowed: facets, "),
        (["--picture", "difference"], "--option: metric: difference needs it (allowed: --option metric=...)"),
        (["--picture", "facets", "--option", "metric=pgfaults"], "there is no 'pgfaults' (allowed: "),
        (["--option", "where=1"], "1 is not factors with values"),
        (["--where", "device=nvme"], "no factor 'device' (allowed: machine.nodes.0.memory, machine.swap.0.device)"),
        (["--where", "machine.swap.0.device=hdd"], "device: is never 'hdd' (allowed: nvme, zram)"),
        (["--where", "machine.swap.0.device"], "--where: 'machine.swap.0.device' says nothing (allowed: FACTOR=VALUE)"),
    ],
)
def test_mistakes_with_sweeps(sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert plot(sweep, *arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
