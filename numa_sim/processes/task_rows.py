"""Rows of ``kernel.tasks`` for programs: how many there are, who has which, and what a task begins as."""

from __future__ import annotations

from collections.abc import Mapping
from os import strerror
from typing import TYPE_CHECKING

from numa_sim.errors import SimulationError
from numa_sim.kernel.mempolicy import set_mempolicy
from numa_sim.kernel.resource import setrlimit
from numa_sim.processes.mempolicy import number_of
from numa_sim.state.constants import RLIMITS, TASK_KRECLAIMD
from numa_sim.state.kernel import Kernel

if TYPE_CHECKING:
    from numa_sim.processes.task import TaskProcess
    from numa_sim.workloads.mempolicy import MemPolicy

FIRST_USER_TASK = 2
"""Rows 0 (swapper) and 1 (kswapd) of ``kernel.tasks`` are the kernel's own; the last ones are the other daemons'."""


class TaskRows:
    """The rows programs may have.

    A task that has ended keeps its row, for its record is part of the result; so a machine has room for so many tasks
    in all its run.

    Parameters
    ----------
    kernel : Kernel
        Whose rows.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._end = len(kernel.tasks) + TASK_KRECLAIMD
        self._next = FIRST_USER_TASK
        self._given_back: list[int] = []
        self.refused = 0
        """How often there was none left."""
        self._tasks: dict[int, TaskProcess] = {}

    @property
    def limit(self) -> int:
        """Tasks there is room for."""
        return self._end - FIRST_USER_TASK

    @property
    def bound(self) -> str:
        """Why there is no more, and what helps."""
        return f"kernel.max_tasks allows {self.limit} tasks in a whole run, those that have ended included; raise it"

    def reserve(self) -> int | None:
        """A row for a new task; None if there is none left."""
        if self._given_back:
            return self._given_back.pop()
        if self._next >= self._end:
            self.refused += 1
            return None
        self._next += 1
        return self._next - 1

    def give_back(self, row: int) -> None:
        """Return a row no task has had yet: its fork has failed."""
        self._given_back.append(row)

    def enter(self, row: int, task: TaskProcess) -> None:
        """Note who has a reserved row."""
        self._tasks[row] = task

    def __getitem__(self, row: int) -> TaskProcess:
        """Whose row it is."""
        return self._tasks[row]

    def sharing(self, mm: int) -> list[TaskProcess]:
        """The tasks that use address space `mm`, in the order of their rows."""
        return [task for _, task in sorted(self._tasks.items()) if task.record.mm == mm]


def begin_as(
    k: Kernel, row: int, nice: int, root: bool, limits: Mapping[str, int], mempolicy: MemPolicy | None
) -> None:
    """Give a new task what `Machine.add` says of it; `SimulationError` if the kernel refuses."""
    record = k.tasks[row]
    record.nice, record.root, record.rawio = nice, int(root), int(root)
    for resource, limit in limits.items():
        if setrlimit(k, row, resource, limit):
            raise SimulationError(f"limit {resource!r} of {limit} bytes (limits are {', '.join(RLIMITS)})")
    if mempolicy is not None:
        policy = number_of(k, mempolicy)
        if policy < 0:
            raise SimulationError(f"memory policy {mempolicy.mode} of nodes {mempolicy.nodes}: {strerror(-policy)}")
        set_mempolicy(k, row, policy)
