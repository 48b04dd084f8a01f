"""R16: run folders, configurations and traces of every format version there was are read; newer ones are refused."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reproduction.cases import machine_of, pressed, write_inputs

from numa_sim.cli.app import main
from numa_sim.config.model import Config
from numa_sim.config.reader import load
from numa_sim.errors import RunFolderError
from numa_sim.observe.result import MODEL_VERSION
from numa_sim.reproduction import reproduce
from numa_sim.results import open_run, verify_run, write_run
from numa_sim.results.canonical import canonical_json, seal
from numa_sim.results.formats import _NEXT, FORMAT_VERSION, manifest_as_now
from numa_sim.results.pictures import ALL, reclaim_timeline
from numa_sim.results.report import write_report
from numa_sim.workloads.traces import MapCall, Runs, read_items
from numa_sim.workloads.traces.canonical_writer import write_canonical

FORMATS = Path(__file__).parents[1] / "data" / "formats"
V1 = FORMATS / "v1" / "small"


def test_there_is_a_reader_and_a_kept_folder_for_every_older_version() -> None:
    assert set(_NEXT) == set(range(1, FORMAT_VERSION))
    for version in _NEXT:
        kept = FORMATS / f"v{version}" / "small" / "manifest.json"
        assert json.loads(kept.read_bytes())["format_version"] == version


def test_a_folder_of_version_1_says_what_it_said_when_it_was_written() -> None:
    assert verify_run(V1) == []
    run = open_run(V1)
    assert run.manifest["event_hash"] == "2651-1305c2f2204f240e"
    assert run.manifest["state_hash"] == "0fad152d766cdd59b85aa08814e58341"
    assert run.manifest["end_ns"] == 6_269_740
    totals = run.summary["totals"]["vmstat"]
    assert (totals["pgfault"], totals["pswpin"], totals["pswpout"]) == (1730, 160, 442)
    assert [task["name"] for task in run.summary["tasks"]] == ["hog", "recorded"]
    assert (run.timeseries.num_rows, run.events.num_rows, run.proc.num_rows) == (16, 40, 78)
    assert run.events.slice(1, 1).to_pylist() == [{"t_ns": 0, "task": 2, "event": "context_switch", "a": 0, "b": 2}]
    assert "2 136 accesses, 41 major faults" in repr(run)
    assert run.plot() is not None
    with pytest.raises(RunFolderError, match=r"has no topology\.json"):
        _ = run.topology


def test_it_reads_as_if_it_had_been_written_today() -> None:
    manifest = open_run(V1).manifest
    (entry,) = manifest["inputs"]
    assert entry == {**entry, "name": "short.txt", "file": "short.txt", "kept": None}
    assert (manifest["streams_version"], manifest["beyond_config"]) == (1, [])


def test_a_folder_of_another_model_is_refused_and_so_is_one_without_its_input() -> None:
    manifest = open_run(V1).manifest
    assert manifest["model_version"] == "3"
    if manifest["model_version"] != MODEL_VERSION:
        with pytest.raises(RunFolderError, match="was made with model 3, streams 1"):
            reproduce(V1)
    with pytest.raises(RunFolderError, match=r"the input 'traces/short.txt' .* cannot be found"):
        reproduce(V1, anyway=True)


def as_version_1(folder: Path) -> None:
    """Make a folder of today what version 1 would have written."""
    document = json.loads((folder / "manifest.json").read_bytes())
    for key in ("self_sha256", "beyond_config", "streams_version"):
        del document[key]
    document["inputs"] = [{key: entry[key] for key in ("name", "size_bytes", "sha256")} for entry in document["inputs"]]
    for name in [name for name in document["files"] if name == "topology.json" or name.startswith("inputs/")]:
        del document["files"][name]
        (folder / name).unlink()
    shutil.rmtree(folder / "inputs")
    del document["config"]["run"]["keep_inputs"]
    (folder / "manifest.json").write_bytes(canonical_json(seal({**document, "format_version": 1})))
    around = json.loads((folder / "environment.json").read_bytes())
    for key in ("self_sha256", "checkout", "config_folder", "started_utc", "ended_utc"):
        del around[key]
    (folder / "environment.json").write_bytes(canonical_json(seal({**around, "format_version": 1})))


def test_a_folder_of_version_1_can_be_made_again(tmp_path: Path) -> None:
    """Its input was not kept then, and the configuration has keys now that it had not."""
    write_inputs(tmp_path / "in")
    folder = write_run(machine_of("text trace", tmp_path / "in").run_to_end(), tmp_path / "run", picture=False)
    as_version_1(folder)
    assert verify_run(folder) == []
    again = reproduce(folder, inputs=[tmp_path / "in"])
    assert again.same, again
    assert not again.alike
    assert str(again).startswith("the same, in all that the older numa_sim wrote (")


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 999, 0, -1, "2", None, True, 1.0])
def test_versions_nobody_knows_are_refused(version: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(V1, tmp_path / "run")
    document = json.loads((folder / "manifest.json").read_bytes())
    del document["self_sha256"]
    (folder / "manifest.json").write_bytes(canonical_json(seal({**document, "format_version": version})))
    said = f"format_version {version!r} is unknown, this numa_sim reads 1 to {FORMAT_VERSION}"
    assert any(said in problem for problem in verify_run(folder))
    with pytest.raises(RunFolderError, match="is unknown"):
        open_run(folder)
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", str(folder)])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert ("upgrade" in err) == (type(version) is int and version > FORMAT_VERSION)


def test_a_manifest_of_today_stays_as_it_is() -> None:
    manifest = {"format_version": FORMAT_VERSION, "inputs": [], "anything": 1}
    assert manifest_as_now(manifest) is manifest


@pytest.mark.parametrize("version", sorted(_NEXT))
@pytest.mark.parametrize("name", [name for name, each in ALL.items() if each.source == "run"])
def test_every_picture_of_a_run_of_every_version_is_drawn_or_says_what_is_not_there(version: int, name: str) -> None:
    with suppress(RunFolderError):  # that has its message; nothing else may come out
        assert ALL[name].plot(open_run(FORMATS / f"v{version}" / "small")).has_data()


def test_without_watermarks_the_title_says_why_there_are_none() -> None:
    assert "watermarks" not in open_run(V1).summary
    axes = reclaim_timeline.plot(open_run(V1))
    assert "no watermarks: the numa_sim that made this run did not keep them" in axes.get_title(loc="left")
    assert {line.get_label() for line in axes.lines}.isdisjoint(("min", "low", "high"))


def test_folders_of_older_versions_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numa_sim.results.pictures.figure.contents", lambda drawn, form: b"<svg/>")  # drawn above
    for version in _NEXT:
        text = write_report(FORMATS / f"v{version}" / "small", tmp_path / "report.html").read_text()
        assert text.count("<figure") >= 8


# Configurations and canonical traces ----------------------------------------------------------------------------------


def differing(old: Any, new: Any, at: str = "") -> list[str]:
    """Where `new` has not what `old` has; it may have more keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [where for key in old for where in differing(old[key], new.get(key), f"{at}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [where for i, one in enumerate(old) for where in differing(one, new[i], f"{at}.{i}")]
    return [] if old == new else [at]


def test_a_configuration_of_version_1_resolves_to_what_it_resolved_to(tmp_path: Path) -> None:
    """``small.toml`` is what the kept run was made from; later versions have more keys, and their defaults."""
    shutil.copy(FORMATS / "v1" / "small.toml", tmp_path)
    (tmp_path / "traces").mkdir()
    shutil.copy(FORMATS / "v1" / "short.txt", tmp_path / "traces")
    stored = json.loads((V1 / "manifest.json").read_bytes())["config"]
    assert len(str(stored)) > 1000
    assert differing(stored, load(tmp_path / "small.toml").resolved()) == []


def test_the_version_may_be_said_and_changes_nothing(tmp_path: Path) -> None:
    """Neither the resolved configuration nor its hash: hashes of runs are what they were before there was the key."""
    document = pressed()
    assert Config.of(**document, format_version=1).sha256 == Config.of(**document).sha256
    assert "format_version" not in Config.of(**document, format_version=1).resolved()


def test_a_newer_configuration_is_refused_before_what_else_is_unknown_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"format_version": 2, "galaxy": {"arms": 4}}))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(file)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == (
        f"numa-sim: error: {file}: format_version: 2 is of a newer numa_sim (allowed: 1; or upgrade numa_sim)\n"
    )


def test_a_trace_of_version_1_has_the_records_it_had(tmp_path: Path) -> None:
    """The first traces do not say their version; what is written today does, and says the same."""
    old = list(read_items(FORMATS / "v1" / "trace.npz", "numa_sim"))
    assert old[0] == MapCall(16384, 512, 3, True, False)
    (runs,) = (item for item in old if isinstance(item, Runs))
    assert (len(runs.vpn), runs.vpn[:4].tolist(), int(runs.vpn.sum())) == (200, [16384, 16421, 16394, 16431], 3_283_052)
    write_canonical(tmp_path / "new.npz", old)
    new = list(read_items(tmp_path / "new.npz", "numa_sim"))
    assert [len(item.vpn) if isinstance(item, Runs) else item for item in new] == [old[0], 200]
    with zipfile.ZipFile(tmp_path / "new.npz") as archive, archive.open("format_version.npy") as member:
        assert np.load(io.BytesIO(member.read())).tolist() == [1]


@pytest.mark.parametrize(("version", "said"), [([2], "2"), ([0], "0"), ([], "[]"), ([1, 1], "[1, 1]")])
def test_a_newer_trace_is_refused(
    version: list[int], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shutil.copy(FORMATS / "v1" / "trace.npz", tmp_path)
    member = io.BytesIO()
    np.save(member, np.array(version, np.uint32))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("format_version.npy", member.getvalue())
    with pytest.raises(SystemExit) as ended:
        main(["mrc", str(file)])
    assert ended.value.code == 2
    assert (
        f"format_version.npy: format_version {said} is unknown, this numa_sim reads 1 to 1" in capsys.readouterr().err
    )
