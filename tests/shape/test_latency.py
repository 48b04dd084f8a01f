"""An access that meets nobody takes exactly the latency of its (CPU, memory node) pair."""

from __future__ import annotations

from typing import Any

import pytest
from shape.machines import PAGE, free_pages, homes

from numa_sim.processes.machine import Machine
from numa_sim.topology import Topology
from numa_sim.topology.presets import preset_names
from numa_sim.workloads.patterns import sequential

REPEATS = 50
NEAREST = {"numa_fallback": "nearest"}
"""Takes free pages of every node before it reclaims any."""
ASYMMETRIC = {
    "nodes": [
        {"memory": "8MiB", "cpus": "0,3"},
        {"memory": "4MiB", "cpus": "1"},
        {"memory": "6MiB", "cpus": "2,4-5"},
        {"memory": "4MiB", "cpus": ""},
    ],
    "distances": [[10, 15, 28, 21], [31, 10, 12, 19], [17, 25, 10, 30], [20, 20, 20, 10]],
    "latency_ns": [[71, 133, 219, 307], [201, 83, 97, 401], [150, 111, 64, 255], [99, 99, 99, 99]],
}


def measured_ns(machine: Machine, cpu: int) -> dict[int, int]:
    """Time of one access from `cpu` to a page of each node: the page's translation is cached, nobody else runs."""
    found: dict[int, int] = {}

    def probe(task: Any) -> Any:
        pages = free_pages(machine.kernel) - 160 * len(machine.topology)
        heap = yield task.mmap(pages * PAGE)
        yield task.touch(heap, write=1.0)
        at = homes(machine.kernel, 2, heap.start_vpn, heap.pages)
        assert -1 not in at
        for node in sorted(set(at)):
            here = {"offset": at.index(node) * PAGE, "length": PAGE}
            yield task.touch(heap, sequential(), accesses=1, **here)
            begin_ns = machine.now_ns
            yield task.touch(heap, sequential(), accesses=REPEATS, **here)
            found[node], rest = divmod(machine.now_ns - begin_ns, REPEATS)
            assert rest == 0

    machine.add(probe, cpus=[cpu])
    machine.run_to_end()
    return found


def expected_ns(topology: Topology, cpu: int) -> dict[int, int]:
    here = next(node.id for node in topology.nodes if cpu in node.cpus)
    return {node.id: topology.latency_ns[here][node.id] for node in topology.nodes if node.memory_bytes}


@pytest.mark.row("S0-15")
@pytest.mark.parametrize("cpu", range(6))
@pytest.mark.parametrize("model", ["queue", "none"])
def test_asymmetric_machine(cpu: int, model: str) -> None:
    machine = Machine.of(**ASYMMETRIC, memory={"model": model}, kernel=NEAREST)
    assert measured_ns(machine, cpu) == expected_ns(machine.topology, cpu)


@pytest.mark.row("S0-15")
@pytest.mark.parametrize("name", [name for name in preset_names() if name != "altix-64n"])
def test_every_preset(name: str) -> None:
    """From a CPU of the first and of the last node that has some."""
    for which in (0, -1):
        machine = Machine.of(preset=name, memory_per_node="8MiB", cpus_per_node=1, kernel=NEAREST)
        cpu = [node.cpus[0] for node in machine.topology.nodes if node.cpus][which]
        assert measured_ns(machine, cpu) == expected_ns(machine.topology, cpu)


def test_every_cpu_of_a_preset() -> None:
    name = "xeon-e5-2680-2s"
    for cpu in range(Machine.of(preset=name, memory_per_node="8MiB").topology.cpu_count):
        machine = Machine.of(preset=name, memory_per_node="8MiB", kernel=NEAREST)
        assert measured_ns(machine, cpu) == expected_ns(machine.topology, cpu)
