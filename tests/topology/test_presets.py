"""Every preset loads, states its source, and holds the published figures; bad tables are refused by place."""

import shutil
import tomllib
from pathlib import Path

import pytest

from numa_sim.errors import TopologyError
from numa_sim.topology import describe, from_table, load, preset, preset_names, preset_tags, presets

CHECKOUT = Path(__file__).parents[2] / "configs" / "machines"
DATA = Path(__file__).parents[1] / "data" / "topology"


def test_there_are_enough_of_every_kind():
    tags = [preset_tags(name) for name in preset_names()]
    assert len(tags) >= 18
    for tag, least in {
        "2-socket": 8, "4-socket": 6, "8-socket": 4, "snc": 3, "nps": 3, "asymmetric": 1, "cpuless": 4,
        "memoryless": 1, "sparse-ids": 2, "measured-latency": 5, "measured-curve": 2,
    }.items():  # fmt: skip
        assert sum(tag in t for t in tags) >= least, tag


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_says_where_it_is_from(name):
    machine = preset(name)
    assert machine.name == name
    assert machine.title
    assert len(machine.source) > 15
    tags = preset_tags(name)
    assert ("measured-latency" in tags) == (not machine.latency_source.startswith("derived"))
    assert ("measured-curve" in tags) == bool(machine.curves)
    assert ("cpuless" in tags) == any(not node.cpus for node in machine.nodes)
    assert ("memoryless" in tags) == any(not node.memory_bytes for node in machine.nodes)
    n = range(len(machine))
    assert ("asymmetric" in tags) == any(machine.distance[i][j] != machine.distance[j][i] for i in n for j in n)
    assert all(machine.connected(i, j) for i in n for j in n if machine.nodes[i].cpus)
    assert name in describe(machine)


def test_published_figures():
    cascade = preset("xeon-platinum-8269cy-2s")
    assert cascade.latency_ns == ((78, 143), (144, 78))  # MLC 77.9, 143.2, 144.4, 78.4
    assert cascade.distance == ((10, 21), (21, 10))
    assert cascade.bandwidth == (113_139_000_000, 113_249_000_000)
    assert cascade.links[0].bandwidth == 50_917_000_000
    assert cascade.curves[0].points[0] == (1_456_000_000, 76)
    assert cascade.curves[0].points[-1] == (116_745_000_000, 250)
    assert preset("xeon-platinum-8163-2s").latency_ns == ((67, 100), (100, 67))
    assert preset("xeon-platinum-8269cy-2s-snc2").latency_ns[1] == (82, 78, 134, 138)
    sandy = preset("xeon-e5-2680-2s")
    assert [(n.memory_bytes, n.cpus) for n in sandy.nodes] == [
        (16747124 << 10, tuple(range(8))),
        (16777216 << 10, tuple(range(8, 16))),
    ]
    rome = preset("epyc-7742-2s-nps4")
    assert rome.distance[0] == (10, 12, 12, 12, 32, 32, 32, 32)
    assert rome.nodes[1].cpus == (*range(16, 32), *range(144, 160))
    cxl = preset("epyc-9224-2s-nps2-cxl")
    assert cxl.distance[4] == (255, 255, 255, 255, 10)
    assert cxl.latency_ns[2] == (200, 200, 107, 116, 364)
    assert cxl.path(3, 4) == (3, 1, 2)  # within the socket, across, to the CXL port
    assert [n.os_id for n in preset("opteron-drachma-4s-sparse").nodes] == [0, 1, 2, 33, 34, 45, 72, 73]
    assert preset("xeon-platinum-8160-8s").cpu_count == 8 * 48


def test_cross_socket_traffic_of_a_sub_numa_machine_shares_one_link():
    machine = preset("xeon-platinum-8269cy-2s-snc2")
    upi = [i for i, link in enumerate(machine.links) if link.name.startswith("upi")]
    assert len(upi) == 1
    assert all(upi[0] in machine.path(i, j) for i in (0, 1) for j in (2, 3))


def test_an_unknown_preset_names_near_ones():
    with pytest.raises(TopologyError, match="near matches: xeon-e5-2680-2s"):
        load("xeon-e5-2860-2s")
    with pytest.raises(TopologyError, match=r"presets: altix-64n, .*xeon-silver-4108-2s"):
        load("???")


def test_load_by_form(tmp_path):
    assert len(load("numactl:four_nodes.numactl.txt", DATA)) == 4
    assert len(load(f"hwloc:{DATA / 'two_nodes.xml'}")) == 3
    assert load(f"toml:{CHECKOUT / 'altix-64n.toml'}") == preset("altix-64n")
    with pytest.raises(TopologyError, match="holds no node0"):
        load(f"sysfs:{tmp_path}")
    with pytest.raises(TopologyError, match="allowed: numactl:PATH, sysfs:PATH, hwloc:PATH, toml:PATH"):
        load("lstopo:x")
    with pytest.raises(TopologyError, match="a path must follow"):
        load("numactl:")


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    inside = tmp_path / "numa_sim" / "configs" / "machines"
    inside.mkdir(parents=True)
    shutil.copy(CHECKOUT / "xeon-e5-2680-2s.toml", inside)
    monkeypatch.setattr(presets, "_FOLDERS", (inside, CHECKOUT))
    assert preset_names() == ("xeon-e5-2680-2s",)


GOOD = """
name = "box"
source = "me"
nodes = [{ memory = "1GiB", cpus = "0-1" }, { memory = "1GiB", cpus = "2-3" }]
distances = [[10, 21], [21, 10]]
[latency]
ns = [[80, 140], [140, 80]]
[bandwidth]
nodes = ["10GB/s", "10GB/s"]
[links]
list = [{ nodes = [0, 1], bandwidth = "5GB/s" }]
[curve]
source = "measured"
shared_by_nodes = 2
nodes = [1]
points = [["2GB/s", 80], ["20GB/s", 200], ["19GB/s", 210]]
"""


def test_a_table_in_full():
    machine = from_table(tomllib.loads(GOOD), "run.toml")
    assert machine.latency_ns == ((80, 140), (140, 80))
    assert machine.bandwidth == (10**10, 10**10)
    assert (machine.links[0].bandwidth, machine.links[0].name) == (5 * 10**9, "link0-1")
    assert machine.curves[0] is None
    assert machine.curves[1].points == ((10**9, 80), (9_500_000_000, 210), (10**10, 210))


BAD = [
    ('memory = "1GiB", cpus = "0-1"', 'memory = "1G", cpus = "0-1"', r"nodes\[0\].memory: .*write GiB"),
    ('memory = "1GiB", cpus = "0-1"', 'memory = 5, cpus = "0-1"', r"nodes\[0\].memory"),
    ('memory = "1GiB", cpus = "0-1"', 'cpus = "0-1"', r"nodes\[0\].memory: is missing"),
    ('cpus = "0-1"', 'cpus = "1-0"', r"nodes\[0\].cpus: range '1-0' runs backwards"),
    ('cpus = "0-1"', 'cpus = "0-2"', "CPU 2 also belongs to node 0"),
    ('cpus = "2-3"', 'cpus = "2,9"', "unknown CPU 9"),
    ('cpus = "2-3"', 'cpu = "2-3"', r"nodes\[1\].cpu: unknown key \(allowed: memory, cpus, os_id\)"),
    ("[21, 10]]", "[21]]", "distances row 1: has 1 values for 2 nodes"),
    ("[21, 10]]", "[21, '10']]", r"distances\[1\]: must be an array of whole numbers"),
    ("[21, 10]]", "[21, 11]]", "must be 10, got 11"),
    ("[[80, 140], [140, 80]]", "[[80, 140]]", "latencies: has 1 rows"),
    ('"10GB/s"]', '"10GB"]', r"bandwidth.nodes\[1\]: .*unknown unit"),
    ('"10GB/s"]', '"10GB/s", "1GB/s"]', "bandwidth: has 3 values"),
    ("nodes = [0, 1]", "nodes = [0]", r"links.list\[0\].nodes: must be two node numbers"),
    ("nodes = [0, 1]", "nodes = [0, 5]", "link 0: must join"),
    ("[links]\n", '[links]\nbandwidth = "1GB/s"\n', "links.bandwidth: give either"),
    ("nodes = [1]", "nodes = [2]", "curve.nodes: unknown node 2"),
    ('["20GB/s", 200]', '["20GB/s"]', r"curve.points\[1\]"),
    ("shared_by_nodes = 2", "shared_by_nodes = 0", "curve.shared_by_nodes: must be at least 1"),
    ('source = "me"', 'origin = "me"', "origin: unknown key"),
    ('name = "box"', "name = 5", "name: must be a text"),
    ("[latency]", "[[latency]]", "latency: must be a table"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_bad_tables(old, new, says, tmp_path):
    assert old in GOOD
    file = tmp_path / "bad.toml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(TopologyError, match=says) as caught:
        load(f"toml:{file}")
    assert caught.value.source == str(file)


def test_bad_toml(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("name = \n")
    with pytest.raises(TopologyError, match=r"not valid TOML: .*line 1"):
        load(f"toml:{file}")
