"""Reading runs back, in frames and notebooks."""

import pytest
from synthetic_run import small_run

from numa_sim.errors import RunFolderError
from numa_sim.observe.sampler import NODE_COLUMNS
from numa_sim.results import Run, open_run, write_run


@pytest.fixture(scope="module")
def result():
    return small_run(samples=10)


@pytest.fixture(scope="module")
def run(result, tmp_path_factory):
    return open_run(write_run(result, tmp_path_factory.mktemp("runs") / "a<b>", picture=False))


def test_read_back_is_what_was_written(run, result):
    fresh = Run.of(result)
    assert run.summary == fresh.summary
    assert run.timeseries.equals(fresh.timeseries, check_metadata=True)
    assert run.swap_series.equals(fresh.swap_series, check_metadata=True)
    assert run.cpu_series.equals(fresh.cpu_series, check_metadata=True)
    assert run.timeseries is run.timeseries


def test_every_column_says_its_unit(run):
    units = {field.name: field.metadata[b"unit"].decode() for field in run.timeseries.schema}
    assert units == {column.name: column.unit for column in NODE_COLUMNS} | {
        "mean_latency_ns": "ns",
        "mean_queue_ns": "ns",
    }
    assert all((unit == "ns") == name.endswith("_ns") for name, unit in units.items())


def test_no_accesses_is_null_not_zero(run):
    assert run.timeseries.column("mean_latency_ns").null_count == 2  # the two nodes at t = 0
    assert run.timeseries.column("mean_latency_ns").to_pylist()[2] > 80


def test_frames(run):
    pytest.importorskip("pandas")
    frame = run.to_pandas()
    assert len(frame) == 22
    assert set(frame.node) == {0, 1}
    assert len(run.to_pandas("swap_series")) == 22
    with pytest.raises(KeyError, match="choose timeseries"):
        run.to_pandas("nodes")


def test_events_that_were_not_recorded(run):
    with pytest.raises(RunFolderError, match=r"has no events\.parquet"):
        _ = run.events


def test_representations(run, result):
    assert "made-up-2s (2 nodes, 4 CPUs, 32 MiB) stopped at the time limit" in repr(run)
    page = run._repr_html_()
    assert page.count("<tr>") == 3
    assert "pgmajfault" in page
    hostile = small_run(samples=2)
    object.__setattr__(hostile, "node_names", ("<script>", "b"))
    assert "<script>" not in Run.of(hostile)._repr_html_()
