"""What runs a ``[sweep]`` table asks for; and every table that cannot be run is refused before anything is."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from sweep import tiny

from numa_sim.cli.app import main
from numa_sim.config.model import Config
from numa_sim.config.reader import load
from numa_sim.errors import ConfigError
from numa_sim.results.sweep_folder import read_design
from numa_sim.sweep import run_sweep, sweep_status
from numa_sim.sweep.design import make_plan, replica_seed
from numa_sim.sweep.shards import Shard

WRITE, SIZE = "workload.0.program.1.write", "workload.0.program.0.size"
MEMORY, SAMPLE = "machine.nodes.0.memory", "run.sample"


def factors(**sweep: Any) -> list[dict[str, Any]]:
    return [point.factors for point in make_plan(tiny.config(**sweep)).points]


def test_a_grid_is_every_combination_and_the_last_axis_changes_fastest() -> None:
    found = factors(grid={WRITE: [0.0, 0.5, 1.0], SIZE: ["4MiB", "8MiB"]})
    assert [tuple(point.values()) for point in found] == list(itertools.product([0.0, 0.5, 1.0], ["4MiB", "8MiB"]))


def test_a_zip_goes_through_its_lists_together() -> None:
    assert factors(zip={WRITE: [0.0, 1.0], SIZE: ["4MiB", "8MiB"]}) == [
        {WRITE: 0.0, SIZE: "4MiB"},
        {WRITE: 1.0, SIZE: "8MiB"},
    ]


def test_all_kinds_of_axes_are_combined() -> None:
    found = factors(
        grid={WRITE: [0.0, 1.0]},
        zip={SIZE: ["4MiB", "6MiB", "8MiB"]},
        sample={"points": 4, "ranges": {SAMPLE: {"from": "1ms", "to": "9ms"}}},
        cases=[{"label": "a"}, {"label": "b", "kernel": {"numa_fallback": "nearest"}}],
    )
    assert len(found) == 2 * 3 * 4 * 2
    assert list(found[0]) == ["kernel", WRITE, SIZE, SAMPLE]


def test_groups_follow_one_another_and_share_the_axes_of_the_sweep_itself() -> None:
    found = factors(grid={WRITE: [0.0, 1.0]}, groups=[{"grid": {SIZE: ["4MiB"]}}, {"zip": {SAMPLE: ["5ms", "6ms"]}}])
    assert found == [
        {WRITE: 0.0, SIZE: "4MiB"},
        {WRITE: 1.0, SIZE: "4MiB"},
        {WRITE: 0.0, SAMPLE: "5ms"},
        {WRITE: 0.0, SAMPLE: "6ms"},
        {WRITE: 1.0, SAMPLE: "5ms"},
        {WRITE: 1.0, SAMPLE: "6ms"},
    ]


def test_a_case_is_merged_over_the_configuration_and_a_machine_replaces_what_the_machine_was() -> None:
    config = tiny.config(
        cases=[
            {"label": "preset", "machine": {"preset": "xeon-platinum-8163-2s", "memory_per_node": "8MiB"}},
            {"label": "kernel", "kernel": {"sysctl": {"vm.vm_passes": 5}}, "set": {WRITE: 1.0}},
            {"label": "other", "workload": [{"name": "b", "program": [{"op": "exit"}]}]},
        ]
    )
    preset, kernel, other = (point.config(config) for point in make_plan(config).points)
    assert (preset.machine.preset, preset.machine.nodes, len(preset.machine.swap)) == ("xeon-platinum-8163-2s", None, 1)
    assert (kernel.kernel.sysctl.vm_passes, kernel.kernel.max_tasks) == (5, 4)
    assert kernel.resolved()["workload"][0]["program"][1]["write"] == 1.0
    assert [workload.name for workload in other.workload] == ["b"]


def test_cases_of_two_factors_are_combined() -> None:
    cases = [
        {"label": "small", "factor": "size", "set": {SIZE: "4MiB"}},
        {"label": "large", "factor": "size", "set": {SIZE: "8MiB"}},
        {"label": "reads", "factor": "kind", "set": {WRITE: 0.0}},
        {"label": "writes", "factor": "kind", "set": {WRITE: 1.0}},
    ]
    assert [tuple(point.values()) for point in factors(cases=cases)] == list(
        itertools.product(["small", "large"], ["reads", "writes"])
    )


@pytest.mark.parametrize(("method", "points"), [("sobol", 32), ("latin_hypercube", 30), ("halton", 30)])
def test_samples_fill_their_ranges_evenly_in_whole_units(method: str, points: int) -> None:
    ranges = {
        MEMORY: {"from": "4MiB", "to": "64MiB", "scale": "log"},
        SAMPLE: {"from": "1ms", "to": "9ms"},
        "workload.0.program.1.accesses": {"from": 100, "to": 900},
        WRITE: {"from": 0.0, "to": 1.0},
    }
    config = tiny.config(sample={"method": method, "points": points, "ranges": ranges})
    plan = make_plan(config)
    again = make_plan(config)
    assert plan.runs == again.runs
    found = [point.config(config) for point in plan.points]
    memories = [point.machine.nodes[0].memory for point in found]  # type: ignore[index]
    assert all(memory % 4096 == 0 and 4 << 20 <= memory <= 64 << 20 for memory in memories)
    assert sum(memory < 16 << 20 for memory in memories) in range(points // 2 - 3, points // 2 + 4)
    accesses = sorted(point.factors["workload.0.program.1.accesses"] for point in plan.points)
    assert all(type(number) is int for number in accesses)
    assert max(b - a for a, b in itertools.pairwise([100, *accesses, 900])) < 130
    assert len({point.run.sample for point in found}) == points


def test_other_seeds_give_other_samples() -> None:
    sample = {"points": 4, "ranges": {SAMPLE: {"from": "1ms", "to": "9ms"}}}
    one = make_plan(Config.of(**{**tiny.DOCUMENT, "run": {"seed": 1}}, sweep={"sample": sample}))
    two = make_plan(Config.of(**{**tiny.DOCUMENT, "run": {"seed": 2}}, sweep={"sample": sample}))
    assert one.points != two.points


def test_a_replica_has_the_same_seed_at_every_point_and_the_first_one_the_run_s_own() -> None:
    plan = make_plan(tiny.config(replicas=4, grid={WRITE: [0.0, 1.0]}))
    by_replica = {(run.replica, run.seed) for run in plan.runs}
    assert len(by_replica) == len({seed for _, seed in by_replica}) == 4
    assert (0, 7) in by_replica
    assert len({run.run for run in plan.runs}) == 8
    assert replica_seed(7, 3) == replica_seed(7, 3) != replica_seed(8, 3)


def test_a_run_is_named_by_what_its_results_follow_from(tmp_path: Path) -> None:
    """Neither by its place in the design nor by how its values are written, but by an input file's contents."""
    plain = make_plan(tiny.config(grid={SIZE: ["4MiB", "8MiB"]})).runs
    other = make_plan(tiny.config(grid={SIZE: ["8192KiB", "4MiB"]})).runs
    assert [run.run for run in plain] == [run.run for run in reversed(other)]
    names = []
    for content in ("node 0 size: 64 MB\n", "node 0 size: 65 MB\n"):
        text = f"available: 1 nodes (0)\nnode 0 cpus: 0\n{content}node distances:\nnode 0\n 0: 10\n"
        (tmp_path / "machine.txt").write_text(text)
        (tmp_path / "a.json").write_text(
            json.dumps({**tiny.DOCUMENT, "machine": {"from": "numactl:machine.txt"}, "sweep": {"replicas": 1}})
        )
        from numa_sim.config.reader import load

        names.append(make_plan(load(tmp_path / "a.json")).runs[0].run)
    assert names[0] != names[1]


def test_points_that_are_the_same_run_are_run_once(tmp_path: Path) -> None:
    outcome = run_sweep(tiny.config(zip={SIZE: ["4MiB", "4096KiB"]}), tmp_path / "sweep", jobs=0)
    assert (outcome.done, outcome.complete) == (1, True)
    assert len(read_design(tmp_path / "sweep").runs) == 2


def test_shards_share_every_run_out_and_none_twice() -> None:
    plan = make_plan(tiny.config(replicas=3, grid={WRITE: [0.0, 0.2, 0.4, 0.6, 0.8]}))
    parts = [Shard(index, 4).of(plan) for index in range(1, 5)]
    assert sorted(run.run for part in parts for run in part) == sorted(run.run for run in plan.runs)
    assert {len(part) for part in parts} == {3, 4}
    precise = make_plan(tiny.config(replicas={"min": 2, "max": 5, "metric": "end_ns"}, grid={WRITE: [0.0, 0.5, 1.0]}))
    points = [{run.point for run in Shard(index, 2).of(precise)} for index in (1, 2)]
    assert points == [{0, 2}, {1}]


BAD = {
    "replicas = 0": ("sweep.replicas", "an integer, 1 to"),
    "replicas = '3'": ("sweep.replicas", "an integer, 1 to"),
    "replicas = { min = 3, max = 2, metric = 'end_ns' }": ("sweep.replicas.max", "3 to"),
    "replicas = { min = 3, max = 9 }": ("sweep.replicas.metric", "a column"),
    "replicas = { min = 3, metric = 'pgmajfalt' }": ("sweep.replicas.metric", "pgmajfault"),
    "replicas = { metric = 'end_ns', within = '5' }": ("sweep.replicas.within", "5%"),
    "repliacs = 3": ("sweep.repliacs", "did you mean 'replicas'"),
    "grid = {}\nzip = []": ("sweep.zip", "a table of lists"),
    "grid = { 'run.sample' = [] }": ("sweep.grid.run.sample", "a table of lists"),
    "grid = { 'run.sample' = '5ms' }": ("sweep.grid.run.sample", "a table of lists"),
    "grid = { 'run.seed' = [1, 2] }": ("sweep.grid.run.seed", "replicas"),
    "grid = { 'sweep.replicas' = [1, 2] }": ("sweep.grid.sweep.replicas", "a sweep cannot vary itself"),
    "grid = { 'run..sample' = ['5ms'] }": ("sweep.grid", "a path of the configuration"),
    "grid = { 'run.sampel' = ['5ms'] }": ("sweep.grid.run.sampel.0", "did you mean 'sample'"),
    "grid = { 'run.sample' = ['5ms', '5'] }": ("sweep.grid.run.sample.1", "a time in ns"),
    "grid = { 'kernel.profile' = ['linux-2.4.37', 'linux-2.5'] }": ("sweep.grid.kernel.profile.1", "linux-2.2"),
    "grid = { 'workload.3.count' = [1] }": ("sweep.grid.workload.3.count.0", "0 to 0"),
    "grid = { 'machine.nodes.1.cpus' = ['1', '0'] }": ("sweep.grid.machine.nodes.1.cpus.1", "CPU"),
    "zip = { 'run.sample' = ['5ms'], 'run.until' = ['1s', '2s'] }": ("sweep.zip", "one length"),
    "zip = { 'run.sample' = ['5ms'] }\ngrid = { 'run.sample' = ['5ms'] }": ("sweep.zip.run.sample", "each path once"),
    "sample = { points = 6, ranges = { 'run.sample' = { from = '1ms', to = '2ms' } } }": (
        "sweep.sample.points",
        "4, 8",
    ),
    "sample = { points = 4, ranges = { 'run.sample' = { from = '3ms', to = '2ms' } } }": (
        "sweep.sample.ranges.run.sample.to",
        "a larger value",
    ),
    "sample = { points = 4, ranges = { 'run.sample' = { from = '3', to = '4ms' } } }": (
        "sweep.sample.ranges.run.sample.from",
        "a time in ns",
    ),
    "sample = { points = 4, ranges = { 'run.check' = { from = 1, to = 2 } } }": (
        "sweep.sample.ranges.run.check",
        "sweep.grid",
    ),
    "sample = { points = 4, ranges = { 'workload.0.program.1.write' = { from = 0.0, to = 1.0, scale = 'log' } } }": (
        "sweep.sample.ranges.workload.0.program.1.write.from",
        "more than 0",
    ),
    "sample = { points = 4, ranges = { 'workload.0.program.1.write' = { from = 0.0, to = 4.0 } } }": (
        "sweep.sample.ranges.workload.0.program.1.write",
        "0.0 to 1.0",
    ),
    "cases = [{ label = 'a' }, { label = 'a' }]": ("sweep.cases.1.label", "a label of its own"),
    "cases = [{ label = 'a', factor = 'point' }]": ("sweep.cases.0.factor", "another name"),
    "cases = [{ label = 'a', factor = 'end_ns' }, { label = 'b', factor = 'end_ns' }]": (
        "sweep.cases.0.factor",
        "another name",
    ),
    'cases = [{ label = "a\\u001b[31m" }]': ("sweep.cases.0.label", "characters that can be printed"),
    'cases = [{ label = "a", factor = "b\\n" }]': ("sweep.cases.0.factor", "characters that can be printed"),
    "grid = { 'workload.00.count' = [1, 2] }": ("sweep.grid.workload.00.count.0", "0 to 0"),
    "grid = { 'workload.0.program.1.write' = [0, 0.0] }": (
        "sweep.grid.workload.0.program.1.write.1",
        "0.0 gives the same runs as 0 (allowed: another value)",
    ),
    "grid = { 'machine.nodes.0.memory' = ['4MiB', '8MiB', '4096KiB'], 'run.sample' = ['5ms', '6ms'] }": (
        "sweep.grid.machine.nodes.0.memory.2",
        "'4096KiB' gives the same runs as '4MiB'",
    ),
    "cases = [{ label = 'a', factor = 'x' }, { label = 'b' }]": ("sweep.cases.1.factor", "a factor"),
    "cases = [{ label = 'a', machine = { preset = 'xeon' } }]": ("sweep.cases.0", "xeon-platinum-8163-2s"),
    "cases = [{ label = 'a', machines = {} }]": ("sweep.cases.0.machines", "machine"),
    "cases = [{ label = 'a', run = { seed = 3 } }]": ("sweep.cases.0.run.seed", "replicas"),
    "cases = [{ label = 'a', kernel = { reclaim = 'best' } }]": ("sweep.cases.0", "kernel.reclaim"),
    "groups = [{ grid = { 'run.sample' = ['5ms'] } }]\ngrid = { 'run.sample' = ['5ms'] }": (
        "sweep.groups.0",
        "each path once",
    ),
    "replicas = 1000\ngrid = { 'run.sample' = ['1ms','2ms'], 'workload.0.count' = " + str(list(range(1, 100))) + " }": (
        "sweep.replicas",
        "at most 100000 runs",
    ),
    "limits = { wall = '5' }": ("sweep.limits.wall", "a time in ns"),
    "limits = { memory = '1MiB' }": ("sweep.limits.memory", "64MiB to"),
}


@pytest.mark.parametrize("sweep", BAD)
def test_a_sweep_that_cannot_be_run_is_refused_before_anything_is(
    sweep: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R10: one line that names file, axis and value, and what is allowed; exit code 2."""
    file = tiny.write(tmp_path, sweep)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file), "--out", str(tmp_path / "sweep")])
    out, err = capsys.readouterr()
    place, allowed = BAD[sweep]
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"numa-sim: error: {file}: {place}: ")
    assert allowed in err
    assert err.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shard", "0/3"], "i/n with i from 1 to n"),
        (["--shard", "4/3"], "i/n with i from 1 to n"),
        (["--shard", "one"], "i/n with i from 1 to n"),
        (["--executor", "threads"], "processes, serial, dask"),
        (["--set", "sweep.replicas=x"], "--set sweep.replicas=x"),
    ],
)
def test_bad_options_are_refused(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tiny.write(tmp_path, "replicas = 2")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file), "--out", str(tmp_path / "sweep"), *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_of_another_sweep_or_of_something_else_is_refused(tmp_path: Path) -> None:
    from numa_sim.errors import RunFolderError

    run_sweep(tiny.config(replicas=1), tmp_path / "sweep", jobs=0)
    with pytest.raises(RunFolderError, match=r"name another folder with --out \(sweep\.replicas: 1 there, 2 here"):
        run_sweep(tiny.config(replicas=2), tmp_path / "sweep", jobs=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(RunFolderError, match=r"has no sweep\.json; name another with --out"):
        run_sweep(tiny.config(replicas=2), tmp_path / "mine", jobs=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="name another with --out"):
        run_sweep(tiny.config(replicas=2), tmp_path / "file", jobs=0)


def test_dry_run_lists_the_points_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tiny.write(tmp_path, f"replicas = 2\ngrid = {{ '{WRITE}' = [0.0, 1.0] }}")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file), "--out", str(tmp_path / "sweep"), "--dry-run"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == [
        f"0: {WRITE} = 0.0",
        f"1: {WRITE} = 1.0",
        "2 points x 2 replicas, seeds from 7",
    ]
    assert not (tmp_path / "sweep").exists()


def test_run_takes_one_point_of_a_sweep_and_refuses_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tiny.write(tmp_path, f"grid = {{ '{WRITE}' = [0.0, 1.0] }}")
    with pytest.raises(SystemExit) as ended:
        main(["run", str(file), "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert f"numa-sim sweep {file}, --point N" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["run", str(file), "--point", "2", "--out", str(tmp_path / "run")])
    assert "0 to 1" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["run", str(file), "--point", "1", "--out", str(tmp_path / "run"), "--no-picture", "-q"])
    assert ended.value.code == 0
    from numa_sim.config.reader import load

    run_sweep(load(file), tmp_path / "sweep", jobs=0)
    second = read_design(tmp_path / "sweep").runs[1].run
    of_sweep, alone = tmp_path / "sweep" / "runs" / second, tmp_path / "run"
    assert (of_sweep / "manifest.json").read_bytes() == (alone / "manifest.json").read_bytes()


def test_an_error_of_values_that_do_not_fit_together_names_the_point() -> None:
    """Nothing that the design changes is where the error is found."""
    axis = {"workload.0.name": ["a", "b"], "run.check": ["cheap"]}
    other = {"name": "b", "program": [{"op": "exit"}]}
    document = {**tiny.DOCUMENT, "workload": [*tiny.DOCUMENT["workload"], other]}
    with pytest.raises(
        ConfigError, match=r"sweep: point 1 \(workload\.0\.name = 'b', run\.check = 'cheap'\)"
    ) as refused:
        make_plan(Config.of(**document, sweep={"grid": axis}))
    assert refused.value.allowed == ("a name of its own",)


def test_points_that_are_the_same_run_are_told_and_made_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only those of an axis that has no value of its own are refused: elsewhere they may be meant."""
    file = tiny.write(
        tmp_path,
        "grid = { 'kernel.max_tasks' = [4, 5] }\n"
        "cases = [{ label = 'own' }, { label = 'other', run = { check = 'full' } }, { label = 'again' }]\n",
    )
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file), "--dry-run"])
    assert ended.value.code in (0, None)
    assert [line for line in capsys.readouterr().out.splitlines() if "same run" in line] == [
        "4: case = again, kernel.max_tasks = 4 (the same run as point 0)",
        "5: case = again, kernel.max_tasks = 5 (the same run as point 1)",
    ]
    run_sweep(load(file), tmp_path / "sweep", jobs=0)
    status = sweep_status(tmp_path / "sweep")
    assert (status.points, status.wanted, status.done) == (6, 4, 4)
    assert status.lines()[-1] == "  2 points run what another point runs; each run is made once."
