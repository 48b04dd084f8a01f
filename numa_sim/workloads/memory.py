"""What programs do with their address space: brk, mprotect, mlock, mremap (mmap and munmap are in `program`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numa_sim.errors import ConfigError
from numa_sim.state.constants import (
    MCL_CURRENT,
    MCL_FUTURE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PAGE_SHIFT,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from numa_sim.workloads.patterns.source import require

if TYPE_CHECKING:
    from numa_sim.workloads.program import Region

PROTECTIONS = {
    "---": 0,
    "r--": PROT_READ,
    "-w-": PROT_WRITE,
    "--x": PROT_EXEC,
    "rw-": PROT_READ | PROT_WRITE,
    "r-x": PROT_READ | PROT_EXEC,
    "-wx": PROT_WRITE | PROT_EXEC,
    "rwx": PROT_READ | PROT_WRITE | PROT_EXEC,
}
"""What may be done with memory, as /proc/PID/maps and configurations write it."""


@dataclass(frozen=True, slots=True)
class Brk:
    """brk(2): set the end of the heap to `address` (bytes), or move it by `increment`; answered with the new end."""

    address: int | None
    increment: int = 0


@dataclass(frozen=True, slots=True)
class Mprotect:
    """mprotect(2) of pages ``region.start_vpn + offset_pages`` on."""

    region: Region
    offset_pages: int
    length_pages: int
    prot: int


@dataclass(frozen=True, slots=True)
class Mlock:
    """mlock(2), or munlock(2) with `lock` False, of pages ``region.start_vpn + offset_pages`` on."""

    region: Region
    offset_pages: int
    length_pages: int
    lock: bool


@dataclass(frozen=True, slots=True)
class Mlockall:
    """mlockall(2) with MCL_* flags; none: munlockall(2)."""

    flags: int


@dataclass(frozen=True, slots=True)
class Mremap:
    """mremap(2) of the whole region; answered with the `Region` it is now."""

    region: Region
    size_pages: int
    flags: int
    at_vpn: int = 0


class MemoryCalls(ABC):
    """The part of a task's handle that is about its address space; what the kernel refuses is an `OSError`."""

    name: str

    def brk(self, address: int) -> Brk:
        """Set the end of the heap to byte `address`; ENOMEM.  ``yield`` gives the new end."""
        return Brk(self._size(address, "brk.address"))

    def sbrk(self, increment: int | str = 0) -> Brk:
        """Move the end of the heap by `increment` bytes, up or (an int below 0) down; ``yield`` gives the new end."""
        if isinstance(increment, int) and not isinstance(increment, bool) and increment < 0:
            return Brk(None, -self._size(-increment, "sbrk.increment"))
        return Brk(None, self._size(increment, "sbrk.increment"))

    def mprotect(
        self, region: Region, prot: int | str, offset: int | str = 0, length: int | str | None = None
    ) -> Mprotect:
        """Allow `prot` (PROT_* or "r--" and the like) on `region` or a part of it; EACCES, ENOMEM."""
        return Mprotect(region, *self._part(region, offset, length, "mprotect"), self._prot(prot, "mprotect.prot"))

    def mlock(self, region: Region, offset: int | str = 0, length: int | str | None = None) -> Mlock:
        """Bring `region` or a part of it into memory and keep it there; EPERM (not root), ENOMEM (RLIMIT_MEMLOCK)."""
        return Mlock(region, *self._part(region, offset, length, "mlock"), True)

    def munlock(self, region: Region, offset: int | str = 0, length: int | str | None = None) -> Mlock:
        """Let `region` or a part of it be swapped out again."""
        return Mlock(region, *self._part(region, offset, length, "munlock"), False)

    def mlockall(self, current: bool = True, future: bool = False) -> Mlockall:
        """Lock what is mapped, what will be mapped, or both; EPERM (not root), ENOMEM (RLIMIT_MEMLOCK)."""
        require(current or future, f"{self.name}: mlockall", "neither", "current or future")
        return Mlockall((MCL_CURRENT if current else 0) | (MCL_FUTURE if future else 0))

    def munlockall(self) -> Mlockall:
        """Lock nothing any more."""
        return Mlockall(0)

    def mremap(self, region: Region, size: int | str, may_move: bool = True, at: int | None = None) -> Mremap:
        """Make `region` `size` bytes long, elsewhere if it must be and may, or at address `at`; ENOMEM and others."""
        size_bytes = self._size(size, "mremap.size")
        require(size_bytes > 0, f"{self.name}: mremap.size", f"{size}", "above 0")
        pages = -(-size_bytes // PAGE_SIZE)
        if at is not None:
            return Mremap(region, pages, MREMAP_MAYMOVE | MREMAP_FIXED, self._size(at, "mremap.at") >> PAGE_SHIFT)
        return Mremap(region, pages, MREMAP_MAYMOVE if may_move else 0)

    def _prot(self, prot: int | str, path: str) -> int:
        """PROT_* bits of what a program gave."""
        bits = PROTECTIONS.get(prot) if isinstance(prot, str) else prot
        if not isinstance(bits, int) or isinstance(bits, bool) or bits & ~(PROT_READ | PROT_WRITE | PROT_EXEC):
            raise ConfigError("", f"{self.name}: {path}", f"got {prot!r}", tuple(PROTECTIONS))
        return bits

    # What the rest of the handle gives
    @abstractmethod
    def _size(self, value: int | str, path: str) -> int:
        """A size given in a program, in bytes."""

    @abstractmethod
    def _part(self, region: Region, offset: int | str, length: int | str | None, what: str) -> tuple[int, int]:
        """First page and number of pages of a part of a region."""
