"""A sysfs tree of nodes: read at every level, and wrong files refused by name."""

import shutil

import pytest

from numa_sim.errors import TopologyError
from numa_sim.topology import Node, sysfs

FILES = {
    "online": "0,2\n",
    "possible": "0-3\n",
    "has_cpu": "0\n",
    "node0/cpulist": "0-1,4-5\n",
    "node0/meminfo": "\nNode 0 MemTotal:        8387892 kB\nNode 0 MemFree:          123456 kB\n",
    "node0/distance": "10 17\n",
    "node2/cpulist": "\n",
    "node2/meminfo": "Node 2 MemTotal:       16777216 kB\n",
    "node2/distance": "17 10\n",
}


@pytest.fixture
def tree(tmp_path):
    """Return the node folder of a copied sysfs tree with a node of CPUs and one without."""
    folder = tmp_path / "sys" / "devices" / "system" / "node"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    cpu = folder.parent / "cpu"
    cpu.mkdir()
    (cpu / "possible").write_text("0-7\n")
    return folder


def test_read_at_every_level(tree, tmp_path):
    expected = (Node(0, 8387892 << 10, (0, 1, 2, 3), 0), Node(1, 16777216 << 10, (), 2))
    for start in (tree, tree.parent, tree.parents[2], tmp_path):
        machine = sysfs.read(start)
        assert machine.nodes == expected
        assert machine.distance == ((10, 17), (17, 10))
    assert any("CPU numbers" in note for note in machine.notes)


def test_without_the_optional_files(tree):
    for name in ("online", "possible", "has_cpu"):
        (tree / name).unlink()
    shutil.rmtree(tree.parent / "cpu")
    assert len(sysfs.read(tree)) == 2


def test_cpumap_of_old_kernels(tree):
    (tree / "node0" / "cpulist").unlink()
    (tree / "node0" / "cpumap").write_text("00000000,00000033\n")
    assert sysfs.read(tree).nodes[0].cpus == (0, 1, 2, 3)


def test_offline_nodes_are_left_out(tree):
    (tree / "online").write_text("0\n")
    (tree / "node0" / "distance").write_text("10\n")
    machine = sysfs.read(tree)
    assert len(machine) == 1
    assert any("not online" in note for note in machine.notes)


BAD = [
    ("online", "0,3\n", "names node 3"),
    ("online", "0-\n", "neither a number nor a range"),
    ("possible", "0-1\n", "names node 2, which is not in possible"),
    ("node0/cpulist", "0-9\n", "unknown CPU 8"),
    ("node2/cpulist", "0-1\n", "CPU 0 also belongs to node 0"),
    ("node0/cpulist", "\n", "no node has a CPU"),
    ("node0/cpulist", None, "neither cpulist nor cpumap"),
    ("node0/meminfo", "Node 0 MemFree: 1 kB\n", "no MemTotal line"),
    ("node0/meminfo", "x\nNode 0 MemTotal: lots kB\n", "line 2"),
    ("node0/meminfo", "Node 1 MemTotal: 8 kB\n", "is about node 1, expected node 0"),
    ("node0/meminfo", None, "no such file"),
    ("node0/distance", "10\n", "has 1 distances for 2 nodes"),
    ("node0/distance", "10 x\n", "not a number"),
    ("node0/distance", "11 17\n", "must be 10, got 11"),
    ("node0/distance", "10 10\n", "must be 11 to 255, got 10"),
]


@pytest.mark.parametrize(("name", "text", "says"), BAD)
def test_bad_trees(tree, name, text, says):
    (tree / name).unlink() if text is None else (tree / name).write_text(text)
    with pytest.raises(TopologyError, match=says) as caught:
        sysfs.read(tree)
    assert str(tree) in str(caught.value)


def test_not_a_tree(tmp_path):
    (tmp_path / "file").write_text("")
    for path, says in ((tmp_path / "none", "no such"), (tmp_path / "file", "not a dir"), (tmp_path, "holds no node0")):
        with pytest.raises(TopologyError, match=says):
            sysfs.read(path)
