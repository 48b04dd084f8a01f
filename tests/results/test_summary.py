"""The summary says what the state says, adds up, and prints within 100 columns."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from synthetic_run import kill, small_run

from numa_sim.results import print_summary, summarise
from numa_sim.results.canonical import canonical_json
from numa_sim.state.counters import TIME_PARTS, VMSTAT


def printed(summary, width=100):
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=width, color_system=None))
    return out.getvalue()


def numbers(value, path=""):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, path)
    else:
        yield path, value


def test_parts_of_every_task_sum_to_its_run_time():
    summary = summarise(small_run(users=5))
    for task in summary["tasks"]:
        assert sum(task["parts_ns"].values()) == task["run_ns"] == task["end_ns"] - task["start_ns"]
        assert tuple(task["parts_ns"]) == TIME_PARTS
    totals = summary["totals"]
    assert totals["run_ns"] == sum(totals["parts_ns"].values()) == sum(task["run_ns"] for task in summary["tasks"])


def test_counters_are_those_of_the_state():
    result = small_run()
    summary = summarise(result)
    for node in summary["nodes"]:
        assert list(node["vmstat"].values()) == result.kernel.vmstat[node["node"]].tolist()
    assert [summary["totals"]["vmstat"][name] for name in VMSTAT] == result.kernel.vmstat.sum(0).tolist()
    assert [area["pages_written"] for area in summary["swap_areas"]] == result.kernel.swap_info.pages_written[
        :2
    ].tolist()
    assert summary["machine"]["memory_bytes"] == 32 << 20
    accesses = sum(node["accesses_local"] + node["accesses_remote"] for node in summary["nodes"])
    assert accesses == sum(node["accesses_served"] for node in summary["nodes"])
    assert accesses == sum(pair["accesses"] for pair in summary["pairs"]) == summary["totals"]["memory_accesses"]


def test_only_means_are_floats_and_all_is_json():
    summary = summarise(small_run())
    for name, value in numbers(summary):
        assert type(value) in ((float,) if name.startswith("mean_") else (int, str)), name
    assert json.loads(canonical_json(summary)) == summary


def test_task_states():
    result = small_run(users=3)
    kill(result, 2)
    summary = summarise(result)
    assert [task["state"] for task in summary["tasks"]] == ["killed (out of memory)", "exited", "running at the end"]
    assert summary["oom_kills"] == [{"task": "db-0", "pid": 102, "t_ns": summary["tasks"][0]["end_ns"]}]
    assert "out of memory: killed db-0 (pid 102)" in printed(summary)


@pytest.mark.parametrize(("nodes", "areas", "users"), [(1, 0, 1), (2, 2, 2), (4, 1, 4), (8, 2, 14)])
def test_prints_within_100_columns(nodes, areas, users):
    text = printed(summarise(small_run(samples=10, nodes=nodes, areas=areas, users=users)))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for word in ("pgscan_direct", "numa_miss", "swap wait", "queueing", "run time", "warning: the trace was cut"):
        assert word in text
    assert ("swap-nvme" in text) == (areas > 0)
    assert ("all tasks" in text) == (users > 1)
    assert "direct reclaim" not in text  # nobody spent time on it


def test_names_are_not_markup():
    result = replace(small_run(samples=2), warnings=("[red]not a colour[/red]",), machine_name="[bold]x")
    text = printed(summarise(result))
    assert "[red]not a colour[/red]" in text
    assert "[bold]x" in text


def test_a_run_without_tasks_samples_or_accesses():
    result = small_run(samples=0, users=1)
    for name in ("vmstat", "traffic", "time_parts"):
        array = getattr(result.kernel, name)
        array[:] = 0
    summary = summarise(replace(result, tasks=()))
    assert summary["totals"]["mean_latency_ns"] == 0
    assert "run time" in printed(summary)
