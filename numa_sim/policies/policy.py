"""What a replacement policy is: the class that users write against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import islice
from typing import Any, ClassVar, Literal, TypeAlias

from numa_sim.state.constants import FIRST_FILE
from numa_sim.state.constants import PAGE_NAME_SHIFT as PROCESS_SHIFT

__all__ = ["PROCESS_SHIFT", "Policy", "is_of_file", "process_of"]


def process_of(page: int) -> int:
    """Address space that `page` belongs to; 0 in a trace of one program.  A file is an address space, too."""
    return page >> PROCESS_SHIFT


def is_of_file(page: int) -> bool:
    """Whether `page` is one of a file's in the page cache, else anonymous."""
    return process_of(page) >= FIRST_FILE


Observes: TypeAlias = Literal["accesses", "accessed bits"]
Writes: TypeAlias = Literal["dirty", "all"]


class Policy(ABC):
    """Which page goes when a frame is needed.

    A policy decides and remembers; it moves nothing.  Whoever runs it, `numa_sim.policies.replay` on a trace or a
    whole machine (``[kernel] reclaim``), tells it what happens to pages and asks it for victims.  A page is an int,
    unique over all processes and files (`process_of`).  The least a policy needs is `insert`, `remove` and `victim`.

    A policy takes chance from `rng` only, and time from nowhere: calls are all it knows.

    Attributes
    ----------
    name : str
        What a configuration calls it.
    observes : {"accesses", "accessed bits"}
        Which uses `touch` reports.  ``"accesses"``: each one, in order (in a machine: of each page the last one since
        the last report, in order of time, which no real hardware would tell).  ``"accessed bits"``: before victims
        are asked for, each page used since the last report, once, in no particular order; this is what hardware gives,
        and in a machine looking at the bits costs time.
    writes : {"dirty", "all"}
        ``"dirty"``: a page is written when it leaves if it was stored to since it was last read or written.
        ``"all"``: the policy keeps no dirty state, so every page that leaves is written.
    staged : bool
        True: a victim is only unmapped at first.  It stays in a queue in memory, from where a use brings it back
        (`rescue`) without a disk read, and is freed, oldest first, once its frame is needed.
    takes_files : bool
        True: the policy has pages of files in the page cache, too, mapped or not (`is_of_file`).  Their uses by read
        and write are told exactly, whatever `observes` says, because the kernel sees them itself.  False: they stay in
        memory for ever.
    in_background : bool
        True: victims may be asked for ahead of need (kswapd).  False: only by the fault that needs the frame.
    may_refuse : bool
        True: `victim` may answer None although the policy has pages.
    frames : int
        Frames that hold pages, set by `start`.
    rng : numpy.random.Generator
        The policy's own random stream, set by `start`.
    needed_by : int or None
        While victims are asked for: the page that needs a frame, None in the background.
    """

    name: ClassVar[str] = ""
    observes: ClassVar[Observes] = "accesses"
    writes: ClassVar[Writes] = "dirty"
    staged: ClassVar[bool] = False
    takes_files: ClassVar[bool] = True
    in_background: ClassVar[bool] = True
    may_refuse: ClassVar[bool] = False

    frames: int = 0
    rng: Any = None
    needed_by: int | None = None

    def start(self, frames: int, rng: Any) -> None:
        """Begin anew with no pages; a policy that overrides this makes its own state here."""
        self.frames = frames
        self.rng = rng
        self.needed_by = None

    @abstractmethod
    def insert(self, page: int, write: bool) -> None:
        """Note that `page`, which the policy does not have, has a frame now, and whether a write brought it there."""

    def touch(self, page: int, write: bool) -> None:  # noqa: B027 - FIFO has no use for it
        """Note that `page`, which the policy has, was used, as `observes` says."""

    @abstractmethod
    def remove(self, page: int) -> None:
        """Forget `page`, which the policy has: it was unmapped or its process has ended."""

    @abstractmethod
    def victim(self) -> int | None:
        """Choose a page to go and forget it; None if there is none.

        Should it stay after all (it is locked, or was rescued from the queue), it is inserted again.
        """

    def victims(self, wanted: int) -> Iterable[int]:
        """Pages to go, one after the other; all of them go, be they more or fewer than `wanted`."""
        return islice(iter(self.victim, None), wanted)

    def rescue(self, page: int, write: bool) -> None:
        """Note that a staged page was used before it was freed: it is mapped again."""
        self.insert(page, write)

    def along_with(self, page: int) -> Iterable[int]:
        """Pages of the same process to read from disk together with `page`; they will be inserted like others."""
        return ()
