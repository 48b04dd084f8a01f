"""The levels of storage: configured, shown, and as the study note's figure has them: the bigger, the slower."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, NVME, finish, parts, small, sweep

from numa_sim.cli.levels import levels_text, storage_levels
from numa_sim.config import Config, topology_of


def config(**machine: Any) -> Config:
    return Config.of(
        machine={
            "preset": "xeon-silver-4108-2s",
            "memory_per_node": "32GiB",
            "swap": [],
            "disk": [
                {"name": "fast", "device": "nvme", "size": "1TiB"},
                {"name": "big", "device": "hdd", "size": "16TiB"},
            ],
            **machine,
        }
    )


@pytest.mark.row("S3-005")
def test_the_bigger_the_slower_over_more_than_eight_orders_of_magnitude() -> None:
    settings = config()
    levels = storage_levels(settings, topology_of(settings))
    assert [level.name.split()[0] for level in levels] == ["registers", "CPU", "memory", "memory", "nvme", "hdd"]
    latencies = [level.latency_ns for level in levels]
    assert latencies == sorted(set(latencies))
    capacities = [level.capacity_bytes for level in levels if level.capacity_bytes is not None]
    assert capacities == sorted(set(capacities))
    assert capacities[-1] > 10**8 * capacities[0]
    memory, disk = levels[2].latency_ns, levels[4].latency_ns
    assert disk > 1000 * memory


def test_each_level_is_configured() -> None:
    other = config(
        arch="i386",
        memory_per_node="1GiB",
        disk=[{"name": "d", "device": "sata-ssd", "size": "2GiB", "latency": "1ms"}],
    )
    levels = {level.name: level for level in storage_levels(other, topology_of(other))}
    assert levels["registers"].capacity_bytes == 32
    assert levels["sata-ssd d"] == ("sata-ssd d", 1_000_000, 2 << 30)
    assert levels["memory of all nodes"].capacity_bytes == 2 << 30
    lines = levels_text(other, topology_of(other)).splitlines()
    assert lines[0].split() == ["level", "latency", "of", "memory's", "capacity"]
    assert len({len(line) for line in lines}) == 1
    assert lines[2].endswith("not modelled")


@pytest.mark.row("S3-005")
def test_a_run_shows_the_same_order() -> None:
    """Time per access of one program: hits in the caches, memory at home, memory far away, swap."""

    def mean_ns(pages: int, hit_ratio: float = 0.0, far: bool = False) -> float:
        machine = small(
            nodes=(0, 4) if far else (4, 4), cache_hit_ratio=hit_ratio, swap=(NVME,),
            kernel={"numa_fallback": "nearest"}, latency_ns=[[80, 160], [160, 80]],
        )  # fmt: skip
        machine.add(sweep(pages, times=20), cpus=[0])
        finish(machine)
        spent = parts(machine)
        return sum(spent[part] for part in ("local", "remote", "queueing", "swap_wait", "major_fault")) / (20 * pages)

    levels = [mean_ns(64, hit_ratio=1.0), mean_ns(64), mean_ns(64, far=True), mean_ns(12 * MIB_PAGES)]
    assert levels == sorted(set(levels))
    assert levels[3] > 50 * levels[1]
