"""Pictures show the data they are given, in the axes they are given."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from synthetic_run import small_run

from numa_sim.observe.sampler import TimeSeries
from numa_sim.results import Run, plots

PLOTS = (
    plots.plot_node_fill, plots.plot_swap, plots.plot_latency, plots.plot_faults, plots.plot_reclaim,
    plots.plot_time_parts,
)  # fmt: skip


@pytest.fixture(scope="module")
def run():
    return Run.of(small_run(samples=20))


@pytest.mark.parametrize("plot", PLOTS, ids=lambda f: f.__name__)
def test_axes_in_axes_out(run, plot):
    axes = Figure().add_subplot()
    assert plot(run, axes) is axes
    assert isinstance(plot(run), Axes)
    assert axes.get_title(loc="left")
    assert axes.get_xlabel()


def test_node_fill_shows_the_used_share(run):
    lines = plots.plot_node_fill(run).lines
    assert [line.get_label() for line in lines] == ["node0", "node1"]
    used = run.timeseries.column("used_pages").to_numpy()[1::2]
    assert np.allclose(lines[1].get_ydata(), 100 * used / 4096)
    assert lines[0].get_xdata()[-1] == pytest.approx(1.0)  # 20 samples of 50 ms, in s


def test_time_parts_fill_the_bars(run):
    axes = plots.plot_time_parts(run)
    ends = {}
    for bar in axes.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = max(ends.get(row, 0), bar.get_x() + bar.get_width())
    assert list(ends.values()) == pytest.approx([100, 100])


def test_curves_differ_in_more_than_colour(run):
    looks = [(line.get_color(), line.get_linestyle()) for line in plots.plot_swap(run).lines]
    assert len({color for color, _ in looks}) == len({style for _, style in looks}) == 2


def test_overview_shares_the_time_axis(run):
    figure = plots.overview(run)
    *over_time, bars = figure.axes
    assert len(over_time) == 5
    over_time[0].set_xlim(0, 0.5)
    assert all(axes.get_xlim() == (0, 0.5) for axes in over_time)
    assert bars.get_xlim() == (0, 100)


def without_samples():
    result = small_run(samples=1, users=1)
    return replace(result, tasks=(), timeseries=TimeSeries(result.kernel))


SMALL_CASES = {
    "one sample": lambda: small_run(samples=0, users=1),
    "no swap, many tasks": lambda: small_run(samples=3, areas=0, users=14, nodes=8),
    "no tasks, no samples": without_samples,
}


@pytest.mark.parametrize("name", list(SMALL_CASES))
def test_small_cases_can_be_drawn(name):
    assert Run.of(SMALL_CASES[name]()).picture().startswith(b"\x89PNG")


def test_same_bytes(run):
    assert run.picture() == run.picture()


def test_importing_results_is_light():
    heavy = ("pyarrow", "matplotlib", "pandas", "rich", "networkx")
    code = f"import numa_sim.results, sys; print([m for m in {heavy} if m in sys.modules])"
    root = str(Path(__file__).parents[2])
    variables = {**os.environ, "PYTHONPATH": root, "NUMBA_DISABLE_JIT": "1"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
    assert out.stdout.strip() == "[]"
