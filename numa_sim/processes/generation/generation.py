"""One generation of kernels, as tasks and the machine see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.numa import alloc_after_reclaim
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_YIELD, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import NIL
from numa_sim.state.counters import PART_DIRECT_RECLAIM

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable, Steps

_alloc_after_reclaim = entry(alloc_after_reclaim)


class Generation(ABC):
    """Its daemons, and the slow path of an allocation.

    Parameters
    ----------
    machine : Machine
        Where they run.
    """

    no_memory = "VM: killing process {name}"
    """What the kernel says of a task whose fault finds no memory."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.kernel = machine.kernel

    @abstractmethod
    def wake_daemons(self) -> None:
        """Wake the daemons that rules have asked for."""

    @abstractmethod
    def _meet(self, task: Runnable, wish: int) -> Steps:
        """Do what an allocation of `task` answered (ALLOC_RECLAIM, ...); 1 if pages were freed."""

    def finish_allocation(self, task: Runnable) -> Steps:
        """The slow path of `__alloc_pages` on the task's own time: in the end it has a page, or a failed allocation."""
        record, t = task.record, task.index
        answer = record.alloc_wants
        while answer < ALLOC_FAIL:
            freed = 0
            if answer == ALLOC_YIELD:
                yield from task.sched_yield()
            else:
                freed = yield from self._meet(task, answer)
            task.enter_kernel()
            record.cost_ns = 0
            answer = _alloc_after_reclaim(self.kernel, t, freed)
            record.got_pfn = answer if answer >= 0 else NIL
            self.machine.attend()
            yield from task.spend(record.cost_ns, PART_DIRECT_RECLAIM)
        record.alloc_failed = int(answer == ALLOC_FAIL)

    def _run_reclaim(self, task: Runnable, run: Callable[[int], int]) -> Steps:
        """Let `task` go on with the reclaim it began until that is done; RECLAIM_DONE or RECLAIM_FAILED."""
        machine, record = self.machine, task.record
        timeline = machine.timeline
        if timeline is not None:
            run = timeline.reclaiming(task, run)
        while True:
            task.enter_kernel()
            record.cost_ns = 0
            status = run(task.index)
            machine.attend()
            if status == RECLAIM_WAIT:
                yield from task.wait_on_page(record.wait_pfn, PART_DIRECT_RECLAIM, record.cost_ns, PART_DIRECT_RECLAIM)
                continue
            yield from task.spend(record.cost_ns, PART_DIRECT_RECLAIM)
            if status != RECLAIM_YIELD:
                if timeline is not None:
                    timeline.reclaimed(task.index)
                return status
            yield from task.give_way()
