"""Scenario 13: vmalloc and kmalloc under random requests; three placement policies; one page too far."""

from __future__ import annotations

from typing import Any

import pytest
from scenarios.shipped import CONFIGS

from numa_sim.config import load
from numa_sim.kernel.slab.cache import cache_name, chain
from numa_sim.kernel.vmalloc import areas, room
from numa_sim.processes.machine import Machine
from numa_sim.state.counters import VMSTAT

POLICIES = ("first", "best", "worst")


def total(machine: Machine, counter: str) -> int:
    """A counter, all nodes together."""
    return int(machine.kernel.vmstat[:, VMSTAT.index(counter)].sum())


@pytest.fixture(scope="module")
def runs() -> dict[str, tuple[Machine, Any]]:
    """The configuration under each policy."""
    done = {}
    for policy in POLICIES:
        machine = Machine(load(CONFIGS / "vmalloc-placement.toml", (f"kernel.vmalloc_placement={policy}",)))
        done[policy] = machine, machine.run_to_end()
    return done


@pytest.mark.row("S3-186")
def test_the_same_requests_fragment_the_range_differently(runs):
    refused = {policy: total(machine, "vmalloc_fail") for policy, (machine, _) in runs.items()}
    longest = {policy: room(machine.kernel)[2] for policy, (machine, _) in runs.items()}
    assert 0 < refused["best"] < refused["first"] < refused["worst"] // 5
    assert longest["worst"] < min(longest["first"], longest["best"]) // 2
    for machine, _ in runs.values():
        pages, taken, gap = room(machine.kernel)
        assert gap <= pages - taken
        assert taken == sum(length for _, length in areas(machine.kernel))


@pytest.mark.row("S3-187")
def test_one_page_too_far_is_an_oops(runs):
    for machine, result in runs.values():
        assert total(machine, "oops") == 1
        assert "task module: Oops: unable to handle kernel paging request" in result.warnings[-1]
        first, pages = areas(machine.kernel)[0]
        assert f"{(first + pages - 1) << 12:#x}" in result.warnings[-1]


@pytest.mark.row("S3-178")
def test_kmalloc_does_not_depend_on_the_placement_of_areas(runs):
    def slabs(machine: Machine) -> dict[str, int]:
        caches = machine.kernel.kmem_caches
        return {cache_name(machine.kernel, c): int(caches[c].list_length.sum()) for c in chain(machine.kernel)}

    first = slabs(runs["first"][0])
    assert first["size-131072"] > 0
    assert all(slabs(machine) == first for machine, _ in runs.values())
