"""A policy on a trace: how many faults, disk reads and writes, without a machine around it.

The memory of `replay` has a number of frames and no time: every page is like every other (of files or anonymous, code
or data), a write takes no time, and nothing else needs memory.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from numa_sim.errors import ConfigError, PolicyError
from numa_sim.policies.policy import Policy
from numa_sim.policies.registry import find
from numa_sim.workloads.streams import stream
from numa_sim.workloads.traces import Runs, read_items
from numa_sim.workloads.traces.items import WRITE


@dataclass(frozen=True, eq=False)
class PageTrace:
    """Accesses in order.

    Parameters
    ----------
    page : array of int
        What each access uses: a virtual page number, or a page of one of several processes (`process_of`).
    write : array of bool
        Whether it writes.
    """

    page: Any
    write: Any

    @classmethod
    def read(cls, path: str | Path, format: str = "numa_sim", **options: Any) -> PageTrace:
        """All records of a trace file (`numa_sim.workloads.traces.read_items`), instruction fetches included.

        Calls that map and unmap are ignored: a page number means the same page throughout.
        """
        runs = [item for item in read_items(path, format, **options) if isinstance(item, Runs)]
        if not runs:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.bool_))
        return cls(
            np.concatenate([part.vpn for part in runs]),
            np.concatenate([part.flags for part in runs]) & WRITE != 0,
        )

    @classmethod
    def of(cls, trace: Any) -> PageTrace:
        """Make one of a path, an array of pages, or a pair of arrays."""
        if isinstance(trace, PageTrace):
            return trace
        if isinstance(trace, str | Path):
            return cls.read(trace)
        pages, writes = trace if isinstance(trace, tuple) else (trace, False)
        page = np.asarray(pages, np.int64)
        return cls(page, np.broadcast_to(np.asarray(writes, np.bool_), page.shape))

    @property
    def footprint(self) -> int:
        """How many pages it touches."""
        return len(np.unique(self.page))


@dataclass
class Replay:
    """What a policy made of a trace.

    Attributes
    ----------
    policy : str
        Its name.
    frames : int
        Memory, in pages.
    records : int
        Accesses carried out.
    faults : int
        Those that found their page not in memory.
    disk_reads : int
        Pages read: all but first touches, and what a policy brought along.
    disk_writes : int
        Pages written.
    rescues : int
        Accesses that found their page in the staging queue.
    evictions : int
        Frames freed.
    refused_at : int or None
        Record at which no frame was to be had and the program died.
    """

    policy: str
    frames: int
    records: int = 0
    faults: int = 0
    disk_reads: int = 0
    disk_writes: int = 0
    rescues: int = 0
    evictions: int = 0
    refused_at: int | None = None


@dataclass
class _Memory:
    """Frames and what is in them, and the policy that decides."""

    policy: Policy
    ahead: int
    counts: Replay
    resident: dict[int, bool] = field(default_factory=dict)  # page: dirty
    staged: OrderedDict[int, bool] = field(default_factory=OrderedDict)  # oldest first
    used: dict[int, bool] = field(default_factory=dict)  # accessed bits not yet reported: page: written
    on_disk: set[int] = field(default_factory=set)

    def miss(self, page: int, write: bool) -> bool:
        """Serve an access to a page that is not mapped; False if no frame was to be had."""
        if page in self.staged:
            self.counts.rescues += 1
            self.resident[page] = self.staged.pop(page) or write
            self.policy.rescue(page, write)
            return True
        self.counts.faults += 1
        companions = [other for other in self.policy.along_with(page) if other not in self.resident]
        if not self._bring(page, page, write):
            return False
        return all(self._bring(other, page, False) for other in companions)

    def _bring(self, page: int, needed_by: int, write: bool) -> bool:
        """Give `page` a frame on behalf of `needed_by`; False if there is none."""
        if not self._make_room(needed_by):
            return False
        if page in self.on_disk:
            self.counts.disk_reads += 1
        self.resident[page] = write
        self.policy.insert(page, write)
        return True

    def _make_room(self, needed_by: int) -> bool:
        """See to a free frame; False if the policy gives none."""
        frames = self.counts.frames
        if len(self.resident) + len(self.staged) < frames:
            return True
        if not self.staged:
            self._report_uses()
            policy = self.policy
            policy.needed_by = needed_by
            for victim in policy.victims(1 + self.ahead if policy.in_background else 1):
                self._give_up(victim)
            policy.needed_by = None
        if len(self.resident) + len(self.staged) == frames and self.staged:
            self._free(*self.staged.popitem(last=False))
        return len(self.resident) + len(self.staged) < frames

    def _report_uses(self) -> None:
        for page, write in self.used.items():
            if page in self.resident:
                self.policy.touch(page, write)
        self.used.clear()

    def _give_up(self, victim: int) -> None:
        """Unmap a victim: into the queue, or out of memory."""
        dirty = self.resident.pop(victim, None)
        if dirty is None:
            raise PolicyError(self.policy.name, f"chose page {victim}, which is not in memory")
        if self.policy.writes == "all":
            self.counts.disk_writes += 1
            dirty = False
        if self.policy.staged:
            self.staged[victim] = dirty
        else:
            self._free(victim, dirty)

    def _free(self, page: int, dirty: bool) -> None:
        self.counts.disk_writes += dirty
        self.counts.evictions += 1
        self.on_disk.add(page)


def replay(trace: Any, frames: int, policy: str | type[Policy] | Policy, *, ahead: int = 0, seed: int = 0) -> Replay:
    """Run `policy` on the accesses of `trace` with `frames` frames of memory.

    Parameters
    ----------
    trace : PageTrace, path, array of int, or pair of arrays
        The accesses: pages and whether they write.
    frames : int
        Memory, in pages; at least 1.
    policy : str, class or object
        Its name, its class, or itself.
    ahead : int
        Victims chosen beyond the one needed whenever a frame is needed and none is ready, as kswapd does; ignored for
        a policy that does not work in the background.
    seed : int
        For policies that draw.

    Returns
    -------
    Replay
        Exact counts.

    Raises
    ------
    PolicyError
        If the policy chooses a page that is not in memory.

    Examples
    --------
    >>> from numa_sim.policies import replay
    >>> replay([1, 2, 3, 1, 2, 3], frames=2, policy="lru").faults
    6
    """
    chosen = find(policy)
    if frames < 1 or ahead < 0:
        raise ConfigError("", "frames, ahead", f"{frames}, {ahead} are out of range", ("frames >= 1, ahead >= 0",))
    accesses = PageTrace.of(trace)
    counts = Replay(chosen.name, frames)
    memory = _Memory(chosen, ahead, counts)
    chosen.start(frames, stream(seed, f"policy/{chosen.name}"))
    counts.records = _run(memory, accesses.page.tolist(), accesses.write.tolist())
    if counts.records < len(accesses.page):
        counts.refused_at = counts.records
    return counts


def _run(memory: _Memory, pages: list[int], writes: list[bool]) -> int:
    """Carry out accesses until the end, or until no frame is to be had; return how many."""
    resident = memory.resident
    note = memory.policy.touch if memory.policy.observes == "accesses" else _bit_setter(memory.used)
    for done, (page, write) in enumerate(zip(pages, writes, strict=True)):
        if page in resident:
            if write:
                resident[page] = True
            note(page, write)
        elif not memory.miss(page, write):
            return done
    return len(pages)


def _bit_setter(used: dict[int, bool]) -> Any:
    """Note a use without telling the policy yet."""

    def note(page: int, write: bool) -> None:
        used[page] = write or used.get(page, False)

    return note
