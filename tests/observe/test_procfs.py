"""The kernel's own layouts, line by line, and that the numbers in them agree with the state."""

from __future__ import annotations

import re

import pytest
from machine.small import MIB_PAGES, ZRAM, finish, small, sweep

from numa_sim.errors import SimulationError
from numa_sim.kernel.bootmem import boot
from numa_sim.observe import proc_pid, procfs
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import KERNEL_2_4_0
from numa_sim.state.counters import NUMA_HIT, NUMA_MISS, VMSTAT
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


# Texts of real machines: performancecopilot/pcp @918d12b68b, qa/linux/meminfo-root-001.tgz (1 node), -007.tgz (2 nodes)

REAL_BUDDYINFO = "Node 0, zone    DMA32    470    524     98    154     86     30     23     10     26     12    681 "
REAL_NODE_MEMINFO = ("Node 0 MemTotal:        4060992 kB", "Node 0 MemUsed:         2894552 kB")
REAL_NODE_NUMASTAT = ["numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node"]
REAL_VMSTAT = re.compile(r"[a-z0-9_]+ \d+")
REAL_VMSTAT_NAMES = {
    "nr_free_pages", "nr_file_pages", "nr_dirty", "nr_writeback", "nr_page_table_pages", "numa_hit", "numa_miss",
    "numa_foreign", "numa_interleave", "numa_local", "numa_other", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgfree",
    "pgactivate", "pgdeactivate", "pgfault", "pgmajfault", "allocstall", "pageoutrun",
}  # fmt: skip
REAL_ZONEINFO = ["pages free", "min", "low", "high", "spanned", "present", "protection:"]
ZONE_LINE = re.compile(r"Node \d+, zone +\w+")


@pytest.fixture(scope="module")
def pressed() -> Machine:
    """Two nodes of 4 MiB after a program that wanted 10."""
    machine = small(nodes=(4, 4), swap=(ZRAM,), kernel={"numa_fallback": "nearest"})
    machine.add(sweep(10 * MIB_PAGES), cpus=[1])
    machine.add(sweep(MIB_PAGES), cpus=[0])
    finish(machine)
    return machine


def fields(text: str) -> dict[str, int]:
    """Numbers of a text of lines ``name number`` or ``name: number kB``."""
    return {
        name: int(value) for name, value in re.findall(r"^(?:Node \d+ )?(\w+):? +(\d+)(?: kB)?$", text, re.MULTILINE)
    }


def test_layouts_are_those_of_real_machines(pressed):
    real = re.sub(r"\d+", "#", REAL_BUDDYINFO.replace("DMA32", "")).split("zone")[0]
    for line in pressed.procfs("buddyinfo").splitlines():
        assert re.sub(r"\d+", "#", line).startswith(real)
        assert line.index("Normal" if "Normal" in line else "DMA") > 0
        assert len(line[:22]) == len(REAL_BUDDYINFO[:22])
        assert re.fullmatch(r"( +\d+){10} ", line[21:])  # one order less than kernels that came later
    for line in pressed.procfs("node0/meminfo").splitlines():
        assert len(line) == len(REAL_NODE_MEMINFO[0])
    assert [line.split()[0] for line in pressed.procfs("node1/numastat").splitlines()] == REAL_NODE_NUMASTAT
    lines = pressed.procfs("vmstat").splitlines()
    assert all(REAL_VMSTAT.fullmatch(line) for line in lines)
    names = [line.split()[0] for line in lines]
    assert set(names) >= REAL_VMSTAT_NAMES
    assert len(names) == len(set(names))
    zones = [part for part in ZONE_LINE.split(pressed.procfs("zoneinfo")) if part]
    for zone in zones:
        found = [name for line in zone.splitlines() for name in REAL_ZONEINFO if line.split(name)[0].isspace()]
        assert found == REAL_ZONEINFO


def test_the_texts_agree_with_each_other(pressed):
    k = pressed.kernel
    machine, whole = fields(pressed.procfs("meminfo")), fields(pressed.procfs("vmstat"))
    nodes = [fields(pressed.procfs(f"node{node}/meminfo")) for node in (0, 1)]
    for name in ("MemTotal", "MemFree", "Active", "Inactive"):
        assert sum(node[name] for node in nodes) == machine[name], name
    assert all(node["MemUsed"] + node["MemFree"] == node["MemTotal"] for node in nodes)
    by_node = [fields(pressed.procfs(f"node{node}/vmstat")) for node in (0, 1)]
    assert all(sum(node[name] for node in by_node) == value for name, value in whole.items())
    assert whole["pgfault"] == k.vmstat[:, VMSTAT.index("pgfault")].sum() > 0
    assert 4 * whole["nr_free_pages"] == machine["MemFree"]
    assert 4 * whole["nr_active"] == machine["Active"]
    assert 4 * whole["nr_inactive"] == machine["Inactive"]
    assert machine["SwapTotal"] >= machine["SwapFree"] == 4 * k.vm[0].nr_swap_pages
    zones = re.findall(r"pages free +(\d+)", pressed.procfs("zoneinfo"))
    assert sum(map(int, zones)) == whole["nr_free_pages"]
    rows = [row.split() for row in pressed.procfs("numastat").splitlines()[1:]]
    for name, *values in rows:
        stats = [fields(pressed.procfs(f"node{node}/numastat"))[name] for node in (0, 1)]
        assert [int(value) for value in values] == stats
    table = pressed.procfs("meminfo").splitlines()[1].split()
    assert int(table[1]) == 1024 * machine["MemTotal"] == int(table[2]) + int(table[3])


def test_meminfo_of_2_4_0_shows_its_lists():
    k = booted((64,))
    k.vm[0].profile, k.vm[0].nr_inactive_dirty_pages, k.zones[1].inactive_clean_pages = KERNEL_2_4_0, 3, 2
    k.vm[0].memory_pressure = 5 << 6
    kb = fields(procfs.meminfo(k))
    assert (kb["Inact_dirty"], kb["Inact_clean"], kb["Inact_target"]) == (12, 8, 20)
    assert "Inactive" not in kb


def test_slabinfo_counts_the_objects_the_model_has():
    counts: list[dict[str, int]] = []
    machine = small()

    def program(task):
        look()
        one = yield task.mmap("64KiB")
        yield task.mmap("64KiB", at=0x7000_0000)
        look()
        yield task.munmap(one)
        look()

    def look() -> None:
        lines = machine.procfs("slabinfo").splitlines()
        assert lines[0] == "slabinfo - version: 1.1"
        counts.append({line.split()[0]: int(line.split()[1]) for line in lines[1:]})

    look()
    machine.add(program)
    finish(machine)
    look()
    own = counts[1]["vm_area_struct"]  # what every address space has
    assert [count["vm_area_struct"] for count in counts] == [0, own, own + 2, own + 1, 0]
    assert [count["mm_struct"] for count in counts] == [0, 1, 1, 1, 0]


def test_an_unknown_text_names_those_there_are(pressed):
    for name in ("nonsense", "node2/meminfo", "node0/", "node0/zoneinfo", "nodeX/meminfo", ""):
        with pytest.raises(SimulationError, match="there are meminfo, vmstat"):
            pressed.procfs(name)


def test_snapshots_are_what_the_machine_said_then():
    seen: dict[int, str] = {}
    machine = small(nodes=(4,), run={"snapshot": "100us"})
    machine.add(sweep(6 * MIB_PAGES))

    def watch():
        while True:
            yield machine.timeout(100_000)
            seen[machine.now_ns] = machine.procfs("meminfo")

    machine.process(watch())
    result = finish(machine)
    assert len(result.snapshots) > 5
    for snapshot in result.snapshots[:-1]:
        assert snapshot.texts["meminfo"] == seen[snapshot.t_ns]
        own = {f"100/{name}" for name in proc_pid.FILES} if "100/maps" in snapshot.texts else set()
        assert set(snapshot.texts) == {*procfs.FILES, *own}
    assert "100/maps" in result.snapshots[0].texts
    assert len(set(seen.values())) > 3
    plain = small(nodes=(4,))
    plain.add(sweep(6 * MIB_PAGES))
    assert finish(plain).end_ns == result.end_ns
