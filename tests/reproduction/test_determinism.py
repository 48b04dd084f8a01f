"""``numa-sim run --verify-determinism`` lets a sound run pass and names what makes an unsound one differ."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reproduction.cases import pressed

from numa_sim.cli.app import main
from numa_sim.policies import registry
from numa_sim.results import verify_run

UNSOUND = '''
"""A policy that draws chance from elsewhere than its stream, as nobody should."""
import random
from numa_sim.policies.fifo import Fifo


class Careless(Fifo):
    name = "careless"

    def victim(self):
        for _ in range(random.randrange(3)):
            if self.queue:
                self.queue.move_to_end(next(iter(self.queue)))
        return super().victim()


class Hashing(Fifo):
    name = "hashing"

    def victim(self):
        if self.queue and len(self.queue) % 8 == 0:
            self.queue.move_to_end(min(self.queue, key=lambda page: hash(str(page))), last=False)
        return super().victim()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with two policies, as pip would leave it."""
    folder = tmp_path / "site-packages"
    info = folder / "unsound-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "unsound.py").write_text(UNSOUND)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unsound\nVersion: 1.0\n")
    points = "careless = unsound:Careless\nhashing = unsound:Hashing\n"
    (info / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\n{points}")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(registry, "_POLICIES", dict(registry._POLICIES))
    registry._register_installed.cache_clear()
    yield folder
    registry._register_installed.cache_clear()
    sys.modules.pop("unsound", None)


def run_twice(folder: Path, policy: str, *options: str, **run: int) -> int:
    """``numa-sim run --verify-determinism`` in `folder`; the exit code."""
    document = pressed({"reclaim": policy})
    (folder / "a.json").write_text(json.dumps({**document, "run": {**document["run"], **run}}))
    command = ["run", str(folder / "a.json"), "--out", str(folder / "run"), "--no-picture", "--verify-determinism"]
    with pytest.raises(SystemExit) as ended:
        main([*command, *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_sound_run_is_the_same_in_other_surroundings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_twice(tmp_path, "clock") == 0
    assert "second run, in other surroundings: the same, byte for byte (" in capsys.readouterr().out
    assert verify_run(tmp_path / "run") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "run"]


def test_chance_from_elsewhere_is_found_and_its_first_event_named(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Index, time, task and what happened, although the run itself recorded no events."""
    assert run_twice(tmp_path, "careless", "--quiet") == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'run'}\n"
    first, *others = said.err.splitlines()
    event = r"at [\d.]+ ?\w+ task -?\d+ \w+( \w+=-?\d+)*"
    wanted = rf"second run, in other surroundings: differs in events\.parquet: event \d+: {event} \| {event}"
    assert re.match(wanted, first), first
    assert any("timeseries.parquet: row " in line for line in others)
    assert any("summary.json: " in line for line in others)
    assert not (tmp_path / "run" / "events.parquet").exists()


def test_what_depends_on_the_hash_seed_is_found(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_twice(tmp_path, "hashing", "--quiet", record_events=50_000) == 1
    assert re.search(r"differs in events\.parquet: event \d+: at ", capsys.readouterr().err)


def test_a_second_run_that_cannot_be_made_is_an_error(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its configuration is accepted here, but not there: the policy is known to this process alone."""
    assert "hashing" in registry.names()
    (installed / "unsound-1.0.dist-info").rename(tmp_path / "gone")
    assert run_twice(tmp_path, "hashing", "--quiet") == 2
    said = capsys.readouterr().err
    assert said.startswith("numa-sim: error: the second run failed: ")
    assert "unknown replacement policy 'hashing'" in said
    assert said.count("\n") == 1
