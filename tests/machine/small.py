"""Small machines for whole-machine tests, and what a finished run must always fulfil."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from numa_sim.observe.latency import check_sums
from numa_sim.observe.result import RunResult
from numa_sim.processes.machine import Machine
from numa_sim.state.counters import TIME_PARTS, VMSTAT
from numa_sim.workloads.patterns import from_arrays

PAGE = 4096
MIB_PAGES = 256
NVME = {"device": "nvme", "size": "16MiB", "priority": 5}
ZRAM = {"device": "zram", "size": "16MiB", "priority": 5}

Program = Generator[Any, Any, None]


def small(
    nodes: tuple[int, ...] = (4,), cpus: tuple[str, ...] | None = None, swap: tuple[Any, ...] = (NVME,), **tables: Any
) -> Machine:
    """A machine with `nodes` MiB of memory each and one CPU per node, unless `cpus` says otherwise."""
    n = len(nodes)
    cpus = cpus if cpus is not None else tuple(str(i) for i in range(n))
    tables.setdefault("distances", [[10 if i == j else 20 for j in range(n)] for i in range(n)])
    return Machine.of(
        nodes=[{"memory": f"{mib}MiB", "cpus": cpu} for mib, cpu in zip(nodes, cpus, strict=True)],
        swap=[dict(area) for area in swap],
        **tables,
    )


def finish(machine: Machine) -> RunResult:
    """Run to the end; every task's time parts must sum exactly to its run time."""
    result = machine.run_to_end()
    check_sums(machine.kernel, [row.task for row in result.tasks], result.end_ns)
    return result


def counters(machine: Machine) -> dict[str, int]:
    """Every counter, all nodes together."""
    return dict(zip(VMSTAT, machine.kernel.vmstat.sum(axis=0).tolist(), strict=True))


def parts(machine: Machine, task: int = 2) -> dict[str, int]:
    """Where a task's time went, ns."""
    return dict(zip(TIME_PARTS, machine.kernel.time_parts[task].tolist(), strict=True))


def free_pages(machine: Machine) -> int:
    """Free frames of all zones."""
    return int(machine.kernel.zones["free_pages"].sum())


def sweep(pages: int, times: int = 1, write: float = 1.0) -> Any:
    """A program that walks over `pages` pages in order, `times` times."""

    def program(task: Any) -> Program:
        heap = yield task.mmap(pages * PAGE)
        for _ in range(times):
            yield task.touch(heap, write=write)

    return program


def walk(pages: int, visits: Any, writes: Any = 1, compute_ns: int = 0) -> Any:
    """A program that maps `pages` pages and visits the given ones, in the given order."""

    def program(task: Any) -> Program:
        heap = yield task.mmap(pages * PAGE)
        yield task.touch(heap, from_arrays(np.asarray(visits, np.int64), writes=writes, compute_ns=compute_ns))

    return program
