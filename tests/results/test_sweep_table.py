"""The tidy table of a sweep: its rows, types, units, names that stay, and bytes."""

from pathlib import Path

import pytest
from sweep_folders import grid, make_sweep, planned_runs, write_design

from numa_sim.errors import RunFolderError
from numa_sim.results.durable import FileLayer
from numa_sim.results.run import open_run
from numa_sim.results.sweep_columns import METRIC_COLUMNS, NODE_FIGURES, TASK_FIGURES, metrics_of
from numa_sim.results.sweep_folder import read_design
from numa_sim.results.sweep_table import collect, node_rows, run_rows, stored_table, summaries, task_rows, time_rows

MEMORY = "machine.memory_per_node"
COUNT = "workload.0.program.2.accesses"
POINTS = grid({MEMORY: ["8MiB", "16MiB"], COUNT: [200, 600]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_sweep(tmp_path_factory.mktemp("sweeps") / "small", POINTS, replicas=2)


def units(table):
    return {field.name: field.metadata[b"unit"].decode() for field in table.schema}


def test_there_is_a_row_per_run_in_the_order_of_the_design(folder):
    table = collect(folder)
    design = read_design(folder)
    assert table.column("run").to_pylist() == [run.run for run in design.runs]
    assert table.column("point").to_pylist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert table.column("replica").to_pylist() == [0, 1] * 4
    assert table.column(MEMORY).to_pylist() == ["8MiB"] * 4 + ["16MiB"] * 4
    assert table.column(COUNT).to_pylist() == [200, 200, 600, 600] * 2
    assert str(table.schema.field(COUNT).type) == "int64"
    assert table.column_names[4:6] == [MEMORY, COUNT]


def test_metrics_are_those_of_the_runs_summaries(folder):
    for row in collect(folder).to_pylist():
        summary = open_run(folder / "runs" / row["run"]).summary
        totals = summary["totals"]
        assert row["pgmajfault"] == totals["vmstat"]["pgmajfault"]
        assert row["task_time_swap_wait_ns"] == totals["parts_ns"]["swap_wait"]
        assert row["mean_latency_ns"] == totals["mean_latency_ns"]
        assert row["reclaim_efficiency_percent"] == totals["reclaim"]["mean_efficiency_percent"]
        assert row["swap_written_pages"] == summary["swap_areas"][0]["pages_written"]
        assert (row["end_ns"], row["exit_state"], row["seed"]) == tuple(
            summary["run"][key] for key in ("end_ns", "exit_state", "seed")
        )
        assert row["fault_mean_ns"] is None  # not recorded
        assert {name: row[name] for name in metrics_of(summary)} == metrics_of(summary)


def test_every_column_has_a_unit_and_a_description(folder):
    design = read_design(folder)
    found = summaries(design)
    for table in (collect(folder), node_rows(design, found), task_rows(design, found)):
        for name, unit in units(table).items():
            assert unit in ("", "1", "ns", "pages", "lines", "percent", "pages/s"), name
            assert (unit == "ns") == name.endswith("_ns"), name
            assert table.schema.field(name).metadata[b"description"]


def test_names_and_units_once_published_stay():
    """R16: a column may be added to tests/data/formats/sweep_columns.tsv; renaming or removing one breaks users."""
    lines = (Path(__file__).parents[1] / "data" / "formats" / "sweep_columns.tsv").read_text().splitlines()
    now = {
        (table, figure.name): figure.unit
        for table, figures in (("runs", METRIC_COLUMNS), ("nodes", NODE_FIGURES), ("tasks", TASK_FIGURES))
        for figure in figures
    }
    published = {(table, name): unit for table, name, unit in (line.split("\t") for line in lines)}
    assert {key: now.get(key) for key in published} == published
    assert set(now) <= set(published), "add the new columns to the list"


def test_the_file_is_the_table_and_always_the_same_bytes(folder):
    table = collect(folder)
    first = (folder / "results.parquet").read_bytes()
    collect(folder)
    assert (folder / "results.parquet").read_bytes() == first
    assert stored_table(read_design(folder)).equals(table, check_metadata=True)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_nodes_and_tasks_have_rows_of_their_own(folder):
    design = read_design(folder)
    found = summaries(design)
    nodes, tasks = node_rows(design, found), task_rows(design, found)
    assert nodes.column("node").to_pylist() == [0, 1] * 8
    assert tasks.column("name").to_pylist() == ["hog"] * 8
    per_run = nodes.group_by("run").aggregate([("pgalloc", "sum")])
    totals = dict(zip(per_run.column("run").to_pylist(), per_run.column("pgalloc_sum").to_pylist(), strict=True))
    assert totals == {row["run"]: row["pgalloc"] for row in collect(folder).to_pylist()}
    parts = [name for name in tasks.column_names if name.startswith("time_")]
    assert all(sum(row[name] for name in parts) == row["run_ns"] for row in tasks.to_pylist())


def test_time_series_of_all_runs_are_one_long_table(folder):
    design = read_design(folder)
    table = time_rows(design)
    assert table.column_names[:3] == ["run", "t_ns", "node"]
    assert len(table) == sum(len(open_run(folder / "runs" / run.run).timeseries) for run in design.runs)
    assert units(table)["t_ns"] == "ns"
    assert "cpu" in time_rows(design, "timeseries-cpu").column_names


def test_only_finished_runs_have_rows(tmp_path):
    folder = make_sweep(tmp_path / "part", POINTS[:1], replicas=3, leave_out=(1,))
    assert collect(folder).column("replica").to_pylist() == [0, 2]


def test_a_stored_table_is_not_used_when_more_runs_have_finished(tmp_path):
    folder = make_sweep(tmp_path / "grows", POINTS[:1], replicas=2, leave_out=(1,))
    collect(folder)
    design = read_design(folder)
    assert len(stored_table(design)) == 1
    make_sweep(folder, POINTS[:1], replicas=2)
    assert stored_table(design) is None
    assert len(collect(folder)) == 2


def test_a_sweep_without_a_finished_run_has_an_empty_table_with_all_columns(tmp_path, folder):
    empty = make_sweep(tmp_path / "empty", POINTS, replicas=2, leave_out=range(8))
    assert len(collect(empty)) == 0
    assert collect(empty).schema.equals(collect(folder).schema, check_metadata=True)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int64"), ([1, 2.5], "double"), (["1GiB", 2], "string"), ([True, False], "bool"),
        ([True, 2], "string"), ([{"b": 1, "a": [2]}, None], "string"), ([1 << 70, 1], "double"), ([None, 3], "int64"),
    ],
)  # fmt: skip
def test_factors_have_the_type_of_their_values(tmp_path, values, kind):
    runs = [
        {"run": f"{i:016x}", "point": i, "replica": 0, "seed": 1, "factors": {"x": value}}
        for i, value in enumerate(values)
    ]
    write_design(tmp_path, runs)
    design = read_design(tmp_path)
    column = run_rows(design, {run["run"]: EMPTY for run in runs}).column("x")
    assert str(column.type) == kind
    if kind == "string":
        assert column.to_pylist()[0] in ("1GiB", "true", '{"a": [2], "b": 1}')
    else:
        assert column.to_pylist() == values


EMPTY = {
    "run": {}, "totals": {"vmstat": {}, "parts_ns": {}, "reclaim": {}}, "machine": {}, "oom_kills": [],
    "tasks": [], "nodes": [], "swap_areas": [], "cpus": [], "faults": [],
}  # fmt: skip
"""A summary of a format that knew hardly anything: what it lacks is null."""


def test_points_of_different_groups_may_have_different_factors(tmp_path):
    runs = [
        {"run": "a" * 16, "point": 0, "replica": 0, "seed": 1, "factors": {"x": 1}},
        {"run": "b" * 16, "point": 1, "replica": 0, "seed": 1, "factors": {"y": "one"}},
    ]
    write_design(tmp_path, runs)
    table = run_rows(read_design(tmp_path), {run["run"]: EMPTY for run in runs})
    assert table.column("x").to_pylist() == [1, None]
    assert table.column("y").to_pylist() == [None, "one"]
    assert table.column("pgfault").null_count == 2


def test_a_factor_with_the_name_of_a_column_is_refused(tmp_path):
    runs = [{"run": "a" * 16, "point": 0, "replica": 0, "seed": 1, "factors": {"end_ns": 1}}]
    write_design(tmp_path, runs)
    with pytest.raises(RunFolderError, match="factor 'end_ns' has the name of a column"):
        collect(tmp_path)


class FailsAt(FileLayer):
    def __init__(self, n):
        self.left = n

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def write(self, file, content):
        self._count()
        super().write(file, content)

    def sync(self, path):
        self._count()
        super().sync(path)

    def replace(self, old, new):
        self._count()
        super().replace(old, new)


def test_a_failing_disk_leaves_the_old_table_whole(tmp_path):
    """R12: the table is replaced in one step, whichever write, sync or rename fails."""
    folder = make_sweep(tmp_path / "s", POINTS[:1], replicas=2, leave_out=(1,))
    collect(folder)
    old = (folder / "results.parquet").read_bytes()
    make_sweep(folder, POINTS[:1], replicas=2)
    for n in range(4):
        with pytest.raises(RunFolderError, match="No space left on device"):
            collect(folder, files=FailsAt(n))
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        if n < 3:  # the last step only makes it last
            assert (folder / "results.parquet").read_bytes() == old
    collect(folder, files=FailsAt(4))
    assert (folder / "results.parquet").read_bytes() != old


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no sweep.json: it is no sweep folder"),
        (b"{", "sweep.json cannot be read"),
        (b"[1]", "sweep.json is not a JSON object"),
        (b"\xff\xfe", "sweep.json cannot be read"),
        (b'{"format_version": 1}', "sweep.json was damaged or edited"),
    ],
)
def test_what_is_no_sweep_folder_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "sweep.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=message):
        collect(tmp_path)


def test_no_folder_at_all_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        collect(tmp_path / "none")


def test_newer_sweeps_are_refused_with_what_can_be_read(tmp_path):
    write_design(tmp_path, [], format_version=99)
    with pytest.raises(RunFolderError, match=r"format_version 99 of sweep\.json is unknown, this numa_sim reads 1$"):
        collect(tmp_path)


def test_a_sealed_document_that_is_no_design_is_refused(tmp_path):
    write_design(tmp_path, [{"run": "x"}], factors=[])
    with pytest.raises(RunFolderError, match=r"sweep\.json is not what a sweep writes: KeyError\('point'\)"):
        collect(tmp_path)


def test_a_damaged_table_is_refused(tmp_path):
    write_design(tmp_path, [run for run, _ in planned_runs(POINTS, 1)])
    (tmp_path / "results.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(RunFolderError, match=r"results\.parquet cannot be read"):
        stored_table(read_design(tmp_path))


def test_a_mean_over_no_accesses_is_null():
    """R18: nothing has no latency; 0 ns would be the fastest of all machines."""
    totals = {"mean_latency_ns": 0.0, "mean_queue_ns": 0.0}
    for accesses, mean in ((0, None), (1, 0.0)):
        metrics = metrics_of({"totals": {"memory_accesses": accesses, **totals}, "faults": [], "oom_kills": []})
        assert (metrics["mean_latency_ns"], metrics["mean_queue_ns"]) == (mean, mean)
