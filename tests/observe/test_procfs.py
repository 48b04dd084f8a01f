"""The kernel's own layouts, line by line, and that the numbers in them agree with the state."""

from __future__ import annotations

import re

from numa_sim.kernel.bootmem import boot
from numa_sim.observe import procfs
from numa_sim.state.constants import NUMA_HIT, NUMA_MISS
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

MIB = 256


def booted(mib: tuple[int, ...], arch: str = "x86-64", fallback: str = "strict24") -> Kernel:
    nodes, start = [], 0
    for size in mib:
        nodes.append((start, size * MIB))
        start += size * MIB
    k = new_kernel(Sizes(nodes=len(mib), cpus=1, frames=start, tables=1))
    distance = [[10 if i == j else 20 for j in range(len(mib))] for i in range(len(mib))]
    boot(k, nodes, arch, "linux-2.4.37", fallback, distance)
    return k


def test_buddyinfo():
    k = booted((64, 32))
    lines = procfs.buddyinfo(k).splitlines()
    assert [line[:22] for line in lines] == [
        "Node 0, zone      DMA ",
        "Node 0, zone   Normal ",
        "Node 1, zone   Normal ",
    ]
    for line, z in zip(lines, (0, 1, 4), strict=True):
        counts = [int(n) for n in line[22:].split()]
        assert sum(n << order for order, n in enumerate(counts)) == k.zones[z].free_pages


def test_zoneinfo():
    k = booted((64,))
    k.zones[0].nr_active_pages, k.zones[1].nr_active_pages = 3, 10
    text = procfs.zoneinfo(k)
    dma, normal = text.split("Node 0, zone   Normal")
    assert dma.startswith("Node 0, zone      DMA\n  pages free     3583\n        min      32\n        low      64\n")
    assert "        protection: (0, 48, 0)\n" in dma
    assert "        active   3\n" in dma
    assert "        active   7\n" in normal
    assert "        spanned  12288\n" in normal


def test_zonelists():
    assert procfs.zonelists(booted((32, 32))) == (
        "Node 0: Fallback order 0 1\n"
        "  GFP_KERNEL   0:Normal 0:DMA\n"
        "  GFP_HIGHUSER 0:Normal 0:DMA\n"
        "  GFP_DMA      0:DMA\n"
        "Node 1: Fallback order 1 0\n"
        "  GFP_KERNEL   1:Normal\n"
        "  GFP_HIGHUSER 1:Normal\n"
        "  GFP_DMA      (empty)\n"
    )
    nearest = procfs.zonelists(booted((32, 32), fallback="nearest"))
    assert "Node 1: Fallback order 1 0\n  GFP_KERNEL   1:Normal 0:Normal 0:DMA\n" in nearest


def test_meminfo():
    k = booted((1024, 512), "i386")
    text = procfs.meminfo(k)
    assert text.splitlines()[0] == "        total:    used:    free:  shared: buffers:  cached:"
    kb = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    assert kb["MemFree"] == 4 * k.zones.free_pages.sum()
    assert kb["MemTotal"] == kb["MemFree"] == kb["LowTotal"] + kb["HighTotal"]
    assert kb["HighTotal"] == kb["HighFree"]
    assert list(kb)[:3] == ["MemTotal", "MemFree", "MemShared"]


def test_numastat():
    k = booted((32, 32))
    k.vmstat[0, NUMA_HIT], k.vmstat[1, NUMA_MISS] = 1775216830, 5
    lines = procfs.numastat(k).splitlines()
    assert lines[0] == "                           node0           node1"
    assert lines[1] == "numa_hit              1775216830               0"
    assert lines[2].split() == ["numa_miss", "0", "5"]
