"""Pictures of sweeps that are not a whole grid: runs missing or cut short, groups, samples beside cases."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from sweep_folders import grid, planned_runs, write_design

from numa_sim.cli.app import main
from numa_sim.errors import ConfigError
from numa_sim.results import open_sweep
from numa_sim.results.pictures import difference, facets, memory_curve

SIZE, RECLAIM, WRITES = "machine.memory_per_node", "kernel.reclaim", "workload.0.program.2.write"


class Drawable:
    """A design of two replicas with a made-up table: of some points no run is there, those of others ended by oom."""

    def __init__(self, folder, points, without=(), oom=(), config=None):
        planned = [run for run, _ in planned_runs(points, 2)]
        write_design(folder, planned, **({} if config is None else {"config": config}))
        self.design = open_sweep(folder).design
        runs = [run for run in self.design.runs if run.point not in without]
        values = [100 * run.point + run.replica + 1 for run in runs]
        columns = {
            "point": [run.point for run in runs],
            "replica": [run.replica for run in runs],
            **{name: [run.factors.get(name) for run in runs] for name in self.design.factors},
            "exit_state": ["oom" if run.point in oom else "ok" for run in runs],
            "end_ns": values,
            "pgmajfault": values,
        }
        self.table = pa.table(columns).replace_schema_metadata({"factors": json.dumps(self.design.factors)})


def places(axes):
    """Ticks and the points of the first line."""
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    return ticks, np.asarray(axes.containers[0][0].get_ydata(), float)


def test_a_point_without_finished_runs_keeps_its_place_and_breaks_the_line(tmp_path):
    sweep = Drawable(tmp_path, grid({WRITES: [0.0, 0.5, 1.0]}), without=(1,))
    axes = facets.plot(sweep, metric="end_ns")
    ticks, means = places(axes)
    assert ticks == ["0", "0.5", "1"]
    assert np.isnan(means).tolist() == [False, True, False]
    assert axes.get_xlabel().endswith("no finished run at 1 of 3 points")


def test_a_last_point_without_finished_runs_is_within_the_axes(tmp_path):
    axes = facets.plot(Drawable(tmp_path, grid({WRITES: [0.0, 0.5, 1.0]}), without=(2,)), metric="end_ns")
    assert axes.get_xlim()[1] >= 1.0


def test_means_of_runs_cut_short_have_a_cross_and_the_caption_counts_them(tmp_path):
    sweep = Drawable(tmp_path, grid({WRITES: [0.0, 1.0], RECLAIM: ["lru", "clock"]}), oom=(2,))
    axes = facets.plot(sweep, metric="end_ns")
    (crosses,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert np.asarray(crosses.get_xydata()).tolist() == [[1.0, 201.5]]
    assert axes.get_xlabel().endswith("× 2 of 8 runs ended by oom")
    clean = facets.plot(sweep, metric="end_ns", where={RECLAIM: "clock"})
    assert not [line for line in clean.lines if line.get_marker() == "x"]
    assert "ended by" not in clean.get_xlabel()


def test_groups_with_other_factors_are_drawn_one_by_one(tmp_path):
    """Two groups, one of policies and one of writes: no point has both, so that one is no line of the other."""
    sweep = Drawable(tmp_path, [{RECLAIM: "lru"}, {RECLAIM: "clock"}, {WRITES: 0.5}, {WRITES: 0.7}])
    axes = facets.plot(sweep, metric="end_ns")
    assert places(axes)[0] == ["lru", "clock"]
    assert places(axes)[1].tolist() == [1.5, 101.5]
    assert places(facets.plot(sweep, metric="end_ns", x=WRITES))[1].tolist() == [201.5, 301.5]


def test_points_without_the_second_factor_are_a_line_of_their_own(tmp_path):
    points = [{RECLAIM: "lru"}, {RECLAIM: "clock"}, {RECLAIM: "lru", WRITES: 0.5}, {RECLAIM: "lru", WRITES: 0.7}]
    axes = facets.plot(Drawable(tmp_path, points), metric="end_ns")
    drawn = {bars.get_label(): np.asarray(bars[0].get_ydata()).tolist() for bars in axes.containers}
    assert drawn == {"write 0.5": [201.5], "write 0.7": [301.5], "write -": [1.5, 101.5]}


def test_cases_beside_a_sample_are_points_of_other_colours_with_a_legend(tmp_path):
    points = [{RECLAIM: case, WRITES: value} for value in (0.13, 0.42, 0.77) for case in ("lru", "clock")]
    config = {"sweep": {"sample": {"ranges": {WRITES: {}}}}}
    axes = facets.plot(Drawable(tmp_path, points, config=config), metric="end_ns")
    assert axes.get_xlabel() == "write"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lru", "clock"]
    assert len({bars[0].get_color() for bars in axes.containers}) == 2
    assert all(bars[0].get_linestyle() == "None" for bars in axes.containers)


def test_nothing_but_zeros_stands_on_the_axis():
    rows = [{"replica": 0, "f": name, "n": 0} for name in "ab"]
    assert facets.plot(rows, metric="n").get_ylim() == (0, 1)


def test_a_memory_curve_needs_a_factor_of_memory(tmp_path):
    sweep = Drawable(tmp_path, grid({WRITES: [0.0, 1.0]}))
    with pytest.raises(ConfigError, match=rf"no factor is a size of memory.* \(allowed: {WRITES}\)"):
        memory_curve.plot(sweep)
    sizes = Drawable(tmp_path / "sizes", grid({SIZE: ["6MiB", "8MiB", "9MiB"]}), without=(1,), oom=(0,))
    axes = memory_curve.plot(sizes)
    assert np.isnan(places(axes)[1]).tolist() == [False, True, False]
    assert [line for line in axes.lines if line.get_marker() == "x"]


def test_a_difference_needs_two_values_and_says_so(tmp_path):
    sweep = Drawable(tmp_path, grid({WRITES: [0.0, 1.0]}), without=(1,))
    axes = difference.plot(sweep, metric="end_ns")
    assert [text.get_text() for text in axes.texts] == ["no pairs of runs"]
    assert axes.get_xlabel().endswith("no finished run at 1 of 2 points")
    with pytest.raises(ConfigError, match=rf"factor: no factor has two values to compare \(allowed: {WRITES} = 0\.0\)"):
        difference.plot(sweep, metric="end_ns", where={WRITES: 0.0})


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, capsys):
    write_design(tmp_path / "sweep", [run for run, _ in planned_runs(grid({WRITES: [0.0]}), 1)])
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(tmp_path / "sweep"), "--picture", "difference", "--option", "metric=end_ns"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("numa-sim: error: sweep: factor: no factor has two values to compare")
