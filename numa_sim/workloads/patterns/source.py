"""What a pattern becomes when a task touches memory with it: a source of accesses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.random import Generator

from numa_sim.errors import ConfigError
from numa_sim.state.hardware_layout import ACCESS
from numa_sim.state.kernel import zeros

MAX_LINES = 64
"""Cache lines of a page: the most one access can move."""
MAX_COMPUTE_NS = 2**31 - 1
MAX_PAGES = 2**35
"""Pages a pattern can cover: all of user space."""
ENDLESS = 2**62


class AccessSource(ABC):
    """Gives accesses in batches until it has none left.

    Attributes
    ----------
    given : int
        Accesses given so far.
    left : int
        Accesses it will give at most from now on.
    """

    def __init__(self, accesses: int) -> None:
        self.given = 0
        self.left = accesses

    def fill(self, accesses: Any) -> int:
        """Write up to ``len(accesses)`` records into `accesses`; return how many, 0 = finished.

        Parameters
        ----------
        accesses : recarray of ACCESS
            Overwritten from its start; page numbers are virtual page numbers of the task's address space.
        """
        wanted = min(len(accesses), self.left)
        if wanted <= 0:
            return 0
        done = self._fill(accesses if wanted == len(accesses) else accesses[:wanted])
        self.given += done
        self.left = self.left - done if done else 0
        return done

    @abstractmethod
    def _fill(self, accesses: Any) -> int:
        """Fill all of `accesses` (at least one record); fewer only when nothing comes after them."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where and how a pattern is used by one `touch`.

    Attributes
    ----------
    start_vpn : int
        First virtual page.
    pages : int
        Pages the pattern spreads over.
    accesses : int or None
        How many accesses; None = the pattern's natural length (one per page, or all the user's pages).
    write : float
        Share of accesses that write, 0 to 1; other values than 0 and 1 are drawn access by access.
    lines : int
        Cache lines an access moves, 1 to 64.
    compute_ns : int
        CPU time before each access, ns.
    rng : Generator
        Stream of this touch.
    """

    start_vpn: int
    pages: int
    accesses: int | None
    write: float
    lines: int
    compute_ns: int
    rng: Generator

    def __post_init__(self) -> None:
        require(1 <= self.pages <= MAX_PAGES, "touch.pages", f"{self.pages} pages", f"1 to {MAX_PAGES}")
        require(self.start_vpn >= 0, "touch.start_vpn", f"{self.start_vpn}", "0 or more")
        require(
            self.accesses is None or 0 <= self.accesses <= ENDLESS, "touch.accesses", f"{self.accesses}", "0 or more"
        )
        require(0.0 <= self.write <= 1.0, "touch.write", f"{self.write}", "0 to 1, a share of the accesses")
        require(1 <= self.lines <= MAX_LINES, "touch.lines", f"{self.lines} cache lines", f"1 to {MAX_LINES}")
        require(
            0 <= self.compute_ns <= MAX_COMPUTE_NS, "touch.compute", f"{self.compute_ns} ns", f"0 to {MAX_COMPUTE_NS}"
        )

    @property
    def count(self) -> int:
        """Accesses wanted; one per page if nothing was said."""
        return self.pages if self.accesses is None else self.accesses


@runtime_checkable
class Pattern(Protocol):
    """An access pattern: bound to pages it becomes an `AccessSource`.  Any object with `bind` will do."""

    def bind(self, binding: Binding, /) -> AccessSource:
        """Return the source of this pattern's accesses under `binding`."""
        ...


def require(condition: bool, path: str, value: str, allowed: str) -> None:
    """Raise `ConfigError` about the value at `path` unless `condition` holds."""
    if not condition:
        raise ConfigError("", path, f"{value} is out of range", (allowed,))


def new_accesses(length: int) -> Any:
    """Return an empty buffer for `length` accesses."""
    return zeros(length, ACCESS)
