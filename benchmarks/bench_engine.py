"""What the engine does in a second: accesses, faults, frames.  Each benchmark asserts the work it was timed for.

Run with ``make bench``.  Rates are in ``extra_info`` and printed at the end of each test's line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import simpy

from numa_sim.processes.machine import Machine
from numa_sim.state.counters import ANON_WRITE_FAULTS, PGSTEAL_DIRECT, PGSTEAL_KSWAPD, PSWPOUT
from numa_sim.state.kernel import bytes_per_frame
from numa_sim.units import parse_bytes
from numa_sim.workloads.patterns import sequential, uniform, zipf

FOUR_GIB_PAGES = 1 << 20
ROUNDS = 3


def machine(cpus: int, memory: str = "6GiB", **tables: Any) -> Machine:
    """One node per two CPUs up to two nodes."""
    half = max(1, cpus // 2)
    if cpus == 1:
        return Machine.of(nodes=[{"memory": memory, "cpus": "0"}], distances=[[10]], run={"sample": "10s"}, **tables)
    nodes = [{"memory": memory, "cpus": f"0-{half - 1}"}, {"memory": memory, "cpus": f"{half}-{cpus - 1}"}]
    return Machine.of(nodes=nodes, distances=[[10, 21], [21, 10]], run={"sample": "10s"}, **tables)


class Phase:
    """A machine run up to the phase to be timed, and the rest of it.

    Programs call `reached` right before the phase; `rest` is what is timed.
    """

    def __init__(self, m: Machine) -> None:
        self.machine = m
        self.waiting = len(m.tasks)

    def reached(self) -> None:
        """One task is about to begin the phase."""
        self.waiting -= 1

    def prepare(self) -> None:
        """Step until every task has reached the phase."""
        while self.waiting:
            self.machine.step()

    def rest(self) -> None:
        """Step until every task has ended."""
        self.machine.run(until=simpy.AllOf(self.machine, [task.process for task in self.machine.tasks]))


def measure(benchmark: Any, make: Callable[[], Phase], work: Callable[[Machine], int], unit: str) -> None:
    """Time the phases of fresh machines; all must do the same work, which is printed as a rate."""
    machines: list[Machine] = []

    def setup() -> tuple[tuple[Phase], dict[str, Any]]:
        phase = make()
        phase.prepare()
        machines.append(phase.machine)
        return (phase,), {}

    benchmark.pedantic(Phase.rest, setup=setup, rounds=ROUNDS, warmup_rounds=1)
    amounts = {work(m) for m in machines}
    assert len(amounts) == 1, f"the same work every time, not {amounts}"
    amount = amounts.pop()
    rate = amount / benchmark.stats["median"]
    benchmark.extra_info[f"{unit} per second"] = round(rate)
    print(f"  {rate / 1e6:.3f} M {unit}/s (median of {ROUNDS}: {amount} in {benchmark.stats['median']:.3f} s)")


@pytest.mark.parametrize("cpus", [1, 4, 16])
@pytest.mark.parametrize("name", ["sequential", "uniform", "zipf"])
def bench_resident_accesses(benchmark: Any, cpus: int, name: str) -> None:
    """Resident accesses per second over 4 GiB: aims 80 M (sequential, 1 CPU), 20 M (uniform, 1), 8 M (zipf, 16)."""
    pattern = {"sequential": sequential, "uniform": uniform, "zipf": lambda: zipf(0.99)}[name]
    accesses = (16_000_000 if cpus == 1 else 8_000_000) // cpus

    def make() -> Phase:
        m = machine(cpus, "6GiB" if cpus == 1 else "4GiB")

        def program(task: Any) -> Any:
            heap = yield task.mmap(parse_bytes("4GiB") // cpus)
            yield task.touch(heap, sequential(), write=1.0)
            yield task.sleep("100s")
            phase.reached()
            yield task.touch(heap, pattern(), accesses=accesses)

        for cpu in range(cpus):
            m.add(program, name=f"task{cpu}", cpus=[cpu])
        phase = Phase(m)
        return phase

    def work(m: Machine) -> int:
        assert int(m.kernel.vmstat[:, ANON_WRITE_FAULTS].sum()) == FOUR_GIB_PAGES
        return sum(task.record.accesses_done for task in m.tasks) - FOUR_GIB_PAGES

    measure(benchmark, make, work, "accesses")


def bench_first_touch(benchmark: Any) -> None:
    """First-touch faults per second (aim 10 M) on frames used before, so that the host has their memory in place."""

    def make() -> Phase:
        m = machine(1)

        def program(task: Any) -> Any:
            heap = yield task.mmap("4GiB")
            yield task.touch(heap, sequential(), write=1.0)
            yield task.munmap(heap)
            heap = yield task.mmap("4GiB")
            phase.reached()
            yield task.touch(heap, sequential(), write=1.0)

        m.add(program, cpus=[0])
        phase = Phase(m)
        return phase

    measure(benchmark, make, lambda m: int(m.kernel.vmstat[0, ANON_WRITE_FAULTS]) - FOUR_GIB_PAGES, "faults")


@pytest.mark.parametrize("readahead", [False, True])
def bench_major_faults(benchmark: Any, readahead: bool) -> None:
    """Swap-bound major faults per second on one CPU (aim 50 k): uniform reads of 150 MiB in 64 MiB of memory."""
    before: list[int] = []

    def make() -> Phase:
        m = Machine.of(
            nodes=[{"memory": "64MiB", "cpus": "0"}],
            distances=[[10]],
            swap=[{"device": "nvme", "size": "512MiB"}],
            kernel={"switches": {"readahead": readahead}},
        )

        def program(task: Any) -> Any:
            heap = yield task.mmap("150MiB")
            yield task.touch(heap, sequential(), write=1.0)
            before.append(m.tasks[0].record.maj_flt)
            phase.reached()
            yield task.touch(heap, uniform(), accesses=30_000)

        m.add(program, cpus=[0])
        phase = Phase(m)
        return phase

    def work(m: Machine) -> int:
        faults = int(m.tasks[0].record.maj_flt) - before[0]
        assert faults > 15_000
        return faults

    measure(benchmark, make, work, "major faults")


RECLAIM_PROFILES = ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"]


def evicted(m: Machine) -> int:
    """Pages that reclaim has freed."""
    return int(m.kernel.vmstat[:, [PGSTEAL_KSWAPD, PGSTEAL_DIRECT]].sum())


@pytest.mark.parametrize("device", ["nvme", "hdd"])
@pytest.mark.parametrize("profile", RECLAIM_PROFILES)
def bench_evictions_to_swap(benchmark: Any, profile: str, device: str) -> None:
    """Dirty anonymous pages written to swap and freed per second (aim 150 k): stores to 512 MiB in 64 MiB of memory."""

    def make() -> Phase:
        m = Machine.of(
            nodes=[{"memory": "64MiB", "cpus": "0"}],
            distances=[[10]],
            swap=[{"device": device, "size": "1GiB"}],
            kernel={"profile": profile},
        )

        def program(task: Any) -> Any:
            heap = yield task.mmap("512MiB")
            phase.reached()
            yield task.touch(heap, sequential(), write=1.0)

        m.add(program, cpus=[0])
        phase = Phase(m)
        return phase

    def work(m: Machine) -> int:
        assert evicted(m) >= 110_000 <= int(m.kernel.vmstat[0, PSWPOUT])
        return evicted(m)

    measure(benchmark, make, work, "pages evicted")


@pytest.mark.parametrize("profile", RECLAIM_PROFILES)
def bench_clean_evictions(benchmark: Any, profile: str) -> None:
    """Clean file pages freed per second (aim 1 M): stores to 768 MiB in 1 GiB of memory full of a file."""
    before: list[int] = []

    def make() -> Phase:
        m = Machine.of(
            nodes=[{"memory": "1GiB", "cpus": "0"}],
            distances=[[10]],
            disk=[{"name": "disk", "device": "nvme", "size": "4GiB"}],
            file=[{"name": "data", "disk": "disk", "size": "1GiB"}],
            kernel={"profile": profile},
        )

        def program(task: Any) -> Any:
            file = yield task.open("data")
            yield task.read(file, "1GiB")
            heap = yield task.mmap("768MiB")
            before.append(evicted(m))
            phase.reached()
            yield task.touch(heap, sequential(), write=1.0)

        m.add(program, cpus=[0])
        phase = Phase(m)
        return phase

    def work(m: Machine) -> int:
        assert int(m.kernel.vmstat[0, PSWPOUT]) == 0
        assert evicted(m) - before[0] > 190_000
        return evicted(m) - before[0]

    measure(benchmark, make, work, "pages evicted")


def bench_boot_1tib(benchmark: Any) -> None:
    """Boot of a machine of eight nodes with 128 GiB each (aim 2 s), and its bytes per frame (aim 64)."""
    nodes = [{"memory": "128GiB", "cpus": f"{i}"} for i in range(8)]
    distances = [[10 if i == j else 21 for j in range(8)] for i in range(8)]

    def boot() -> Machine:
        return Machine.of(nodes=nodes, distances=distances, run={"sample": "10s"})

    m = benchmark.pedantic(boot, rounds=ROUNDS, warmup_rounds=1)
    assert int(m.kernel.vm[0].total_pages) == 1 << 28
    assert int(m.kernel.zones.free_pages.sum()) > 0.97 * (1 << 28)
    benchmark.extra_info["bytes per frame"] = round(bytes_per_frame(m.kernel), 2)
    print(f"  boot of 1 TiB: {benchmark.stats['median']:.3f} s; {bytes_per_frame(m.kernel):.1f} bytes per frame")
    assert bytes_per_frame(m.kernel) <= 64


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("--help (aim 0.4 s)", ["--help"]),
        ("warm start (aim 2 s)", ["run", "{config}", "--quiet", "--no-picture", "--out", "{out}"]),
        ("warm start with picture", ["run", "{config}", "--quiet", "--out", "{out}"]),
    ],
)
def bench_start_up(benchmark: Any, what: str, command: list[str], tmp_path: Any) -> None:
    """Whole process: the help text, and a run of next to nothing; rules and Python's byte code are in their caches."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    config = tmp_path / "tiny.toml"
    config.write_text(
        '[machine]\nnodes = [{memory = "64MiB", cpus = "0"}]\ndistances = [[10]]\n'
        '[[workload]]\nname = "tiny"\nprogram = [{op = "mmap", as = "heap", size = "1MiB"},'
        '{op = "touch", on = "heap", pattern = {kind = "sequential"}, accesses = 256, write = 1.0}]\n'
    )
    count = iter(range(100))

    def start() -> None:
        words = [word.format(config=config, out=tmp_path / f"run{next(count)}") for word in command]
        command_line = [sys.executable, "-m", "numa_sim", *words]
        done = subprocess.run(command_line, capture_output=True, check=True, text=True, env=environment)
        assert done.returncode == 0

    benchmark.pedantic(start, rounds=5, warmup_rounds=1)
    print(f"  {what}: {benchmark.stats['median']:.2f} s")
