"""What programs do with signals and resource limits: signal, kill, setrlimit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numa_sim.errors import ConfigError
from numa_sim.state.constants import RLIM_INFINITY, RLIMITS, SIGNALS
from numa_sim.units import check_bytes, parse_bytes

UNLIMITED = "unlimited"
SignalHandler: TypeAlias = Callable[[Any], Any]
"""A program: called with the task's handle when the signal is delivered, and run to its end."""


@dataclass(frozen=True, slots=True)
class SignalAction:
    """signal(2): what is done when `signal` is delivered."""

    signal: int
    action: Literal["default", "ignore"] | SignalHandler


@dataclass(frozen=True, slots=True)
class Kill:
    """kill(2): send `signal` to a task, by pid or by name."""

    to: int | str
    signal: int


@dataclass(frozen=True, slots=True)
class Prctl:
    """prctl(2) with PR_SET_DUMPABLE: whether the address space may go into a core file."""

    dumpable: bool


@dataclass(frozen=True, slots=True)
class Setrlimit:
    """setrlimit(2), `limit` in bytes."""

    resource: str
    limit: int


class SignalCalls:
    """The part of a task's handle that is about signals and limits."""

    name: str

    def signal(self, signal: str, action: Literal["default", "ignore"] | SignalHandler) -> SignalAction:
        """Choose what is done when `signal` (``"SIGSEGV"``, ...) is delivered to this task.

        Parameters
        ----------
        action : "default", "ignore" or a program
            A program is a function of the handle that yields operations, like the task's own; it runs to its end on
            the way back to user mode, and then what was interrupted goes on: an access that faulted is made again.
            The signal is blocked while its handler runs.

        Notes
        -----
        The program gets `OSError` EINVAL for SIGKILL, which cannot be caught.
        """
        if action not in ("default", "ignore") and not callable(action):
            allowed = ("default", "ignore", "a program")
            raise ConfigError("", f"{self.name}: signal.action", f"got {action!r}", allowed)
        return SignalAction(_number(self.name, "signal", signal), action)

    def kill(self, to: int | str, signal: str = "SIGTERM") -> Kill:
        """Send `signal` to the task with pid, or name, `to`.

        The program gets an `OSError`: ESRCH (no such task, or it has ended) or EPERM (only root may send to root's).
        """
        if type(to) is not int and not isinstance(to, str):
            raise ConfigError("", f"{self.name}: kill.to", f"got {to!r}", ("a pid", "the name of a task"))
        return Kill(to, _number(self.name, "kill", signal))

    def prctl(self, dumpable: bool) -> Prctl:
        """Allow, or forbid, a core file of this task's address space (PR_SET_DUMPABLE)."""
        return Prctl(bool(dumpable))

    def setrlimit(self, resource: str, limit: int | str) -> Setrlimit:
        """Limit this task's `resource`: stack, data, as, memlock or core.

        Parameters
        ----------
        limit : int or str
            Bytes, text like ``"8MiB"``, or ``"unlimited"``.
        """
        where = f"{self.name}: setrlimit"
        if resource not in RLIMITS:
            raise ConfigError("", f"{where}.resource", f"no resource {resource!r}", RLIMITS)
        if limit == UNLIMITED:
            return Setrlimit(resource, RLIM_INFINITY)
        try:
            bytes_ = parse_bytes(limit) if isinstance(limit, str) else check_bytes(limit, "limit")
        except (TypeError, ValueError) as problem:
            raise ConfigError("", f"{where}.limit", str(problem)) from None
        return Setrlimit(resource, bytes_)


def _number(task: str, what: str, signal: object) -> int:
    if signal not in SIGNALS[1:]:
        raise ConfigError("", f"{task}: {what}.signal", f"no signal {signal!r}", SIGNALS[1:])
    return SIGNALS.index(str(signal))
