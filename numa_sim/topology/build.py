"""Completing a machine of which only the nodes and distances are known, and numbering it densely."""

from collections.abc import Mapping, Sequence
from typing import Final

from numa_sim.topology.model import Curve, Link, Matrix, Node, Topology
from numa_sim.topology.routes import linked_pairs

DEFAULT_LOCAL_LATENCY_NS: Final = 90
"""Assumed unloaded latency of local memory, ns: the usual 70 to 110 ns of servers since 2010."""

DEFAULT_BANDWIDTH: Final = 50_000_000_000
"""Assumed bandwidth of a node's memory, bytes/s: between a sub-NUMA cluster (59) and an old two-channel die (10)."""

DEFAULT_LINK_BANDWIDTH: Final = 25_000_000_000
"""Assumed bandwidth of a link, bytes/s: measured two-socket Xeons reach 34 to 51 over two or three links."""

DERIVED_LATENCY: Final = f"derived from SLIT: {DEFAULT_LOCAL_LATENCY_NS} ns (assumed) local, in proportion to distance"
ASSUMED_BANDWIDTH: Final = f"assumed: {DEFAULT_BANDWIDTH // 10**9} GB/s per node"
ASSUMED_LINKS: Final = f"derived from SLIT; {DEFAULT_LINK_BANDWIDTH // 10**9} GB/s per link assumed"


def derived_latency_ns(distance: Matrix, local_ns: int = DEFAULT_LOCAL_LATENCY_NS) -> Matrix:
    """Return latencies in proportion to the SLIT (10 is `local_ns`), rounded up to whole ns."""
    return tuple(tuple(-(-local_ns * value // 10) for value in row) for row in distance)


def derived_links(nodes: Sequence[Node], distance: Matrix, bandwidth: int = DEFAULT_LINK_BANDWIDTH) -> tuple[Link, ...]:
    """Return the links the distance table suggests (rule: `numa_sim.topology.routes.linked_pairs`)."""
    pairs = linked_pairs(distance, [bool(node.cpus) for node in nodes])
    return tuple(Link(a, b, bandwidth, f"link{a}-{b}") for a, b in pairs)


def build_topology(
    name: str,
    source: str,
    nodes: Sequence[Node],
    distance: Sequence[Sequence[int]],
    *,
    latency_ns: Sequence[Sequence[int]] | None = None,
    latency_source: str = "given",
    bandwidth: Sequence[int] | None = None,
    bandwidth_source: str = "given",
    links: Sequence[Link] | None = None,
    links_source: str = "given",
    curves: Sequence[Curve | None] = (),
    title: str = "",
    notes: Sequence[str] = (),
) -> Topology:
    """Return a checked machine; what is not given is derived from the SLIT or assumed, and its ``*_source`` says so.

    Parameters
    ----------
    name, source, nodes, distance, curves, title, notes
        As in `Topology`.
    latency_ns : matrix of int, optional
        Unloaded latencies, ns.  Default: 90 ns for local memory, in proportion to the SLIT.
    bandwidth : sequence of int, optional
        Bytes per second of each node's memory.  Default: 50 GB/s.
    links : sequence of Link, optional
        Default: the links the SLIT suggests, 25 GB/s each.
    latency_source, bandwidth_source, links_source : str
        Where given figures come from.

    Raises
    ------
    TopologyError
        As `Topology`.
    """
    rows = tuple(tuple(row) for row in distance)
    n = len(nodes)
    # A malformed table must reach Topology's own checks, so derive nothing from it.
    sound = len(rows) == n and all(len(row) == n and all(type(v) is int for v in row) for row in rows)
    extra_notes = []
    if latency_ns is None:
        latency_ns, latency_source = (derived_latency_ns(rows) if sound else rows), DERIVED_LATENCY
    if bandwidth is None:
        bandwidth, bandwidth_source = (DEFAULT_BANDWIDTH,) * n, ASSUMED_BANDWIDTH
    if links is None:
        links, links_source = (derived_links(nodes, rows) if sound else ()), ASSUMED_LINKS
    if sound and any(255 in row for row in rows):
        extra_notes.append(
            "255 in the distance table: the firmware calls these pairs unreachable (Topology.unreachable)"
        )
    return Topology(
        name=name,
        source=source,
        nodes=tuple(nodes),
        distance=rows,
        latency_ns=tuple(tuple(row) for row in latency_ns),
        bandwidth=tuple(bandwidth),
        links=tuple(links),
        curves=tuple(curves),
        title=title,
        latency_source=latency_source,
        bandwidth_source=bandwidth_source,
        links_source=links_source,
        notes=(*notes, *extra_notes),
    )


def numbered_densely(
    memory_bytes: Mapping[int, int], cpus: Mapping[int, Sequence[int]]
) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Return nodes with ids and CPUs renumbered 0, 1, 2, ... in the order of the machine's own numbers, and notes.

    Parameters
    ----------
    memory_bytes : mapping
        Memory of each node by the machine's own node number, bytes.
    cpus : mapping
        CPUs of each node by the same numbers.  A CPU named by two nodes stays so, for `Topology` to refuse.
    """
    every = sorted({cpu for numbers in cpus.values() for cpu in numbers})
    number = {cpu: i for i, cpu in enumerate(every)}
    order = sorted(memory_bytes)
    nodes = tuple(
        Node(i, memory_bytes[os_id], tuple(sorted(number[cpu] for cpu in cpus.get(os_id, ()))), os_id)
        for i, os_id in enumerate(order)
    )
    notes = []
    if order != list(range(len(order))):
        notes.append("node numbers have gaps: renumbered from 0, the machine's own are kept as os_id")
    if every != list(range(len(every))):
        notes.append("CPU numbers have gaps: renumbered from 0")
    return nodes, tuple(notes)
