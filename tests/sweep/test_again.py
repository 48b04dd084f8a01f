"""R2, R12: a reviewer makes a sweep again from its folder alone, byte for byte; its configuration makes the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pytest
from sweep import tiny

from numa_sim.cli.app import main
from numa_sim.config.reader import load
from numa_sim.errors import RunFolderError
from numa_sim.results.canonical import canonical_json, seal
from numa_sim.results.sweep import open_sweep
from numa_sim.results.tables import parquet_bytes
from numa_sim.results.verify_sweep import verify_sweep
from numa_sim.sweep import reproduce_sweep, run_sweep

SWEEP = {
    "grid": {"workload.0.program.1.write": [1.0, 0.0], "kernel.sysctl.vm.vm_passes": [5, 60]},
    "cases": [{"label": "nvme"}, {"label": "zram", "machine": {"swap": [{"device": "zram", "size": "8MiB"}]}}],
}
"""Axes in an order that is not that of their names."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    run_sweep(tiny.config(**SWEEP), folder, jobs=0)
    return folder


@pytest.fixture
def sweep(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "sweep")


def reproduced(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_every_run_and_the_table_come_out_the_same(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduced(original, "--jobs", 1, "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert said.out == f"{original}: the same, byte for byte (8 runs, results.parquet)\n"
    assert "8/8 runs" in said.err
    assert tiny.result_set(tmp_path / "out") == tiny.result_set(original)
    assert verify_sweep(tmp_path / "out") == []


def test_the_configuration_that_a_sweep_stores_makes_the_same_sweep(original: Path, tmp_path: Path) -> None:
    """Also the numbers of points: the order of axes is kept."""
    config = json.loads((original / "sweep.json").read_bytes())["config"]
    assert list(config["sweep"]["grid"]) == list(SWEEP["grid"])
    (tmp_path / "again.json").write_text(json.dumps(config))
    run_sweep(load(tmp_path / "again.json"), tmp_path / "again", jobs=0)
    assert tiny.result_set(tmp_path / "again") == tiny.result_set(original)


def test_what_differs_is_named(sweep: Path) -> None:
    """One figure of the table was changed, and the run that it comes from is not there any more."""
    table = open_sweep(sweep).table
    column = table.column_names.index("pgmajfault")
    changed = table.set_column(column, table.schema.field(column), pc.add(table["pgmajfault"], 1))
    (sweep / "results.parquet").write_bytes(parquet_bytes(changed))
    first = table["run"][0].as_py()
    again = reproduce_sweep(sweep, jobs=0)
    value = table["pgmajfault"][0].as_py()
    where = f"results.parquet: row 0 (run={first}), column pgmajfault: {value + 1} | {value}"
    assert (again.same, str(again)) == (False, f"differs in {where}")
    (sweep / "results.parquet").unlink()
    for run in table["run"].to_pylist()[1:]:
        shutil.rmtree(sweep / "runs" / run)
    again = reproduce_sweep(sweep, jobs=0)
    assert str(again) == "the same, byte for byte (1 run of 8, there is no table yet)"


def test_a_run_that_was_changed_is_named_by_its_place(sweep: Path) -> None:
    """Its folder says another configuration than the one its results came from."""
    run = sweep / "runs" / open_sweep(sweep).table["run"][0].as_py()
    document = json.loads((run / "manifest.json").read_bytes())
    document["config"]["machine"]["cache_hit_ratio"] = 0.5
    del document["self_sha256"]
    (run / "manifest.json").write_bytes(canonical_json(seal(document)))
    again = reproduce_sweep(sweep, jobs=0)
    assert str(again).startswith(f"differs in runs/{run.name}/timeseries-cpu.parquet: row ")
    assert {difference.file.split("/")[1] for difference in again.found[:-1]} == {run.name}
    assert again.found[-1].file == "results.parquet"


def test_what_cannot_be_made_again_is_one_line(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduced(sweep, "--out", sweep) == 2
    assert capsys.readouterr().err.endswith(f"numa-sim: error: {sweep}: exists already\n")
    shutil.rmtree(sweep / "runs")
    with pytest.raises(RunFolderError, match="has no finished run"):
        reproduce_sweep(sweep, jobs=0)


def test_a_sweep_of_an_older_numa_sim_or_with_other_limits_is_continued(sweep: Path) -> None:
    """Limits decide about no result; and the order of keys was not kept once."""
    document = json.loads((sweep / "sweep.json").read_bytes())
    (sweep / "sweep.json").write_bytes(canonical_json(document))
    config = tiny.config(**SWEEP, limits={"wall": "2h"})
    assert run_sweep(config, sweep, jobs=0).there == 8
    with pytest.raises(RunFolderError, match="another configuration"):
        run_sweep(tiny.config(**SWEEP, replicas=2), sweep, jobs=0)
