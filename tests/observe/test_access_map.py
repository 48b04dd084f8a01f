"""The access map: every access once, where and when it was made, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numa_sim import Config, Machine, Run, from_arrays, load, open_run, verify_run, write_run
from numa_sim.errors import ConfigError, RunFolderError

CONFIGS = Path(__file__).parents[2] / "configs"
NODES: dict[str, Any] = {
    "nodes": [{"memory": "4MiB", "cpus": "0"}, {"memory": "4MiB", "cpus": "1"}],
    "distances": [[10, 20], [20, 10]],
    "swap": [{"device": "nvme", "size": "16MiB"}],
}
PAGE = 4096


def observed(**settings: str) -> dict[str, Any]:
    return {"observe": ["access_map"], "access_map": settings}


def machine(run: dict[str, Any], pages: int = 1200, accesses: int = 4000) -> tuple[Machine, np.ndarray]:
    """Two tasks: one in more memory than there is, along known pages; and one that only ends later."""
    order = np.random.default_rng(5).integers(0, pages, accesses)
    order[:pages] = np.arange(pages)

    def wanderer(task: Any) -> Any:
        heap = yield task.mmap(pages * PAGE, at=0x4000_0000)
        yield task.touch(heap, from_arrays(order), write=1.0, compute="700ns")

    def small(task: Any) -> Any:
        heap = yield task.mmap(64 * PAGE, at=0x6000_0000)
        yield task.sleep("1ms")
        yield task.touch(heap, accesses=640, write=1.0, compute="20us")

    made = Machine.of(**NODES, run=run)
    made.add(wanderer, cpus=[0])
    made.add(small, cpus=[1])
    return made, order + (0x4000_0000 >> 12)


def test_rows_are_what_another_machine_did_between_two_looks() -> None:
    sample_ns, per_bin, region_pages = 100_000, 5, 4
    watched, order = machine(observed(sample="100us", aggregate="500us", region="16KiB"))
    rows = Run.of(watched.run_to_end()).access_map.to_pylist()

    plain, _ = machine({})
    done, expected = 0, {}
    for tick in range(1, 1 + watched.now_ns // sample_ns + 1):
        plain.run_until(min(tick * sample_ns, watched.now_ns))
        now_done = int(plain.kernel.tasks[plain.tasks[0].index].accesses_done)
        used = order[done:now_done].tolist()
        done = now_done
        for page in used:
            cell = expected.setdefault(((tick - 1) // per_bin, page // region_pages), [0, set(), 0])
            cell[0] += 1
            cell[1].add(page)
        for page in set(used):
            expected[(tick - 1) // per_bin, page // region_pages][2] += 1
    assert done == len(order)
    found = {
        (-(-row["t_ns"] // (per_bin * sample_ns)) - 1, row["start"] // (region_pages * PAGE)): row
        for row in rows if row["task"] == 0
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for key, (accesses, pages, page_samples) in expected.items():
        row = found[key]
        assert (row["accesses"], row["pages"], row["page_samples"]) == (accesses, len(pages), page_samples)
        assert row["nr_accesses"] == page_samples / region_pages
        assert row["bytes"] == region_pages * PAGE


def test_every_access_of_every_task_is_there_once() -> None:
    made, _ = machine(observed())
    run = Run.of(made.run_to_end())
    assert run.summary["totals"]["vmstat"]["pswpin"] > 0
    sums = [0, 0]
    for row in run.access_map.to_pylist():
        sums[row["task"]] += row["accesses"]
    assert sums == [task["accesses"] for task in run.summary["tasks"]] == [4000, 640]


def test_a_run_that_ends_within_a_bin_has_a_shorter_one() -> None:
    made, _ = machine(observed(sample="100us", aggregate="2ms") | {"until": "3330us"})
    rows = Run.of(made.run_to_end()).access_map.to_pylist()
    bins = sorted({(row["t_ns"], row["length_ns"], row["samples"]) for row in rows})
    assert bins == [(2_000_000, 2_000_000, 20), (3_330_000, 1_330_000, 14)]


@pytest.mark.parametrize("sample", ["10us", "330us"])
@pytest.mark.parametrize("config", ["shared-file", "stack-and-core"])
def test_observing_changes_no_event_and_no_result(config: str, sample: str) -> None:
    """R4: files, signals and handlers, core files; the map is the only difference."""
    runs = []
    settings = ['run.observe=["access_map"]', f"run.access_map.sample={sample}", "run.access_map.aggregate=3.3ms"]
    for chosen in ([], settings):
        runs.append(Run.of(Machine(load(CONFIGS / f"{config}.toml", chosen)).run_to_end()))
    plain, watched = runs
    assert plain.summary == watched.summary
    assert plain.timeseries.equals(watched.timeseries)
    counted = dict.fromkeys(range(len(watched.summary["tasks"])), 0)
    for row in watched.access_map.to_pylist():
        counted[row["task"]] += row["accesses"]
    assert list(counted.values()) == [task["accesses"] for task in watched.summary["tasks"]]


def test_threads_share_a_process_and_children_have_their_own() -> None:
    def parent(task: Any) -> Any:
        heap = yield task.mmap(8 * PAGE, at=0x4000_0000)
        yield task.touch(heap, write=1.0)

        def child(me: Any) -> Any:
            yield me.touch(heap, accesses=3)

        yield task.clone(child)
        yield task.fork(child)
        yield task.wait()
        yield task.wait()

    made = Machine.of(**NODES, run=observed())
    made.add(parent)
    rows = Run.of(made.run_to_end()).access_map.to_pylist()
    assert [(row["task"], row["process"], row["accesses"]) for row in rows] == [(0, 100, 8), (1, 100, 3), (2, 102, 3)]


def test_the_folder_has_the_map_and_says_how_fine_it_is(tmp_path: Path) -> None:
    made, _ = machine(observed())
    result = made.run_to_end()
    run = open_run(write_run(result, tmp_path / "run", picture=False))
    assert verify_run(tmp_path / "run") == []
    assert run.access_map.equals(Run.of(result).access_map, check_metadata=True)
    metadata = run.access_map.schema.metadata
    assert (metadata[b"sample_ns"], metadata[b"region_bytes"]) == (b"500000", b"65536")
    assert all(field.metadata[b"unit"] for field in run.access_map.schema)
    plain, _ = machine({})
    with pytest.raises(RunFolderError, match="has no access-map"):
        _ = Run.of(plain.run_to_end()).access_map


@pytest.mark.parametrize(
    ("run", "where", "why"),
    [
        (observed(sample="1500ns"), "run.access_map.sample", "whole number of microseconds"),
        (observed(sample="300us"), "run.access_map.aggregate", "no multiple of run.access_map.sample"),
        (observed(sample="1us"), "run.access_map.aggregate", "1 to 1000 times it"),
        (observed(region="12KiB"), "run.access_map.region", "power of two"),
        ({"observe": ["access_map", "access_map"]}, "run.observe", "stands twice"),
        ({"observe": ["everything"]}, "run.observe.0", "access_map"),
    ],
)
def test_a_bad_setting_is_refused_where_it_stands(run: dict[str, Any], where: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.of(machine=NODES, run=run)
    assert refused.value.path == where
    assert why in str(refused.value)
