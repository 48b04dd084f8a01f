"""What every machine must satisfy; each check raises `TopologyError` naming the source and the place."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from numa_sim.errors import TopologyError
from numa_sim.topology import routes

if TYPE_CHECKING:
    from numa_sim.topology.model import Topology

MAX_DISTANCE = 255


def _refuse(topology: Topology, where: str, message: str) -> NoReturn:
    raise TopologyError(topology.source, where, message)


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and least <= value < 1 << 63


def check_nodes(topology: Topology) -> None:
    """Nodes numbered 0, 1, 2, ..., CPUs numbered 0, 1, 2, ... with one node each, some memory, some CPU."""
    seen_nodes: set[int] = set()
    owner: dict[int, int] = {}
    for position, node in enumerate(topology.nodes):
        where = f"node {node.id}"
        if not _is_whole(node.id, 0):
            _refuse(topology, where, "a node id must be a whole number of 0 or more")
        if node.id in seen_nodes:
            _refuse(topology, where, "node id is used twice")
        seen_nodes.add(node.id)
        if node.id != position:
            _refuse(topology, where, f"node ids must be 0, 1, 2, ...: expected {position}")
        if not _is_whole(node.os_id, 0):
            _refuse(topology, where, f"os_id must be a whole number of 0 or more, got {node.os_id!r}")
        if not _is_whole(node.memory_bytes, 0):
            _refuse(topology, where, f"memory must be a whole number of bytes, got {node.memory_bytes!r}")
        for cpu in node.cpus:
            if not _is_whole(cpu, 0):
                _refuse(topology, where, f"a CPU must be a whole number of 0 or more, got {cpu!r}")
            if cpu in owner:
                also = f"also belongs to node {owner[cpu]}" if owner[cpu] != node.id else "is named twice"
                _refuse(topology, where, f"CPU {cpu} {also}")
            owner[cpu] = node.id
        if list(node.cpus) != sorted(node.cpus):
            _refuse(topology, where, "CPUs must be in ascending order")
    if len({node.os_id for node in topology.nodes}) != len(topology.nodes):
        _refuse(topology, "nodes", "two nodes have the same os_id")
    if not any(node.memory_bytes for node in topology.nodes):
        _refuse(topology, "nodes", "no node has memory")
    if not owner:
        _refuse(topology, "nodes", "no node has a CPU")
    for cpu, node_id in owner.items():
        if cpu >= len(owner):
            _refuse(
                topology,
                f"node {node_id}",
                f"unknown CPU {cpu}: the machine's {len(owner)} CPUs are 0-{len(owner) - 1}",
            )


def _check_square(topology: Topology, what: str, matrix: object) -> None:
    n = len(topology.nodes)
    if not isinstance(matrix, tuple) or len(matrix) != n:
        rows = len(matrix) if isinstance(matrix, tuple | list) else "no"
        _refuse(topology, what, f"has {rows} rows for {n} nodes")
    for i, row in enumerate(matrix):
        if not isinstance(row, tuple) or len(row) != n:
            values = len(row) if isinstance(row, tuple | list) else "no"
            _refuse(topology, f"{what} row {i}", f"has {values} values for {n} nodes")


def check_distances(topology: Topology) -> None:
    """SLIT rules (ACPI 5.2.17; the kernel refuses the same tables in slit_valid @2.6 and later)."""
    _check_square(topology, "distances", topology.distance)
    for i, row in enumerate(topology.distance):
        for j, value in enumerate(row):
            where = f"distances row {i} column {j}"
            if not _is_whole(value, 0):
                _refuse(topology, where, f"a distance must be a whole number, got {value!r}")
            if i == j and value != 10:
                _refuse(topology, where, f"a node's distance to itself must be 10, got {value}")
            if i != j and not 10 < value <= MAX_DISTANCE:
                _refuse(topology, where, f"a distance between two nodes must be 11 to 255, got {value}")


def check_figures(topology: Topology) -> None:
    """Latencies, bandwidths and curves are positive and have the right shape."""
    _check_square(topology, "latencies", topology.latency_ns)
    for i, row in enumerate(topology.latency_ns):
        for j, value in enumerate(row):
            if not _is_whole(value, 1):
                _refuse(
                    topology, f"latencies row {i} column {j}", f"must be a whole number of ns above 0, got {value!r}"
                )
    n = len(topology.nodes)
    if len(topology.bandwidth) != n:
        _refuse(topology, "bandwidth", f"has {len(topology.bandwidth)} values for {n} nodes")
    for i, value in enumerate(topology.bandwidth):
        if not _is_whole(value, 1):
            _refuse(topology, f"bandwidth of node {i}", f"must be a whole number of bytes/s above 0, got {value!r}")
    if topology.curves and len(topology.curves) != n:
        _refuse(topology, "curves", f"has {len(topology.curves)} entries for {n} nodes")
    for i, curve in enumerate(topology.curves):
        if curve is None:
            continue
        where = f"curve of node {i}"
        if len(curve.points) < 2:
            _refuse(topology, where, "needs at least 2 points")
        if not all(_is_whole(bw, 1) and _is_whole(ns, 1) for bw, ns in curve.points):
            _refuse(topology, where, "bandwidths (bytes/s) and latencies (ns) must be whole numbers above 0")
        for (bw0, ns0), (bw1, ns1) in pairwise(curve.points):
            if bw1 <= bw0 or ns1 < ns0:
                _refuse(topology, where, f"must rise: ({bw0} B/s, {ns0} ns) is followed by ({bw1} B/s, {ns1} ns)")


def check_links(topology: Topology) -> None:
    """Links join two different known nodes, once, and lead every CPU to all memory not marked unreachable."""
    n = len(topology.nodes)
    seen: set[tuple[int, int]] = set()
    for index, link in enumerate(topology.links):
        where = f"link {index}"
        if not (_is_whole(link.a, 0) and _is_whole(link.b, 0) and link.a < link.b < n):
            _refuse(topology, where, f"must join nodes a < b of 0-{n - 1}, got {link.a} and {link.b}")
        if (link.a, link.b) in seen:
            _refuse(
                topology, where, f"nodes {link.a} and {link.b} are already joined; give one link their total bandwidth"
            )
        seen.add((link.a, link.b))
        if not _is_whole(link.bandwidth, 1):
            _refuse(topology, where, f"bandwidth must be a whole number of bytes/s above 0, got {link.bandwidth!r}")
    reachable = routes.reachable_from_cpus(topology)
    for i, j in sorted((i, j) for i in reachable for j in range(n)):
        if j not in reachable[i] and topology.nodes[j].memory_bytes and topology.distance[i][j] != MAX_DISTANCE:
            _refuse(topology, "links", f"no links lead from the CPUs of node {i} to the memory of node {j}")
