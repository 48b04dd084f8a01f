"""Note 004 of the acceptance list, UMA and NUMA: who reaches which memory how fast."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import PAGE
from shape.machines import one_node

from numa_sim.processes.machine import Machine
from numa_sim.topology import preset, preset_names
from numa_sim.workloads.patterns import sequential


@pytest.mark.row("S4-01")
def test_on_a_uma_machine_every_cpu_sees_the_same_latency() -> None:
    machine = one_node(4, latency_ns=[[90]], kernel={"switches": {"tlb": True}})
    for cpu in range(4):
        machine.add(reading, name=f"on-{cpu}", cpus=[cpu], start_ns=cpu * 10_000_000)
    machine.run_to_end()
    per_access = [int(machine.kernel.time_parts[task.index, 1]) for task in machine.tasks]
    assert len(set(per_access)) == 1
    assert machine.kernel.latency.tolist() == [[90]]


def reading(task: Any) -> Any:
    heap = yield task.mmap(64 * PAGE)
    yield task.touch(heap, write=1.0)
    yield task.touch(heap, accesses=4000)


def streaming(task: Any) -> Any:
    heap = yield task.mmap(32 * PAGE)
    yield task.touch(heap, write=1.0)
    yield task.touch(heap, sequential(), accesses=3000, lines=64)


@pytest.mark.row("S4-02")
def test_on_a_uma_machine_cpus_share_the_bandwidth() -> None:
    def bytes_per_second_and_cpu(cpus: int) -> float:
        machine = one_node(8, latency_ns=[[90]], bandwidth=["10GB/s"], costs={"line": "1ns"})
        for cpu in range(cpus):
            machine.add(streaming, name=f"on-{cpu}", cpus=[cpu])
        end_ns = machine.run_to_end().end_ns
        return 64 * int(machine.kernel.channels[0].lines) / end_ns / cpus

    speeds = [bytes_per_second_and_cpu(cpus) for cpus in (1, 2, 4, 8)]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[3] < speeds[0] / 3, "eight CPUs get little more in all than the controller gives"
    assert 8 * speeds[3] <= 10


@pytest.mark.row("S4-03", "S4-04")
def test_on_a_numa_machine_memory_of_another_socket_costs_more_and_uses_the_link() -> None:
    def run(memory: int, cpu: int) -> Machine:
        machine = Machine.of(
            nodes=[{"memory": "0B" if memory else "16MiB", "cpus": "0"}, {"memory": "16MiB", "cpus": "1"}],
            distances=[[10, 21], [21, 10]], latency_ns=[[80, 140], [140, 80]], kernel={"numa_fallback": "nearest"},
        )  # fmt: skip
        machine.add(reading, cpus=[cpu])
        machine.run_to_end()
        return machine

    near, far = run(1, 1), run(1, 0)
    assert int(near.kernel.traffic[1, 1].latency_ns) == 80 * int(near.kernel.traffic[1, 1].accesses)
    assert int(far.kernel.traffic[0, 1].latency_ns) == 140 * int(far.kernel.traffic[0, 1].accesses) > 0
    link = 2  # channels are the controllers of both nodes, then the links
    assert int(near.kernel.channels[link].lines) == 0
    assert int(far.kernel.channels[link].lines) >= int(far.kernel.traffic[0, 1].accesses)
    assert far.now_ns > near.now_ns


@pytest.mark.row("S4-05")
def test_presets_have_two_to_eight_sockets_and_more() -> None:
    nodes = {len(preset(name)) for name in preset_names()}
    assert {2, 4, 8} <= nodes
    for name in preset_names():
        machine = preset(name)
        with_memory = [node.id for node in machine.nodes if node.memory_bytes and node.cpus]
        for home in with_memory:
            assert all(machine.distance[home][home] <= machine.distance[home][other] for other in with_memory)
