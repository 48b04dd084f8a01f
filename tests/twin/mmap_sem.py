"""The twin's mmap_sem: who changes an address space has it alone, faults that sleep share it (2.2, 2.4.0: alone too).

One for each address space that more than one task has ever used, as long as it lives; none without locks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from numa_sim.kernel.locks import mmap_sem_lock
from numa_sim.state.constants import MMAP_SEM_BLOCKS, MMAP_SEM_SHARED
from numa_sim.state.counters import PART_LOCK_WAIT

if TYPE_CHECKING:
    from twin.machine import Twin
    from twin.on_cpu import OnCpu, Steps


@dataclass
class Semaphore:
    """Who has it and who waits; first come, first served."""

    holders: list[bool] = field(default_factory=list)
    """Of each holder, whether it has it alone."""
    waiting: list[tuple[bool, simpy.Event]] = field(default_factory=list)
    since_ns = 0

    def admits(self, alone: bool) -> bool:
        return not self.holders if alone else True not in self.holders


class Semaphores:
    """Those of a machine, by address space."""

    def __init__(self, machine: Twin) -> None:
        self.machine, self.k = machine, machine.k
        self.faults_exclude = machine.config.kernel.profile in ("linux-2.2", "linux-2.4.0")
        self.of: dict[int, Semaphore] = {}

    def shared(self, mm: int) -> None:
        """Another task uses the address space now."""
        if self.machine.config.kernel.switches.locks:
            self.of.setdefault(mm, Semaphore())
            self.tell(mm)

    def left(self, mm: int) -> None:
        """A task does not use it any more; the last one takes the semaphore with it."""
        if mm in self.of:
            self.tell(mm)
            if not self.k.mms[mm].mm_users:
                del self.of[mm]

    def held(self, task: OnCpu, steps: Steps, alone: bool) -> Steps:
        """Carry out `steps` with the semaphore of the task's address space, if it has one."""
        mm = int(task.record.mm)
        if mm not in self.of:
            return (yield from steps)
        sem, counts = self.of[mm], self.k.locks[mmap_sem_lock(self.k, mm)]
        counts.acquisitions += 1
        if sem.waiting or not sem.admits(alone):
            begin_ns = self.machine.now
            turn = simpy.Event(self.machine)
            sem.waiting.append((alone, turn))
            self.tell(mm)
            yield from task.sleep(turn, PART_LOCK_WAIT, 0, PART_LOCK_WAIT)
            counts.contentions += 1
            counts.wait_ns += self.machine.now - begin_ns
        else:
            self.enter(mm, alone)
        try:
            return (yield from steps)
        finally:
            self.leave(mm, alone)

    def enter(self, mm: int, alone: bool) -> None:
        sem = self.of[mm]
        if not sem.holders:
            sem.since_ns = self.machine.now
        sem.holders.append(alone)
        self.tell(mm)

    def leave(self, mm: int, alone: bool) -> None:
        """Out, and in with those who come first: one alone, or several that share."""
        sem = self.of[mm]
        self.k.locks[mmap_sem_lock(self.k, mm)].hold_ns += self.machine.now - sem.since_ns
        sem.holders.remove(alone)
        while sem.waiting and sem.admits(sem.waiting[0][0]):
            first, turn = sem.waiting.pop(0)
            self.enter(mm, first)
            turn.succeed()
        self.tell(mm)

    def tell(self, mm: int) -> None:
        """What faults in the access loop have to mind."""
        sem, space = self.of[mm], self.k.mms[mm]
        space.mmap_sem = MMAP_SEM_BLOCKS if sem.waiting or True in sem.holders else 0
        if self.faults_exclude and space.mm_users > 1:
            space.mmap_sem |= MMAP_SEM_SHARED
