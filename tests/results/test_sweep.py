"""Sweeps read back: frames, means with intervals, comparisons, what is missing, and queries by DuckDB."""

import json
import math
import warnings

import numpy as np
import pytest
from sweep_folders import grid, make_sweep, write_design, write_failure

from numa_sim.errors import RunFolderError
from numa_sim.results import sweep_table
from numa_sim.results.readable import readable_interval
from numa_sim.results.sweep import HEADLINE_METRICS, open_sweep
from numa_sim.statistics import Interval, compare, mean_interval

MEMORY = "machine.memory_per_node"
COUNT = "workload.0.program.2.accesses"
POINTS = grid({MEMORY: ["8MiB", "9MiB"], COUNT: [200, 600]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two factors of two values, three replicas."""
    return make_sweep(tmp_path_factory.mktemp("sweeps") / "a<b>", POINTS, replicas=3)


@pytest.fixture
def sweep(folder):
    return open_sweep(folder)


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    """The same without the second replica of the first point and the whole last point."""
    path = make_sweep(tmp_path_factory.mktemp("sweeps") / "part", POINTS, replicas=3, leave_out=(1, 9, 10, 11))
    runs = json.loads((path / "sweep.json").read_bytes())["runs"]
    for position in (9, 1):
        write_failure(path, runs[position], "killed")
    return path


def column(sweep, name, **where):
    rows = sweep.table.to_pylist()
    return [row[name] for row in rows if all(row[key] == value for key, value in where.items())]


def test_a_mean_is_over_the_replicas_of_a_point(sweep):
    rows = sweep.mean("pgmajfault")
    assert [(row[MEMORY], row[COUNT]) for row in rows] == [tuple(point.values()) for point in POINTS]
    for row, point in zip(rows, POINTS, strict=True):
        expected = mean_interval(column(sweep, "pgmajfault", **point))
        assert row["mean"] == expected.estimate
        assert row["half_width"] == expected.half_width
        assert (row["low"], row["high"], row["n"]) == (expected.low, expected.high, 3)


def test_a_mean_by_some_factors_averages_the_others_within_each_replica(sweep):
    [small, large] = sweep.mean("pgmajfault", by=[MEMORY])
    each = [np.mean(column(sweep, "pgmajfault", replica=r, **{MEMORY: "8MiB"})) for r in range(3)]
    expected = mean_interval(each)
    assert (small[MEMORY], large[MEMORY]) == ("8MiB", "9MiB")
    assert (small["mean"], small["n"]) == (pytest.approx(expected.estimate), 3)
    assert small["half_width"] == pytest.approx(expected.half_width)
    assert sweep.mean("pgmajfault", by=MEMORY) == [small, large]
    [overall] = sweep.mean("pgmajfault", by=[])
    assert overall["mean"] == pytest.approx((small["mean"] + large["mean"]) / 2)


def test_means_can_be_of_chosen_points_only(sweep):
    [row] = sweep.mean("end_ns", where={MEMORY: "9MiB", COUNT: 600})
    assert row["mean"] == mean_interval(column(sweep, "end_ns", **{MEMORY: "9MiB", COUNT: 600})).estimate
    assert sweep.mean("end_ns", where={COUNT: "600"}) == sweep.mean("end_ns", where={COUNT: 600})


def test_more_confidence_makes_wider_intervals(sweep):
    assert sweep.mean("end_ns", confidence=0.99)[0]["half_width"] > 2 * sweep.mean("end_ns")[0]["half_width"]


def test_comparisons_pair_replicas_and_the_other_factors(sweep):
    answer = sweep.compare("pgmajfault", MEMORY, "8MiB", "9MiB", where={COUNT: 600})
    a, b = (column(sweep, "pgmajfault", **{MEMORY: memory, COUNT: 600}) for memory in ("8MiB", "9MiB"))
    assert answer == compare(a, b, ("8MiB", "9MiB"))
    assert answer.better == "9MiB"
    over_both = sweep.compare("pgmajfault", MEMORY, "8MiB", "9MiB")
    means = [row["mean"] for row in sweep.mean("pgmajfault", by=[MEMORY])]
    assert over_both.paired.difference.estimate == pytest.approx(means[0] - means[1])
    assert over_both.paired.difference.n == 3
    assert sweep.compare("pgmajfault", MEMORY, "8MiB", "9MiB", prefer="higher").better == "8MiB"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda s: s.mean("pgmajfalt"), r"has no metric 'pgmajfalt' to average \(near: pgmajfault"),
        (lambda s: s.mean("exit_state"), "has no metric 'exit_state' to average"),
        (lambda s: s.mean("end_ns", by=["machine"]), f"has no factor 'machine' .allowed: {MEMORY}, {COUNT}"),
        (lambda s: s.mean("end_ns", where={MEMORY: "1TiB"}), f"{MEMORY} never is '1TiB' .allowed: 8MiB, 9MiB"),
        (lambda s: s.compare("end_ns", MEMORY, "8MiB", "x"), f"{MEMORY} never is 'x'"),
        (lambda s: s.compare("end_ns", "machine", "8MiB", "9MiB"), "has no factor 'machine'"),
        (lambda s: s.get("events"), "a sweep has no table 'events' .allowed: runs, nodes"),
        (lambda s: s.unit("nothing"), "has no metric 'nothing'"),
        (lambda s: s.run("0000"), "does not exist"),
    ],
)
def test_wrong_questions_get_one_clear_error(sweep, question, message):
    with pytest.raises(RunFolderError, match=message):
        question(sweep)


def test_a_replica_that_is_not_there_is_left_out_of_its_means(partial):
    sweep = open_sweep(partial)
    assert [row["n"] for row in sweep.mean("end_ns")] == [2, 3, 3, 0]
    assert math.isnan(sweep.mean("end_ns")[3]["mean"])
    assert sweep.mean("end_ns", by=[MEMORY])[0]["n"] == 2
    assert sweep.compare("end_ns", MEMORY, "8MiB", "9MiB", where={COUNT: 200}).paired.difference.n == 2
    with pytest.raises(RunFolderError, match="no replica has end_ns for both 8MiB and 9MiB"):
        sweep.compare("end_ns", MEMORY, "8MiB", "9MiB", where={COUNT: 600})


def test_one_replica_has_a_mean_without_an_interval(tmp_path):
    sweep = open_sweep(make_sweep(tmp_path / "one", POINTS[:1], replicas=1))
    [row] = sweep.mean("end_ns")
    assert row["n"] == 1
    assert row["half_width"] == math.inf
    assert row["mean"] == column(sweep, "end_ns")[0]


def test_sweeps_say_how_much_of_them_is_there(sweep, partial):
    assert sweep.headline == f"4 points of {MEMORY} (2), {COUNT} (2): all 12 runs"
    assert (sweep.missing, sweep.failures) == ((), ())
    part = open_sweep(partial)
    assert repr(part).endswith("only 8 of 12 runs are there, 2 failed>")
    assert [(run.point, run.replica) for run in part.missing] == [(0, 1), (3, 0), (3, 1), (3, 2)]
    assert [failure["run"] for failure in part.failures] == [part.missing[0].run, part.missing[1].run]
    assert part.failures[0]["attempts"][-1]["error"] == "killed"


def test_sweeps_until_a_mean_is_precise_do_not_miss_what_they_need_not_make(tmp_path):
    sweep = {"replicas": {"min": 3, "max": 30, "metric": "pgmajfault", "within": "5%"}}
    runs = [
        {"run": f"{replica:016x}", "point": 0, "replica": replica, "seed": replica, "factors": {}}
        for replica in range(30)
    ]
    write_design(tmp_path, runs, config={"sweep": sweep})
    assert open_sweep(tmp_path).headline == (
        "1 point of nothing varied: 0 runs, of 30 at most, until pgmajfault is precise"
    )


def test_a_failure_that_cannot_be_read_is_an_error(tmp_path):
    write_design(tmp_path, [])
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / "x.json").write_text("[")
    with pytest.raises(RunFolderError, match=r"failures/x\.json cannot be read"):
        _ = open_sweep(tmp_path).failures


def test_runs_are_opened_in_the_order_of_the_design(sweep):
    assert [run.folder.name for run in sweep.runs()] == [planned.run for planned in sweep.design.runs]
    assert next(sweep.runs()).summary == sweep.run(sweep.design.runs[0].run).summary


def test_reading_a_sweep_writes_nothing_and_agrees_with_the_stored_table(folder, sweep):
    assert not (folder / "results.parquet").exists()
    from_summaries = sweep.table
    assert not (folder / "results.parquet").exists()
    sweep_table.collect(folder)
    assert open_sweep(folder).table.equals(from_summaries, check_metadata=True)
    (folder / "results.parquet").unlink()


def test_pandas_frames_know_their_units(sweep):
    pytest.importorskip("pandas")
    frame = sweep.to_pandas()
    assert frame.attrs["units"]["end_ns"] == "ns"
    assert len(frame) == 12
    assert str(frame["end_ns"].dtype) == "int64"
    assert len(sweep.to_pandas("nodes")) == 24
    assert len(sweep.to_pandas("tasks")) == 12
    assert set(sweep.to_pandas("timeseries")["run"]) == set(frame["run"])


def test_polars_frames_are_the_table(sweep):
    pytest.importorskip("polars")
    frame = sweep.to_polars()
    assert frame.shape == (12, len(sweep.table.column_names))
    assert frame["end_ns"].to_list() == sweep.table.column("end_ns").to_pylist()
    assert frame["event_hash"].to_list() == sweep.table.column("event_hash").to_pylist()


def test_a_grid_becomes_an_array_with_its_factors_as_dimensions(sweep):
    pytest.importorskip("xarray")
    data = sweep.to_xarray()
    assert dict(data.sizes) == {MEMORY: 2, COUNT: 2, "replica": 3}
    faults = data["pgmajfault"]
    assert faults.dtype == np.int64
    assert data["end_ns"].attrs["units"] == "ns"
    for row in sweep.table.to_pylist():
        at = {MEMORY: row[MEMORY], COUNT: row[COUNT], "replica": row["replica"]}
        assert int(faults.sel(at)) == row["pgmajfault"]
        assert str(data["event_hash"].sel(at).item()) == row["event_hash"]
    for row in sweep.mean("pgmajfault"):
        assert float(faults.mean("replica").sel({MEMORY: row[MEMORY], COUNT: row[COUNT]})) == pytest.approx(row["mean"])


def test_runs_that_are_not_there_are_nan_in_the_array(partial):
    pytest.importorskip("xarray")
    data = open_sweep(partial).to_xarray()
    assert int(np.isnan(data["end_ns"]).sum()) == 4
    assert np.isnan(data["end_ns"].sel({MEMORY: "9MiB", COUNT: 600})).all()


def test_points_that_are_no_grid_become_an_array_along_the_points(tmp_path):
    pytest.importorskip("xarray")
    points = [{MEMORY: "8MiB", COUNT: 200}, {MEMORY: "9MiB", COUNT: 300}, {COUNT: 400}]
    data = open_sweep(make_sweep(tmp_path / "zip", points, replicas=1)).to_xarray()
    assert dict(data.sizes) == {"point": 3, "replica": 1}
    assert data[COUNT].values.tolist() == [200, 300, 400]
    assert data[MEMORY].values.tolist() == ["8MiB", "9MiB", ""]
    assert (data["end_ns"] > 0).all()


def test_duckdb_queries_the_folder(folder):
    """R16: other tools read the tables as they lie there."""
    duckdb = pytest.importorskip("duckdb")
    sweep_table.collect(folder)
    sweep = open_sweep(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = duckdb.sql(
            f"""SELECT "{MEMORY}", avg(pgmajfault) FROM '{folder}/results.parquet' GROUP BY 1 ORDER BY 1"""
        ).fetchall()
        series = duckdb.sql(
            f"""SELECT parse_filename(parse_dirpath(filename)) AS run, max(t_ns)
                FROM read_parquet('{folder}/runs/*/timeseries.parquet', filename = true) GROUP BY run ORDER BY run"""
        ).fetchall()
    means = {row[MEMORY]: row["mean"] for row in sweep.mean("pgmajfault", by=[MEMORY])}
    assert dict(rows) == pytest.approx(means)
    assert dict(series) == dict(zip(column(sweep, "run"), column(sweep, "end_ns"), strict=True))
    (folder / "results.parquet").unlink()


def test_notebooks_see_means_with_intervals(sweep, partial):
    page = sweep._repr_html_()
    assert page.count("<tr>") == 5
    assert all(f"<th>{name}</th>" in page for name in (MEMORY, "n", *HEADLINE_METRICS))
    faults = sweep.intervals("pgmajfault")[0][1]
    assert f"<td>{faults}</td>" in page
    assert "only 8 of 12 runs are there" in open_sweep(partial)._repr_html_()


def test_notebooks_do_not_run_what_names_say(tmp_path):
    runs = [{"run": "a" * 16, "point": 0, "replica": 0, "seed": 1, "factors": {"<script>": "<b>"}}]
    write_design(tmp_path, runs)
    page = open_sweep(tmp_path)._repr_html_()
    assert "<script>" not in page
    assert "<b><b>" not in page


def test_intervals_are_readable():
    assert readable_interval(Interval(88_200_000, 86_900_000, 89_500_000, 5), "ns") == "88.2 ± 1.3 ms"
    assert readable_interval(Interval(88_200, 86_900, 89_500, 5)) == "88 200 ± 1 300"
    assert readable_interval(Interval(0, 0, 0, 5), "ns") == "0 ± 0 ns"
