"""Scenario 3: a node is full, and where the next page comes from: strict24 and nearest."""

from __future__ import annotations

import pytest
from scenarios.shipped import CONFIGS, by_node, end_ns, part_ns, run, total

from numa_sim.config import load, topology_of
from numa_sim.results import Run

SMALLER = (
    "machine.memory_per_node=8MiB",
    "workload.0.program.0.size=16MiB",
    "workload.0.program.1.accesses=4096",
    "workload.0.program.2.accesses=2000",
)


def first_pages(result: Run, node: int) -> int:
    """When a node first had more in use than at boot, ns."""
    series = result.timeseries
    columns = (series.column(name).to_pylist() for name in ("t_ns", "node", "used_pages"))
    rows = [(t, used) for t, n, used in zip(*columns, strict=True) if n == node]
    return next(t for t, used in rows if used > rows[0][1])


@pytest.mark.row("S0-56", "S1-17")
def test_nearest_fills_the_nodes_by_distance_and_reclaims_nothing() -> None:
    result = run("fill-and-spill", *SMALLER)
    hits, misses = by_node(result, "numa_hit"), by_node(result, "numa_miss")
    assert hits[0] > 1000 > sum(hits[1:]) == 0
    spilled = [node for node, n in enumerate(misses) if n]
    distances = topology_of(load(CONFIGS / "fill-and-spill.toml")).distance[0]
    assert sorted(range(8), key=lambda node: (distances[node], node))[1:3] == spilled
    assert spilled == [1, 2]
    assert first_pages(result, 0) < first_pages(result, 1) < first_pages(result, 2)
    assert total(result, "allocstall") == total(result, "pswpout") == 0
    assert by_node(result, "numa_foreign")[0] == sum(misses)


def test_strict24_takes_the_last_node_first_after_a_vain_search_at_home() -> None:
    strict = run("fill-and-spill", *SMALLER, "kernel.numa_fallback=strict24", "kernel.oom_killer=false")
    misses = by_node(strict, "numa_miss")
    assert [node for node, n in enumerate(misses) if n] == [6, 7]
    assert first_pages(strict, 7) < first_pages(strict, 6)
    assert by_node(strict, "allocstall")[0] == sum(misses)
    nearest = run("fill-and-spill", *SMALLER)
    assert part_ns(strict, "direct_reclaim") > 0 == part_ns(nearest, "direct_reclaim")
    assert end_ns(strict) > 10 * end_ns(nearest)


def test_strict24_kills_with_seven_nodes_free() -> None:
    result = run("fill-and-spill", *SMALLER, "kernel.numa_fallback=strict24")
    assert result.summary["run"]["exit_state"] == "oom"
    assert sum(by_node(result, "numa_miss")) < 20
