"""R15: a run folder is enough to make the same run again, anywhere; what keeps it from that is said before."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reproduction.cases import NAMES, TWO_NODES, hog, pressed, replaying, write_all, write_inputs

from numa_sim.cli.app import main
from numa_sim.config.model import Config
from numa_sim.config.reader import load
from numa_sim.errors import RunFolderError
from numa_sim.observe.result import MODEL_VERSION
from numa_sim.policies.lru import Lru
from numa_sim.processes.machine import Machine
from numa_sim.reproduction import reproduce, version_changes
from numa_sim.results import open_run, verify_run, write_run
from numa_sim.results.canonical import canonical_json, seal


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders, moved away from where they were made; configurations and inputs are gone."""
    made, kept = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("kept")
    write_all(made / "inputs", made / "runs", NAMES)
    for name in NAMES:
        shutil.move(made / "runs" / name, kept / name)
    shutil.rmtree(made)
    return kept


def reproduced(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def resealed(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a document as if it had been written so."""
    document = json.loads((folder / name).read_bytes())
    del document["self_sha256"]
    change(document)
    (folder / name).write_bytes(canonical_json(seal(document)))


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_alone_gives_the_same_bytes(
    name: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again = reproduce(folders / name, "again")
    assert again.same, again
    for file in again.run.manifest["files"]:
        assert (folders / name / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    assert (folders / name / "manifest.json").read_bytes() == (tmp_path / "again" / "manifest.json").read_bytes()
    assert verify_run(tmp_path / "again") == []


def test_the_command_says_so_in_a_process_without_a_network(folders: Path, tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from numa_sim.cli.app import main; main()"
    )
    command = [sys.executable, "-c", code, "reproduce", str(folders / "text trace")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the same, byte for byte (" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_first_difference_is_named(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that came from another configuration than the folder says: events tell where the two part."""
    monkeypatch.setenv("COLUMNS", "60")
    folder = shutil.copytree(folders / "watched", tmp_path / "run")

    resealed(folder, "manifest.json", lambda document: document["config"]["machine"].update(cache_hit_ratio=0.5))
    assert reproduced(folder) == 1
    said = capsys.readouterr()
    assert said.out == ""
    first, *others = [line for line in said.err.splitlines() if not line.startswith("other versions")]
    assert f"{folder}: differs in events.parquet: event " in first
    assert " task 2 rmqueue zone=0 pfn=" in first
    assert first.count(" | ") == 1
    assert others[0].startswith("  timeseries")
    assert ", column " in others[0]
    assert any(line.startswith("  proc/") and ": line " in line for line in others)
    assert any(
        re.match(r"  proc\.parquet: row \d+ \(t_ns=\d+, file=\w+\), column text, line \d+: \w", line) for line in others
    )
    assert others[-1].startswith("  manifest.json: ")


def test_an_input_that_is_not_in_the_folder_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_inputs(tmp_path / "in")
    document = replaying(file="traces/short.txt", format="lackey")
    (tmp_path / "in" / "a.json").write_text(json.dumps({**document, "run": {"keep_inputs": "2KiB"}}))
    folder = write_run(Machine(load(tmp_path / "in" / "a.json")).run_to_end(), tmp_path / "run", picture=False)
    assert not (folder / "inputs").exists()
    assert reproduced(folder, "--quiet") == 0  # where it was, it still is
    (tmp_path / "in").rename(tmp_path / "moved")
    assert reproduced(folder) == 2
    assert "the input 'traces/short.txt' (2800B, SHA-256 " in capsys.readouterr().err
    assert reproduced(folder, "--inputs", tmp_path / "moved") == 0
    (tmp_path / "moved" / "traces" / "short.txt").rename(tmp_path / "moved" / "renamed")
    assert reproduced(folder, "--inputs", tmp_path / "moved") == 0
    changed = (tmp_path / "moved" / "renamed").read_text().replace(" S ", " L ", 1)
    (tmp_path / "moved" / "renamed").write_text(changed)
    assert reproduced(folder, "--inputs", tmp_path / "moved") == 2
    assert "cannot be found" in capsys.readouterr().err


def test_what_was_given_in_python_is_said_to_be_missing(tmp_path: Path) -> None:
    def mine(task: Any) -> Any:
        yield task.compute("1us")

    machine = Machine(Config.of(machine=TWO_NODES, workload=[hog(1)]))
    machine.add(mine)
    folder = write_run(machine.run_to_end(), tmp_path / "program", picture=False)
    with pytest.raises(RunFolderError, match="cannot be run again from its folder: program of task mine was given"):
        reproduce(folder)
    machine = Machine(Config.of(machine=TWO_NODES, workload=[hog(1)]), policy=Lru())
    folder = write_run(machine.run_to_end(), tmp_path / "policy", picture=False)
    with pytest.raises(RunFolderError, match="policy lru was given in Python"):
        reproduce(folder)


def test_other_versions_are_named_before_it_runs(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folders / "linux-2.4.22", tmp_path / "run")
    assert [change for change in version_changes(open_run(folder)) if not change.startswith("checkout")] == []
    resealed(folder, "environment.json", lambda document: document["packages"].update(numpy="1.0", simpy="0.9"))
    assert reproduced(folder) == 0
    said = capsys.readouterr().err
    assert "other versions: numpy: 1.0 then, " in said
    assert "other versions: simpy: 0.9 then, " in said
    resealed(folder, "manifest.json", lambda document: document.update(model_version="2"))
    assert reproduced(folder) == 2
    said = capsys.readouterr().err
    assert f"was made with model 2, streams 1; this numa_sim has model {MODEL_VERSION}, streams 1" in said
    assert reproduced(folder, "--anyway") == 1
    assert f"manifest.json: model_version: 2 | {MODEL_VERSION}" in capsys.readouterr().err


def test_bad_folders_are_refused(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(folders / "linux-2.4.22", tmp_path / "run")
    (folder / "summary.json").write_text("{}")
    for bad, said in ((folder, "summary.json"), (tmp_path, "manifest.json is missing"), (tmp_path / "no", "not exist")):
        assert reproduced(bad) == 2
        err = capsys.readouterr().err
        assert err.startswith("numa-sim: error: ")
        assert said in err
        assert err.count("\n") == 1
    assert reproduced(folders / "linux-2.4.22", "--out", tmp_path / "run") == 2
    assert "already exists" in capsys.readouterr().err


def test_a_run_written_with_fewer_keys_is_compared_in_what_it_has(folders: Path, tmp_path: Path) -> None:
    """An older numa_sim knew fewer keys; those it lacks have their defaults, and results are compared."""
    folder = shutil.copytree(folders / "linux-2.4.22", tmp_path / "run")
    resealed(folder, "manifest.json", lambda document: document["config"]["run"].pop("keep_inputs"))
    assert reproduce(folder).same


def test_the_topology_of_a_run_is_the_machine_that_was_simulated(folders: Path, tmp_path: Path) -> None:
    run = open_run(folders / "machine file")
    assert len(run.topology) == 4
    assert {node.memory_bytes for node in run.topology.nodes} == {0, 8 << 20}
    curved = Machine(
        Config.of(machine={"preset": "xeon-max-2s-hbm-flat", "memory_per_node": "8MiB"}, workload=[hog(1)])
    )
    folder = write_run(curved.run_to_end(), tmp_path / "run", picture=False)
    document = open_run(folder).topology
    assert document.latency_ns == curved.topology.latency_ns
    assert document.links == curved.topology.links
    assert document.curves == curved.topology.curves


def test_equal_configurations_in_other_folders_give_equal_folders(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_inputs(tmp_path / place / "in")
        file = tmp_path / place / "in" / "a.json"
        file.write_text(json.dumps({**pressed(), "machine": {"from": "numactl:box.txt", "memory_per_node": "8MiB"}}))
        write_run(Machine(load(file)).run_to_end(), tmp_path / place / "run", picture=False)
    manifests = [(tmp_path / place / "run" / "manifest.json").read_bytes() for place in ("one", "two")]
    assert manifests[0] == manifests[1]
