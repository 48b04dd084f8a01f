"""A trace as the program of a task."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.state.constants import MAP_NORESERVE, MREMAP_FIXED, MREMAP_MAYMOVE, VM_SHARED
from numa_sim.state.hardware_layout import ACCESS
from numa_sim.state.kernel import zeros
from numa_sim.workloads.memory import Mprotect, Mremap
from numa_sim.workloads.patterns.source import ENDLESS, AccessSource
from numa_sim.workloads.program import (
    PROT_DEFAULT,
    Compute,
    Mmap,
    Munmap,
    Operation,
    Program,
    Region,
    Sleep,
    TaskHandle,
    Touch,
)
from numa_sim.workloads.traces.formats import check_hit_ns, read_items
from numa_sim.workloads.traces.items import (
    CHUNK,
    FILL,
    Item,
    MapCall,
    MoveCall,
    ProtectCall,
    Runs,
    UnmapCall,
    Wait,
    convert,
    touching_flags,
)

MAPPINGS = ("anonymous", "recorded")
RECORD_CALLS = ("numa_sim", "lackey+strace")


class _Replay:
    """Items of a trace with one item of look-ahead, and the time runs left over."""

    def __init__(self, items: Iterator[Item], cache_hit_ns: int, touching: int, fill: bool) -> None:
        self._items = items
        self._kept_flags = np.uint8(0xFF if fill else 0xFF & ~FILL)
        self._hit_ns = cache_hit_ns
        self._touching = touching
        self._held: Item | None = None
        self._buffer = zeros(CHUNK, ACCESS)
        self.carry_ns = 0

    def peek(self) -> Item | None:
        """Return the next item without taking it; None at the end."""
        if self._held is None:
            self._held = next(self._items, None)
        return self._held

    def take(self) -> None:
        """Drop the item `peek` showed."""
        self._held = None

    def accesses(self) -> Any:
        """Accesses of the next runs (a view, overwritten by the next call); None before a call or the end."""
        while isinstance(runs := self.peek(), Runs):
            self.take()
            if len(runs.vpn) > len(self._buffer):
                self._buffer = zeros(len(runs.vpn), ACCESS)
            runs = runs._replace(flags=runs.flags & self._kept_flags)
            n, self.carry_ns = convert(self._buffer, *runs, self._touching, self._hit_ns, self.carry_ns)
            if n:
                return self._buffer[:n]
        return None


class TraceSource(AccessSource):
    """Gives the accesses of a trace up to its next system call."""

    def __init__(self, replay: _Replay) -> None:
        super().__init__(ENDLESS)
        self._replay = replay
        self._chunk: Any = ()
        self._at = 0

    def _fill(self, accesses: Any) -> int:
        done = 0
        while done < len(accesses):
            if self._at == len(self._chunk):
                chunk = self._replay.accesses()
                if chunk is None:
                    break
                self._chunk, self._at = chunk, 0
            n = min(len(accesses) - done, len(self._chunk) - self._at)
            accesses[done : done + n] = self._chunk[self._at : self._at + n]
            self._at += n
            done += n
        return done


def _move(call: MoveCall) -> Generator[Operation, Any, None]:
    """Move the pages; if the kernel refuses (they are not one area here, or there is no memory), new ones come."""
    region = Region(call.vpn, call.pages)
    try:
        yield Mremap(region, call.pages, MREMAP_MAYMOVE | MREMAP_FIXED, call.to_vpn)
    except OSError:  # the machine has warned
        yield Munmap(region, 0, call.pages)
        yield Mmap(call.pages, call.to_vpn, f"{call.to_vpn << 12:#x}", PROT_DEFAULT, flags=MAP_NORESERVE)


def trace_program(
    path: str | Path,
    format: str = "numa_sim",
    *,
    cache_hit_ns: int = 1,
    limit: int | None = None,
    instructions: bool = True,
    mappings: str = "anonymous",
    **options: Any,
) -> Program:
    """Return a program that replays a trace: maps, touches and unmaps as recorded, one `Touch` between two calls.

    Pages keep their recorded addresses.  Time passes only through `cache_hit_ns` for each access of a run and through
    what the simulated machine adds; the recorded program's own waiting is not in a trace, but in DAMON's records, whose
    accesses are made no earlier, counted from the task's start, than they were recorded.  Errors in the file
    surface where the replay meets them.

    Parameters
    ----------
    path : str or Path
        The trace; each task that runs the program reads it by itself.
    format : str
        A name in `FORMATS`.
    cache_hit_ns : int
        CPU time of each access of a run, which all but the first find in the CPU's caches; ns.
    limit : int, optional
        Stop after this many runs.
    instructions : bool
        False leaves out instruction fetches, but not their time.
    mappings : str
        ``anonymous``: whatever was mapped is private memory, readable and writable, and the first touch of a page
        that had contents counts as the write that brings them.  ``recorded``: areas, permissions and sharing are
        those of the recording, call by call; pages of files are anonymous still, so one that is only read shows
        ZERO_PAGE.  Only for formats that record calls: numa_sim, lackey+strace.
    **options
        Of the reader.

    Raises
    ------
    ConfigError
        No such format, `cache_hit_ns` out of range, or mappings that the format does not record.
    """
    check_hit_ns(cache_hit_ns)
    if mappings not in MAPPINGS:
        raise ConfigError("", "trace.mappings", f"got {mappings!r}", MAPPINGS)
    exact = mappings == "recorded"
    if exact:
        if format not in RECORD_CALLS:
            raise ConfigError("", "trace.mappings", f"the format {format} records no calls", ("anonymous",))
        options["exact"] = True
    read_items(path, format, instructions=instructions, limit=limit, **options)  # refuses a bad format now

    def program(task: TaskHandle) -> Generator[Operation, Any, None]:
        items = read_items(path, format, instructions=instructions, limit=limit, **options)
        replay = _Replay(items, cache_hit_ns, touching_flags(instructions), fill=not exact)
        while (item := replay.peek()) is not None:
            match item:
                case MapCall(vpn, pages, prot, _, shared):
                    replay.take()
                    allowed = prot | (VM_SHARED if shared else 0) if exact else PROT_DEFAULT
                    yield Mmap(pages, vpn, f"{vpn << 12:#x}", allowed, flags=MAP_NORESERVE)
                case UnmapCall(vpn, pages):
                    replay.take()
                    yield Munmap(Region(vpn, pages), 0, pages)
                case MoveCall():
                    replay.take()
                    yield from _move(item)
                case ProtectCall(vpn, pages, prot):
                    replay.take()
                    yield Mprotect(Region(vpn, pages), 0, pages, prot)
                case Wait(until_ns):
                    replay.take()
                    yield Sleep(until_ns, since_start=True)
                case _:
                    yield Touch(None, TraceSource(replay))
        if replay.carry_ns:
            yield Compute(replay.carry_ns)

    return program
