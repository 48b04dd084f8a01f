"""A run that takes more than its budget is given up, and what it was doing is told."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import simpy

from numa_sim.config.budget import Budget
from numa_sim.errors import BudgetError
from numa_sim.units import format_ns

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.task import TaskProcess

TOLD: Final = 50
"""Events that are told of, the last ones."""
_LOOKS: Final = 64
"""Acts of the simulation between two looks at the clock."""


class Watchdog:
    """Counts what a machine does, from when it is made, and remembers the last of it.

    It stands before the methods of the machine through which whatever goes on passes, `Machine.step`,
    `Machine.let_pass` and `Machine.enter_kernel`, and tasks tell it of their operations: one that takes no time comes
    through nothing else.  A machine without a budget has no watchdog, and pays nothing.

    Parameters
    ----------
    machine : Machine
        A machine about to run.
    budget : Budget
        What it may take.
    """

    def __init__(self, machine: Machine, budget: Budget) -> None:
        self._machine = machine
        self._events = budget.events
        self._wall_ns = 0 if budget.wall is None else int(budget.wall)
        self._began = time.monotonic_ns()
        self._acts = 0
        self._last: deque[tuple[int, Any, Any]] = deque(maxlen=TOLD)
        self._step, self._let_pass = machine.step, machine.let_pass
        self._enter_kernel = machine.enter_kernel
        for name, watched in (("step", self.step), ("let_pass", self.let_pass), ("enter_kernel", self.enter_kernel)):
            setattr(machine, name, watched)

    def step(self) -> None:
        """`Machine.step`, watched."""
        queue = self._machine._queue
        event = queue[0][3] if queue else None
        callbacks = None if event is None else event.callbacks
        self._step()
        processed = event is not None and not (queue and queue[0][3] is event)
        self._count(event if processed else "hardware", callbacks if processed else ())

    def let_pass(self, delay_ns: int) -> bool:
        """`Machine.let_pass`, watched."""
        self._count("time", delay_ns)
        return self._let_pass(delay_ns)

    def enter_kernel(self, task: int, cpu: int) -> None:
        """`Machine.enter_kernel`, watched."""
        self._count("kernel", (task, cpu))
        self._enter_kernel(task, cpu)

    def operation(self, task: TaskProcess, operation: Any) -> None:
        """A task begins an operation of its program."""
        self._count("operation", (task, operation))

    def _count(self, what: Any, more: Any) -> None:
        self._last.append((self._machine.now_ns, what, more))
        self._acts += 1
        if self._events is not None and max(self._acts, int(self._machine.vm.event_count)) > self._events:
            raise self._error(f"{self._events} events")
        if self._wall_ns and self._acts % _LOOKS == 0 and time.monotonic_ns() - self._began > self._wall_ns:
            raise self._error(f"{format_ns(self._wall_ns)} of the host's time")

    def _error(self, budget: str) -> BudgetError:
        machine = self._machine
        told = tuple(f"at {format_ns(t_ns)}: {self._told(what, more)}" for t_ns, what, more in self._last)
        return BudgetError(f"{budget}, seed {machine.seed}", machine.now_ns, told)

    def _told(self, what: Any, more: Any) -> str:
        if what == "hardware":
            return "hardware stopped for the kernel"
        if what == "time":
            return f"{format_ns(more)} pass"
        if what == "kernel":
            task, cpu = more
            return f"{self._task(task)} enters the kernel on CPU {cpu}"
        if what == "operation":
            task, operation = more
            return f"task {task.name} begins {type(operation).__name__.lower()}"
        owners = (getattr(callback, "__self__", None) for callback in more or ())
        resumed = [self._process(owner) for owner in owners if isinstance(owner, simpy.Process)]
        return f"{type(what).__name__} resumes {', '.join(resumed) if resumed else 'nobody'}"

    def _process(self, process: simpy.Process) -> str:
        for task in self._machine.tasks:
            if task.process is process:
                return f"task {task.name}"
        return str(getattr(process._generator, "__qualname__", "a process")).removesuffix("._run")

    def _task(self, index: int) -> str:
        return next((f"task {task.name}" for task in self._machine.tasks if task.index == index), "a kernel thread")
