"""Pictures of a run show what its tables say, in the axes they are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from picture_runs import made_up, plain, recorded
from synthetic_run import small_run

from numa_sim.errors import ConfigError, RunFolderError
from numa_sim.observe.sampler import TimeSeries
from numa_sim.results import Run
from numa_sim.results.pictures import (
    ALL,
    access_latency,
    faults,
    fragmentation,
    latency_breakdown,
    latency_cdf,
    node_fill,
    numa_hits,
    overview,
    reclaim_rates,
    reclaim_timeline,
    style,
    swap_queue,
    swap_use,
)
from numa_sim.results.pictures.rates import plot_rates
from numa_sim.results.pictures.series import sample_ns
from numa_sim.state.constants import PAGE_SIZE

OF_A_RUN = [name for name, drawing in ALL.items() if drawing.source == "run"]


def column(run: Run, name: str, node: int) -> np.ndarray:
    frame = run.to_pandas()
    return frame[frame.node == node][name].to_numpy()


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def lines(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    drawn = {line.get_label(): line.get_data() for line in axes.lines}
    return {name: (np.asarray(x), np.asarray(y)) for name, (x, y) in drawn.items() if not name.startswith("_")}


@pytest.mark.parametrize("name", OF_A_RUN)
def test_axes_in_axes_out(name):
    given = Figure().add_subplot()
    assert ALL[name].plot(recorded(), given) is given
    assert given.get_title(loc="left")
    fresh = ALL[name].plot(recorded())
    assert isinstance(fresh, Axes)
    assert fresh is not given
    assert getattr(recorded().plot, name)(Figure().add_subplot()).get_title(loc="left") == given.get_title(loc="left")


def test_drawing_changes_no_setting_and_leaves_no_figure_behind():
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    for name in OF_A_RUN:
        ALL[name].plot(recorded())
    recorded().picture()
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_node_fill_shows_the_used_share():
    run = recorded()
    drawn = lines(node_fill.plot(run))
    assert list(drawn) == ["node0", "node1"]
    used, free = (column(run, name, 1) for name in ("used_pages", "free_pages"))
    x, y = drawn["node1"]
    assert np.allclose(y, 100 * used / (used + free))
    assert max(y) > 95
    assert np.allclose(x * 1e6, column(run, "t_ns", 1))  # ms
    assert list(lines(node_fill.plot(run, nodes=[1]))) == ["node1"]
    assert {"node0", "node1"} <= set(texts(node_fill.plot(run)))


def test_numa_hits_end_at_the_counters_of_the_summary():
    run = recorded()
    totals = run.summary["totals"]["vmstat"]
    assert totals["numa_miss"] > 100
    hits, misses = numa_hits.plot(run).collections
    (hit_area,), (miss_area,) = hits.get_paths(), misses.get_paths()
    assert hit_area.vertices[:, 1].max() == totals["numa_hit"]
    assert miss_area.vertices[:, 1].max() == totals["numa_hit"] + totals["numa_miss"]
    assert misses.get_hatch()
    assert not hits.get_hatch(), "in grey, too, one can tell them apart"
    one = numa_hits.plot(run, node=1).collections[1].get_paths()[0]
    assert one.vertices[:, 1].max() == sum(run.summary["nodes"][1]["vmstat"][c] for c in ("numa_hit", "numa_miss"))


def test_rates_of_numa_hits_add_up_to_the_counters():
    run = recorded()
    stacked = numa_hits.plot(run, kind="rate").collections[1].get_paths()[0].vertices[:, 1]
    t = column(run, "t_ns", 0)
    counts = sum(column(run, name, node) for name in ("numa_hit", "numa_miss") for node in (0, 1))
    rates = np.diff(counts) / np.diff(t) * 1e9
    assert stacked.max() == pytest.approx(rates.max())


def test_swap_use_shows_every_area():
    run = made_up()
    drawn = lines(swap_use.plot(run))
    frame = run.to_pandas("swap_series")
    for area, (name, scale) in enumerate([("swap-nvme (priority -1)", 1 << 20), ("swap-hdd (priority -2)", 1 << 20)]):
        assert np.allclose(drawn[name][1] * scale, frame[frame.area == area].used_pages * PAGE_SIZE)


def test_swap_queue_is_the_requests_in_flight():
    run = recorded()
    (disk,) = run.summary["disks"]
    axes = swap_queue.plot(run)
    drawn = lines(axes)
    frame = run.to_pandas("disk_series")
    assert np.array_equal(drawn[disk["name"]][1], frame.in_flight)
    assert frame.in_flight.max() > 1
    assert f"{disk['name']}\n(mean {disk['mean_in_flight']:.3g})" in texts(axes)


def test_access_latency_is_broken_where_nothing_was_accessed():
    run = recorded()
    drawn = lines(access_latency.plot(run))
    means = column(run, "mean_latency_ns", 0)
    assert np.array_equal(drawn["CPUs of node0"][1], means, equal_nan=True)
    assert np.isnan(means[0])


def test_a_sample_alone_between_gaps_is_a_dot():
    """A line through one sample has no length, and would not be seen."""
    axes = Figure().add_subplot()
    nan = np.nan
    style.line_with_dots(axes, np.arange(8), np.array([1, nan, 2, 3, nan, nan, 4, nan]), linestyle="-")
    (line,) = axes.lines
    assert (line.get_marker(), line.get_markevery()) == ("o", [0, 6])
    for picture in (faults, access_latency):
        assert {line.get_marker() for line in picture.plot(recorded()).lines} == {"o"}


@pytest.mark.parametrize(
    ("picture", "label", "counters"),
    [
        (faults, "major", {"pgmajfault": 1}),
        (faults, "minor", {"pgfault": 1, "pgmajfault": -1}),
        (reclaim_rates, "stolen, kswapd", {"pgsteal_kswapd": 1}),
        (reclaim_rates, "scanned, kswapd", {"pgscan_kswapd": 1}),
        (reclaim_rates, "stolen, direct", {"pgsteal_direct": 1}),
    ],
)
def test_rates_integrate_to_the_counters(picture, label, counters):
    run = recorded()
    x, y = lines(picture.plot(run))[label]
    pages = np.nansum(y * np.diff(x * 1e-3, prepend=0))  # ms to s
    totals = run.summary["totals"]["vmstat"]
    assert pages == pytest.approx(sum(sign * totals[name] for name, sign in counters.items()))
    assert pages > 0


def test_rates_have_whole_decades_and_no_other_labels():
    """Labels between powers of ten touch each other and the axis' name in the low panels of an overview."""
    for rates in ([11.0, 12.0], [3.0, 40_000.0], [100.0, 100.0]):
        axes = Figure(figsize=(8, 1.2)).add_subplot()
        plot_rates(recorded(), axes, {"faults": (np.resize(rates, len(sample_ns(recorded()))), "black", "-")})
        low, high = np.log10(axes.get_ylim())
        assert low == pytest.approx(round(low))
        assert high == pytest.approx(round(high))
        assert high - low >= 1
        assert low <= np.log10(min(rates))
        assert np.log10(max(rates)) <= high
        assert not any(label.get_text() for label in axes.get_yticklabels(minor=True))


def test_reclaim_timeline_has_the_watermarks_as_lines():
    run = recorded()
    axes = reclaim_timeline.plot(run, node=0)
    drawn = lines(axes)
    marks = [row for row in run.summary["watermarks"] if row["node"] == 0]
    for mark in ("min", "low", "high"):
        assert drawn[mark][1][0] * (1 << 20) == pytest.approx(sum(row[mark] for row in marks) * PAGE_SIZE)
    assert np.allclose(drawn["free"][1] * (1 << 20), column(run, "free_pages", 0) * PAGE_SIZE)
    vmstat = run.summary["nodes"][0]["vmstat"]
    assert vmstat["pgsteal_kswapd"] > 0
    said = texts(axes)
    assert any(text.startswith("kswapd") for text in said)
    assert any(text.startswith("direct") for text in said)


def test_reclaim_strips_are_as_high_as_the_rate_and_below_the_free_memory():
    run = recorded()
    axes = reclaim_timeline.plot(run, node=0)
    direct, kswapd = (area.get_paths()[0].vertices[:, 1] for area in axes.collections)
    peaks = {}
    for name in ("pgsteal_kswapd", "pgsteal_direct"):
        peaks[name] = max(np.diff(column(run, name, 0)) / np.diff(column(run, "t_ns", 0)))
    assert np.ptp(kswapd) / np.ptp(direct) == pytest.approx(peaks["pgsteal_kswapd"] / peaks["pgsteal_direct"])
    lowest = axes.transAxes.inverted().transform(axes.transData.transform((0, min(lines(axes)["free"][1]))))[1]
    assert max(*direct, *kswapd) < lowest


def test_reclaim_timeline_of_linux_2_2_is_the_machine():
    run = recorded("linux-2.2")
    axes = reclaim_timeline.plot(run)
    assert axes.get_title(loc="left") == "Reclaim, all nodes"
    (row,) = run.summary["watermarks"]
    assert lines(axes)["low"][1][0] * (1 << 20) == pytest.approx(row["low"] * PAGE_SIZE)


def test_fragmentation_is_the_unusable_free_space_index():
    run = recorded()
    axes = fragmentation.plot(run, node=1)
    (mesh,) = axes.collections
    shown = np.asarray(mesh.get_array(), float)  # [orders, samples]
    frame = run.to_pandas("buddy_series")
    frame = frame[(frame.node == 1) & (frame.zone == frame.zone.max())]
    assert len(set(frame.t_ns)) == shown.shape[1] > 10
    for sample, (_, rows) in enumerate(frame.groupby("t_ns")):
        free = sum(n << order for order, n in zip(rows.order, rows.free_blocks, strict=True))
        for order in (0, 3, 9):
            too_small = sum(n << o for o, n in zip(rows.order, rows.free_blocks, strict=True) if o < order)
            assert shown[order, sample] == pytest.approx(100 * too_small / free)
    assert np.nanmax(shown) == 100
    assert fragmentation.unusable(np.array([[0, 0], [2, 1], [0, 3]]))[1:].tolist() == [[0, 0.5], [0, 0]]
    assert np.isnan(fragmentation.unusable(np.array([[0, 0]]))).all()
    with pytest.raises(ConfigError, match=r"node 1 has no zone HighMem \(allowed: node 0: .*DMA"):
        fragmentation.plot(run, node=1, zone="HighMem")


def test_latency_breakdown_fills_the_bars():
    run = recorded()
    axes = latency_breakdown.plot(run)
    widths = {}
    for part, bars in zip(axes.get_legend_handles_labels()[1], axes.containers, strict=True):
        for row, bar in enumerate(bars):
            task = run.summary["tasks"][row]
            assert bar.get_width() == pytest.approx(100 * task["parts_ns"][part.replace(" ", "_")] / task["run_ns"])
            widths[row] = widths.get(row, 0) + bar.get_width()
    assert list(widths.values()) == pytest.approx([100, 100])
    assert len(latency_breakdown.plot(run, most=1).get_yticks()) == 1


def test_latency_cdf_counts_every_access_and_fault():
    run = recorded()
    drawn = lines(latency_cdf.plot(run))
    histogram = run.to_pandas("fault_histogram")
    swap = histogram[histogram.kind == "swap"]
    x, y = drawn["swap fault"]
    assert y[-1] == 1
    assert x[-1] == swap.high_ns.max()
    limit = int(np.median(swap.high_ns))
    within = swap[swap.high_ns <= limit]["count"].sum() / swap["count"].sum()
    assert y[x <= limit][-1] == pytest.approx(within)
    x, y = drawn["all accesses"]
    accesses, n_faults = sum(pair["accesses"] for pair in run.summary["pairs"]), histogram["count"].sum()
    slow = histogram[histogram.low_ns > 10_000]["count"].sum()
    assert n_faults < accesses
    assert 1 - y[x <= 10_000][-1] == pytest.approx(slow / accesses, rel=0.01)
    first, _ = drawn["without fault"]
    assert first[0] == pytest.approx(min(pair["mean_latency_ns"] for pair in run.summary["pairs"]))


def test_what_was_not_recorded_is_asked_for():
    for name in ("latency_cdf", "fragmentation", "access_map"):
        with pytest.raises(RunFolderError) as refused:
            ALL[name].plot(plain())
        assert f"record it with {ALL[name].needs}" in str(refused.value)


def without_samples():
    result = small_run(samples=1, users=1)
    return replace(result, tasks=(), timeseries=TimeSeries(result.kernel))


SMALL_CASES = {
    "one sample": lambda: small_run(samples=0, users=1),
    "no swap, many tasks": lambda: small_run(samples=3, areas=0, users=14, nodes=8),
    "no tasks, no samples": without_samples,
}
NEED_NOTHING = [name for name in OF_A_RUN if not ALL[name].needs and name != "topology"]


@pytest.mark.parametrize("case", list(SMALL_CASES))
def test_small_cases_can_be_drawn(case):
    run = Run.of(SMALL_CASES[case]())
    assert run.picture().startswith(b"\x89PNG")
    for name in NEED_NOTHING:
        axes = ALL[name].plot(run)
        if case == "no tasks, no samples":
            assert len(texts(axes)) == 1, f"{name}: what is empty says so"


def test_the_overview_shares_the_time_axis():
    figure = overview.overview(made_up())
    *over_time, bars = figure.axes
    assert len(over_time) == 5
    over_time[0].set_xlim(0, 0.5)
    assert all(axes.get_xlim() == (0, 0.5) for axes in over_time)
    assert bars.get_xlim() == (0, 100)


def test_same_bytes():
    run = Run.of(small_run(samples=3, users=1))
    assert run.picture() == run.picture()
