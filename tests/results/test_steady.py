"""Means over the steady part of a run: of levels, rates and times per access, with intervals that know their limits."""

from dataclasses import replace

import numpy as np
import pytest
from sweep_folders import BASE, with_value

from numa_sim.config.model import Config
from numa_sim.errors import StatisticsError
from numa_sim.processes.machine import Machine
from numa_sim.results.run import Run
from numa_sim.statistics import batch_means, mser5


@pytest.fixture(scope="module")
def run():
    """345 ms of swapping at one pace, after some ms of filling memory."""
    config = with_value(with_value(BASE, "run.sample", "500us"), "workload.0.program.2.accesses", 6000)
    return Run.of(Machine(Config.of(**config)).run_to_end())


def test_a_counter_has_a_rate(run):
    answer = run.steady("pgmajfault")
    totals = run.summary["totals"]["vmstat"]["pgmajfault"] / (run.summary["run"]["end_ns"] / 1e9)
    assert answer.unit == "1/s"
    assert not answer.interval.excludes(totals * 1.01)
    assert 0 < answer.interval.relative_half_width < 0.02
    assert answer.batches.independent


def test_warm_up_is_cut(run):
    """Memory is filled without a major fault at first."""
    answer = run.steady("pgfault")
    first = next(
        t for t, n in zip(*(run.timeseries.column(c).to_pylist() for c in ("t_ns", "pgmajfault")), strict=True) if n
    )
    assert 0 < first - 500_000 <= answer.start_ns < 20_000_000
    assert answer.end_ns == run.summary["run"]["end_ns"] // 500_000 * 500_000


def test_a_level_is_averaged_as_it_is(run):
    table = run.timeseries.to_pandas()
    values = table[table.node == 0].used_pages.to_numpy()[1:-1]
    answer = run.steady("used_pages", node=0)
    assert answer.unit == "pages"
    assert answer.batches == batch_means(values[mser5(values) :])


def test_all_nodes_together_are_the_sum_of_the_nodes(run):
    table = run.timeseries.to_pandas().groupby("t_ns").free_pages.sum().to_numpy()[1:-1]
    assert run.steady("free_pages").interval == batch_means(table[mser5(table) :]).interval


def test_latency_is_per_access_not_per_sample(run):
    answer = run.steady("mean_latency_ns")
    assert answer.interval.estimate == pytest.approx(run.summary["totals"]["mean_latency_ns"])
    assert answer.interval.half_width == 0  # one CPU, unloaded: every access takes the same
    assert run.steady("mean_queue_ns").interval.estimate == 0


def test_a_steady_mean_says_when_it_begins_and_whether_to_believe_it(run):
    assert repr(run.steady("pgmajfault")).startswith("pgmajfault: ")
    assert " samples from " in repr(run.steady("pgmajfault"))
    answer = run.steady("pgmajfault")
    short = replace(answer, batches=replace(answer.batches, independent=False))
    assert "too narrow: the run is too short" in repr(short)


def test_the_kernels_nr_counters_are_levels_and_the_others_have_rates():
    values = np.tile([3.0, 5.0], 200)
    level = Run({}, {}, lambda name: made(values, "nr_dirty", "counter nr_dirty, since boot")).steady("nr_dirty")
    assert (level.unit, level.interval.estimate) == ("pages", pytest.approx(4, abs=0.01))
    counter = Run({}, {}, lambda name: made(np.cumsum(values), "pgfree", "counter pgfree, since boot")).steady("pgfree")
    assert (counter.unit, counter.interval.estimate) == ("pages/s", pytest.approx(4e6, rel=0.01))


def made(values, name="free_pages", about=""):
    """A time series of one node and one column, sampled every microsecond."""
    import pyarrow as pa

    fields = [
        pa.field("t_ns", pa.int64(), metadata={"unit": "ns", "description": ""}),
        pa.field("node", pa.int64(), metadata={"unit": "1", "description": ""}),
        pa.field(name, pa.float64(), metadata={"unit": "pages", "description": about}),
    ]
    n = len(values)
    return pa.Table.from_arrays(
        [pa.array(np.arange(n) * 1000), pa.array(np.zeros(n, np.int64)), pa.array(values)], schema=pa.schema(fields)
    )


@pytest.mark.parametrize(
    ("column", "node", "message"),
    [
        ("pgfalt", None, r"pgfalt: is no column of the time series \(near: pgfault"),
        ("t_ns", None, "t_ns: is no column of the time series"),
        ("free_pages", 7, r"node: there is no node 7 \(allowed: 0, 1\)"),
    ],
)
def test_wrong_questions_get_one_clear_error(run, column, node, message):
    with pytest.raises(StatisticsError, match=message):
        run.steady(column, node)


def test_a_run_without_a_steady_state_gets_no_mean():
    run = Run({}, {}, lambda name: made(np.arange(400.0)))
    with pytest.raises(StatisticsError, match=r"free_pages: no steady state in 399 values.*run longer"):
        run.steady("free_pages")


def test_too_few_samples_get_no_mean():
    run = Run({}, {}, lambda name: made(np.ones(20)))
    with pytest.raises(
        StatisticsError, match=r"free_pages: has 19 of the 50 values needed at least; sample more often"
    ):
        run.steady("free_pages")
