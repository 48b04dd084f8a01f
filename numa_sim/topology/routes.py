"""Links and paths between nodes: guessing the links from a distance table, and shortest paths over links."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from numa_sim.topology.model import Matrix, Topology

Routes: TypeAlias = dict[tuple[int, int], tuple[int, ...]]

_UNREACHABLE = 255


def excess(distance: Matrix, i: int, j: int) -> int:
    """Return what the way between nodes `i` and `j` adds to a local access, in SLIT units: distance - 10.

    Of an asymmetric pair the smaller direction counts (a CPU-less node's row is often 255 throughout).
    """
    return min(distance[i][j], distance[j][i]) - 10


def linked_pairs(distance: Matrix, has_cpus: Sequence[bool]) -> list[tuple[int, int]]:
    """Return the pairs of nodes that most likely have a link of their own, judged by the distance table alone.

    A pair has no link of its own when some third node with CPUs explains its distance: both steps over that node are
    shorter than the pair's distance, and together they add at most 5/4 of what the pair adds (`excess`).  The 5/4
    covers firmware rounding: glueless 8-socket Xeons publish 21 for one hop and 31, not 32, for two.  Two nodes
    without CPUs have no link, and lead nowhere: they are memory devices.  A pair at 255 both ways has none.
    """
    n = len(has_cpus)
    extra = [[excess(distance, i, j) for j in range(n)] for i in range(n)]
    pairs = []
    for i in range(n):
        for j in range(i + 1, n):
            direct = extra[i][j]
            if not (has_cpus[i] or has_cpus[j]) or direct == _UNREACHABLE - 10:
                continue
            explained = any(
                has_cpus[k]
                and extra[i][k] < direct
                and extra[k][j] < direct
                and 4 * (extra[i][k] + extra[k][j]) <= 5 * direct
                for k in range(n)
                if k not in (i, j)
            )
            if not explained:
                pairs.append((i, j))
    return pairs


def _neighbours(topology: Topology) -> list[list[tuple[int, int, int]]]:
    """Return for each node its (neighbour, link index, weight), in order of neighbour."""
    result: list[list[tuple[int, int, int]]] = [[] for _ in topology.nodes]
    for index, link in enumerate(topology.links):
        weight = excess(topology.distance, link.a, link.b)
        result[link.a].append((link.b, index, weight))
        result[link.b].append((link.a, index, weight))
    for entries in result:
        entries.sort()
    return result


def all_routes(topology: Topology) -> Routes:
    """Return the links of the path between every connected pair (the order of preference is `Topology.path`'s)."""
    neighbours = _neighbours(topology)
    found: Routes = {}
    for start in range(len(topology.nodes)):
        done: set[int] = set()
        # Comparing (weight, hops, nodes) makes the choice among equals part of the search order.
        heap: list[tuple[int, int, tuple[int, ...], tuple[int, ...]]] = [(0, 0, (start,), ())]
        while heap:
            weight, hops, nodes, links = heapq.heappop(heap)
            here = nodes[-1]
            if here in done:
                continue
            done.add(here)
            if here >= start:
                found[start, here] = links
                found[here, start] = links[::-1]
            if here != start and not topology.nodes[here].cpus:
                continue
            for there, index, step in neighbours[here]:
                if there not in done:
                    heapq.heappush(heap, (weight + step, hops + 1, (*nodes, there), (*links, index)))
    return found


def reachable_from_cpus(topology: Topology) -> dict[int, set[int]]:
    """Return, for each node with CPUs, the nodes its CPUs can reach over links."""
    neighbours = _neighbours(topology)
    result: dict[int, set[int]] = {}
    for node in topology.nodes:
        if not node.cpus or node.id in result:
            continue
        # All nodes with CPUs in one component reach the same nodes: search once per component.
        component = {node.id}
        waiting = [node.id]
        while waiting:
            here = waiting.pop()
            for there, _, _ in neighbours[here]:
                if there not in component:
                    component.add(there)
                    if topology.nodes[there].cpus:
                        waiting.append(there)
        for member in component:
            if topology.nodes[member].cpus:
                result[member] = component
    return result
