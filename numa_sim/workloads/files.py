"""What programs do with files: open, read, write, map, hint, sync, truncate, close."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from numpy.random import Generator

from numa_sim.errors import ConfigError
from numa_sim.state.constants import FMODE_READ, FMODE_WRITE, PAGE_SHIFT, VM_RAND_READ, VM_SEQ_READ
from numa_sim.workloads.patterns.source import MAX_COMPUTE_NS, AccessSource, Binding, Pattern, new_accesses, require

if TYPE_CHECKING:
    from numa_sim.workloads.program import Region

ADVICE = {"normal": 0, "sequential": VM_SEQ_READ, "random": VM_RAND_READ}
"""Hints of madvise(2), as flags of a memory area."""
Access = Literal["read", "write", "read-write"]
ACCESS_MODES: dict[str, int] = {"read": FMODE_READ, "write": FMODE_WRITE, "read-write": FMODE_READ | FMODE_WRITE}
"""What a file may be opened for (O_RDONLY, O_WRONLY, O_RDWR), as flags of the open file."""
_RECORDS_AT_A_TIME = 512


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file a task has opened.

    Attributes
    ----------
    number : int
        Row in ``kernel.files``.
    name : str
        The file's name in the configuration.
    size_bytes : int
        Its size when it was opened.
    """

    number: int
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Open:
    """open(2) with a mode of FMODE_READ, FMODE_WRITE or both; answered with an `OpenFile`."""

    name: str
    mode: int = FMODE_READ | FMODE_WRITE


@dataclass(frozen=True, slots=True)
class Transfer:
    """read(2) or write(2) of `size_bytes`: at `offset_bytes`, at the file's position (None), or record by record.

    Answered with the bytes done; `OSError` (EBADF, ENOSPC, ENOMEM, EFAULT) in the program if it failed.  `buffer` is
    the address in the task's memory that is read into or written from; None leaves that out.
    """

    file: OpenFile
    write: bool
    size_bytes: int
    offset_bytes: int | None = None
    records: Records | None = None
    compute_ns: int = 0
    buffer: int | None = None


@dataclass(frozen=True, slots=True)
class Fsync:
    """fsync(2)."""

    file: OpenFile


@dataclass(frozen=True, slots=True)
class Msync:
    """msync(2) with MS_SYNC of pages ``region.start_vpn + offset_pages`` on."""

    region: Region
    offset_pages: int
    length_pages: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """ftruncate(2)."""

    file: OpenFile
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Close:
    """close(2)."""

    file: OpenFile


@dataclass(frozen=True, slots=True)
class Madvise:
    """madvise(2): `hint` is 0, VM_SEQ_READ or VM_RAND_READ."""

    region: Region
    offset_pages: int
    length_pages: int
    hint: int


class Records:
    """Which records of a file are next: a pattern over them, as `touch` has one over pages.

    Parameters
    ----------
    source : AccessSource
        Gives record numbers.
    size_bytes : int
        Size of a record.
    """

    def __init__(self, source: AccessSource, size_bytes: int) -> None:
        self._source = source
        self._size_bytes = size_bytes
        self._accesses = new_accesses(_RECORDS_AT_A_TIME)

    def offsets(self) -> Any:
        """Offset in the file of each record, bytes, in order."""
        while n := self._source.fill(self._accesses):
            for record in self._accesses["vpn"][:n].tolist():
                yield record * self._size_bytes


class FileCalls(ABC):
    """The part of a task's handle that is about files."""

    name: str
    _transfers = 0

    def open(self, name: str, access: Access = "read-write") -> Open:
        """Open the file the configuration calls `name`; ``yield`` gives the `OpenFile`.

        Parameters
        ----------
        access : str
            ``read``, ``write`` or ``read-write``.  What it does not allow fails in the program with an `OSError`: a
            read or write with EBADF, a truncation with EINVAL, a mapping with EACCES (one needs reading, a shared one
            that may be stored to writing as well).  mprotect cannot give a mapping more (EACCES).
        """
        if not isinstance(name, str):
            raise ConfigError("", f"{self.name}: open.file", f"got {name!r}", ("the name of a [[machine.file]]",))
        if access not in ACCESS_MODES:
            raise ConfigError("", f"{self.name}: open.access", f"got {access!r}", tuple(ACCESS_MODES))
        return Open(name, ACCESS_MODES[access])

    def read(
        self,
        file: OpenFile,
        size: int | str,
        offset: int | str | None = None,
        pattern: Pattern | None = None,
        count: int | None = None,
        compute: int | str = 0,
        buffer: Region | int | None = None,
    ) -> Transfer:
        """Read `size` of `file`; ``yield`` gives the bytes read, fewer at the end of the file.

        Parameters
        ----------
        file : OpenFile
            What ``yield task.open()`` gave.
        size : int or str
            Bytes of this read; with a pattern, of each record.
        offset : int or str, optional
            Where; default is the file's position, which then moves on.
        pattern : Pattern, optional
            Read record after record: the file is seen as records of `size`, and the pattern says which comes next.
        count : int, optional
            How many records; default the pattern's natural length.
        compute : int or str
            CPU time before each read.
        buffer : Region or int, optional
            Where in this task's memory it goes, a region or an address: pages come by faults, and what is not mapped
            ends the read there (`OSError` EFAULT if nothing was read).  Without it no user memory is touched.
        """
        return self._transfer("read", file, False, size, offset, pattern, count, compute, buffer)

    def write(
        self,
        file: OpenFile,
        size: int | str,
        offset: int | str | None = None,
        pattern: Pattern | None = None,
        count: int | None = None,
        compute: int | str = 0,
        buffer: Region | int | None = None,
    ) -> Transfer:
        """Write `size` to `file`; parameters as for `read`.  The file grows if need be; a full disk is an `OSError`."""
        return self._transfer("write", file, True, size, offset, pattern, count, compute, buffer)

    def fsync(self, file: OpenFile) -> Fsync:
        """Write everything dirty of `file` to its disk, and wait for it."""
        return Fsync(self._opened(file, "fsync"))

    def truncate(self, file: OpenFile, size: int | str) -> Truncate:
        """Make `file` `size` bytes long."""
        return Truncate(self._opened(file, "truncate"), self._size(size, "truncate.size"))

    def close(self, file: OpenFile) -> Close:
        """Close `file`; regions that map it keep it."""
        return Close(self._opened(file, "close"))

    def msync(self, region: Region, offset: int | str = 0, length: int | str | None = None) -> Msync:
        """Write what was stored to a file through `region`, or a part of it, and wait for it."""
        return Msync(region, *self._part(region, offset, length, "msync"))

    def madvise(
        self,
        region: Region,
        advice: Literal["normal", "random", "sequential"],
        offset: int | str = 0,
        length: int | str | None = None,
    ) -> Madvise:
        """Say how `region` will be used, for read-ahead of its file."""
        if advice not in ADVICE:
            raise ConfigError("", f"{self.name}: madvise.advice", f"got {advice!r}", tuple(ADVICE))
        return Madvise(region, *self._part(region, offset, length, "madvise"), ADVICE[advice])

    def _transfer(
        self,
        what: str,
        file: OpenFile,
        write: bool,
        size: int | str,
        offset: int | str | None,
        pattern: Pattern | None,
        count: int | None,
        compute: int | str,
        buffer: Region | int | None,
    ) -> Transfer:
        self._opened(file, what)
        address = buffer if buffer is None or type(buffer) is int else getattr(buffer, "start_vpn", -1) << PAGE_SHIFT
        allowed = f"{self.name}: {what}.buffer", f"{buffer!r}", "a region or an address"
        require(address is None or address >= 0, *allowed)
        size_bytes = self._size(size, f"{what}.size")
        require(size_bytes > 0, f"{self.name}: {what}.size", f"{size}", "above 0")
        compute_ns = self._time(compute, f"{what}.compute")
        require(compute_ns <= MAX_COMPUTE_NS, f"{self.name}: {what}.compute", f"{compute_ns} ns", "below 2**31 ns")
        if pattern is None:
            offset_bytes = None if offset is None else self._size(offset, f"{what}.offset")
            return Transfer(file, write, size_bytes, offset_bytes, None, compute_ns, address)
        if offset is not None:
            raise ConfigError("", f"{self.name}: {what}.offset", "goes without a pattern only", ("remove one",))
        n_records = file.size_bytes // size_bytes
        require(n_records > 0, f"{self.name}: {what}.size", f"{size}", f"at most the file's {file.size_bytes} bytes")
        self._transfers += 1
        rng = self._stream(f"file {self._transfers}")
        source = pattern.bind(Binding(0, n_records, count, 0.0, 1, 0, rng))
        return Transfer(file, write, size_bytes, None, Records(source, size_bytes), compute_ns, address)

    def _opened(self, file: OpenFile, what: str) -> OpenFile:
        if not isinstance(file, OpenFile):
            raise ConfigError(
                "", f"{self.name}: {what}.file", f"got {type(file).__name__}", ("what yield task.open() gave",)
            )
        return file

    # What the rest of the handle gives
    @abstractmethod
    def _size(self, value: int | str, path: str) -> int:
        """A size given in a program, in bytes."""

    @abstractmethod
    def _time(self, value: int | str, path: str) -> int:
        """A time given in a program, in ns."""

    @abstractmethod
    def _part(self, region: Region, offset: int | str, length: int | str | None, what: str) -> tuple[int, int]:
        """First page and number of pages of a part of a region."""

    @abstractmethod
    def _stream(self, name: str) -> Generator:
        """The task's own random numbers of this name."""
