"""The command line: exit codes, output, and that it starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import numa_sim
from numa_sim.cli.app import main

CONFIG = """
[machine]
preset = "xeon-platinum-8163-2s"
memory_per_node = "64MiB"
cpus_per_node = 2
[[machine.swap]]
device = "nvme"
size = "64MiB"
[[workload]]
name = "a"
program = [
    { op = "mmap", as = "heap", size = "4MiB" },
    { op = "touch", on = "heap", pattern = { kind = "sequential" }, accesses = 2000, write = 1.0 },
]
"""
HEAVY = ("numba", "numpy", "pyarrow", "matplotlib", "pandas", "networkx", "simpy", "pydantic", "rich.progress")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "a.toml"
    file.write_text(CONFIG)
    return file


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_run_writes_a_run_folder_that_verifies(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _run("run", str(config), "--out", str(out), "--no-picture", "--seed", "9") == 0
    assert str(out) in capsys.readouterr().out
    assert json.loads((out / "manifest.json").read_text())["seed"] == 9
    assert _run("verify", str(out)) == 0
    assert _run("run", str(config), "--out", str(out)) == 2
    assert "exists already" in capsys.readouterr().err
    (out / "summary.json").write_text("{}")
    assert _run("verify", str(out)) == 1
    assert "summary.json" in capsys.readouterr().err


def test_quiet_prints_the_folder_and_nothing_else(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _run("run", str(config), "--out", str(out), "--no-picture", "--quiet") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{out}\n", "")


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("zonelists", "Node 0"),
        ("zoneinfo", "Node 0, zone"),
        ("buddyinfo", "Node 0, zone"),
        ("meminfo", "SwapTotal:       65532 kB"),
        ("numastat", "node0"),
        ("disks", "blocks 0 to "),
    ],
)
def test_show_prints_the_kernel_s_own_layouts(
    view: str, said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("show", view, str(config)) == 0
    assert said in capsys.readouterr().out


def test_show_topology_config_and_schema(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", "topology", str(config)) == 0
    assert "node distances:" in capsys.readouterr().out
    assert _run("show", "config", str(config), "--set", "run.seed=5") == 0
    assert json.loads(capsys.readouterr().out)["run"]["seed"] == 5
    assert _run("show", "schema") == 0
    assert "Workload" in json.loads(capsys.readouterr().out)["$defs"]
    assert _run("show", "zoneinfo") == 2
    assert "needs a configuration" in capsys.readouterr().err


def test_presets_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("presets") == 0
    assert len(capsys.readouterr().out.splitlines()) >= 16
    assert _run("presets", "xeon-platinum-8163-2s") == 0
    assert "source:" in capsys.readouterr().out
    assert _run("presets", "xeon-platinum-8163") == 2


def test_traces_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.lackey"
    source.write_text(" L 04222000,8\n S 04223000,8\n")
    assert _run("trace", "import", "lackey", str(source), str(tmp_path / "a.npz")) == 0
    assert (tmp_path / "a.npz").is_file()
    source.write_text(" L 04222000,8\n Q what\n")
    assert _run("trace", "import", "lackey", str(source), str(tmp_path / "b.npz")) == 2
    assert "line 2" in capsys.readouterr().err
    assert not (tmp_path / "b.npz").exists()


def test_wrong_usage_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["fly"], ["run"], ["show", "nothing", "a.toml"], ["run", "a.toml", "--seed", "x"]):
        assert _run(*arguments) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--version") == 0
    assert capsys.readouterr().out == f"numa-sim {numa_sim.__version__}\n"


def test_interrupting_is_not_a_traceback(config: Path) -> None:
    code = "import sys; from numa_sim.cli import app, running\n" + (
        "def stop(*a, **k): raise KeyboardInterrupt\nrunning.run_config = stop\napp.main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code, "run", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "numa-sim: interrupted, no run folder written\n"


def test_an_interrupt_lost_in_a_callback_comes_back(config: Path) -> None:
    # the compiler calls back through ctypes, where an exception can only be dropped
    code = (
        "import ctypes, signal, sys, time; from numa_sim.cli import app, running\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored by what a shell runs in the background
        "def interrupted(): raise KeyboardInterrupt\n"
        "def compiling(*a, **k): ctypes.CFUNCTYPE(None)(interrupted)(); [time.sleep(0.05) for _ in range(200)]\n"
        "running.run_config = compiling\napp.main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code, "run", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "numa-sim: interrupted, no run folder written\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom numa_sim.cli.app import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("view", "said"),
    [("maps", "[stack]"), ("smaps", "Pss_Dirty:"), ("numa_maps", " N0="), ("status", "Name:\ta\n"), ("statm", " 0\n")],
)
def test_show_a_task_at_a_moment(config: Path, capsys: pytest.CaptureFixture[str], view: str, said: str) -> None:
    assert _run("show", view, str(config), "--task", "a", "--at", "100us") == 0
    assert said in capsys.readouterr().out


def test_show_how_an_address_of_a_task_is_translated(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", "walk", str(config), "--at", "100us", "--address", "0x10") == 0
    assert capsys.readouterr().out.splitlines()[0] == "linear 0x10"
    for options, said in (
        ((), "--address: needs an address (allowed: 0x0 to 0xffffffffffff)"),
        (("--address", "zzz"), "--address: 'zzz' is not a number"),
        (("--address", "0x1000000000000"), "--address: needs an address"),
    ):
        assert _run("show", "walk", str(config), "--at", "100us", *options) == 2
        assert said in capsys.readouterr().err


def test_show_the_machine_at_a_moment(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", "vmstat", str(config), "--at", "100us") == 0
    assert "pgfault 0\n" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--task", "b", "--at", "1ms"), "--task: there is no task 'b' (allowed: a)"),
        (("--at", "5"), "--at: '5': a unit is missing"),
        (("--at", "-5ms"), "--at: "),
        ((), "task a has no memory at 0ns"),
        (("--at", "1h"), "task a has no memory at 3600s"),
    ],
)
def test_show_a_task_that_cannot_be_shown(
    config: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert _run("show", "maps", str(config), *options) == 2
    assert said in capsys.readouterr().err


def test_show_needs_a_task_when_there_are_several(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", "maps", str(config), "--set", "workload.0.count=2", "--at", "1ms") == 2
    assert "--task: needs the name of a task (allowed: a-0, a-1)" in capsys.readouterr().err


def test_show_graph(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "graph.svg"
    assert _run("show", "graph", str(config), "--at", "100us", "--pages", "3") == 0
    assert "--pfn_to_page-->" in capsys.readouterr().out
    assert _run("show", "graph", str(config), "--at", "100us", "--out", str(picture)) == 0
    assert "pg_data_t" in picture.read_text()


@pytest.mark.parametrize(
    ("output", "said"), [("graph.txt", "(allowed: .png, .svg, .pdf)"), ("no/such/graph.png", "cannot be written")]
)
def test_a_graph_that_cannot_be_written(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, said: str
) -> None:
    assert _run("show", "graph", str(config), "--at", "100us", "--output", str(tmp_path / output)) == 2
    assert said in capsys.readouterr().err


def test_the_help_has_one_whole_line_for_each_command() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "numa_sim", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "80"},
    )
    commands = asked.stdout.split("Commands:\n")[1].rstrip().splitlines()
    assert len(commands) >= 15
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("command", [["run"], ["show", "config"], ["mrc"]])
@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_is_not_there_is_not_judged_by_its_name(
    command: list[str], there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    if there:
        folder.mkdir()
    assert _run(*command, str(folder)) == 2
    said = capsys.readouterr().err
    assert ("a folder" in said or "a directory" in said) if there else "no such file" in said.lower()
    assert "byte" not in said
    assert "allowed" not in said


@pytest.mark.parametrize("command", ["events", "export"])
def test_a_sweep_given_for_a_run_is_told_as_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    assert _run(command, str(tmp_path)) == 2
    assert "this is a sweep folder; its runs are in runs/" in capsys.readouterr().err
