"""Machines: bad ones are refused, links follow the distances, paths are shortest and deterministic."""

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numa_sim.errors import TopologyError
from numa_sim.topology import Curve, Link, Node, Topology, build_topology, numactl, preset, to_numactl
from numa_sim.topology.routes import linked_pairs

GIB = 1 << 30


def two_nodes(**changed):
    """Return the arguments of a sound two-node machine with some of them replaced."""
    good = {
        "name": "box",
        "source": "box.txt",
        "nodes": (Node(0, GIB, (0, 1)), Node(1, GIB, (2, 3))),
        "distance": ((10, 21), (21, 10)),
    }
    return {**good, **changed}


def test_what_is_not_given_is_derived_and_says_so():
    machine = build_topology(**two_nodes())
    assert machine.latency_ns == ((90, 189), (189, 90))
    assert machine.latency_source.startswith("derived from SLIT")
    assert machine.bandwidth_source.startswith("assumed")
    assert [(link.a, link.b) for link in machine.links] == [(0, 1)]
    assert machine.cpu_node == (0, 0, 1, 1)
    assert (machine.cpu_count, machine.memory_bytes, len(machine)) == (4, 2 * GIB, 2)


BAD = {
    "has 1 rows for 2 nodes": {"distance": ((10, 21),)},
    "row 1: has 1 values for 2 nodes": {"distance": ((10, 21), (21,))},
    "to itself must be 10, got 11": {"distance": ((11, 21), (21, 10))},
    "must be 11 to 255, got 10": {"distance": ((10, 10), (10, 10))},
    "must be 11 to 255, got 9": {"distance": ((10, 21), (9, 10))},
    "must be 11 to 255, got 256": {"distance": ((10, 256), (21, 10))},
    "a distance must be a whole number, got 21.0": {"distance": ((10, 21.0), (21, 10))},
    "a distance must be a whole number, got -21": {"distance": ((10, -21), (21, 10))},
    "node id is used twice": {"nodes": (Node(0, GIB, (0,)), Node(0, GIB, (1,)))},
    "a node id must be": {"nodes": (Node(-1, GIB, (0,)), Node(1, GIB, (1,)))},
    "node ids must be 0, 1, 2": {"nodes": (Node(0, GIB, (0,)), Node(2, GIB, (1,)))},
    "same os_id": {"nodes": (Node(0, GIB, (0,), 7), Node(1, GIB, (1,), 7))},
    "CPU 1 also belongs to node 0": {"nodes": (Node(0, GIB, (0, 1)), Node(1, GIB, (1, 2)))},
    "CPU 1 is named twice": {"nodes": (Node(0, GIB, (0, 1, 1)), Node(1, GIB, (2,)))},
    "unknown CPU 9: the machine's 3 CPUs are 0-2": {"nodes": (Node(0, GIB, (0, 1)), Node(1, GIB, (9,)))},
    "a CPU must be a whole number of 0 or more, got -1": {"nodes": (Node(0, GIB, (-1, 0)), Node(1, GIB, (1,)))},
    "ascending order": {"nodes": (Node(0, GIB, (1, 0)), Node(1, GIB, (2,)))},
    "no node has memory": {"nodes": (Node(0, 0, (0,)), Node(1, 0, (1,)))},
    "no node has a CPU": {"nodes": (Node(0, GIB, ()), Node(1, GIB, ()))},
    "memory must be a whole number of bytes, got -1": {"nodes": (Node(0, -1, (0,)), Node(1, GIB, (1,)))},
    "latencies row 0 column 1: must be a whole number of ns above 0": {"latency_ns": ((90, 0), (140, 90))},
    "latencies row 1 column 1": {"latency_ns": ((90, 140), (140, 90.5))},
    "latencies row 0: has 1 values": {"latency_ns": ((90,), (140, 90))},
    "bandwidth: has 1 values for 2 nodes": {"bandwidth": (10**9,)},
    "bandwidth of node 1": {"bandwidth": (10**9, 0)},
    "link 0: must join nodes a < b of 0-1, got 0 and 2": {"links": (Link(0, 2, 1, "x"),)},
    "link 0: must join": {"links": (Link(1, 1, 1, "x"),)},
    "already joined": {"links": (Link(0, 1, 1, "x"), Link(0, 1, 1, "y"))},
    "link 0: bandwidth must be": {"links": (Link(0, 1, 0, "x"),)},
    "no links lead from the CPUs of node 0 to the memory of node 1": {"links": ()},
    "curves: has 1 entries": {"curves": (None,)},
    "needs at least 2 points": {"curves": (Curve("c", ((1, 1),)), None)},
    "must rise": {"curves": (None, Curve("c", ((5, 90), (5, 91))))},
    "must rise: .*, 91 ns. is followed by": {"curves": (None, Curve("c", ((5, 91), (6, 90))))},
    "whole numbers above 0": {"curves": (None, Curve("c", ((5, 91), (6, 95.5))))},
}


@pytest.mark.parametrize("says", BAD)
def test_impossible_machines_are_refused(says):
    with pytest.raises(TopologyError, match=says) as caught:
        build_topology(**two_nodes(**BAD[says]))
    assert caught.value.source == "box.txt"


def test_memoryless_and_cpuless_nodes_are_allowed():
    nodes = (Node(0, 0, (0,)), Node(1, GIB, (1,)), Node(2, GIB, ()))
    machine = build_topology("m", "m", nodes, ((10, 20, 30), (20, 10, 30), (30, 30, 10)))
    assert machine.hops(0, 2) == 1


def test_255_is_allowed_and_said():
    machine = preset("epyc-9224-2s-nps2-cxl")
    assert machine.unreachable == ((4, 0), (4, 1), (4, 2), (4, 3))
    assert any("unreachable" in note for note in machine.notes)


def test_unlinked_nodes_at_255_have_no_path():
    nodes = (Node(0, GIB, (0,)), Node(1, GIB, (1,)))
    machine = build_topology("m", "m.txt", nodes, ((10, 255), (255, 10)))
    assert machine.links == ()
    assert not machine.connected(0, 1)
    assert machine.path(0, 0) == ()
    with pytest.raises(TopologyError, match="no links lead from node 0 to node 1"):
        machine.path(0, 1)


def test_eight_sockets_without_glue_get_three_links_each():
    machine = preset("xeon-platinum-8160-8s")
    graph = machine.graph()
    assert dict(graph.degree()) == dict.fromkeys(range(8), 3)
    for i in range(8):
        for j in range(8):
            expected = 0 if i == j else {21: 1, 31: machine.hops(i, j)}[machine.distance[i][j]]
            assert machine.hops(i, j) == expected
            assert machine.distance[i][j] != 31 or machine.hops(i, j) >= 2


def test_ring_goes_around():
    machine = preset("xeon-4s-ring")
    assert [(link.a, link.b) for link in machine.links] == [(0, 1), (0, 3), (1, 2), (2, 3)]
    assert machine.hops(0, 2) == 2
    assert machine.path(0, 2) == (0, 2)  # through node 1, the lower of the two equals
    assert machine.path(2, 0) == (2, 0)


def test_paths_do_not_lead_through_memory_devices():
    # By distance the way over node 2 (4 + 4) is shorter than the direct link (10), but node 2 routes nothing.
    nodes = (Node(0, GIB, (0,)), Node(1, GIB, (1,)), Node(2, GIB, ()))
    machine = build_topology("m", "m", nodes, ((10, 20, 14), (20, 10, 14), (14, 14, 10)))
    assert machine.hops(0, 1) == 1


def test_graph_carries_the_figures():
    machine = build_topology(**two_nodes(bandwidth=(10**9, 2 * 10**9), links=(Link(0, 1, 5 * 10**9, "qpi"),)))
    graph = machine.graph()
    assert graph.nodes[1] == {"memory_bytes": GIB, "cpus": (2, 3), "os_id": 1, "bandwidth": 2 * 10**9}
    assert graph.edges[0, 1] == {"index": 0, "name": "qpi", "bandwidth": 5 * 10**9, "distance": 21, "weight": 11}


@st.composite
def machines(draw, most_nodes=6):
    """Return a random machine in which every node has CPUs; distances may be asymmetric."""
    n = draw(st.integers(1, most_nodes))
    values = st.integers(11, 60)
    distance = [[10 if i == j else draw(values) for j in range(n)] for i in range(n)]
    sizes = draw(st.lists(st.integers(0, 1 << 20), min_size=n, max_size=n).filter(any))
    counts = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n).filter(any))
    cpus = draw(st.permutations(range(sum(counts))))
    starts = [sum(counts[:i]) for i in range(n)]
    gaps = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    nodes = [
        Node(i, size << 20, tuple(sorted(cpus[start : start + count])), sum(gaps[: i + 1]))
        for i, (size, start, count) in enumerate(zip(sizes, starts, counts, strict=True))
    ]
    return build_topology("random", "hypothesis", nodes, distance)


@given(machines())
@settings(max_examples=60, deadline=None)
def test_derived_links_connect_and_paths_are_shortest(machine):
    graph = machine.graph()
    for i in range(len(machine)):
        if not machine.nodes[i].cpus:
            continue
        # networkx on the nodes that may route, plus each goal
        for j in range(len(machine)):
            routers = [n.id for n in machine.nodes if n.cpus or n.id == j]
            shortest = nx.shortest_path_length(graph.subgraph(routers), i, j, weight="weight")
            path = machine.path(i, j)
            here = i
            for index in path:
                link = machine.links[index]
                assert here in (link.a, link.b)
                here = link.a + link.b - here
            assert here == j
            assert sum(graph.edges[machine.links[k].a, machine.links[k].b]["weight"] for k in path) == shortest
            assert machine.path(j, i) == path[::-1]


@given(machine=machines())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_printing_as_numactl_then_reading_gives_the_same_machine(machine, tmp_path):
    file = tmp_path / "printed.txt"
    file.write_text(to_numactl(machine))
    again = numactl.read(file)
    assert (again.nodes, again.distance, again.links) == (machine.nodes, machine.distance, machine.links)
    assert again.latency_ns == machine.latency_ns


def test_a_flat_table_links_every_pair():
    flat = tuple(tuple(10 if i == j else 20 for j in range(4)) for i in range(4))
    assert len(linked_pairs(flat, [True] * 4)) == 6


def test_scaled_keeps_figures_and_first_cpus():
    machine = preset("xeon-platinum-8269cy-2s")
    small = machine.scaled(memory_per_node_bytes=64 << 20, cpus_per_node=2)
    assert [node.cpus for node in small.nodes] == [(0, 1), (2, 3)]
    assert [node.memory_bytes for node in small.nodes] == [64 << 20] * 2
    for name in ("distance", "latency_ns", "bandwidth", "links", "curves", "source"):
        assert getattr(small, name) == getattr(machine, name)
    assert small.notes != machine.notes
    assert machine.scaled() is machine


def test_scaled_leaves_memoryless_and_cpuless_nodes_alone():
    naples = preset("epyc-7551-2s-memoryless").scaled(memory_per_node_bytes=GIB)
    assert [bool(node.memory_bytes) for node in naples.nodes] == [False, True, False, False, False, True, False, False]
    cxl = preset("epyc-9224-2s-nps2-cxl").scaled(cpus_per_node=1)
    assert [node.cpus for node in cxl.nodes] == [(0,), (1,), (2,), (3,), ()]


@pytest.mark.parametrize("wrong", [{"memory_per_node_bytes": 0}, {"cpus_per_node": 0}, {"cpus_per_node": 9}])
def test_scaled_refuses(wrong):
    with pytest.raises(TopologyError):
        preset("xeon-e5-2680-2s").scaled(**wrong)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 1000)), min_size=1))
def test_measured_points_become_monotone(points):
    made = Curve.from_measured("c", points).points
    assert [bw for bw, _ in made] == sorted({bw for bw, _ in points})
    assert [ns for _, ns in made] == sorted(ns for _, ns in made)
    assert max(ns for _, ns in made) == max(ns for _, ns in points)


def test_topology_is_a_value():
    assert preset("xeon-e5-2680-2s") == preset("xeon-e5-2680-2s")
    assert isinstance(preset("xeon-e5-2680-2s"), Topology)
