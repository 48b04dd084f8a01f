"""The request queue of a disk: plugging, merging, counting; drivers/block/ll_rw_blk.c @2.4.37 (spec 9.5).

Requests that come to an idle disk wait behind a *plug*, so that neighbours can join them.  The plug is pulled by
whoever waits for I/O (tq_disk), by the daemons at the end of their rounds, and by a full queue.  While the disk works,
later requests wait in the order of the elevator, and neighbours join them there.

Simplified: only those who write files and the flushing daemons sleep while a queue is full, not who swaps; two requests
that become neighbours are not joined afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy
from simpy.events import NORMAL

from numa_sim.config.disk import Drive, ZramDrive
from numa_sim.processes.block.drives import make_device
from numa_sim.processes.block.elevator import ELEVATORS, MAX_REQUEST_PAGES, Request, noop
from numa_sim.state.constants import IO_READ

QUEUE_NR_REQUESTS = 128
"""Requests a queue has room for before it is unplugged (nr_requests of a small machine)."""
DRIVE_NR_REQUESTS = 1024
"""Requests a drive without a queue takes (the depth of an NVMe queue)."""
SECTORS_PER_PAGE = 8
COUNTERS = (
    "reads", "read_merges", "sectors_read", "writes", "write_merges", "sectors_written",
    "seeks", "plugs", "in_flight", "busy_ns", "await_ns",
)  # fmt: skip
"""What a queue counts, under the names of ``kernel.disks``; written there when somebody looks (`settle`)."""


class RequestQueue:
    """One disk: its drive, what waits for it and what it has done.

    Parameters
    ----------
    env : simpy.Environment
        The clock.
    drive : Drive
        What the disk is.
    record : Records row
        Its counters: a record of ``kernel.disks``.
    plugging : bool
        False: the first request to an idle disk starts at once, alone.
    end : callable
        Called with each finished `Request`.

    Attributes
    ----------
    is_queued : bool
        Whether requests wait for one another; else the drive takes each at once (`take`).
    plugged : bool
        Whether they wait for the plug to be pulled.
    """

    def __init__(
        self, env: simpy.Environment, drive: Drive, record: Any, plugging: bool, end: Callable[[Request], None]
    ) -> None:
        self._env = env
        self.name = drive.name
        self.device = make_device(drive)
        elevator = "none" if isinstance(drive.model, ZramDrive) else drive.model.elevator
        self._place = ELEVATORS.get(elevator, noop)
        self.is_queued = elevator in ELEVATORS
        self._plugging = plugging
        self._end = end
        self._record = record
        self.reads = self.read_merges = self.sectors_read = 0
        self.writes = self.write_merges = self.sectors_written = 0
        self.seeks = self.plugs = self.in_flight = self.busy_ns = self.await_ns = 0
        self.plugged = False
        self._waiting: list[Request] = []
        self._by_block: dict[tuple[int, int], Request] = {}
        self._by_end: dict[tuple[int, int], Request] = {}
        self._last: Request | None = None
        self._under_way = 0
        self._busy_since_ns = 0
        self._when_done: list[Any] = [self._done]

    # In --------------------------------------------------------------------------------------------------------------

    def take(self, op: int, block: int, pfns: list[int]) -> None:
        """Give a whole request to the drive, past the queue."""
        now_ns: int = self._env._now  # type: ignore[assignment]
        self.in_flight += 1
        self._give(Request(op, block, pfns, now_ns), now_ns)

    def add(self, op: int, block: int, pfn: int) -> None:
        """Queue the transfer of one page (`__make_request`)."""
        if self._joins(op, block, pfn):
            return
        request = Request(op, block, [pfn], int(self._env.now))
        self.in_flight += 1
        if not self._waiting and not self._under_way and self._plugging:
            self.plugged = True
            self.plugs += 1
        self._waiting.insert(self._place(self._waiting, self._last, request), request)
        self._by_block[op, block] = self._by_end[op, block + 1] = request
        if not self.plugged:
            self._start()
        elif len(self._waiting) >= QUEUE_NR_REQUESTS:
            self.unplug()

    def _joins(self, op: int, block: int, pfn: int) -> bool:
        """Add the page to the end or the front of a waiting request, if one of its kind is its neighbour."""
        request = self._by_end.get((op, block))
        if request is not None and len(request.pfns) < MAX_REQUEST_PAGES:
            del self._by_end[op, block]
            request.pfns.append(pfn)
            self._by_end[op, block + 1] = request
        else:
            request = self._by_block.get((op, block + 1))
            if request is None or len(request.pfns) >= MAX_REQUEST_PAGES:
                return False
            del self._by_block[op, block + 1]
            request.block = block
            request.pfns.insert(0, pfn)
            self._by_block[op, block] = request
        if op == IO_READ:
            self.read_merges += 1
        else:
            self.write_merges += 1
        return True

    def unplug(self) -> None:
        """generic_unplug_device: let the drive have what waits."""
        self.plugged = False
        self._start()

    # Out -------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Give the drive as many requests as it works on at once."""
        now_ns = int(self._env.now)
        while self._waiting and self._under_way < self.device.depth:
            request = self._waiting.pop(0)
            del self._by_block[request.op, request.block], self._by_end[request.op, request.end]
            self._last = request
            self._give(request, now_ns)

    def _give(self, request: Request, now_ns: int) -> None:
        if not self._under_way:
            self._busy_since_ns = now_ns
        self._under_way += 1
        request.given_ns = now_ns
        done_ns = self.device.completion_ns(now_ns, request.block, len(request.pfns))
        request.callbacks = self._when_done
        self._env.schedule(request, NORMAL, done_ns - now_ns)

    def _done(self, request: Any) -> None:
        """The drive's interrupt."""
        now_ns: int = self._env._now  # type: ignore[assignment]
        self._under_way -= 1
        if not self._under_way:
            self.busy_ns += now_ns - self._busy_since_ns
            self._last = None
        self.in_flight -= 1
        self.await_ns += now_ns - request.submitted_ns
        if request.op == IO_READ:
            self.reads += 1
            self.sectors_read += SECTORS_PER_PAGE * len(request.pfns)
        else:
            self.writes += 1
            self.sectors_written += SECTORS_PER_PAGE * len(request.pfns)
        if self._waiting:
            self._start()
        self._end(request)

    @property
    def is_full(self) -> bool:
        """Whether those who write files sleep until requests are done (__get_request_wait)."""
        return self.in_flight >= (QUEUE_NR_REQUESTS if self.is_queued else DRIVE_NR_REQUESTS)

    def settle(self) -> None:
        """Bring the record of ``kernel.disks`` up to now."""
        if self._under_way:
            now_ns = int(self._env.now)
            self.busy_ns += now_ns - self._busy_since_ns
            self._busy_since_ns = now_ns
        self.seeks = self.device.seeks
        for name in COUNTERS:
            setattr(self._record, name, getattr(self, name))
