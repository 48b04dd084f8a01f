"""The machine: its nodes, the links between them, and what a remote access costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from numa_sim.results.pictures import style
from numa_sim.results.readable import readable_bytes

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run
    from numa_sim.topology import Topology

Places: TypeAlias = dict[int, tuple[float, float]]

_LABELLED_LINKS = 6
"""Up to as many links have their figures written on them; of more, links of one kind have one style."""
_ROOM_FOR_TEXT_PT = 46.0
"""Diameter of a node on which its facts can be read."""
_ROOM_FOR_NUMBER_PT = 10.0
_NOT_DRAWN_PER_NODE = 7
"""Kinds with more links per node than this would be a blot: they are only counted."""
_KINDS = (
    {"edge_color": style.BLUE, "style": "solid", "width": 2.4},
    {"edge_color": style.VERMILION, "style": "dashed", "width": 1.4},
    {"edge_color": style.GREEN, "style": "dashdot", "width": 0.8},
    {"edge_color": style.GREY, "style": "dotted", "width": 0.8},
)


def plot(source: Run | Topology | Any, ax: Axes | None = None, *, pos: Places | None = None) -> Axes:
    """Draw the machine as a graph: nodes with CPUs, memory and local latency; links with distance and latency.

    Parameters
    ----------
    source : Run, Machine or Topology
        The machine, or what ran on it.
    ax : Axes, optional
        Where to draw; else new axes.
    pos : dict of int to (float, float), optional
        Place of each node; else `places`.

    Returns
    -------
    Axes
        With equal scales.  Round nodes have CPUs and memory, square ones memory only, hexagons CPUs only.

    Raises
    ------
    RunFolderError
        If the run was written before run folders held the machine.
    """
    import networkx as nx

    topology: Topology = source.topology if hasattr(source, "topology") else source
    graph = topology.graph()
    n = len(topology)
    at = places(n) if pos is None else pos
    axes = style.axes_of(ax, (4.6, 4.2 if n > 2 else 2.2))
    axes.set_axis_off()
    _limits(axes, at)
    diameter_pt = _diameter_pt(axes, at, 0.52 if graph.number_of_edges() <= _LABELLED_LINKS else 0.62)
    roomy = diameter_pt >= _ROOM_FOR_TEXT_PT
    _links(axes, graph, topology, at, diameter_pt)
    for shape, nodes in _by_shape(topology).items():
        nx.draw_networkx_nodes(
            graph, at, nodelist=nodes, node_shape=shape, node_size=diameter_pt**2, node_color="#CDE3F3",
            edgecolors=style.INK, linewidths=0.8, ax=axes,
        )  # fmt: skip
    every = max(math.ceil(_ROOM_FOR_NUMBER_PT / diameter_pt), 1)
    texts = {i: "\n".join([f"node{i}", *_facts(topology, i)]) if roomy else str(i) for i in range(0, n, every)}
    nx.draw_networkx_labels(graph, at, texts, font_size=style.SMALL_PT, ax=axes, clip_on=False)
    _explain(axes, topology, graph, facts=not roomy)
    return style.finish(axes, topology.name, grid=False)


def places(n: int) -> Places:
    """Place of each of `n` nodes: side by side if there are two, else around a circle, clockwise from the left top."""
    if n <= 2:
        return {i: (float(2 * i), 0.0) for i in range(n)}
    angles = [math.pi / 2 + math.pi / n - 2 * math.pi * i / n for i in range(n)]
    return {i: (round(math.cos(a), 9), round(math.sin(a), 9)) for i, a in enumerate(angles)}


def _limits(axes: Any, at: Places) -> None:
    """Equal scales, with room for nodes at the edges."""
    xs, ys = zip(*at.values(), strict=True)
    axes.update_datalim([(min(xs) - 0.45, min(ys) - 0.45), (max(xs) + 0.45, max(ys) + 0.45)])
    axes.autoscale()  # fixed limits could not give way to equal scales
    axes.margins(0)
    axes.set_aspect("equal", adjustable="datalim")


def _diameter_pt(axes: Any, at: Places, share: float) -> float:
    """Diameter of nodes: at most that share of the way between neighbours, so that links can be seen."""
    width, height = style.inches(axes)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    unit_pt = 72 * min(width / (right - left), 0.85 * height / (high - low))
    points = list(at.values())
    apart = min((math.dist(a, b) for i, a in enumerate(points) for b in points[:i]), default=2.0)
    return float(min(56.0, share * apart * unit_pt))


_Kind: TypeAlias = tuple[int, str]
"""Distance and latency of a link."""


def _kinds(graph: nx.Graph, topology: Topology) -> dict[_Kind, list[tuple[int, int]]]:
    """Links by their kind, the nearest first."""
    found: dict[_Kind, list[tuple[int, int]]] = {}
    for a, b, distance in graph.edges(data="distance"):
        found.setdefault((distance, latency_text(topology, a, b)), []).append((a, b))
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: (kind[0], len(kind[1]), kind[1]))}


def _links(axes: Any, graph: nx.Graph, topology: Topology, at: Places, diameter_pt: float) -> None:
    """Draw the links, the nearest on top; a few with their figures."""
    import networkx as nx

    kinds = _kinds(graph, topology)
    for look, pairs in reversed([*zip(_looks(kinds), kinds.values(), strict=True)]):
        if len(pairs) <= _NOT_DRAWN_PER_NODE * len(topology):
            thin = {**look, "width": look["width"] * max(diameter_pt / _ROOM_FOR_TEXT_PT, 0.4)}
            nx.draw_networkx_edges(graph, at, edgelist=pairs, ax=axes, node_size=diameter_pt**2, **thin)
    if graph.number_of_edges() > _LABELLED_LINKS:
        return
    for (distance, text), pairs in kinds.items():
        for a, b in pairs:
            crossing = len(topology) == 4 and b - a == 2  # the two diagonals meet in the middle
            share = 0.32 if crossing else 0.5
            x, y = ((1 - share) * at[a][way] + share * at[b][way] for way in (0, 1))
            axes.text(
                x, y, f"{distance}\n{text}", ha="center", va="center", fontsize=style.SMALL_PT, linespacing=1.0,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )  # fmt: skip


def _looks(kinds: dict[_Kind, Any]) -> list[dict[str, Any]]:
    return [_KINDS[min(i, len(_KINDS) - 1)] for i in range(len(kinds))]


def _explain(axes: Any, topology: Topology, graph: nx.Graph, *, facts: bool) -> None:
    """Below the graph: what the styles of links mean, and what the nodes are if it is not written on them."""
    from matplotlib.lines import Line2D

    kinds = _kinds(graph, topology)
    handles = []
    if graph.number_of_edges() > _LABELLED_LINKS:
        for look, (kind, pairs) in zip(_looks(kinds), kinds.items(), strict=True):
            drawn = len(pairs) <= _NOT_DRAWN_PER_NODE * len(topology)
            label = f"distance {kind[0]}, {kind[1]}: {len(pairs)} links{'' if drawn else ' (not drawn)'}"
            line = {"color": look["edge_color"], "linestyle": look["style"] if drawn else "none"}
            handles.append(Line2D([], [], label=label, linewidth=look["width"], **line))
    else:
        handles.append(Line2D([], [], linestyle="none", label="on links: distance, latency"))
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), frameon=False, fontsize=style.SMALL_PT,
        title="\n".join(_kinds_of_nodes(topology)) if facts else None, title_fontsize=style.SMALL_PT,
    )  # fmt: skip


def latency_text(topology: Topology, a: int, b: int) -> str:
    """Latency of remote accesses over a link, both ways: ``"143 ns"`` or ``"143/144 ns"``."""
    there, back = topology.latency_ns[a][b], topology.latency_ns[b][a]
    if not topology.nodes[a].cpus or not topology.nodes[a].memory_bytes:
        there, back = (back, back) if topology.nodes[b].cpus else (there, there)
    elif not topology.nodes[b].cpus:
        back = there
    return f"{there} ns" if there == back else f"{there}/{back} ns"


def _by_shape(topology: Topology) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    for node in topology.nodes:
        shape = "s" if not node.cpus else "o" if node.memory_bytes else "H"
        shapes.setdefault(shape, []).append(node.id)
    return shapes


def _facts(topology: Topology, node: int) -> list[str]:
    it = topology.nodes[node]
    cpus = f"{len(it.cpus)} CPU{'s' * (len(it.cpus) != 1)}" if it.cpus else "no CPUs"
    memory = readable_bytes(it.memory_bytes) if it.memory_bytes else "no memory"
    return [cpus, memory, f"{topology.latency_ns[node][node]} ns"] if it.cpus and it.memory_bytes else [cpus, memory]


def _kinds_of_nodes(topology: Topology) -> list[str]:
    """Which facts how many nodes have; memory sizes to two digits, since firmware keeps a little of each for itself."""
    kinds: dict[tuple[int, float, int], int] = {}
    for node in topology.nodes:
        local = topology.latency_ns[node.id][node.id] if node.cpus and node.memory_bytes else 0
        kind = (len(node.cpus), float(f"{node.memory_bytes:.1e}"), local)
        kinds[kind] = kinds.get(kind, 0) + 1
    texts = []
    for (cpus, memory, local), n in kinds.items():
        parts = [f"{cpus} CPU{'s' * (cpus != 1)}" if cpus else "no CPUs"]
        parts.append(readable_bytes(memory) if memory else "no memory")
        texts.append(f"{n} node{'s' * (n > 1)}: {', '.join([*parts, f'{local} ns'] if local else parts)}")
    return texts
