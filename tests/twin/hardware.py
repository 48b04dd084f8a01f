"""The twin's hardware: TLBs and page walks, memory channels, swap devices.

Written apart from the engine, straight from what each part is said to do.  The TLB contents live in ``k.tlb``, since
the kernel's rules invalidate entries there; everything else is plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np

from numa_sim.config.disk import HddDrive, ZramDrive
from numa_sim.config.model import Config
from numa_sim.state.constants import PAGE_SHIFT, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_RW, PTE_USER
from numa_sim.state.kernel import Kernel
from numa_sim.topology import Curve, Topology

LINE_BYTES = 64
PAGE_BYTES = 4096
PS_PER_NS = 1000


class Mmu:
    """The TLBs of all CPUs and the page walk behind them."""

    def __init__(self, k: Kernel) -> None:
        self.tables = k.tables.view(np.ndarray)
        self.vpns = k.tlb["vpn"].view(np.ndarray)
        self.ptes = k.tlb["pte"].view(np.ndarray)
        _, self.sets, self.ways = self.vpns.shape
        self.next_way = [[0] * self.sets for _ in range(len(self.vpns))]
        self.levels = int(k.vm[0].levels)
        self.bits = int(k.vm[0].entry_bits)

    def cached(self, cpu: int, vpn: int, write: int) -> int:
        """The translation from the TLB; 0 if there is none, or a first store must set DIRTY in the page table."""
        found = np.flatnonzero(self.vpns[cpu, vpn % self.sets] == vpn + 1)
        if not len(found):
            return 0
        pte = int(self.ptes[cpu, vpn % self.sets, found[0]])
        return pte if not write or (pte & PTE_DIRTY and pte & PTE_RW) else 0

    def walk(self, top: int, vpn: int, write: int) -> int:
        """Walk from the table in row `top`, always through all levels; set ACCESSED and DIRTY; 0 = page fault."""
        row = top
        for level in reversed(range(self.levels)):
            if row < 0:
                return 0
            index = (vpn >> (level * self.bits)) % (1 << self.bits)
            entry = int(self.tables[row, index])
            if level:
                row = entry >> PAGE_SHIFT if entry else -1
        if not entry & PTE_PRESENT or not entry & PTE_USER or (write and not entry & PTE_RW):
            return 0
        entry |= PTE_ACCESSED | (PTE_DIRTY if write else 0)
        self.tables[row, index] = entry
        return entry

    def load(self, cpu: int, vpn: int, pte: int) -> None:
        """Remember a translation, in place of an older one of the same page, else of the set's next victim."""
        if not self.ways:
            return
        index = vpn % self.sets
        found = np.flatnonzero(self.vpns[cpu, index] == vpn + 1)
        if len(found):
            way = found[0]
        else:
            way = self.next_way[cpu][index]
            self.next_way[cpu][index] = (way + 1) % self.ways
        self.vpns[cpu, index, way] = vpn + 1
        self.ptes[cpu, index, way] = pte


class Channel:
    """A memory controller or a link: it moves one cache line after the other, first come, first served."""

    def __init__(self, bandwidth: int, window_ns: int, curve: Curve | None) -> None:
        self.bandwidth = bandwidth
        self.line_ps = -(-LINE_BYTES * 10**12 // bandwidth)
        self.free_ps = 0
        self.curve = curve
        self.window_ns = window_ns
        self.window_start_ns = 0
        self.window_lines = 0
        self.loaded_ns = 0

    def wait_ps(self, now_ps: int, lines: int) -> int:
        """Accept `lines` cache lines at `now_ps`; what the access waits before the first of them."""
        start_ps = max(now_ps, self.free_ps)
        self.free_ps = start_ps + lines * self.line_ps
        wait_ps = start_ps - now_ps
        if self.curve is not None:
            wait_ps = max(wait_ps, PS_PER_NS * self._curve_ns(self.curve, now_ps // PS_PER_NS, lines))
        return wait_ps

    def _curve_ns(self, curve: Curve, now_ns: int, lines: int) -> int:
        """What the measured curve adds at the load asked for in the last whole window, known to 1/64 of capacity."""
        elapsed_ns = now_ns - self.window_start_ns
        if elapsed_ns >= self.window_ns:
            wanted_ps = self.window_lines * self.line_ps
            step = min(64, 64 * wanted_ps // (elapsed_ns * PS_PER_NS))
            self.loaded_ns = latency_at(curve, self.bandwidth * step // 64) - curve.points[0][1]
            self.window_start_ns, self.window_lines = now_ns, 0
        self.window_lines += lines
        return self.loaded_ns


def latency_at(curve: Curve, load: int) -> int:
    """Latency at `load` bytes/s: straight lines between the points, flat before the first and after the last."""
    bandwidths = [bandwidth for bandwidth, _ in curve.points]
    latencies = [latency for _, latency in curve.points]
    if load <= bandwidths[0]:
        return latencies[0]
    for i in range(1, len(bandwidths)):
        if load <= bandwidths[i]:
            rise, width = latencies[i] - latencies[i - 1], bandwidths[i] - bandwidths[i - 1]
            return latencies[i - 1] + rise * (load - bandwidths[i - 1]) // width
    return latencies[-1]


class MemorySystem:
    """Where frames are, how far away, and what is in between."""

    def __init__(self, config: Config, topology: Topology, placed: Sequence[tuple[int, int]]) -> None:
        memory = config.machine.memory
        curves = topology.curves if memory.model == "curve" and topology.curves else (None,) * len(topology)
        self.topology = topology
        self.contention = memory.model != "none"
        self.placed = placed
        self.controllers = [
            Channel(bandwidth, memory.window, curve)
            for bandwidth, curve in zip(topology.bandwidth, curves, strict=True)
        ]
        self.links = [Channel(link.bandwidth, memory.window, None) for link in topology.links]
        self.lines = np.zeros((len(topology), len(topology)), np.int64)

    def home(self, pfn: int) -> int:
        """Node of a frame."""
        return next(node for node, (start, frames) in enumerate(self.placed) if start <= pfn < start + frames)

    def latency_ns(self, node: int, home: int) -> int:
        return self.topology.latency_ns[node][home]

    def wait_ns(self, node: int, home: int, now_ns: int, lines: int) -> int:
        """What `lines` issued at `now_ns` wait for others: at each link on the way, then at the controller."""
        self.lines[node, home] += lines
        if not self.contention:
            return 0
        way = [self.controllers[home]]
        if self.topology.connected(node, home):
            way = [self.links[link] for link in self.topology.path(node, home)] + way
        waited_ps = 0
        for channel in way:
            waited_ps += channel.wait_ps(now_ns * PS_PER_NS + waited_ps, lines)
        return -(-waited_ps // PS_PER_NS)


class HeadDisk:
    """A disk: one request at a time; the head waits for blocks ahead, or moves if that is quicker.

    Moves grow with the square root of the distance, from 0.4 of the mean.
    """

    def __init__(self, model: HddDrive, blocks: int) -> None:
        self.model = model
        self.blocks = blocks
        self.position = 0
        self.idle_ns = 0

    def done_ns(self, now_ns: int, block: int, pages: int) -> int:
        # At a third of the disk the root is 1 and positioning takes the mean.
        root = isqrt(1_000_000 * 3 * abs(block - self.position) // self.blocks)
        move_ns = self.model.seek * (400 + root * 600 // 1000) // 1000
        if block >= self.position:
            move_ns = min(move_ns, wire_ns(block - self.position, self.model.bandwidth))
        self.idle_ns = max(now_ns, self.idle_ns) + move_ns + wire_ns(pages, self.model.bandwidth)
        self.position = block + pages
        return self.idle_ns


class Flash:
    """An SSD: channels in parallel, each busy for a latency per request, and one link they share."""

    def __init__(self, latency_ns: int, bandwidth: int, channels: int) -> None:
        self.latency_ns, self.bandwidth = latency_ns, bandwidth
        self.idle_ns = [0] * channels
        self.link_idle_ns = 0

    def done_ns(self, now_ns: int, block: int, pages: int) -> int:
        self.idle_ns.sort()
        start_ns = max(now_ns, self.idle_ns[0])
        self.link_idle_ns = max(start_ns, self.link_idle_ns) + wire_ns(pages, self.bandwidth)
        self.idle_ns[0] = max(start_ns + self.latency_ns, self.link_idle_ns)
        return self.idle_ns[0]


def wire_ns(pages: int, bandwidth: int) -> int:
    return -(-pages * PAGE_BYTES * 10**9 // bandwidth)


def make_device(model: Any, blocks: int) -> HeadDisk | Flash | None:
    if isinstance(model, HddDrive):
        return HeadDisk(model, blocks)
    if isinstance(model, ZramDrive):
        return None  # never has a request: the CPU does the work at once
    return Flash(model.latency, model.bandwidth, model.channels)
