"""fork and copy-on-write: page-table entries copied and pages copied in a second.  Run with ``make bench``."""

from __future__ import annotations

from typing import Any

from benchmarks.bench_engine import Phase, machine, measure
from numa_sim.processes.machine import Machine
from numa_sim.state.counters import COW_FAULTS, COW_REUSES, FORK_PTES, FORKS
from numa_sim.workloads.patterns import sequential

GIB_PAGES = 1 << 18
FORKED = 8
TENTH = GIB_PAGES // 10


def counted(m: Machine, counter: int) -> int:
    """A counter, all nodes together."""
    return int(m.kernel.vmstat[:, counter].sum())


def bench_fork(benchmark: Any) -> None:
    """Page-table entries a second in forks of a process of 1 GiB (aim 5 M); the children exit at once."""

    def make() -> Phase:
        m = machine(1)

        def child(task: Any) -> Any:
            yield task.exit()

        def program(task: Any) -> Any:
            heap = yield task.mmap("1GiB")
            yield task.touch(heap, sequential(), write=1.0)
            phase.reached()
            for _ in range(FORKED):
                yield task.fork(child)
                yield task.wait()

        m.add(program)
        phase = Phase(m)
        return phase

    def work(m: Machine) -> int:
        assert counted(m, FORKS) == FORKED
        assert counted(m, FORK_PTES) == FORKED * GIB_PAGES
        assert counted(m, COW_FAULTS) == 0
        assert not m.kernel.mms.rss.any()
        return FORKED * GIB_PAGES

    measure(benchmark, make, work, "entries")


def bench_copy_on_write(benchmark: Any) -> None:
    """Copies a second (aim 0.2 M): a child writes to a tenth of the 1 GiB it shares with its parent."""

    def make() -> Phase:
        m = machine(1)
        shared: list[Any] = []

        def child(task: Any) -> Any:
            phase.reached()
            yield task.touch(shared[0], sequential(), accesses=TENTH, write=1.0)

        def program(task: Any) -> Any:
            heap = yield task.mmap("1GiB")
            shared.append(heap)
            yield task.touch(heap, sequential(), write=1.0)
            yield task.fork(child)
            yield task.wait()

        m.add(program)
        phase = Phase(m)
        return phase

    def work(m: Machine) -> int:
        assert counted(m, COW_FAULTS) == TENTH
        assert counted(m, COW_REUSES) == 0
        assert counted(m, FORK_PTES) == GIB_PAGES
        return TENTH

    measure(benchmark, make, work, "copies")
