"""Drives: when a transfer ends.

A drive knows what it has been asked, so it says when a request will be done as soon as it gets it: one SimPy event
per request, not one per seek, transfer and interrupt.

Simplified: no write cache, no wear, no errors; a head knows its distance, not the angle of the platter.
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
        Requests so far for which a head was moved.
    """

    depth: int
    seeks: int

    def completion_ns(self, now_ns: int, block: int, pages: int) -> int:
        """Instant at which a request given to the drive at `now_ns` is done; called once per request, in order."""


def transfer_time_ns(pages: int, bandwidth: int) -> int:
    """Time of `pages` pages at `bandwidth` bytes/s, rounded up."""
    return -(-pages * PAGE_SIZE * 1_000_000_000 // bandwidth)


def transfer_times_ns(bandwidth: int) -> list[int]:
    """Times on the wire of 0, 1, ... MAX_REQUEST_PAGES pages at `bandwidth` bytes/s."""
    return [transfer_time_ns(pages, bandwidth) for pages in range(MAX_REQUEST_PAGES + 1)]


class HeadDisk:
    """One head: it waits for blocks that come soon, and moves to others.

    *Move*: seek and half a turn take the configured mean at a third of the disk (the mean random distance), 0.4 of it
    for a neighbouring track, and grow with the square root of the distance.  From a tenth of a disk on that is within
    a tenth of the measured curve of an HP 97560, a root and then a line, and up to a quarter below it before (Ruemmler
    and Wilkes, "An introduction to disk drive modeling", IEEE Computer 27 (3), 1994).

    *Wait*: blocks that lie a little ahead pass under the head at the speed at which they would be read.  The head stays
    where it is if that is no longer than a move; so a skipped page costs the time of a page, and no gap costs more than
    a move.
    """

    def __init__(self, seek_ns: int, bandwidth: int, blocks: int) -> None:
        self.depth = 1
        self.seeks = 0
        self.seek_ns = seek_ns
        self.bandwidth = bandwidth
        self.transfer_ns = transfer_times_ns(bandwidth)
        self.blocks = blocks
        self.head = 0
        self.free_ns = 0

    def move_ns(self, distance: int) -> int:
        """Seek and rotation to a block `distance` blocks away, in either direction."""
        root_1000ths = isqrt(3 * distance * 1_000_000 // self.blocks)
        return self.seek_ns * (400 + 600 * root_1000ths // 1000) // 1000

    def completion_ns(self, now_ns: int, block: int, pages: int) -> int:
        """See `Device`."""
        ahead = block - self.head
        position_ns = transfer_time_ns(ahead, self.bandwidth)
        if ahead < 0 or position_ns > self.move_ns(ahead):
            self.seeks += 1
            position_ns = self.move_ns(abs(ahead))
        self.free_ns = max(now_ns, self.free_ns) + position_ns + self.transfer_ns[pages]
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
