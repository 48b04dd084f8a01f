"""The example configurations load, and show what their first lines promise."""

from pathlib import Path

import pytest

from numa_sim.config import load, topology_of
from numa_sim.processes.machine import Machine
from numa_sim.results import Run

CONFIGS = Path(__file__).parents[2] / "configs"


def run(name, *settings):
    return Run.of(Machine(load(CONFIGS / name, settings)).run_to_end())


def task(summary, name):
    return next(task for task in summary["tasks"] if task["name"] == name)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_loads_and_says_what_to_see(path):
    assert topology_of(load(path)).cpu_count
    assert "What to see" in path.read_text().split("[machine]")[0]


def test_fill_and_spill():
    summary = run("fill-and-spill.toml").summary
    hits, misses = ([node["vmstat"][name] for node in summary["nodes"]] for name in ("numa_hit", "numa_miss"))
    assert hits[0] > 3000
    assert sum(hits[1:]) == 0
    # Node 0, then the nearest, then the next: filled one after the other.
    assert misses[1] > 3900
    assert 0 < misses[2] < misses[1]
    assert sum(misses[3:]) == 0
    assert summary["totals"]["vmstat"]["pswpout"] == 0


def test_pointer_chase_meets_the_measured_latency():
    summary = run("pointer-chase.toml").summary
    by_pair = {(pair["cpu_node"], pair["memory_node"]): pair for pair in summary["pairs"]}
    assert by_pair[1, 1]["latency_ns"] == 78 * by_pair[1, 1]["accesses"]
    assert by_pair[0, 1]["latency_ns"] == 143 * by_pair[0, 1]["accesses"]
    assert task(summary, "far")["parts_ns"]["local"] == 0
    assert task(summary, "far")["parts_ns"]["remote"] == 143 * task(summary, "far")["accesses"]
    assert task(summary, "near")["parts_ns"]["local"] == 78 * task(summary, "near")["accesses"]


def first_use(series, area):
    return next(
        (t for t, a, used in zip(*(series.column(c).to_pylist() for c in ("t_ns", "area", "used_pages")), strict=True)
         if a == area and used),
    )  # fmt: skip


def test_swapoff_under_load():
    result = run("swapoff-under-load.toml")
    summary = result.summary
    a, b, disk = summary["swap_areas"]
    assert (a["name"], a["priority"]) == ("ssd-a", 9)
    assert b["pages"] == 2047 - 3
    assert summary["totals"]["vmstat"]["swapoff_pages"] > 500
    assert disk["peak_used_pages"] > 0
    use = result.swap_series
    rows = zip(*(use.column(name).to_pylist() for name in ("t_ns", "area", "used_pages")), strict=True)
    of_a = [(t, used) for t, area, used in rows if area == 0]
    full = max(used for t, used in of_a if t <= 200_000_000)
    emptied = next(t for t, used in of_a if t > 200_000_000 and used == 0)
    assert full > 1000
    assert any(used > 0 for t, used in of_a if t > emptied)


def test_swap_priorities():
    result = run("swap-priorities.toml")
    a, b, disk = result.summary["swap_areas"]
    assert a["peak_used_pages"] == b["peak_used_pages"] == a["pages"]
    assert 0 < disk["peak_used_pages"] < disk["pages"]
    assert first_use(result.swap_series, 0) == first_use(result.swap_series, 1) < first_use(result.swap_series, 2)
    apart = run("swap-priorities.toml", "machine.swap.1.priority=4")
    assert first_use(apart.swap_series, 0) < first_use(apart.swap_series, 1) < first_use(apart.swap_series, 2)


def test_mixed_files_and_anonymous():
    shared = run("mixed-files-and-anonymous.toml").summary
    apart = run("mixed-files-and-anonymous.toml", "machine.swap.0.disk=sdb").summary
    for summary in (shared, apart):
        vmstat = summary["totals"]["vmstat"]
        for counter in ("pswpout", "pswpin", "pgsteal_kswapd", "fsync_writes", "readahead_pages", "bdflush_writes"):
            assert (vmstat[counter] > 0) == (counter != "bdflush_writes"), counter
        # What programs and read-ahead asked for, what swap did, and nothing else went over the disks.
        assert vmstat["pgpgin"] * 2 == sum(disk["sectors_read"] for disk in summary["disks"])
        assert vmstat["pgpgout"] * 2 == sum(disk["sectors_written"] for disk in summary["disks"])
    for name, part in (("heap", "swap_wait"), ("scanner", "file_wait"), ("database", "file_wait")):
        assert task(apart, name)["parts_ns"][part] < task(shared, name)["parts_ns"][part]
    assert apart["disks"][1]["writes"] > 0 == shared["disks"][1]["writes"]


def test_out_of_memory():
    summary = run("out-of-memory.toml").summary
    assert summary["run"]["exit_state"] == "oom"
    assert [kill["task"] for kill in summary["oom_kills"]] == ["greedy"]
    assert task(summary, "modest")["state"] == "exited"
    assert task(summary, "modest")["accesses"] == 500_000
    assert summary["swap_areas"][0]["peak_used_pages"] == summary["swap_areas"][0]["pages"]


def test_demo_shows_everything():
    summary = run("demo.toml").summary
    assert summary["run"]["exit_state"] == "ok"
    parts = summary["totals"]["parts_ns"]
    for part in ("compute", "local", "remote", "queueing", "tlb_walk", "minor_fault", "direct_reclaim", "swap_wait"):
        assert parts[part] > 0, part
    for node in summary["nodes"]:
        for counter in (
            "numa_hit",
            "numa_miss",
            "numa_foreign",
            "pgsteal_kswapd",
            "pgsteal_direct",
            "pswpin",
            "pswpout",
        ):
            assert node["vmstat"][counter] > 0, (node["node"], counter)
    fast, slow = summary["swap_areas"]
    assert fast["priority"] > slow["priority"]
    assert fast["peak_used_pages"] == fast["pages"]
    assert slow["pages_written"] > 0
    assert slow["pages_read"] > 0
