"""The engine against its slow twin where CPUs run out of tasks and take others': the same moves at the same times."""

from __future__ import annotations

from typing import Any

import pytest
from twin.random_machines import random_topology
from twin.test_twin import compare

from numa_sim.config.model import Config
from numa_sim.state.counters import MIGRATIONS_ACROSS_NODES, MIGRATIONS_WITHIN_NODE

USE = {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "write": 0.5}


def crowded(within_node: bool, across_nodes: bool) -> Config:
    """Two nodes of two CPUs; on each CPU a task holds out while twelve others queue, long and short ones."""
    holders: list[dict[str, Any]] = [
        {"name": f"holder{cpu}", "cpus": str(cpu), "program": [{"op": "compute", "for": "50us"}]} for cpu in range(4)
    ]
    others: list[dict[str, Any]] = [
        {
            "name": f"task{i}",
            "start": f"{10 + i}us",
            "nice": (0, 5, -5)[i % 3],
            "cpus": "0-3" if i % 5 else "0,2",
            "program": [
                {"op": "mmap", "as": "heap", "size": "64KiB"},
                {**USE, "accesses": 50 + 300 * (i % 4)},
                {"op": "compute", "for": f"{1 + 400 * (i % 4 == 0)}us"},
            ],
        }
        for i in range(12)
    ]  # fmt: skip
    return Config.of(
        machine={
            "nodes": [{"memory": "4MiB", "cpus": "0-1"}, {"memory": "4MiB", "cpus": "2-3"}],
            "distances": [[10, 20], [20, 10]],
        },
        kernel={"time_slice": "100us", "balance": {"within_node": within_node, "across_nodes": across_nodes}},
        workload=[*holders, *others],
        run={"record_events": 200_000, "sample": "1s"},
    )


@pytest.mark.row("X-02")
@pytest.mark.parametrize(("within_node", "across_nodes"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_same_tasks_move(within_node: bool, across_nodes: bool) -> None:
    config = crowded(within_node, across_nodes)
    k, _ = compare(config, random_topology(config))
    moved = k.vmstat.sum(axis=0)
    assert (moved[MIGRATIONS_WITHIN_NODE] > 0) == within_node
    assert (moved[MIGRATIONS_ACROSS_NODES] > 0) == across_nodes
