"""What programs ask of the scheduler: sched_yield, nice."""

from __future__ import annotations

from dataclasses import dataclass

from numa_sim.errors import ConfigError

NICE_RANGE = 40


@dataclass(frozen=True, slots=True)
class SchedYield:
    """sched_yield(2): let who waits for this CPU run first."""


@dataclass(frozen=True, slots=True)
class Nice:
    """nice(2): add `by` to the task's nice value; answered with the new one."""

    by: int


class SchedulingCalls:
    """The part of a task's handle that is about the scheduler."""

    name: str

    def sched_yield(self) -> SchedYield:
        """Let the tasks run that wait for this CPU; with none, the kernel looks in vain."""
        return SchedYield()

    def nice(self, by: int) -> Nice:
        """Add `by` to the nice value, which stays from -20 to 19; ``yield`` gives the new one.

        The program gets an `OSError`, EPERM, if it lowers the value and is not root.
        """
        if type(by) is not int or not -NICE_RANGE <= by <= NICE_RANGE:
            raise ConfigError("", f"{self.name}: nice.by", f"got {by!r}", (f"{-NICE_RANGE} to {NICE_RANGE}",))
        return Nice(by)
