"""hwloc 2 XML: read, and everything else refused with line and element."""

from pathlib import Path

import pytest

from numa_sim.errors import TopologyError
from numa_sim.topology import Node, hwloc

GOOD = Path(__file__).parents[1] / "data" / "topology" / "two_nodes.xml"


def test_read():
    machine = hwloc.read(GOOD)
    # Node 2 shares node 0's cpuset: memory near those CPUs.  CPUs 64 and 65 come from a mask of three words.
    assert machine.nodes == (Node(0, 4 << 30, (0, 1, 2, 3)), Node(1, 2 << 30, (4, 5)), Node(2, 1 << 30, ()))
    # The matrix lists nodes 0, 2, 1.
    assert machine.distance == ((10, 21, 17), (21, 10, 28), (17, 28, 10))
    assert any("nodes without CPUs" in note for note in machine.notes)


def test_matrix_without_a_name_as_hwloc_2_0_wrote_it(tmp_path):
    file = tmp_path / "m.xml"
    file.write_text(GOOD.read_text().replace(' name="NUMALatency"', ""))
    assert hwloc.read(file).distance == hwloc.read(GOOD).distance


BAD = [
    ('<topology version="2.0">', "<topology>", "line 3, <topology>: has no version: this is hwloc 1"),
    ('version="2.0"', 'version="1.0"', "version '1.0' is not supported"),
    ('version="2.0"', 'version="3.0"', "version '3.0' is not supported"),
    ("<topology ", "<machine ", "not well-formed"),
    ("</topology>", "", "not well-formed"),
    ('local_memory="4294967296"', 'local_memory="4G"', "line 7, <object type='NUMANode'>: local_memory='4G'"),
    ('os_index="2" cpuset="0x0000000f"', 'os_index="2" cpuset="0x0000001f"', "line 10, <object type='NUMANode'>"),
    ('os_index="2" cpuset="0x0000000f"', 'os_index="2" cpuset="0xf...f"', "infinite"),
    ('os_index="2" cpuset="0x0000000f"', 'os_index="2"', "has no cpuset"),
    ('os_index="2" cpuset', 'os_index="0" cpuset', "described twice"),
    ('os_index="3" cpuset="0x00000008"', 'os_index="9" cpuset="0x00000008"', "unknown CPU 3"),
    ('nodeset="0x00000004" gp_index="4"', 'nodeset="0x00000006" gp_index="4"', "is not just node 2"),
    ("NUMALatency", "NUMABandwidth", "has no NUMALatency distances for its 3 nodes"),
    ('indexing="os"', 'indexing="gp"', "must be between NUMANode objects with os indexing"),
    ('nbobjs="3"', 'nbobjs="2"', "has 3 indexes and 9 values for 2 nodes (4 needed)"),
    ("0 2 1 <", "0 2 7 <", "is about nodes [0, 2, 7], but the file describes [0, 1, 2]"),
    ("10 17 21", "10 1e1 21", "'1e1' is not a whole number"),
    ("10 17 21", "80 17 21", "must be 10, got 80"),
    ('<!DOCTYPE topology SYSTEM "hwloc2.dtd">', '<!DOCTYPE topology [<!ENTITY a "b">]>', "declares an XML entity"),
    ('encoding="UTF-8"', 'encoding="no-such"', "unusable encoding"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_bad_files(old, new, says, tmp_path):
    text = GOOD.read_text()
    assert old in text
    file = tmp_path / "bad.xml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(TopologyError) as caught:
        hwloc.read(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_partly_shared_cpus_are_refused(tmp_path):
    file = tmp_path / "bad.xml"
    text = GOOD.read_text().replace('os_index="1" cpuset="0x00000003,,0x0"', 'os_index="1" cpuset="0x00000003,,0x8"')
    file.write_text(text)
    with pytest.raises(TopologyError, match="node 1: CPU 3 also belongs to node 0"):
        hwloc.read(file)


def test_bombs_and_deep_nesting_are_refused(tmp_path):
    bomb = tmp_path / "bomb.xml"
    entities = '<!ENTITY a "ha">' + "".join(f'<!ENTITY a{i} "&a{i - 1 or ""};&a{i - 1 or ""};">' for i in range(1, 40))
    bomb.write_text(f'<!DOCTYPE t [{entities}]><topology version="2.0">&a39;</topology>')
    deep = tmp_path / "deep.xml"
    deep.write_text("<topology version='2.0'>" + "<object type='Group'>" * 5000)
    utf16 = tmp_path / "utf16.xml"
    utf16.write_bytes(bomb.read_text().encode("utf-16"))
    for file, says in ((bomb, "entity"), (utf16, "entity"), (deep, "too deeply")):
        with pytest.raises(TopologyError, match=says):
            hwloc.read(file)
