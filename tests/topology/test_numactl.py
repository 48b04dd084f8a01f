"""`numactl -H` text: read, printed, and every bad line refused with its number."""

from pathlib import Path

import pytest

from numa_sim.errors import TopologyError
from numa_sim.topology import Node, numactl, preset, preset_names, to_numactl

GOOD = Path(__file__).parents[1] / "data" / "topology" / "four_nodes.numactl.txt"


def test_read():
    machine = numactl.read(GOOD)
    assert machine.nodes == (
        Node(0, 15991 << 20, (0, 1, 6, 7), 0),
        Node(1, 16125 << 20, (2, 3, 8, 9), 1),
        Node(2, 0, (4, 5), 4),
        Node(3, 8192 << 20, (), 5),
    )
    assert machine.distance[0] == (10, 16, 32, 33)
    assert machine.distance[3] == (33, 32, 17, 10)
    assert machine.source == str(GOOD)
    assert machine.latency_source.startswith("derived")
    assert len(machine.notes) == 2  # node and CPU numbers with gaps


def reread(machine, tmp_path):
    file = tmp_path / "printed.txt"
    file.write_text(to_numactl(machine))
    return numactl.read(file)


@pytest.mark.parametrize("name", preset_names())
def test_presets_round_trip_except_below_one_mb(name, tmp_path):
    machine = preset(name)
    again = reread(machine, tmp_path)
    assert again.distance == machine.distance
    for node, original in zip(again.nodes, machine.nodes, strict=True):
        assert (node.id, node.os_id, node.cpus) == (original.id, original.os_id, original.cpus)
        assert 0 <= original.memory_bytes - node.memory_bytes < 1 << 20
    assert to_numactl(again) == to_numactl(machine)


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path):
    file = tmp_path / "dos.txt"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.read_bytes().replace(b"\n", b"\r\n"))
    assert numactl.read(file).nodes == numactl.read(GOOD).nodes


BAD = [
    ("available: 4 nodes (0-1,4-5)", "available: 3 nodes (0-1,4-5)", "line 1: says 3 nodes but lists 4"),
    ("available: 4 nodes (0-1,4-5)", "", "must come first"),
    ("available: 4 nodes (0-1,4-5)", "available: 4 nodes (0-1,5-4)", "line 1: range '5-4' runs backwards"),
    ("node 1 cpus: 2 3", "node 1 cpus: 1 3", "line 5: CPU 1 also belongs to node 0"),
    ("node 1 cpus: 2 3", "node 1 cpus: 2 2", "line 5: CPU 2 is named twice"),
    ("node 1 cpus: 2 3", "node 1 cpus: 2-3", "line 5: '2-3' is not a CPU number"),
    ("node 1 cpus: 2 3", "node 2 cpus: 2 3", "line 5: node 2 is not among the available nodes 0-1,4-5"),
    ("node 1 cpus: 2 3", "node 0 cpus: 2 3", "line 5: node 0 cpus is given twice"),
    ("node 1 size: 16125 MB", "node 1 size: 16125 kB", "line 6: node 1 size must be '<number> MB'"),
    ("node 1 size: 16125 MB\n", "", "node 1: no 'node 1 size:' line"),
    ("node distances:", "node distance:", "line 14: not a line of 'numactl -H'"),
    ("  1:  16  10  25  32", "  1:  16  10  25", "line 17: 3 distances for 4 nodes"),
    ("  1:  16  10  25  32", "  1:  16  11  25  32", "line 17: node 1's distance to itself must be 10, got 11"),
    ("  1:  16  10  25  32", "  1:  10  10  25  32", "from node 1 to node 0 must be 11 to 255, got 10"),
    ("  1:  16  10  25  32", "  1:  16  10  25  300", "must be 11 to 255, got 300"),
    ("  1:  16  10  25  32", "  7:  16  10  25  32", "line 17: node 7 is not in the head line"),
    ("  1:  16  10  25  32", "  0:  10  16  25  32", "line 17: a second row of distances for node 0"),
    ("  1:  16  10  25  32 \n", "", "distances: no row for node 1"),
    ("node   0   1   4   5", "node   0   1   4   6", "line 19: node 5 is not in the head line"),
    ("node   0   1   4   5", "node   0   1   4   4", "line 15: the distance table names a node twice"),
    ("node   0   1   4   5 \n", "", "line 15: a row of distances before the head line"),
    ("node 0 free: 812 MB", "$ numactl -H", "line 4: not a line of 'numactl -H'"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_bad_text(old, new, says, tmp_path):
    text = GOOD.read_text()
    assert old in text
    file = tmp_path / "bad.txt"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(TopologyError) as caught:
        numactl.read(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_every_truncation_is_refused(tmp_path):
    lines = GOOD.read_text().splitlines(keepends=True)
    for count in range(len(lines)):
        file = tmp_path / "short.txt"
        file.write_text("".join(lines[:count]))
        with pytest.raises(TopologyError):
            numactl.read(file)


def test_unreadable(tmp_path):
    (tmp_path / "binary").write_bytes(b"available\xff\xfe")
    for path, says in ((tmp_path / "none", "no such file"), (tmp_path, "directory"), (tmp_path / "binary", "byte 9")):
        with pytest.raises(TopologyError, match=says):
            numactl.read(path)
