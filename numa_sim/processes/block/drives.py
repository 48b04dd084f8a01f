"""Drives: when a transfer ends.

A drive knows what it has been asked, so it says when a request will be done as soon as it gets it: one SimPy event
per request, not one per seek, transfer and interrupt.

Simplified: no write cache, no wear, no errors.
"""

from __future__ import annotations

from heapq import heapreplace
from math import isqrt
from typing import Protocol

from numa_sim.config.disk import Drive, HddDrive, ZramDrive
from numa_sim.processes.block.elevator import MAX_REQUEST_PAGES
from numa_sim.state.constants import PAGE_SIZE


class Device(Protocol):
    """What a request queue needs of a drive.

    Attributes
    ----------
    depth : int
        Requests it works on at once; a queue holds back what is beyond.
    seeks : int
        Requests so far that did not begin where the head was.
    """

    depth: int
    seeks: int

    def completion_ns(self, now_ns: int, block: int, pages: int) -> int:
        """Instant at which a request given to the drive at `now_ns` is done; called once per request, in order."""


def transfer_times_ns(bandwidth: int) -> list[int]:
    """Times on the wire of 0, 1, ... MAX_REQUEST_PAGES pages at `bandwidth` bytes/s, rounded up."""
    return [-(-pages * PAGE_SIZE * 1_000_000_000 // bandwidth) for pages in range(MAX_REQUEST_PAGES + 1)]


class HeadDisk:
    """One head: a request that does not continue where the last one ended pays seek and rotation.

    Positioning takes the configured mean at a third of the disk (the mean random distance), 0.4 of it for a
    neighbouring track, growing with the square root of the distance, as measured seek curves do.
    """

    def __init__(self, seek_ns: int, bandwidth: int, blocks: int) -> None:
        self.depth = 1
        self.seeks = 0
        self.seek_ns = seek_ns
        self.transfer_ns = transfer_times_ns(bandwidth)
        self.blocks = blocks
        self.head = 0
        self.free_ns = 0

    def positioning_ns(self, distance: int) -> int:
        """Time until the first byte, for a head `distance` blocks away."""
        if distance == 0:
            return 0
        root_1000ths = isqrt(3 * distance * 1_000_000 // self.blocks)
        return self.seek_ns * (400 + 600 * root_1000ths // 1000) // 1000

    def completion_ns(self, now_ns: int, block: int, pages: int) -> int:
        """See `Device`."""
        start_ns = max(now_ns, self.free_ns)
        if block != self.head:
            self.seeks += 1
        position_ns = self.positioning_ns(abs(block - self.head))
        self.free_ns = start_ns + position_ns + self.transfer_ns[pages]
        self.head = block + pages
        return self.free_ns


class SolidState:
    """Parallel channels of equal latency behind one link of limited bandwidth (SATA SSD, NVMe)."""

    def __init__(self, latency_ns: int, bandwidth: int, channels: int) -> None:
        self.depth = channels
        self.seeks = 0
        self.latency_ns = latency_ns
        self.transfer_ns = transfer_times_ns(bandwidth)
        self.channel_free_ns = [0] * channels
        self.link_free_ns = 0

    def completion_ns(self, now_ns: int, block: int, pages: int) -> int:
        """See `Device`.  A request occupies the channel that is free first for its latency, then the link."""
        del block  # flash has no position
        free_ns = self.channel_free_ns[0]
        start_ns = now_ns if now_ns > free_ns else free_ns
        ready_ns = start_ns + self.latency_ns
        sent_ns = (start_ns if start_ns > self.link_free_ns else self.link_free_ns) + self.transfer_ns[pages]
        self.link_free_ns = sent_ns
        done_ns = ready_ns if ready_ns > sent_ns else sent_ns
        heapreplace(self.channel_free_ns, done_ns)
        return done_ns


class Instant:
    """The null drive: every request is done when it is submitted (zram's work is CPU time, charged by the kernel)."""

    depth = 1
    seeks = 0

    def completion_ns(self, now_ns: int, block: int, pages: int) -> int:
        """See `Device`."""
        del block, pages
        return now_ns


def make_device(drive: Drive) -> Device:
    """The model of a configured drive."""
    model = drive.model
    if isinstance(model, HddDrive):
        return HeadDisk(model.seek, model.bandwidth, drive.blocks)
    if isinstance(model, ZramDrive):
        return Instant()
    return SolidState(model.latency, model.bandwidth, model.channels)
