"""R1 and R4: a configuration and a seed give the same bytes wherever they run, the same events however watched."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reproduction.cases import NAMES, TWO_NODES, hog

from numa_sim.config.model import Config
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.processes.machine import Machine
from numa_sim.results import open_run, verify_run
from numa_sim.results.difference import differences
from numa_sim.results.manifest import ENVIRONMENT

TESTS = Path(__file__).parents[1]
SURROUNDINGS = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "COLUMNS": "200"},
    {"PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "1", "HOME": "/nowhere"},
)


def start(place: Path, variables: dict[str, str], names: str = "NAMES") -> subprocess.Popen[str]:
    """A fresh Python in a folder of its own that runs the machines of these names."""
    place.mkdir(parents=True)
    code = (
        "from pathlib import Path; from reproduction.cases import NAMES, write_all\n"
        f"write_all(Path('inputs'), Path('runs'), {names})"
    )
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=place, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=200)[1]
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """All thirty runs in one process, and again in another of other surroundings, in reverse order."""
    places = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other") / "much" / "deeper"
    one = start(places[0] / "here", SURROUNDINGS[0])
    other = start(places[1] / "there", SURROUNDINGS[1], "reversed(NAMES)")
    finish(one)
    finish(other)
    return places[0] / "here" / "runs", places[1] / "there" / "runs"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ENVIRONMENT)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_thirty_configurations_give_the_same_bytes_in_other_surroundings(twice: tuple[Path, Path]) -> None:
    """R1: 30 configurations, two processes, other hash seed, folder, locale, time zone and order: 0 differing bytes."""
    assert len(NAMES) == 30
    for name in NAMES:
        one, other = (runs / name for runs in twice)
        assert contents(one) == contents(other), differences(open_run(one), open_run(other))
        assert verify_run(one) == []


@pytest.mark.parametrize("name", ["files", "random 2"])
def test_a_run_of_its_own_process_gives_the_same_bytes(name: str, twice: tuple[Path, Path], tmp_path: Path) -> None:
    """R1: nor does it matter what ran before in the same process."""
    finish(start(tmp_path / "alone", {"PYTHONHASHSEED": "9", "TZ": "America/Lima"}, f"[{name!r}]"))
    assert contents(tmp_path / "alone" / "runs" / name) == contents(twice[0] / name)


def test_the_thirty_are_different_runs_that_reach_what_they_are_for(twice: tuple[Path, Path]) -> None:
    runs = {name: open_run(twice[0] / name) for name in NAMES}
    assert len({run.manifest["event_hash"] for run in runs.values()}) == 30 - 1  # two formats of one trace
    assert len({run.manifest["config"]["kernel"]["profile"] for run in runs.values()}) == 4
    assert {run.manifest["exit_state"] for run in runs.values()} == {"ok", "oom", "until"}
    assert sum(run.summary["totals"]["vmstat"]["pswpin"] > 0 for run in runs.values()) > 12
    assert sum(bool(run.manifest["inputs"]) for run in runs.values()) == 4
    assert (twice[0] / "core" / "cores").is_dir()
    assert (twice[0] / "watched" / "proc.parquet").is_file()


# R4: observation does not disturb ------------------------------------------------------------------------------------

WATCHED: dict[str, Any] = {
    "record_events": 100_000,
    "fault_latency": True,
    "snapshot": "2ms",
    "observe": ["buddy", "access_map"],
    "timeline": True,
}
ALL_WAYS = list(itertools.product((False, True), ("50us", "10ms", "1s"), ("none", "cheap", "full")))


def hashes(watched: bool, sample: str, check: str) -> tuple[str, str, int]:
    run = {"seed": 3, "sample": sample, "check": check, **(WATCHED if watched else {})}
    machine = Machine(Config.of(machine=TWO_NODES, workload=[hog(5, uses=200)], run=run))
    machine.run_to_end()
    assert int(machine.kernel.vm[0].event_count) > 2000
    return event_hash(machine.kernel), state_hash(machine.kernel), machine.now_ns


@pytest.fixture(scope="module")
def unwatched() -> tuple[str, str, int]:
    return hashes(False, "10ms", "none")


@pytest.mark.parametrize(("watched", "sample", "check"), ALL_WAYS)
def test_observation_does_not_disturb(watched: bool, sample: str, check: str, unwatched: tuple[str, str, int]) -> None:
    """R4: everything recorded or nothing x interval of samples x level of checks: the same events, state and end."""
    assert hashes(watched, sample, check) == unwatched
