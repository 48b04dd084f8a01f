"""Pictures of sweeps: means, intervals and differences are those of the statistics."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from picture_runs import plain, recorded

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import Plots, difference, facets, memory_curve, two_runs
from numa_sim.results.pictures.sweep_points import Rows, scale_of
from numa_sim.statistics import mean_interval, paired

SIZES, POLICIES, DEVICES = ("64MiB", "128MiB", "1GiB"), ("lru", "clock"), ("nvme", "hdd")


def faults(size, policy, device, replica):
    chance = np.random.Generator(np.random.PCG64DXSM(replica)).normal(0, 50)
    size_part = {"64MiB": 1000, "128MiB": 400, "1GiB": 10}[size]
    return int(size_part * (1.2 if policy == "clock" else 1) + chance + 100 * (device == "hdd") + replica)


ROWS = [
    {
        "replica": replica, "machine.memory_per_node": size, "kernel.reclaim": policy, "machine.swap.0.device": device,
        "pgmajfault": faults(size, policy, device, replica),
    }
    for size in SIZES for policy in POLICIES for device in DEVICES for replica in range(4)
]  # fmt: skip
NVME = {"machine.swap.0.device": "nvme"}


def samples(size, policy, device="nvme"):
    return [faults(size, policy, device, replica) for replica in range(4)]


def bars(container):
    """Place, mean and ends of each error bar."""
    line, _, (segments,) = container
    ends = [(segment[0][1], segment[1][1]) for segment in segments.get_segments()]
    return [(x, y, *end) for x, y, end in zip(*line.get_data(), ends, strict=True)]


def test_points_are_means_with_their_intervals():
    axes = facets.plot(ROWS, metric="pgmajfault", where=NVME)
    assert [c.get_label() for c in axes.containers] == list(POLICIES)
    for policy, container in zip(POLICIES, axes.containers, strict=True):
        for (_, y, low, high), size in zip(bars(container), SIZES, strict=True):
            interval = mean_interval(samples(size, policy))
            assert (y, low, high) == pytest.approx((interval.estimate, interval.low, interval.high))


def test_sizes_stand_at_their_values():
    axes = facets.plot(ROWS, metric="pgmajfault", where=NVME)
    assert [x for x, *_ in bars(axes.containers[0])] == [64 / 1024, 128 / 1024, 1]
    assert axes.get_xlabel().splitlines()[0] == "memory_per_node, GiB"
    assert axes.get_xscale() == "log"


def test_lines_differ_in_colour_dashes_and_marker():
    axes = facets.plot(ROWS, metric="pgmajfault", where=NVME)
    looks = [(c[0].get_color(), c[0].get_linestyle(), c[0].get_marker()) for c in axes.containers]
    assert all(len({look[i] for look in looks}) == 2 for i in range(3))


def test_categories_stand_in_the_order_of_the_design():
    axes = facets.plot(ROWS, metric="pgmajfault", x="kernel.reclaim", by="machine.memory_per_node", where=NVME)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(POLICIES)


def test_long_names_of_categories_do_not_touch():
    zones = {"lru": "[256, 256, 256]", "clock": "[128, 128, 128]"}
    rows = [{**row, "memfrac": zones[row["kernel.reclaim"]]} for row in ROWS if row["machine.swap.0.device"] == "nvme"]
    for size, slanted in ((4.6, False), (1.6, True)):
        axes = facets.plot(
            rows,
            Figure(figsize=(size, 3), layout="constrained").add_subplot(),
            metric="pgmajfault",
            x="memfrac",
            by="machine.memory_per_node",
        )
        axes.figure.draw_without_rendering()
        assert [label.get_rotation() > 0 for label in axes.get_xticklabels()] == [slanted, slanted]


def test_switches_stand_in_the_order_of_the_design():
    assert Rows.of([{"replica": 0, "n": n} for n in (3, 1, 2)]).values("n") == [1, 2, 3]
    assert Rows.of([{"replica": 0, "on": on} for on in (True, False)]).values("on") == [True, False]


def test_a_factor_with_several_values_is_not_averaged_over():
    with pytest.raises(ConfigError, match=r"machine\.swap\.0\.device: has several values.*allowed: nvme, hdd"):
        facets.plot(ROWS, metric="pgmajfault")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "pgmajfaults"}, r"there is no 'pgmajfaults' \(allowed: pgmajfault\)"),
        ({"metric": "pgmajfault", "x": "size"}, r"there is no 'size' \(allowed: machine.memory_per_node, "),
        ({"metric": "pgmajfault", "where": {"kernel.reclaim": "fifo"}}, r"is never 'fifo' \(allowed: lru, clock\)"),
        (
            {"metric": "pgmajfault", "where": {"reclaim": "lru"}},
            r"no factor 'reclaim' \(allowed: machine.memory_per_node",
        ),
        ({"metric": "pgmajfault", "where": {"pgmajfault": 1}}, r"no factor 'pgmajfault'"),
    ],
)
def test_unknown_columns_and_values_are_named(options, said):
    with pytest.raises(ConfigError, match=said):
        facets.plot(ROWS, **options)


def test_what_is_held_fixed_stands_below_the_axis():
    both = {**NVME, "kernel.reclaim": "clock"}
    for axes in (facets.plot(ROWS, metric="pgmajfault", where=both), memory_curve.plot(ROWS, where=both)):
        assert axes.get_xlabel().splitlines()[1] == "fixed: device = nvme, reclaim = clock"
    axes = difference.plot(ROWS, metric="pgmajfault", factor="kernel.reclaim", where=NVME)
    assert axes.get_xlabel().splitlines()[1] == "fixed: device = nvme"
    figure = facets.facets(ROWS, metric="pgmajfault", panels="kernel.reclaim", where=NVME)
    assert figure.get_supxlabel() == "fixed: device = nvme"
    assert not any("fixed" in axes.get_xlabel() for axes in figure.axes)


def test_values_may_be_given_as_their_texts():
    rows = Rows.of([{**row, "nodes": "2" if row["machine.swap.0.device"] == "hdd" else "4"} for row in ROWS])
    assert set(rows.where({"nodes": 2}).columns["machine.swap.0.device"]) == {"hdd"}
    difference.plot(rows, metric="pgmajfault", factor="nodes", a=2, b=4)
    with pytest.raises(ConfigError, match=r"nodes: is never '8' \(allowed: 4, 2\)"):
        difference.plot(rows, metric="pgmajfault", factor="nodes", a=2, b=8)


def test_one_replica_has_no_interval():
    axes = facets.plot([row for row in ROWS if row["replica"] == 0], metric="pgmajfault", where=NVME)
    assert all(low == high for _, _, low, high in bars(axes.containers[0]))


def test_facets_share_their_axes():
    figure = facets.facets(
        ROWS, metric="pgmajfault", x="machine.memory_per_node", by="kernel.reclaim", panels="machine.swap.0.device"
    )
    left, right = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(DEVICES)
    assert left.get_ylim() == right.get_ylim()
    (_, y, *_), *_ = bars(right.containers[1])
    assert y == pytest.approx(np.mean(samples("64MiB", "clock", "hdd")))


def test_names_stand_where_lines_end_also_in_panels_that_share_an_axis_with_higher_lines():
    rows = [{**row, "pgmajfault": row["pgmajfault"] * (5 if row["kernel.reclaim"] == "clock" else 1)} for row in ROWS]
    figure = facets.facets(rows, metric="pgmajfault", panels="kernel.reclaim", by="machine.memory_per_node")
    low = figure.axes[0]
    bottom, top = low.get_ylim()
    assert low.texts[0].xy[1] == pytest.approx((bars(low.containers[0])[-1][1] - bottom) / (top - bottom), abs=0.01)


def tidy():
    """The rows as a sweep's table has them."""
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    fields = [
        pa.field(name, pa.string() if isinstance(values[0], str) else pa.int64(), metadata={"unit": "1"})
        for name, values in columns.items()
    ]
    factors = [name for name in columns if "." in name]
    schema = pa.schema(fields, metadata={"factors": json.dumps(factors)})
    return pa.Table.from_arrays([pa.array(values) for values in columns.values()], schema=schema)


@pytest.mark.parametrize("wrap", [lambda table: table, lambda table: SimpleNamespace(table=table)])
def test_a_sweep_its_table_and_its_rows_give_one_picture(wrap):
    drawn = [
        bars(facets.plot(source, metric="pgmajfault", where=NVME).containers[0]) for source in (wrap(tidy()), ROWS)
    ]
    assert drawn[0] == drawn[1]
    sweep = Plots(wrap(tidy()), "sweep")
    assert bars(sweep.facets(metric="pgmajfault", where=NVME).containers[0]) == drawn[1]


def test_the_memory_curve_goes_by_size():
    axes = memory_curve.plot(ROWS[::-1], where=NVME)
    for container in axes.containers:
        places = [x for x, *_ in bars(container)]
        assert places == sorted(places)
    assert axes.get_xlabel().splitlines()[0] == "memory, GiB"


def test_miss_ratios_are_drawn_as_steps():
    axes = memory_curve.plot({"LRU": ([1, 10, 50], [1.0, 0.5, 0.1]), "FIFO": ([1, 10, 50], [1.0, 0.6, 0.2])})
    lru, fifo = axes.lines
    assert np.asarray(lru.get_ydata()).tolist() == [100, 50, 10]
    assert lru.get_drawstyle() == "steps-post"
    assert lru.get_linestyle() != fifo.get_linestyle()


@pytest.mark.parametrize("relative", [False, True])
def test_differences_are_paired(relative):
    axes = difference.plot(ROWS, metric="pgmajfault", factor="kernel.reclaim", a="clock", b="lru", relative=relative)
    assert axes.get_yticklabels()[0].get_text() == "64MiB, nvme"
    (line, _, (segments,)) = axes.containers[0]
    expected = paired(samples("64MiB", "clock"), samples("64MiB", "lru")).difference
    scale = 100 / np.mean(samples("64MiB", "lru")) if relative else 1
    (start, end) = segments.get_segments()[0]
    assert line.get_xdata()[0] == pytest.approx(expected.estimate * scale)
    assert (start[0], end[0]) == pytest.approx((expected.low * scale, expected.high * scale))


def test_a_difference_that_is_not_shown_is_hollow():
    rows = [{"replica": r, "f": f, "n": r % 2 if f == "a" else (r + 1) % 2} for f in "ab" for r in range(6)]
    rows += [{"replica": r, "f": f, "n": r + 100 * (f == "a"), "g": "sure"} for f in "ab" for r in range(6)]
    axes = difference.plot([{"g": "open", **row} for row in rows], metric="n", factor="f")
    open_, sure = (container[0].get_markerfacecolor() for container in axes.containers)
    assert open_ == "white"
    assert sure != "white"


def test_nothing_to_draw_says_so():
    empty = [{**row, "pgmajfault": None} for row in ROWS]
    for axes in (
        facets.plot(empty, metric="pgmajfault", where=NVME),
        memory_curve.plot(empty, where=NVME),
        memory_curve.plot({}),
        difference.plot(empty, metric="pgmajfault"),
    ):
        assert axes.texts[0].get_text() in ("no finished runs", "no curves", "no pairs of runs")


def test_scales():
    assert scale_of(["1ms", "10ms"]).unit == "ms"
    assert scale_of([1, 2, 4]).at == {1: 1.0, 2: 2.0, 4: 4.0}
    assert scale_of([True, False]).categories
    assert Rows.of([]).values(None) == [None]


# Two runs -------------------------------------------------------------------------------------------------------------


def test_two_runs_and_their_difference():
    a, b = plain(), plain()
    axes = two_runs.plot((a, recorded()), column="free_pages", node=1, names=("small", "large"))
    _, large = axes.lines
    frame = recorded().to_pandas()
    assert np.array_equal(large.get_ydata(), frame[frame.node == 1].free_pages)
    assert [text.get_text() for text in axes.texts] == ["small", "large"]
    (zero,) = [line for line in two_runs.plot((a, b), difference_only=True).lines if line.get_label() == "B - A"]
    assert not np.any(zero.get_ydata())


def test_the_difference_of_two_runs_is_b_less_a_at_common_times():
    a, b = plain(), recorded()
    (line,) = [
        line
        for line in two_runs.plot((a, b), column="pgfault", difference_only=True).lines
        if line.get_label() == "B - A"
    ]
    frames = [run.to_pandas().groupby("t_ns").pgfault.sum() for run in (a, b)]
    common = frames[0].index.intersection(frames[1].index)
    assert len(common) > 3
    assert np.array_equal(line.get_ydata(), (frames[1][common] - frames[0][common]))
    given = Figure().add_subplot()
    assert two_runs.plot((a, b), given) is given


@pytest.mark.parametrize(
    ("options", "said"), [({"column": "pgfaults"}, "no column 'pgfaults'"), ({"node": 5}, "no node 5")]
)
def test_unknown_series_are_named(options, said):
    with pytest.raises(ConfigError, match=said):
        two_runs.plot((plain(), plain()), **options)


def test_factors_that_are_zipped_are_one():
    rows = [
        {
            "replica": replica,
            "size": f"{size}MiB",
            "label": f"of {size}",
            "device": device,
            "pgmajfault": size + replica,
        }
        for size in (8, 12)
        for device in ("hdd", "nvme")
        for replica in range(3)
    ]
    axes = facets.plot(rows, metric="pgmajfault")
    assert axes.get_xlabel() == "size, MiB"
    assert len(axes.containers) == 2  # a line per device, none per label
    with pytest.raises(ConfigError, match="has several values"):
        facets.plot(rows, metric="pgmajfault", x="size", by="label")
