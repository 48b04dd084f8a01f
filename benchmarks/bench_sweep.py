"""What a sweep costs beyond its simulations, and what a second worker brings.  Run with ``make bench``.

Wall-clock figures: on a machine that does something else they say little.
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from numa_sim.config.model import Config
from numa_sim.processes.machine import Machine
from numa_sim.processes.warm_up import warm_up
from numa_sim.sweep import ProcessExecutor, run_sweep

RUNS = 40
PAIRS = 3


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


def bench_overhead(benchmark: Any, tmp_path: Path) -> None:
    """Host time per run beyond booting the machine and running it, ms (aim: at most 30)."""
    config = tiny(1000)
    single = config.varied(lambda document: None)
    warm_up()
    alone = []
    for _ in range(RUNS):
        started = time.perf_counter()
        Machine(single).run_to_end()
        alone.append(time.perf_counter() - started)
    number = itertools.count()
    with ready(1) as executor:
        taken = benchmark.pedantic(lambda: seconds_of(config, tmp_path / f"{next(number)}", executor), rounds=PAIRS)
    del taken
    per_run_s = benchmark.stats.stats.median / RUNS
    overhead_ms = 1e3 * (per_run_s - statistics.median(alone))
    benchmark.extra_info["overhead_ms_per_run"] = round(overhead_ms, 2)
    print(f"  overhead of a run in a sweep (aim 30 ms): {overhead_ms:.1f} ms")


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
