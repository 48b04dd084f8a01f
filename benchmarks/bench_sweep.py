"""What a sweep costs beyond its simulations, and what a second worker brings.  Run with ``make bench``.

On a machine that does something else, wall-clock figures say little; the CPU time says more.
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from numa_sim.config.model import Config
from numa_sim.processes.collector import set_all_aside
from numa_sim.processes.machine import Machine
from numa_sim.processes.warm_up import warm_up
from numa_sim.sweep import ProcessExecutor, run_sweep

RUNS = 40
PAIRS = 5


def tiny(accesses: int, replicas: int = RUNS) -> Config:
    """A sweep of runs that each take a few milliseconds and more, by the number of accesses."""
    touch = {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": accesses, "write": 0.5}
    return Config.of(
        machine={
            "nodes": [{"memory": "8MiB", "cpus": "0"}, {"memory": "8MiB", "cpus": "1"}],
            "distances": [[10, 21], [21, 10]],
            "swap": [{"device": "nvme", "size": "16MiB"}],
        },
        workload=[{"name": "hog", "program": [{"op": "mmap", "as": "heap", "size": "18MiB"}, touch]}],
        sweep={"replicas": replicas},
    )


def seconds_of(config: Config, folder: Path, executor: Any) -> float:
    """Host time a sweep takes with workers that are there already, s."""
    started = time.perf_counter()
    assert run_sweep(config, folder, executor).done == RUNS
    return time.perf_counter() - started


def ready(workers: int) -> ProcessExecutor:
    """Workers that have loaded the compiled rules."""
    executor = ProcessExecutor(workers)
    for future in [executor.submit(warm_up) for _ in range(workers)]:
        future.result()
    return executor


def times_alone(config: Config) -> tuple[float, float]:
    """Host time and CPU time of booting and running a machine with nothing around it, in the process that asks, s."""
    wall, cpu = [], []
    for _ in range(RUNS):
        set_all_aside()  # as a worker does between runs
        started, cpu_before = time.perf_counter(), time.process_time()
        Machine(config).run_to_end()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_before)
    return statistics.median(wall), statistics.median(cpu)


def bench_overhead(benchmark: Any, tmp_path: Path) -> None:
    """Host time per run beyond booting the machine and running it in the same worker, ms (aim: at most 30)."""
    config, number, beyond = tiny(1000), itertools.count(), []
    single = config.varied(lambda document: None)
    with ready(1) as executor:

        def in_worker(function: Any, *arguments: Any) -> Any:
            return executor.submit(function, *arguments).result()

        def pair() -> None:
            alone = in_worker(times_alone, single)
            cpu_before = in_worker(time.process_time)
            wall = seconds_of(config, tmp_path / f"{next(number)}", executor)
            cpu = in_worker(time.process_time) - cpu_before
            beyond.append((1e3 * (wall / RUNS - alone[0]), 1e3 * (cpu / RUNS - alone[1])))

        benchmark.pedantic(pair, rounds=PAIRS)
    wall_ms, cpu_ms = (statistics.median(times) for times in zip(*beyond, strict=True))
    benchmark.extra_info["overhead_ms_per_run"] = round(wall_ms, 2)
    benchmark.extra_info["overhead_cpu_ms_per_run"] = round(cpu_ms, 2)
    print(f"  overhead of a run in a sweep (aim 30 ms): {wall_ms:.1f} ms, {cpu_ms:.1f} ms of it CPU time of the worker")


def bench_second_worker(benchmark: Any, tmp_path: Path) -> None:
    """Throughput of two workers over that of one: median of pairs, one after the other (aim: at least 1.8)."""
    config, number, ratios = tiny(20_000), itertools.count(), []
    with ready(1) as one, ready(2) as two:

        def pair() -> None:
            single = seconds_of(config, tmp_path / f"{next(number)}", one)
            ratios.append(single / seconds_of(config, tmp_path / f"{next(number)}", two))

        benchmark.pedantic(pair, rounds=PAIRS)
    benchmark.extra_info["speedup"] = round(statistics.median(ratios), 3)
    print(f"  two workers (aim 1.8): {statistics.median(ratios):.2f} times the throughput of one")
