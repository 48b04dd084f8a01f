"""mmap_sem: the semaphore of each address space that its threads sleep on (spec 7.1).

Who changes areas (mmap, munmap, the parent's copy in fork) takes it alone.  A page fault takes it shared, in 2.2 and
2.4.0 alone too; but only a fault that must sleep or reclaim holds it for longer than an instant, so only that takes it
here (see `numa_sim.kernel.mmap_sem` for the others).  First come, first served; readers one behind the other go in
together.

Off with ``kernel.switches.locks``.  An address space of one task takes none, as nobody could wait.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from numa_sim.kernel.locks import mmap_sem_lock
from numa_sim.processes.signal import Signal
from numa_sim.state.constants import KERNEL_2_4_0, MMAP_SEM_BLOCKS, MMAP_SEM_SHARED, NIL
from numa_sim.state.counters import PART_LOCK_WAIT
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable, Steps


class MmapSem:
    """The semaphore of one address space.

    Parameters
    ----------
    machine : Machine
        Where its tasks run.
    mm : int
        Row in ``kernel.mms``.
    """

    def __init__(self, machine: Machine, mm: int) -> None:
        self.machine = machine
        self.faults_exclude = machine.vm.profile <= KERNEL_2_4_0
        self._mm = row(machine.kernel.mms, mm)
        self._counts = row(machine.kernel.locks, mmap_sem_lock(machine.kernel, mm))
        self._readers = 0
        self._written_by_one = False
        self._taken_ns = 0
        self._waiting: deque[tuple[Signal, bool]] = deque()

    def down(self, task: Runnable, alone: bool) -> Steps:
        """Take it, alone or shared; sleep until it is free, as long as that takes."""
        self._counts.acquisitions += 1
        if self._waiting or self._written_by_one or (alone and self._readers):
            since_ns = self.machine.now_ns
            granted = Signal(self.machine)
            self._waiting.append((granted, alone))
            self.publish()
            yield from task.sleep_until(granted.armed(), PART_LOCK_WAIT)
            self._counts.contentions += 1
            self._counts.wait_ns += self.machine.now_ns - since_ns
        else:
            self._enter(alone)
            self.publish()

    def up(self) -> None:
        """Give it back, to whoever waits first."""
        self._counts.hold_ns += self.machine.now_ns - self._taken_ns
        if self._written_by_one:
            self._written_by_one = False
        else:
            self._readers -= 1
        while self._waiting and not self._written_by_one and not (self._readers and self._waiting[0][1]):
            granted, alone = self._waiting.popleft()
            self._enter(alone)
            granted.come_in(0)
        self.publish()

    def _enter(self, alone: bool) -> None:
        if not self._readers:
            self._taken_ns = self.machine.now_ns
        if alone:
            self._written_by_one = True
        else:
            self._readers += 1

    def publish(self) -> None:
        """Tell the access loop what its faults have to do."""
        blocked = self._written_by_one or bool(self._waiting)
        apart = self.faults_exclude and self._mm.mm_users > 1
        self._mm.mmap_sem = MMAP_SEM_BLOCKS * blocked | MMAP_SEM_SHARED * apart


class MmapSems:
    """Those of a machine.

    Parameters
    ----------
    machine : Machine
        Which.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._sems: dict[int, MmapSem] = {}

    def of(self, task: Runnable) -> MmapSem | None:
        """The one `task` has to take; None if no other task could hold it."""
        mm = task.record.mm
        if mm == NIL or not self._machine.vm.locks:
            return None
        return self._sems.get(mm)

    def shared(self, mm: int) -> None:
        """Another task uses `mm` now (clone)."""
        if self._machine.vm.locks:
            if mm not in self._sems:
                self._sems[mm] = MmapSem(self._machine, mm)
            self._sems[mm].publish()

    def left(self, mm: int) -> None:
        """A task does not use `mm` any longer."""
        if mm in self._sems:
            self._sems[mm].publish()
            if self._machine.kernel.mms[mm].mm_users == 0:
                del self._sems[mm]


def holding_mmap_sem(task: Runnable, steps: Steps) -> Steps:
    """Carry out `steps`, which change the areas of the address space of `task`, alone."""
    sem = task.machine.mmap_sems.of(task)
    if sem is None:
        return (yield from steps)
    yield from sem.down(task, alone=True)
    try:
        return (yield from steps)
    finally:
        sem.up()
