"""Swap devices: when a transfer ends.

A device knows its own queue, so it schedules each request's completion directly: one SimPy event per request, not
one per queue, seek, transfer and interrupt.  Requests are runs of neighbouring slots (the block layer merges them).

Simplified: first come, first served (no elevator), no write cache, no wear, no errors.
"""

from __future__ import annotations

from heapq import heapreplace
from math import isqrt
from typing import NamedTuple, Protocol

from numa_sim.config.machine import Hdd, Nvme, SataSsd, Zram
from numa_sim.state.constants import PAGE_SIZE

MAX_REQUEST_PAGES = 32
"""Most pages of one request: 128 KiB, the usual limit of the 2.4 block layer."""


class Request(NamedTuple):
    """One transfer: `op` (IO_READ, IO_WRITE) of the frames `pfns` to neighbouring slots from `offset` on."""

    op: int
    area: int
    offset: int
    pfns: tuple[int, ...]


class Device(Protocol):
    """What a swap area needs of its device."""

    def completion_ns(self, now_ns: int, offset: int, pages: int) -> int:
        """Instant at which a request submitted at `now_ns` is done; called once per request, in order."""


def transfer_ns(pages: int, bandwidth: int) -> int:
    """Time on the wire of `pages` pages at `bandwidth` bytes/s, rounded up."""
    return -(-pages * PAGE_SIZE * 1_000_000_000 // bandwidth)


class Disk:
    """One head: a request that does not continue where the last one ended pays seek and rotation.

    Positioning takes the configured mean at a third of the disk (the mean random distance), 0.4 of it for a
    neighbouring track, growing with the square root of the distance, as measured seek curves do.
    """

    def __init__(self, seek_ns: int, bandwidth: int, slots: int) -> None:
        self.seek_ns = seek_ns
        self.bandwidth = bandwidth
        self.slots = slots
        self.head = 0
        self.free_ns = 0

    def positioning_ns(self, distance: int) -> int:
        """Time until the first byte, for a head `distance` slots away."""
        if distance == 0:
            return 0
        root_1000ths = isqrt(3 * distance * 1_000_000 // self.slots)
        return self.seek_ns * (400 + 600 * root_1000ths // 1000) // 1000

    def completion_ns(self, now_ns: int, offset: int, pages: int) -> int:
        """See `Device`."""
        start_ns = max(now_ns, self.free_ns)
        position_ns = self.positioning_ns(abs(offset - self.head))
        self.free_ns = start_ns + position_ns + transfer_ns(pages, self.bandwidth)
        self.head = offset + pages
        return self.free_ns


class SolidState:
    """Parallel channels of equal latency behind one link of limited bandwidth (SATA SSD, NVMe)."""

    def __init__(self, latency_ns: int, bandwidth: int, channels: int) -> None:
        self.latency_ns = latency_ns
        self.bandwidth = bandwidth
        self.channel_free_ns = [0] * channels
        self.link_free_ns = 0

    def completion_ns(self, now_ns: int, offset: int, pages: int) -> int:
        """See `Device`.  A request occupies the channel that is free first for its latency, then the link."""
        del offset  # flash has no position
        ready_ns = max(now_ns, self.channel_free_ns[0]) + self.latency_ns
        self.link_free_ns = max(ready_ns - self.latency_ns, self.link_free_ns) + transfer_ns(pages, self.bandwidth)
        done_ns = max(ready_ns, self.link_free_ns)
        heapreplace(self.channel_free_ns, done_ns)
        return done_ns


class Instant:
    """The null device: every request is done when it is submitted (zram's work is CPU time, charged by the kernel)."""

    def completion_ns(self, now_ns: int, offset: int, pages: int) -> int:
        """See `Device`."""
        del offset, pages
        return now_ns


def make_device(area: Hdd | SataSsd | Nvme | Zram) -> Device:
    """The device model of a configured swap area."""
    if isinstance(area, Hdd):
        return Disk(area.seek, area.bandwidth, area.size // PAGE_SIZE)
    if isinstance(area, Zram):
        return Instant()
    return SolidState(area.latency, area.bandwidth, area.channels)
