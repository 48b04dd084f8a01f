"""Memory controllers and links against queueing theory: M/D/1, and capacity as a ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shape.machines import PAGE, one_node

from numa_sim.compiled import entry, rule
from numa_sim.config.model import Config
from numa_sim.hardware.memory_system import pass_channel
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import CHANNEL_CURVE, CHANNEL_QUEUE
from numa_sim.state.kernel import Kernel, Sizes, new_kernel
from numa_sim.topology import Curve, Node, build_topology
from numa_sim.workloads.patterns import from_arrays, sequential

SERVICE_NS = 64
BANDWIDTH = 10**9
"""One cache line takes 64 ns: every instant of the machine is a whole ns, so nothing is rounded."""


@rule
def send_all(k: Kernel, instants_ps: Any, waits_ps: Any) -> None:
    """One line at each instant."""
    for i in range(len(instants_ps)):
        waits_ps[i] = pass_channel(k, 0, instants_ps[i], 1)


_send_all = entry(send_all)


def channel(model: int) -> Kernel:
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=512, tables=1))
    k.channels[0].model = model
    k.channels[0].line_ps = SERVICE_NS * 1000
    return k


def sent(k: Kernel, instants_ps: np.ndarray) -> np.ndarray:
    waits_ps = np.zeros(len(instants_ps), np.int64)
    _send_all(k, instants_ps, waits_ps)
    return waits_ps


def m_d_1_wait_ns(load: float) -> float:
    """Pollaczek and Khinchine: mean wait for a server of constant service time under Poisson arrivals."""
    return load / (2 * (1 - load)) * SERVICE_NS


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_channel_is_m_d_1(load: float) -> None:
    rng = np.random.default_rng(1000 + int(load * 10))
    gaps_ps = rng.exponential(SERVICE_NS * 1000 / load, 3_000_000)
    waits_ps = sent(channel(CHANNEL_QUEUE), np.cumsum(gaps_ps).astype(np.int64))
    assert waits_ps.mean() / 1000 == pytest.approx(m_d_1_wait_ns(load), rel=0.01)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_machine_is_m_d_1(load: float) -> None:
    """64 CPUs take the arrivals of one Poisson process in turn.

    A CPU that waits sends nothing, so CPUs that draw their own computing times would send more regularly than
    Poisson.  Here each CPU computes from the end of its last access until its next arrival is due; that end is known
    from Lindley's recursion, and is long past whenever the next arrival is due.
    """
    cpus, latency_ns, start_ns = 64, 100, 1_000_000
    rng = np.random.default_rng(2000 + int(load * 10))
    instants_ns = distinct(np.cumsum(rng.exponential(SERVICE_NS / load, 12_000 * cpus)).astype(np.int64))
    waits_ns = lindley_ns(instants_ns)
    gaps_ns = instants_ns.copy()
    gaps_ns[cpus:] -= (instants_ns + waits_ns + latency_ns)[:-cpus]
    assert gaps_ns.min() >= 0
    machine = one_node(cpus, latency_ns=[[latency_ns]], bandwidth=[BANDWIDTH], kernel={"time_slice": "10s"})

    def program(cpu: int) -> Any:
        def source(task: Any) -> Any:
            page = yield task.mmap(PAGE)
            yield task.touch(page, write=1.0)
            yield task.sleep(start_ns - machine.now_ns)
            gaps = gaps_ns[cpu::cpus]
            yield task.touch(page, from_arrays(np.zeros(len(gaps), np.int64), compute_ns=gaps))

        return source

    def observer() -> Any:
        yield machine.timeout(start_ns)
        before.append(int(machine.kernel.channels[0].queue_ns))

    before: list[int] = []
    for cpu in range(cpus):
        machine.add(program(cpu), cpus=[cpu])
    machine.process(observer())
    machine.run_to_end()
    queued_ns = int(machine.kernel.channels[0].queue_ns) - before[0]
    assert queued_ns == int(waits_ns.sum())
    assert queued_ns / len(instants_ns) == pytest.approx(m_d_1_wait_ns(load), rel=0.03)


def distinct(instants_ns: np.ndarray) -> np.ndarray:
    """Arrivals of the same ns, a few in a hundred, one ns after the other: so their order is that of the process."""
    order = np.arange(len(instants_ns))
    return np.maximum.accumulate(instants_ns - order) + order


def lindley_ns(instants_ns: np.ndarray) -> np.ndarray:
    """Waits at a FIFO server: w[i+1] = max(0, w[i] + service - gap), unrolled as a running maximum."""
    surplus = SERVICE_NS * np.arange(len(instants_ns)) - instants_ns
    return surplus - np.minimum.accumulate(surplus)


def hammer(times: int, lines: int = 64) -> Any:
    """A program that moves whole pages as fast as it can."""

    def program(task: Any) -> Any:
        heap = yield task.mmap(32 * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.touch(heap, sequential(), accesses=times, lines=lines)

    return program


@pytest.mark.parametrize("bandwidth", [10**9, 7_300_000_123, 20 * 10**9])
def test_saturated_controller(bandwidth: int) -> None:
    """Eight CPUs want more than there is: they get all of it, and not a byte more."""
    machine = one_node(8, latency_ns=[[90]], bandwidth=[bandwidth], costs={"line": "1ns"})
    for cpu in range(8):
        machine.add(hammer(6000), cpus=[cpu])
    result = machine.run_to_end()
    moved = 64 * int(machine.kernel.channels[0].lines)
    achieved = moved * 1e9 / result.end_ns
    assert 0.99 * bandwidth <= achieved <= bandwidth


@pytest.mark.parametrize("bandwidth", [123_456_789, 10**9, 63 * 10**9, 405_300_000_000])
def test_a_line_takes_no_less_than_bandwidth_says(bandwidth: int) -> None:
    """Times are whole ps, so capacity is the configured bandwidth or, by less than 1 %, below it."""
    line_ps = int(one_node(bandwidth=[bandwidth]).kernel.channels[0].line_ps)
    assert 0.99 * bandwidth <= 64 * 10**12 / line_ps <= bandwidth


def test_saturated_shared_link() -> None:
    """CPUs of nodes 0 and 1 read node 2; all of node 0's traffic and node 1's shares the link between 1 and 2."""
    machine = Machine.of(
        nodes=[{"memory": "0B", "cpus": "0-2"}, {"memory": "0B", "cpus": "3-5"}, {"memory": "8MiB", "cpus": "6"}],
        distances=[[10, 20, 30], [20, 10, 20], [30, 20, 10]],
        latency_ns=[[90, 150, 200], [150, 90, 150], [200, 150, 90]],
        bandwidth=["40GB/s", "40GB/s", "40GB/s"],
        links=[{"a": 0, "b": 1, "bandwidth": "30GB/s"}, {"a": 1, "b": 2, "bandwidth": "5GB/s"}],
        costs={"line": "1ns"},
    )
    for cpu in range(6):
        machine.add(hammer(5000), cpus=[cpu])
    result = machine.run_to_end()
    k = machine.kernel
    far, near = (int(k.traffic[node, 2].lines) for node in (0, 1))
    shared = machine.topology.path(1, 2)[0]
    assert int(k.channels[3 + shared].lines) == far + near
    achieved = 64 * (far + near) * 1e9 / result.end_ns
    assert 0.99 * 5e9 <= achieved <= 5e9
    assert int(k.channels[3 + machine.topology.path(0, 1)[0]].lines) == far


CURVE = Curve("measured", ((1, 80), (300_000_000, 88), (600_000_000, 120), (900_000_000, 480), (1_000_000_000, 1280)))


def latency_ns(load: float) -> float:
    """The measured latency at a share of capacity."""
    loads, latencies = zip(*CURVE.points, strict=True)
    return float(np.interp(load * BANDWIDTH, loads, latencies))


@pytest.mark.parametrize("load", [0.1, 0.5, 0.75, 0.9])
def test_machine_follows_the_curve(load: float) -> None:
    """Evenly paced accesses, one CPU each 1/32 of the load: the latency is the curve's, known to 1/64 of capacity."""
    cpus = 32
    period_ns = round(cpus * SERVICE_NS / load)
    extra_ns = latency_ns(load) - 80
    compute_ns = max(0, round(period_ns - 80 - extra_ns))
    machine = curved(cpus)
    k = machine.kernel
    seen: list[tuple[int, int, int]] = []

    def program(task: Any) -> Any:
        page = yield task.mmap(PAGE)
        yield task.touch(page, write=1.0)
        yield task.touch(page, sequential(), accesses=3000, compute=compute_ns)

    def observer() -> Any:
        for _ in range(2):
            yield machine.timeout(1000 * period_ns)
            seen.append((machine.now_ns, int(k.channels[0].lines), int(k.channels[0].queue_ns)))

    for cpu in range(cpus):
        machine.add(program, cpus=[cpu], start_ns=cpu * period_ns // cpus)
    machine.process(observer())
    machine.run_to_end()
    (begin_ns, lines, queue_ns), (end_ns, lines_after, queue_after_ns) = seen
    n = lines_after - lines
    load = n * SERVICE_NS / (end_ns - begin_ns)
    seen_ns = 80 + (queue_after_ns - queue_ns) / n
    # The table's steps are of 1/64 of capacity and whole ns, both rounded down; a window is some 300 lines.
    assert latency_ns(load - 1.5 / 64) - 1 <= seen_ns <= latency_ns(load + 0.5 / 64)


def curved(cpus: int) -> Machine:
    topology = build_topology(
        "curved",
        "a test",
        [Node(0, 16 << 20, tuple(range(cpus)))],
        [[10]],
        latency_ns=[[80]],
        bandwidth=[BANDWIDTH],
        curves=[CURVE],
    )
    config = Config.of(
        machine={
            "nodes": [{"memory": "16MiB", "cpus": f"0-{cpus - 1}"}],
            "distances": [[10]],
            "memory": {"model": "curve", "window": "20us"},
        }
    )
    return Machine(config, topology)


@pytest.mark.parametrize("load", [0.2, 0.5, 0.9])
def test_channel_follows_the_curve_exactly(load: float) -> None:
    """Lines at even distances: after the first window the wait is the table's entry for that load."""
    k = channel(CHANNEL_CURVE)
    k.curves[0] = np.arange(65) ** 2
    gap_ns = round(SERVICE_NS / load)
    k.channels[0].window_ns = 64 * gap_ns
    waits_ps = sent(k, np.arange(1, 1001) * gap_ns * 1000)
    assert set(waits_ps[:63].tolist()) == {0}
    assert set(waits_ps[128:].tolist()) == {int(64 * SERVICE_NS / gap_ns) ** 2 * 1000}


def test_no_curve_beats_capacity() -> None:
    """A curve that says "no delay at all" still cannot move more than the wires do."""
    k = channel(CHANNEL_CURVE)
    k.channels[0].window_ns = 1000
    instants_ps = np.arange(1, 1001) * 40_000  # 1.6 times what it can do
    waits_ps = sent(k, instants_ps)
    done_ps = instants_ps + waits_ps + SERVICE_NS * 1000
    assert np.diff(done_ps).min() == SERVICE_NS * 1000
    assert int(k.channels[0].busy_until_ps) == done_ps[-1]
