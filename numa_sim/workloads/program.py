"""Programs: generators of operations, and the handle a program asks for them.

A program is written like a SimPy process, but knows nothing of time or machines::

    def hog(task):
        heap = yield task.mmap(3 * GiB)
        yield task.touch(heap, zipf(0.99), accesses=20_000_000, write=0.3)
        yield task.munmap(heap)

The machine executes each operation it yields and sends back what it gives: a `Region` for `Mmap`, an `OpenFile` for
`Open`, the bytes done for `Transfer`, the child's pid for `Fork`, an `Ended` for `Wait`, None for the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.state.constants import (
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    PAGE_SHIFT,
    PAGE_SIZE,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from numa_sim.units import check_bytes, check_ns, parse_bytes, parse_ns
from numa_sim.workloads.cache_mode import CacheCalls, CacheMode
from numa_sim.workloads.children import ChildCalls, Exec, Exit, Fork, Wait
from numa_sim.workloads.files import Close, FileCalls, Fsync, Madvise, Msync, Open, OpenFile, Transfer, Truncate
from numa_sim.workloads.kernel_memory import KernelCalls
from numa_sim.workloads.memory import Brk, MemoryCalls, Mlock, Mlockall, Mprotect, Mremap
from numa_sim.workloads.mempolicy import Mbind, PolicyCalls, SetMempolicy
from numa_sim.workloads.network import NetworkCalls, Receive
from numa_sim.workloads.patterns.given import from_arrays
from numa_sim.workloads.patterns.sequential import sequential
from numa_sim.workloads.patterns.source import MAX_COMPUTE_NS, AccessSource, Binding, Pattern, require
from numa_sim.workloads.scheduling import Nice, SchedulingCalls, SchedYield
from numa_sim.workloads.segments import LoadSegment, ModifyLdt, SegmentCalls
from numa_sim.workloads.signals import Kill, Prctl, Setrlimit, SignalAction, SignalCalls
from numa_sim.workloads.streams import stream
from numa_sim.workloads.swap import SwapCalls, Swapoff, Swapon

PROT_DEFAULT = VM_READ | VM_WRITE
_OWN_STREAMS = re.compile(r"access|(touch|file) \d+|.*/.*", re.DOTALL)
"""Names of random streams that a program cannot have: its accesses draw from them, or they would be another task's."""


@dataclass(frozen=True, slots=True)
class Region:
    """A range of virtual pages a task has mapped.

    Attributes
    ----------
    start_vpn : int
        First virtual page number (address / 4096).
    pages : int
        Length.
    name : str
        What the program calls it; for messages only.
    file : OpenFile or None
        What it shows; None for anonymous memory.
    """

    start_vpn: int
    pages: int
    name: str = ""
    file: OpenFile | None = None

    @property
    def end_vpn(self) -> int:
        """First virtual page after it."""
        return self.start_vpn + self.pages

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self.pages * PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Mmap:
    """mmap(2), at `at_vpn` exactly (MAP_FIXED) if given and `fixed`, else near it; answered with a `Region`.

    `prot` are VM_READ, VM_WRITE, VM_EXEC, and VM_SHARED: stores reach the file, or whoever shares the memory; `file` is
    None for anonymous memory; `flags` are MAP_GROWSDOWN, MAP_LOCKED, MAP_NORESERVE.
    """

    size_pages: int
    at_vpn: int | None = None
    name: str = ""
    prot: int = PROT_DEFAULT
    file: OpenFile | None = None
    first_page: int = 0
    flags: int = 0
    fixed: bool = True


@dataclass(frozen=True, slots=True)
class Touch:
    """Access memory until `source` has nothing left; `region` is None for sources that name pages themselves.

    `address` is known for a single access made by `TaskHandle.access`, with its stack pointer, and by whom.
    """

    region: Region | None
    source: AccessSource
    address: int | None = None
    esp: int | None = None
    in_kernel: bool = False


@dataclass(frozen=True, slots=True)
class Munmap:
    """munmap(2) of pages ``region.start_vpn + offset_pages`` on; like Linux it may cover holes and several VMAs."""

    region: Region
    offset_pages: int
    length_pages: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Leave the CPU for `ns`; with `since_start` until that long after the task's start, not at all if that is past."""

    ns: int
    since_start: bool = False


@dataclass(frozen=True, slots=True)
class Compute:
    """Use the CPU, and its FPU if `fpu`, for `ns` without touching memory."""

    ns: int
    fpu: bool = False


Operation: TypeAlias = (
    Mmap
    | Touch
    | Munmap
    | Sleep
    | Compute
    | Fork
    | Exec
    | Wait
    | Exit
    | Open
    | Transfer
    | Fsync
    | Msync
    | Truncate
    | Close
    | Madvise
    | Brk
    | Mprotect
    | Mlock
    | Mlockall
    | Mremap
    | Swapon
    | Swapoff
    | SignalAction
    | Kill
    | Prctl
    | Nice
    | SchedYield
    | Receive
    | Setrlimit
    | ModifyLdt
    | LoadSegment
    | CacheMode
    | SetMempolicy
    | Mbind
)


class TaskHandle(
    MemoryCalls,
    FileCalls,
    KernelCalls,
    SwapCalls,
    SignalCalls,
    ChildCalls,
    SegmentCalls,
    CacheCalls,
    SchedulingCalls,
    NetworkCalls,
    PolicyCalls,
):
    """What a program sees of its task: makes checked operations, and random streams of its own.

    Sizes are ints in bytes or text (``"3GiB"``), rounded up to whole pages as the system calls do; times are ints
    in ns or text (``"10ms"``).  Wrong arguments raise `ConfigError`.

    Attributes
    ----------
    name : str
        Unique within the run: the streams are named after it.
    pid : int
        Process id.
    seed : int
        The run's root seed.
    regions : dict
        After exec of a file: its ``text``, ``data`` and ``bss``.
    """

    def __init__(self, name: str, pid: int, seed: int = 0) -> None:
        self.name = name
        self.pid = pid
        self.seed = seed
        self.regions: dict[str, Region] = {}
        self._touches = 0
        self._streams: dict[str, np.random.Generator] = {}

    def __repr__(self) -> str:
        return f"TaskHandle({self.name!r}, pid={self.pid})"

    def rng(self, name: str = "program") -> np.random.Generator:
        """Return the task's random stream `name`; the same generator at every call.

        Raises
        ------
        ConfigError
            If the name is one of those its accesses draw from: "access", "touch 1", "file 1", ..., or has a slash.
        """
        require(_OWN_STREAMS.fullmatch(name) is None, f"{self.name}: rng", repr(name), "a name not taken, without /")
        if name not in self._streams:
            self._streams[name] = stream(self.seed, f"task/{self.name}/{name}")
        return self._streams[name]

    def mmap(
        self,
        size: int | str | None = None,
        at: int | None = None,
        name: str = "",
        prot: int | str = PROT_DEFAULT,
        file: OpenFile | None = None,
        shared: bool = False,
        offset: int | str = 0,
        fixed: bool = True,
        growsdown: bool = False,
        locked: bool = False,
        reserve: bool = True,
    ) -> Mmap:
        """Map memory or a file, at address `at` (bytes) or where the kernel likes; ``yield`` gives the `Region`.

        What the kernel refuses is an `OSError` in the program: EINVAL, ENOMEM, EACCES, EAGAIN, EPERM.

        Parameters
        ----------
        size : int or str, optional
            Bytes; needed without a file, else up to the file's end.
        prot : int or str
            PROT_READ, PROT_WRITE, PROT_EXEC, or text like "rw-".
        file : OpenFile, optional
            What to map, from `offset` on, which must be whole pages.
        shared : bool
            Stores reach the file, or without one everybody who has the memory after a fork (not on linux-2.2); else
            they make the page the task's own (MAP_PRIVATE).
        fixed : bool
            What lies at `at` is unmapped first (MAP_FIXED); else `at` is a hint.
        growsdown : bool
            A stack: touching it below its start extends it.
        locked : bool
            All pages at once, and never swapped out (root only).
        reserve : bool
            Ask whether there is memory enough; False: MAP_NORESERVE.
        """
        at_vpn = None if at is None else self._size(at, "mmap.at") >> PAGE_SHIFT
        first_bytes = self._size(offset, "mmap.offset")
        require(first_bytes % PAGE_SIZE == 0, f"{self.name}: mmap.offset", f"{offset}", "whole pages")
        if file is None:
            require(first_bytes == 0, f"{self.name}: mmap.offset", f"{offset}", "0 without a file")
            size_bytes = self._size(0 if size is None else size, "mmap.size")
        else:
            self._opened(file, "mmap")
            size_bytes = file.size_bytes - first_bytes if size is None else self._size(size, "mmap.size")
        require(size_bytes > 0, f"{self.name}: mmap.size", f"{size_bytes} bytes", "above 0")
        bits = self._prot(prot, "mmap.prot") | (VM_SHARED if shared else 0)
        flags = (MAP_GROWSDOWN if growsdown else 0) | (MAP_LOCKED if locked else 0) | (0 if reserve else MAP_NORESERVE)
        return Mmap(_pages_up(size_bytes), at_vpn, name, bits, file, first_bytes >> PAGE_SHIFT, flags, fixed)

    def touch(
        self,
        region: Region,
        pattern: Pattern | None = None,
        accesses: int | None = None,
        write: float = 0.0,
        lines: int = 1,
        compute: int | str = 0,
        offset: int | str = 0,
        length: int | str | None = None,
    ) -> Touch:
        """Access `region`, or the part of it from `offset` over `length`, following `pattern`.

        Parameters
        ----------
        region : Region
            What `mmap` gave.
        pattern : Pattern, optional
            See `numa_sim.workloads.patterns`; default `sequential`.
        accesses : int, optional
            How many; default the pattern's natural length.
        write : float
            Share that writes, 0 to 1.
        lines : int
            Cache lines each access moves, 1 to 64.
        compute : int or str
            CPU time before each access, at most 2**31 - 1 ns.
        offset, length : int or str, optional
            Part of the region: offset rounded down, length up to whole pages.
        """
        if not isinstance(region, Region):
            raise ConfigError(
                "", f"{self.name}: touch.region", f"got {type(region).__name__}", ("what yield task.mmap() gave",)
            )
        pattern = sequential() if pattern is None else pattern
        if not isinstance(pattern, Pattern) or isinstance(pattern, type):
            raise ConfigError("", f"{self.name}: touch.pattern", f"got {pattern!r}", ("an access pattern",))
        compute_ns = self._time(compute, "touch.compute")
        require(compute_ns <= MAX_COMPUTE_NS, f"{self.name}: touch.compute", f"{compute_ns} ns", "below 2**31 ns")
        first, pages = self._part(region, offset, length, "touch")
        self._touches += 1
        rng = self._stream(f"touch {self._touches}")
        binding = Binding(region.start_vpn + first, pages, accesses, float(write), lines, compute_ns, rng)
        return Touch(region, pattern.bind(binding))

    def access(self, address: int, write: bool = False, esp: int | None = None, in_kernel: bool = False) -> Touch:
        """Make one access to the byte at `address`, whether anything is mapped there or not.

        Parameters
        ----------
        esp : int, optional
            The stack pointer at that time: an area that grows downwards grows for accesses at most 32 bytes below it
            only.  By default it is at the access, as for all other accesses.
        in_kernel : bool
            The kernel makes it, on behalf of this task, and expects no fault: a bug if there is one (an oops).
        """
        for name, value in (("address", address), ("esp", esp)):
            if value is not None and (type(value) is not int or not 0 <= value < 1 << 62):
                raise ConfigError("", f"{self.name}: access.{name}", f"got {value!r}", ("an address in bytes",))
        pattern = from_arrays(np.zeros(1, np.int64), writes=int(write))
        binding = Binding(address >> PAGE_SHIFT, 1, None, 0.0, 1, 0, self._stream("access"))
        return Touch(None, pattern.bind(binding), address, esp, in_kernel)

    def munmap(self, region: Region, offset: int | str = 0, length: int | str | None = None) -> Munmap:
        """Unmap `region` or the part of it from `offset` over `length`."""
        first, pages = self._part(region, offset, length, "munmap")
        return Munmap(region, first, pages)

    def sleep(self, time: int | str) -> Sleep:
        """Leave the CPU for `time`."""
        return Sleep(self._time(time, "sleep"))

    def compute(self, time: int | str, fpu: bool = False) -> Compute:
        """Use the CPU for `time`, and its FPU if `fpu`: a core file then has the FPU's registers."""
        return Compute(self._time(time, "compute"), bool(fpu))

    def _stream(self, name: str) -> np.random.Generator:
        return stream(self.seed, f"task/{self.name}/{name}")

    def _part(self, region: Region, offset: int | str, length: int | str | None, what: str) -> tuple[int, int]:
        """First page and number of pages of a part of `region`."""
        offset_bytes = self._size(offset, f"{what}.offset")
        first = offset_bytes >> PAGE_SHIFT
        require(first < region.pages, f"{self.name}: {what}.offset", f"{offset}", f"below {region.size_bytes} bytes")
        if length is None:
            return first, region.pages - first
        length_bytes = self._size(length, f"{what}.length")
        pages = _pages_up(length_bytes)
        require(
            length_bytes > 0 and first + pages <= region.pages,
            f"{self.name}: {what}.length",
            f"{length}",
            f"1 to {(region.pages - first) * PAGE_SIZE} bytes",
        )
        return first, pages

    def _size(self, value: int | str, path: str) -> int:
        try:
            return parse_bytes(value) if isinstance(value, str) else check_bytes(value, path)
        except (TypeError, ValueError) as problem:
            raise ConfigError("", f"{self.name}: {path}", str(problem)) from None

    def _time(self, value: int | str, path: str) -> int:
        try:
            return parse_ns(value) if isinstance(value, str) else check_ns(value, path)
        except (TypeError, ValueError) as problem:
            raise ConfigError("", f"{self.name}: {path}", str(problem)) from None


Program: TypeAlias = Callable[[TaskHandle], Generator[Operation, Any, None]]
"""What a task runs: called once with its handle, then driven operation by operation."""


def _pages_up(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_SIZE)
