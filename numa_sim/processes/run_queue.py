"""Who is next on a CPU: 2.4's goodness, kernel/sched.c, on one run queue per CPU; and who moves to an idle one.

In 2.4 every runnable task uses up its time slice (``counter``) once before any gets a new one, the best goodness first:
what is left of its counter, 20 less its nice value, and 1 if it has the address space that is loaded already.  Here
such a round is kept by number: who joins a queue is in the round after the running task's, and nobody of a later round
runs before those of an earlier one.  So tasks of equal nice value and different address spaces take turns in the order
of their coming, and nobody starves.

Simplified: one queue per CPU instead of one for all; every turn begins with a full slice; a task that wakes does not
preempt the one that runs; no real-time policies.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from numa_sim.compiled import entry
from numa_sim.config.kernel import Balance
from numa_sim.state.counters import MIGRATIONS_ACROSS_NODES, MIGRATIONS_WITHIN_NODE
from numa_sim.state.event_codes import EV_MIGRATE_TASK
from numa_sim.state.events import count, log_event

if TYPE_CHECKING:
    from numa_sim.processes.cpu import Cpu
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable

DEF_PRIORITY: Final = 20
_TICKS_AT_ZERO: Final = 6

_count = entry(count)
_log_event = entry(log_event)


def nice_to_ticks(nice: int) -> int:
    """NICE_TO_TICKS @2.4 at HZ 100: ticks of the time slice, 11 at nice -20, 6 at 0, 1 at 19."""
    return ((DEF_PRIORITY - nice) >> 2) + 1


def slice_ns(nice: int, base_ns: int) -> int:
    """Time slice of a task of that nice value, where `base_ns` is the slice at nice 0."""
    return base_ns * nice_to_ticks(nice) // _TICKS_AT_ZERO


def goodness(task: Runnable, mm: int) -> int:
    """How good it is to run `task` with address space `mm` loaded (NIL: none of user space, or no bonus for it)."""
    nice = int(task.record.nice)
    return nice_to_ticks(nice) + DEF_PRIORITY - nice + int(task.record.mm == mm)


class RunQueue:
    """The tasks that wait for one CPU, in rounds."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: deque[tuple[int, Runnable]] = deque()
        self._round = self._last_round = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, task: Runnable, again: bool = False) -> None:
        """Let `task` wait for its turn in the next round; `again`: it is the one that ran up to this instant."""
        self._waiting.append(((self._last_round if again else self._round) + 1, task))

    def pop(self, mm: int) -> Runnable:
        """The best task of the first round, the one that came first among equals; `mm` is loaded."""
        self._last_round = self._round
        self._round, task = self._waiting[0]
        if len(self._waiting) == 1:
            self._waiting.clear()
            return task
        best, most = 0, -1
        for at, (round_, task) in enumerate(self._waiting):
            if round_ != self._round:
                break
            good = goodness(task, mm)
            if good > most:
                best, most = at, good
        task = self._waiting[best][1]
        del self._waiting[best]
        return task

    def pull(self, cpu: int) -> Runnable | None:
        """Give away the first task that may run on `cpu`; None if there is none."""
        for at, (_, task) in enumerate(self._waiting):
            if cpu in task.allowed:
                del self._waiting[at]
                return task
        return None


def load_balance(machine: Machine, idle: Cpu, switches: Balance) -> Runnable | None:
    """A task for a CPU that has run out of them, from the longest queue of its node, else of another node.

    Returns
    -------
    Runnable or None
        Taken off the other CPU's queue; the move is logged and counted (migrations_within_node, _across_nodes).
    """
    for wanted, is_near, counter in (
        (switches.within_node, True, MIGRATIONS_WITHIN_NODE),
        (switches.across_nodes, False, MIGRATIONS_ACROSS_NODES),
    ):
        if not wanted:
            continue
        busy = [cpu for cpu in machine.cpus if (cpu.node == idle.node) is is_near and len(cpu.queue)]
        for cpu in sorted(busy, key=lambda cpu: (-len(cpu.queue), cpu.number)):
            task = cpu.queue.pull(idle.number)
            if task is not None:
                machine.enter_kernel(task.index, idle.number)
                _count(machine.kernel, idle.node, counter, 1)
                _log_event(machine.kernel, EV_MIGRATE_TASK, task.index, idle.number)
                task.cpu = idle
                return task
    return None
