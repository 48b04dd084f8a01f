"""How far a TLB and a memory reach: misses and faults are what the working set leaves over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shape.machines import PAGE, one_node, ptes_of

from numa_sim.processes.machine import Machine
from numa_sim.state.constants import PTE_PRESENT
from numa_sim.state.counters import PGMAJFAULT, SWAP_FAULTS
from numa_sim.workloads.patterns import sequential, uniform


def tlb_misses(machine: Machine, pages: int, rounds: int) -> list[int]:
    """Misses of each round over `pages` pages, after one round of first touches."""
    misses: list[int] = []

    def program(task: Any) -> Any:
        heap = yield task.mmap(pages * PAGE)
        yield task.touch(heap, write=1.0)
        for _ in range(rounds):
            before = int(machine.kernel.cpus[0].tlb_misses)
            yield task.touch(heap, sequential())
            misses.append(int(machine.kernel.cpus[0].tlb_misses) - before)

    machine.add(program, cpus=[0])
    machine.run_to_end()
    return misses


@pytest.mark.parametrize(("entries", "ways"), [(64, 4), (64, 64), (32, 1), (96, 6), (1, 1)])
def test_tlb_reach(entries: int, ways: int) -> None:
    """A working set that fits never misses; one page more, and its set misses at every access in it.

    Sets are replaced in turn and the pages come in turn, so with one page too many each is gone when it is due.
    """
    tlb = {"entries": entries, "ways": ways}
    assert tlb_misses(one_node(tlb=tlb), entries, 3) == [0, 0, 0]
    assert tlb_misses(one_node(tlb=tlb), entries + 1, 3) == [ways + 1] * 3
    assert tlb_misses(one_node(tlb=tlb), entries + entries // ways, 3) == [entries + entries // ways] * 3


@pytest.mark.parametrize("share", [1.3, 1.8])
def test_uniform_hit_ratio(share: float) -> None:
    """Each access is independent of what memory holds, so it hits with probability resident / working set.

    That is so under any policy of replacement, at every instant; `resident` changes, so it is looked at every 100
    accesses.  A miss is a fault on a page that is not mapped (a first store to a page read back from swap faults too,
    but the page is there).  A page that is not mapped may still be in the swap cache; major faults are those on pages
    that are in neither, when nothing is read ahead.
    """
    machine = one_node(
        swap=[{"device": "nvme", "size": "64MiB"}], size="12MiB", kernel={"switches": {"readahead": False}}
    )
    k = machine.kernel
    pages = int(share * int(k.zones["free_pages"].sum()))
    resident: list[float] = []
    readable: list[float] = []
    counts: list[tuple[int, int]] = []

    def note() -> None:
        counts.append((int(k.vmstat[:, SWAP_FAULTS].sum()), int(k.vmstat[:, PGMAJFAULT].sum())))

    def program(task: Any) -> Any:
        heap = yield task.mmap(pages * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.touch(heap, uniform(), accesses=2 * pages, write=0.3)
        note()
        for _ in range(400):
            mapped, cached = states(heap.start_vpn)
            resident.append(mapped / pages)
            readable.append((mapped + cached) / pages)
            yield task.touch(heap, uniform(), accesses=100, write=0.3)
        note()

    def states(start: int) -> tuple[int, int]:
        """Pages mapped, and pages not mapped but in the swap cache."""
        ptes = ptes_of(k, 2, start, pages)
        mapped = ptes & PTE_PRESENT != 0
        slots = ptes[~mapped & (ptes != 0)] >> 8
        return int(mapped.sum()), int((np.asarray(k.swap_cache)[slots] != 0).sum())

    machine.add(program, cpus=[0])
    machine.run_to_end()
    (faults, majors), (faults_after, majors_after) = counts
    accesses = 400 * 100
    assert 1 - (faults_after - faults) / accesses == pytest.approx(np.mean(resident), abs=0.01)
    assert (majors_after - majors) / accesses == pytest.approx(1 - np.mean(readable), abs=0.01)
    assert np.mean(resident) < 0.9
