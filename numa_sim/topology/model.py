"""A NUMA machine as the simulator sees it: nodes, CPUs, memory, distances, latencies, bandwidths, links."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from numa_sim.errors import TopologyError
from numa_sim.topology import check, routes

if TYPE_CHECKING:
    import networkx as nx

LOCAL_DISTANCE: Final = 10
"""SLIT value of a node to itself (ACPI; the kernel's LOCAL_DISTANCE @2.6 and later)."""

UNREACHABLE: Final = 255
"""SLIT value that says "no path" (ACPI 5.2.17)."""

Matrix: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Node:
    """One NUMA node.

    Parameters
    ----------
    id : int
        Number in the simulator, dense from 0 (its place in `Topology.nodes`).
    memory_bytes : int
        Its memory, bytes; 0 for a node without memory.
    cpus : tuple of int
        Its CPUs, ascending; empty for a node without CPUs (CXL, HBM, persistent or GPU memory).
    os_id : int, optional
        Number the machine's own kernel gave it when that differs (POWER and some Opterons have gaps); -1, the
        default, means `id`.
    """

    id: int
    memory_bytes: int
    cpus: tuple[int, ...]
    os_id: int = -1

    def __post_init__(self) -> None:
        if self.os_id == -1:
            object.__setattr__(self, "os_id", self.id)


@dataclass(frozen=True)
class Link:
    """A connection between two nodes (QPI, UPI, HyperTransport, xGMI, a CXL port), shared by all that crosses it.

    Parameters
    ----------
    a, b : int
        The nodes it joins, ``a < b``.
    bandwidth : int
        Bytes per second it can carry.  Simplified: one capacity for both directions together.
    name : str
        For reports, for example ``"upi0-1"``.
    """

    a: int
    b: int
    bandwidth: int
    name: str


@dataclass(frozen=True)
class Curve:
    """Measured latency of one memory controller under load.

    What load adds is a point's latency less that of the first point; the unloaded latency is the topology's own.

    Parameters
    ----------
    name : str
        What was measured.
    points : tuple of (int, int)
        (bytes per second, latency in ns): bandwidth strictly rising, latency never falling.
    """

    name: str
    points: tuple[tuple[int, int], ...]

    @classmethod
    def from_measured(cls, name: str, points: list[tuple[int, int]]) -> Curve:
        """Return a curve through raw points, made monotone.

        Real curves fold back and jitter at saturation (latency rises while bandwidth falls).  Points are sorted by
        bandwidth, each latency is raised to the highest one at a lower or equal bandwidth, and one point per
        bandwidth is kept.
        """
        kept: dict[int, int] = {}
        highest = 0
        for bandwidth, latency_ns in sorted(points):
            highest = max(highest, latency_ns)
            kept[bandwidth] = highest
        return cls(name, tuple(kept.items()))


@dataclass(frozen=True)
class Topology:
    """A machine.  Built complete; `numa_sim.topology.build_topology` fills in what is not known.

    Distance, latency and bandwidth are inputs of their own: the SLIT is the firmware's opinion and orders the
    zonelists, latency is what an access costs.

    Parameters
    ----------
    name : str
        Short name.
    source : str
        Where the facts come from: a file, or the public source of a preset.
    nodes : tuple of Node
        ``nodes[i].id == i``.
    distance : tuple of tuple of int
        SLIT: row i, column j is node i's distance to node j; 10 on the diagonal, 11 to 254 elsewhere, 255 for
        "unreachable".  It may be asymmetric.
    latency_ns : tuple of tuple of int
        Unloaded latency, ns, of a CPU of node i reading memory of node j.
    bandwidth : tuple of int
        Bytes per second of each node's memory controller.
    links : tuple of Link
        Connections between nodes.
    curves : tuple of (Curve or None)
        Measured loaded latency of each node's memory, or None; empty when there is none at all.
    title : str
        One line for people.
    latency_source, bandwidth_source, links_source : str
        Where those figures come from: measured, derived or assumed.
    notes : tuple of str
        What a reader should know: assumptions, simplifications, oddities.

    Raises
    ------
    TopologyError
        A table of the wrong shape, a diagonal that is not 10, off-diagonal values of 10 or less or above 255, node
        ids that are not 0, 1, 2, ..., a negative, doubled or unknown CPU, a CPU of two nodes, no memory at all, no CPU
        at all, a latency, bandwidth or curve that is not positive, a link to nowhere, or memory no CPU can reach.
    """

    name: str
    source: str
    nodes: tuple[Node, ...]
    distance: Matrix
    latency_ns: Matrix
    bandwidth: tuple[int, ...]
    links: tuple[Link, ...] = ()
    curves: tuple[Curve | None, ...] = ()
    title: str = ""
    latency_source: str = "given"
    bandwidth_source: str = "given"
    links_source: str = "given"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise `TopologyError` if the machine cannot exist; the constructor calls this."""
        check.check_nodes(self)
        check.check_distances(self)
        check.check_figures(self)
        check.check_links(self)

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.nodes)

    @property
    def memory_bytes(self) -> int:
        """Memory of all nodes together, bytes."""
        return sum(node.memory_bytes for node in self.nodes)

    @property
    def cpu_count(self) -> int:
        """Number of CPUs; they are numbered 0 to `cpu_count` - 1."""
        return sum(len(node.cpus) for node in self.nodes)

    @cached_property
    def cpu_node(self) -> tuple[int, ...]:
        """Node of each CPU (the kernel's cpu_to_node)."""
        owners = {cpu: node.id for node in self.nodes for cpu in node.cpus}
        return tuple(owners[cpu] for cpu in range(len(owners)))

    @property
    def unreachable(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) whose distance is 255: the firmware says node i has no path to node j."""
        n = len(self.nodes)
        return tuple((i, j) for i in range(n) for j in range(n) if self.distance[i][j] == UNREACHABLE)

    @cached_property
    def _routes(self) -> routes.Routes:
        return routes.all_routes(self)

    def connected(self, i: int, j: int) -> bool:
        """Return whether links lead from node `i` to node `j`."""
        return (i, j) in self._routes

    def path(self, i: int, j: int) -> tuple[int, ...]:
        """Return the links (indexes into `links`) from node `i` to node `j`, in order; empty for ``i == j``.

        The shortest path by SLIT excess (distance - 10) summed over its links; among equals the one with fewer
        links, then the one through lower node numbers.  Paths do not lead through nodes without CPUs: such nodes are
        memory devices, not routers.  ``path(j, i)`` is the same path backwards.

        Raises
        ------
        TopologyError
            No links lead there (`connected` is False).
        """
        try:
            return self._routes[i, j]
        except KeyError:
            raise TopologyError(self.source, "links", f"no links lead from node {i} to node {j}") from None

    def hops(self, i: int, j: int) -> int:
        """Return the number of links between nodes `i` and `j`; errors as `path`."""
        return len(self.path(i, j))

    def graph(self) -> nx.Graph:
        """Return the machine as a networkx graph.

        Nodes are node ids with ``memory_bytes``, ``cpus``, ``os_id``, ``bandwidth``; edges are links with ``index``,
        ``name``, ``bandwidth`` (bytes/s), ``distance`` (SLIT, the smaller direction) and ``weight`` (distance - 10).
        """
        import networkx as nx

        graph = nx.Graph(name=self.name)
        for node in self.nodes:
            graph.add_node(
                node.id,
                memory_bytes=node.memory_bytes,
                cpus=node.cpus,
                os_id=node.os_id,
                bandwidth=self.bandwidth[node.id],
            )
        for index, link in enumerate(self.links):
            weight = routes.excess(self.distance, link.a, link.b)
            graph.add_edge(
                link.a,
                link.b,
                index=index,
                name=link.name,
                bandwidth=link.bandwidth,
                distance=weight + LOCAL_DISTANCE,
                weight=weight,
            )
        return graph

    def scaled(self, *, memory_per_node_bytes: int | None = None, cpus_per_node: int | None = None) -> Topology:
        """Return a smaller machine with the same distances, latencies, bandwidths and links.

        Parameters
        ----------
        memory_per_node_bytes : int, optional
            Memory of every node that has memory, bytes; None keeps each node's own.
        cpus_per_node : int, optional
            How many CPUs (the first ones) to keep on every node that has CPUs; they are renumbered 0, 1, 2, ... in
            their old order.  None keeps all.

        Raises
        ------
        TopologyError
            Less than 1 byte or 1 CPU, or more CPUs than a node has.
        """
        nodes = self.nodes
        if memory_per_node_bytes is not None:
            if memory_per_node_bytes < 1:
                raise TopologyError(self.source, "memory per node", f"must be positive, got {memory_per_node_bytes}")
            nodes = tuple(replace(n, memory_bytes=memory_per_node_bytes if n.memory_bytes else 0) for n in nodes)
        if cpus_per_node is not None:
            fewest = min(len(n.cpus) for n in nodes if n.cpus)
            if not 1 <= cpus_per_node <= fewest:
                raise TopologyError(
                    self.source, "CPUs per node", f"must be 1 to {fewest} on this machine, got {cpus_per_node}"
                )
            kept = sorted(cpu for n in nodes for cpu in n.cpus[:cpus_per_node])
            number = {cpu: i for i, cpu in enumerate(kept)}
            nodes = tuple(replace(n, cpus=tuple(number[cpu] for cpu in n.cpus[:cpus_per_node])) for n in nodes)
        if nodes == self.nodes:
            return self
        return replace(self, nodes=nodes, notes=(*self.notes, "scaled: memory or CPUs per node changed, figures kept"))
