"""R16: sweep folders of every version there ever was are read, and say what they said.

``tests/data/formats/vN/sweep`` was written by the numa_sim that introduced version N and is never changed: two points,
two replicas, one run that failed three times.
"""

import shutil
from pathlib import Path

import pytest

from numa_sim.errors import RunFolderError
from numa_sim.results import sweep_folder, sweep_table
from numa_sim.results.sweep import open_sweep
from numa_sim.results.sweep_columns import METRIC_COLUMNS
from numa_sim.results.sweep_folder import SWEEP_VERSIONS, read_design
from numa_sim.results.sweep_table import TABLE_VERSIONS, stored_table

FORMATS = Path(__file__).parents[1] / "data" / "formats"
MEMORY = "machine.memory_per_node"
STORED = {
    "run": ["2f686854ccd66fe5", "3766cdd6bb71867e", "e21917d2af06b955"],
    "point": [0, 0, 1],
    "replica": [0, 1, 0],
    "seed": [100, 101, 100],
    MEMORY: ["8MiB", "8MiB", "9MiB"],
    "exit_state": ["ok", "ok", "ok"],
    "end_ns": [15024080, 15340790, 13220000],
    "pgmajfault": [103, 106, 88],
    "mean_latency_ns": [90.0, 90.0, 90.0],
    "numa_miss": [0, 0, 0],
    "event_hash": ["70ef-347f7e1b2668a39e", "712a-2713e609cd7cc339", "65e9-0787f0a3848c5c6b"],
}
"""What version 1's small sweep came to."""


@pytest.mark.parametrize("version", SWEEP_VERSIONS)
def test_sweep_folders_of_every_version_say_what_they_said(version):
    sweep = open_sweep(FORMATS / f"v{version}" / "sweep")
    assert {name: sweep.table.column(name).to_pylist() for name in STORED} == STORED
    assert sweep.factors == {MEMORY: ["8MiB", "9MiB"]}
    [failure] = sweep.failures
    assert failure["run"] == sweep.missing[0].run == "6ea4183649537ec8"
    assert sweep.headline == f"2 points of {MEMORY} (2): only 3 of 4 runs are there, 1 failed"
    assert [run.summary["run"]["end_ns"] for run in sweep.runs()] == STORED["end_ns"]
    first = sweep.mean("pgmajfault")[0]
    assert (first["mean"], first["half_width"], first["n"]) == (104.5, pytest.approx(19.059307, rel=1e-6), 2)
    assert sweep.compare("end_ns", MEMORY, "8MiB", "9MiB").paired.difference.estimate == 15024080 - 13220000
    assert set(sweep.nodes.column("node").to_pylist()) == {0, 1}
    assert sweep.tasks.column("name").to_pylist() == ["hog"] * 3
    assert len(sweep.get("timeseries")) > 0


@pytest.mark.parametrize("version", TABLE_VERSIONS)
def test_tables_of_every_version_are_read_without_the_runs(version, tmp_path):
    """Somebody was given ``sweep.json`` and ``results.parquet`` alone."""
    for name in ("sweep.json", "results.parquet"):
        shutil.copy(FORMATS / f"v{version}" / "sweep" / name, tmp_path / name)
    table = open_sweep(tmp_path).table
    assert {name: table.column(name).to_pylist() for name in STORED} == STORED
    assert {figure.name for figure in METRIC_COLUMNS} <= set(table.column_names)


def test_columns_that_came_later_are_null_without_the_runs_and_made_from_them_otherwise(tmp_path, monkeypatch):
    later = sweep_table.Figure("later", "pages", "what nobody thought of", lambda summary: summary["run"]["end_ns"])
    monkeypatch.setattr(sweep_table, "METRIC_COLUMNS", (*METRIC_COLUMNS, later))
    assert stored_table(read_design(FORMATS / "v1" / "sweep")) is None
    assert open_sweep(FORMATS / "v1" / "sweep").table.column("later").to_pylist() == STORED["end_ns"]
    for name in ("sweep.json", "results.parquet"):
        shutil.copy(FORMATS / "v1" / "sweep" / name, tmp_path / name)
    assert open_sweep(tmp_path).table.column("later").to_pylist() == [None] * 3


def test_versions_of_the_future_are_refused_with_what_can_be_read(tmp_path, monkeypatch):
    shutil.copytree(FORMATS / "v1" / "sweep", tmp_path / "s")
    monkeypatch.setattr(sweep_table, "TABLE_VERSIONS", (2,))
    with pytest.raises(RunFolderError, match=r"format_version '1' of results\.parquet is unknown, .* reads 2"):
        _ = open_sweep(tmp_path / "s").table
    monkeypatch.setattr(sweep_folder, "SWEEP_VERSIONS", (2, 3))
    with pytest.raises(RunFolderError, match=r"format_version 1 of sweep\.json is unknown, this numa_sim reads 2, 3"):
        open_sweep(tmp_path / "s")
