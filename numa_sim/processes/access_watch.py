"""Watching what tasks access, for the access map: a look at how far each has come, every sampling interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.observe.access_map import AccessMap
from numa_sim.state.constants import NIL

if TYPE_CHECKING:
    from numa_sim.config.run import AccessMap as Settings
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.task import TaskProcess


class AccessWatch:
    """Tells the `AccessMap` which accesses have been made; reads only what the machine keeps anyhow.

    Parameters
    ----------
    machine : Machine
        Whose tasks.
    settings : AccessMap of `numa_sim.config.run`
        How finely.
    """

    def __init__(self, machine: Machine, settings: Settings) -> None:
        self._machine = machine
        self._seen: dict[TaskProcess, int] = {}
        self._numbers: dict[TaskProcess, int] = {}
        self.map = AccessMap(int(settings.sample), int(settings.aggregate), int(settings.region))

    def note(self, task: TaskProcess, next_from: int | None = None) -> None:
        """Note what `task` has accessed of its buffer since the last time.

        `next_from` is where it goes on, if its buffer is about to be filled anew or was put back.
        """
        done = int(task.record.access_next)
        pages = task.accesses["vpn"][self._seen.get(task, 0) : done]
        if len(pages):
            self._add(task, pages.astype(np.int64))
        self._seen[task] = done if next_from is None else next_from

    def note_page(self, task: TaskProcess, vpn: int) -> None:
        """Note that a system call of `task` has copied to or from one of its pages."""
        self._add(task, np.array([vpn], np.int64))

    def _add(self, task: TaskProcess, pages: Any) -> None:
        number = self._numbers.get(task)
        if number is None:
            number = self._numbers[task] = self._machine.tasks.index(task)
        self.map.add(number, self._process(task), pages)

    def forget(self, task: TaskProcess) -> None:
        """`task` ends."""
        self.note(task)
        del self._seen[task]
        self._numbers.pop(task, None)

    def watch(self) -> Any:
        """SimPy process: look every sampling interval."""
        while True:
            yield self._machine.timeout(self.map.sample_ns)
            self._look()
            self.map.end_sample(self._machine.now_ns)

    def finish(self) -> None:
        """The run is over."""
        self._look()
        self.map.finish(self._machine.now_ns)

    def _look(self) -> None:
        for task in tuple(self._seen):
            self.note(task)

    @staticmethod
    def _process(task: TaskProcess) -> int:
        """Pid of the task that brought the address space `task` is in: of threads, the one that made them."""
        while task.parent is not None and task.record.mm == task.parent.record.mm != NIL:
            task = task.parent
        return int(task.record.pid)
