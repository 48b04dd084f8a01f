"""The boot: its allocator against a naive bitmap, what it hands over, and what it costs the host."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numa_sim.compiled import entry
from numa_sim.errors import ConfigError, InvariantViolation, TopologyError
from numa_sim.kernel import buddy, numa
from numa_sim.kernel.bootmem import Bootmem, boot
from numa_sim.kernel.buddy import free_lists
from numa_sim.kernel.mmzone import misaligned_zones
from numa_sim.state.constants import GFP_HIGHUSER, NR_ZONES, PAGE_SIZE, PG_reserved
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

GIB = 1 << 18  # pages
MIB = 256
is_reserved = entry(buddy.is_reserved)
alloc_pages = entry(numa.alloc_pages)


def booted(frames: list[int], arch: str = "x86-64", fallback: str = "strict24", **options: object) -> Kernel:
    """Nodes of these sizes behind each other, each start rounded up to 512 pages."""
    nodes, start = [], 0
    for n in frames:
        nodes.append((start, n))
        start += -(-n // 512) * 512
    k = new_kernel(Sizes(nodes=len(nodes), cpus=1, frames=start, tables=1))
    distance = [[10 if i == j else 20 for j in range(len(nodes))] for i in range(len(nodes))]
    boot(k, nodes, arch, "linux-2.4.37", fallback, distance, **options)
    return k


# The allocator -------------------------------------------------------------------------------------------------------


class NaiveBootmem:
    """Spec 1.2 word by word on a list of bits."""

    def __init__(self, start_pfn: int, end_pfn: int) -> None:
        self.base, self.bits = start_pfn, [1] * (end_pfn - start_pfn)
        self.last_pos = self.last_offset = 0

    def free(self, address: int, size: int) -> None:
        for i in range(-(-address // PAGE_SIZE), (address + size) // PAGE_SIZE):
            assert self.bits[i - self.base] == 1
            self.bits[i - self.base] = 0

    def reserve(self, address: int, size: int) -> int:
        warned = 0
        for i in range(address // PAGE_SIZE, -(-(address + size) // PAGE_SIZE)):
            warned += self.bits[i - self.base]
            self.bits[i - self.base] = 1
        return warned

    def alloc(self, size: int, align: int, goal: int) -> int | None:
        n, step, pages = len(self.bits), max(align // PAGE_SIZE, 1), -(-size // PAGE_SIZE)
        first = 0
        if goal and self.base <= goal // PAGE_SIZE < self.base + n:
            first = -(-(goal // PAGE_SIZE - self.base) // step) * step
        for begin in (first, 0):
            for i in range(begin, n, step):
                if i + pages <= n and not any(self.bits[i : i + pages]):
                    return self._take(i, size, align)
        return None

    def _take(self, i: int, size: int, align: int) -> int:
        if align <= PAGE_SIZE and self.last_offset and self.last_pos + 1 == i:
            offset = -(-self.last_offset // align) * align
            address = self.last_pos * PAGE_SIZE + offset
        else:
            address = i * PAGE_SIZE
        end = address + size
        for page in range(address // PAGE_SIZE, -(-end // PAGE_SIZE)):
            self.bits[page] = 1
        self.last_pos, self.last_offset = (end - 1) // PAGE_SIZE, end % PAGE_SIZE
        return self.base * PAGE_SIZE + address


SIZE = st.one_of(st.integers(1, 300), st.integers(1, 9 * PAGE_SIZE))


@pytest.mark.row("S1-35")
@settings(deadline=None, max_examples=150)
@given(st.sampled_from([0, 512]), st.data())
def test_bootmem_equals_naive_bitmap(start, data):
    n = data.draw(st.integers(1, 80))
    ours, naive = Bootmem(start, start + n, start), NaiveBootmem(start, start + n)
    edge = st.integers(start * PAGE_SIZE, (start + n) * PAGE_SIZE)
    points = sorted(data.draw(st.lists(edge, min_size=2, max_size=6)))
    for low, high in list(pairwise(points))[::2]:
        # ranges that share a page: the kernel's rounding keeps it out of both
        ours.free(low, high - low)
        naive.free(low, high - low)
    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.integers(0, 4)) == 0:
            low, high = sorted((data.draw(edge), data.draw(edge)))
            if low < high:
                assert ours.reserve(low, high - low) == naive.reserve(low, high - low)
        else:
            align = data.draw(st.sampled_from([1, 32, 64, PAGE_SIZE, 4 * PAGE_SIZE, 16 * PAGE_SIZE]))
            size, goal = data.draw(SIZE), data.draw(st.one_of(st.just(0), edge, st.just(1 << 40)))
            assert ours.alloc(size, align, goal) == naive.alloc(size, align, goal)
        assert [ours.is_free(start + i) for i in range(n)] == [bit == 0 for bit in naive.bits]


def test_small_requests_share_a_page():
    memory = Bootmem(0, 8, 0)
    memory.free(0, 8 * PAGE_SIZE)
    assert [memory.alloc(100, 64, 0) for _ in range(3)] == [0, 128, 256]
    assert memory.alloc(5000, 64, 0) == 384
    assert memory.alloc(10, 8, 0) == 5384
    assert memory.alloc(PAGE_SIZE, PAGE_SIZE, 0) == 2 * PAGE_SIZE
    assert memory.alloc(9 * PAGE_SIZE, 64, 0) is None


def test_freeing_boot_memory_twice_is_a_bug():
    memory = Bootmem(0, 8, 0)
    memory.free(PAGE_SIZE, 3 * PAGE_SIZE)
    for address, size in ((2 * PAGE_SIZE, PAGE_SIZE), (0, 2 * PAGE_SIZE), (3 * PAGE_SIZE, 9 * PAGE_SIZE)):
        with pytest.raises(InvariantViolation):
            memory.free(address, size)


# The boot ------------------------------------------------------------------------------------------------------------


def test_what_the_boot_keeps():
    k = booted([GIB, GIB])
    kept = [pfn for pfn in range(MIB * 20) if is_reserved(k, pfn)]
    mem_map = (int(k.nodes[0].mem_map_start), int(k.nodes[0].mem_map_end))
    # page 0, the image from 1 MB, mem_map from 16 MB
    assert kept == [0, *range(256, 768), *range(4096, 5120)]
    assert mem_map == (4096, 4096 + -(-(GIB + 1) * 88 // PAGE_SIZE))
    assert k.nodes[0].reserved_pages == 1 + 512 + mem_map[1] - mem_map[0]
    # Another node has no kernel image, and 16 MB is not its memory
    assert (k.nodes[1].mem_map_start, k.nodes[1].reserved_pages) == (GIB + 8, mem_map[1] - mem_map[0])
    assert is_reserved(k, int(k.vm[0].zero_pfn))
    assert k.vm[0].zero_pfn == 256 + 4
    assert k.vm[0].total_pages == 2 * GIB
    assert not k.vmstat.any()


@pytest.mark.row("S1-02", "S1-03", "S1-35")
@pytest.mark.parametrize("arch", ["x86-64", "i386"])
@pytest.mark.parametrize(
    "frames",
    [[8 * MIB], [16 * MIB], [64 * MIB - 3], [GIB, GIB], [0, 64 * MIB], [64 * MIB, 0, 32 * MIB], [5000, 5001, 5002],
     [GIB // 2] * 6, [3 * GIB - 100, MIB]],
)  # fmt: skip
def test_frames_are_free_or_reserved(frames, arch):
    """Every frame of a node is exactly one of: in a free block, marked reserved, in mem_map."""
    k = booted(frames, arch)
    assert misaligned_zones(k) == []
    assert k.vm[0].bug == 0
    owner = np.zeros(len(k.pages), np.int8)
    for z, zone in enumerate(k.zones):
        blocks = free_lists(k, z)
        assert sum(len(b) << order for order, b in blocks.items()) == zone.free_pages
        for order, firsts in blocks.items():
            for first in firsts:
                assert zone.start_pfn <= first
                assert first + (1 << order) <= zone.start_pfn + zone["size"]
                owner[first : first + (1 << order)] += 1
    owner += (k.pages["flags"] & PG_reserved) != 0
    for node in k.nodes:
        owner[node.mem_map_start : node.mem_map_end] += 1
        frames_here = slice(int(node.node_start_pfn), int(node.node_start_pfn + node.node_size))
        assert (owner[frames_here] == 1).all()
        owner[frames_here] = 0
    assert not owner.any()
    assert k.zones.free_pages.sum() == k.vm[0].total_pages - k.nodes.reserved_pages.sum()


def test_machine_facts():
    small, large = booted([15 * MIB]), booted([GIB, GIB], "i386")
    assert (small.vm[0].page_cluster, large.vm[0].page_cluster) == (2, 3)
    assert (small.vm[0].highest_zone, large.vm[0].highest_zone) == (0, 2)
    assert (small.vm[0].vm_passes, small.vm[0].vm_mapped_ratio) == (60, 100)
    assert [large.nodes[n].nr_zones for n in (0, 1)] == [3, 3]


def test_boot_options():
    k = booted([64 * MIB], memfrac=(64, 64, 64), lower_zone_reserve=(128, 1))
    assert k.zones[0].watermarks[1].tolist() == [64 + 96, 128 + 96, 192 + 96]
    assert booted([64 * MIB]).zones[0].watermarks[1].tolist() == [80, 112, 144]


@pytest.mark.parametrize(
    ("nodes", "arch", "fallback", "error", "message"),
    [
        ([(0, 8192), (8192, 8192)], "x86-64", "roundrobin", ConfigError, "strict24, nearest"),
        ([(0, 8192), (8192, 8192)], "sparc", "nearest", ConfigError, "x86-64, i386"),
        ([(0, 8000), (8000, 8192)], "x86-64", "nearest", TopologyError, "multiple of 512"),
        ([(0, 8192), (4096, 8192)], "x86-64", "nearest", TopologyError, "behind the one before"),
        ([(0, 8192), (8192, 1 << 20)], "x86-64", "nearest", TopologyError, "node 1"),
        ([(0, 0), (8192, 0)], "x86-64", "nearest", TopologyError, "with memory"),
        ([(0, 8192)], "x86-64", "nearest", TopologyError, "2 nodes"),
        ([(0, 512), (512, 8192)], "x86-64", "nearest", TopologyError, "node 0: 2048 KiB is too little"),
        ([(0, 8192), (8192, 1)], "x86-64", "nearest", TopologyError, "node 1: 4 KiB is too little"),
    ],
)
def test_machines_that_cannot_boot(nodes, arch, fallback, error, message):
    k = new_kernel(Sizes(nodes=2, cpus=1, frames=16384, tables=1))
    with pytest.raises(error, match=message):
        boot(k, nodes, arch, "linux-2.4.37", fallback, [[10, 20], [20, 10]])


BIG = """
import resource, sys, time
from numa_sim.state.kernel import Sizes, new_kernel
from numa_sim.kernel.bootmem import boot

def rss_kib():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4

def machine(frames, n):
    start = time.perf_counter()
    k = new_kernel(Sizes(nodes=n, cpus=n, frames=n * frames, tables=1))
    boot(k, [(i * frames, frames) for i in range(n)], "x86-64", "linux-2.4.37", "strict24",
         [[10 if i == j else 20 for j in range(n)] for i in range(n)])
    return k, time.perf_counter() - start

machine(1 << 14, 2)  # compiles
before = rss_kib()
k, seconds = machine(1 << 25, 8)
print(rss_kib() - before, seconds, int(k.zones.free_pages.sum()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_terabyte_boots_at_once_and_touches_little():
    run = subprocess.run([sys.executable, "-c", BIG], capture_output=True, text=True, check=True)
    kib, seconds, free = run.stdout.split()
    # Of 13 GB of page records and maps; where the host gives huge pages, each spot touched takes 2 MiB of it.
    assert int(kib) < 256 << 10
    assert float(seconds) < 2
    assert int(free) > (1 << 28) * 0.97


def test_memory_is_handed_out_from_the_top_after_boot():
    """Freed in ascending order, each at the head of its list: the highest block comes first."""
    k = booted([64 * MIB, 64 * MIB])
    k.vm[0].current_task = 2
    blocks = [alloc_pages(k, 2, 1, GFP_HIGHUSER, 9) for _ in range(3)]
    assert [k.section_zone[pfn >> 9] for pfn in blocks] == [NR_ZONES + 1] * 3
    assert blocks == [2 * 64 * MIB - 512 * n for n in (1, 2, 3)]
