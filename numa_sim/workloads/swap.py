"""What privileged programs do with swap areas: swapon, swapoff."""

from __future__ import annotations

from dataclasses import dataclass

from numa_sim.errors import ConfigError

MAX_PRIORITY = 0x7FFF
"""SWAP_FLAG_PRIO_MASK."""


@dataclass(frozen=True, slots=True)
class Swapon:
    """swapon(2) with SWAP_FLAG_PREFER if there is a priority; answered with the area's index."""

    area: str
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Swapoff:
    """swapoff(2); the task itself brings the area's pages back."""

    area: str


class SwapCalls:
    """The part of a task's handle that is about swap areas."""

    name: str

    def swapon(self, area: str, priority: int | None = None) -> Swapon:
        """Switch the area the configuration calls `area` on; ``yield`` gives its index.

        The program gets an `OSError`: EPERM (not root, or no index left), EBUSY (it is on), EINVAL (wrong header, a
        file with holes), ENODEV (no page), ENOMEM.

        Parameters
        ----------
        priority : int, optional
            0 to 32767; else the next lower default priority.
        """
        _check_name(self.name, "swapon", area)
        if priority is not None and not (type(priority) is int and 0 <= priority <= MAX_PRIORITY):
            allowed = (f"0 to {MAX_PRIORITY}", "None")
            raise ConfigError("", f"{self.name}: swapon.priority", f"got {priority!r}", allowed)
        return Swapon(area, priority)

    def swapoff(self, area: str) -> Swapoff:
        """Switch the area off, its pages brought back into memory first.

        The program gets an `OSError`: EPERM (not root), EINVAL (it is not on), or ENOMEM: its pages do not fit, and
        the area stays on.
        """
        _check_name(self.name, "swapoff", area)
        return Swapoff(area)


def _check_name(task: str, what: str, area: object) -> None:
    if not isinstance(area, str):
        raise ConfigError("", f"{task}: {what}.area", f"got {area!r}", ("the name of a [[machine.swap]]",))
