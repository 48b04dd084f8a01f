"""The object graph of a process as a picture: one column per kind of object, one row per page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from numa_sim.observe.object_graph import KINDS
from numa_sim.results.pictures import style

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes

__all__ = ["plot"]

_COLOURS: Final = {
    # Structures of the process blue, of translation orange, of physical memory green (Okabe and Ito, lightened).
    "task_struct": "#CDE3F3", "mm_struct": "#CDE3F3", "vm_area_struct": "#CDE3F3", "vaddr": "#E6F1F9",
    "pgd": "#FBE5BF", "p4d": "#FBE5BF", "pud": "#FBE5BF", "pmd": "#FBE5BF", "pte table": "#FBE5BF", "pte": "#FDF2DF",
    "pfn": "#E0F3EC", "page": "#BFE7D9", "paddr": "#E0F3EC", "zone": "#BFE7D9", "pg_data_t": "#BFE7D9",
    "address_space": "#F2DCE8", "anon_vma": "#F2DCE8", "swap slot": "#DDDDDD",
}  # fmt: skip
_BELOW: Final = ("address_space", "anon_vma")
"""What leads back from pages to areas is drawn in a row below."""
_SAME_COLUMN: Final = {"swap slot": "pfn"}
_COLUMN_INCHES, _ROW_INCHES = 1.55, 0.62


def plot(source: nx.DiGraph, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Draw what `numa_sim.observe.object_graph.object_graph` gave.

    What the arrows to a column are called is in its head; arrows that lead back are dashed.

    Parameters
    ----------
    source : networkx.DiGraph
        The graph.
    ax : Axes, optional
        Where to draw; else new axes as large as the graph needs.
    title : str
        Such as the name of the process.
    """
    graph = source
    places, columns, rows = _layout(graph)
    axes: Any = style.axes_of(ax, (_COLUMN_INCHES * len(columns) + 0.6, _ROW_INCHES * (rows + 3)))
    axes.set_axis_off()
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.set_ylim(rows + 1.4, -1.6)
    axes.set_title(title, loc="left")
    for kind, column in columns.items():
        axes.text(column, -1.25, kind, ha="center", va="center", weight="bold", fontsize=9)
        axes.text(column, -0.8, _ways_to(graph, kind), ha="center", va="center", style="italic", fontsize=7)
    for start, end in graph.edges:
        _arrow(axes, places[start], places[end], back=_leads_back(start[0], end[0]))
    for node, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.25", "facecolor": _COLOURS[node[0]], "edgecolor": "#555555", "linewidth": 0.6}
        axes.text(x, y, graph.nodes[node]["label"], ha="center", va="center", fontsize=6.5, bbox=box, zorder=3)
    return axes  # type: ignore[no-any-return]


def _ways_to(graph: nx.DiGraph, kind: str) -> str:
    """What the arrows that lead on to a column are called."""
    edges = graph.edges(data="relation")
    ways = {relation: None for start, end, relation in edges if end[0] == kind and not _leads_back(start[0], kind)}
    return "\n".join(ways)


def _leads_back(start: str, end: str) -> bool:
    """Whether an arrow between two kinds leads back towards the process, or by way of the row below."""
    return start in _BELOW or end in _BELOW or KINDS.index(end) < KINDS.index(start)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], back: bool) -> None:
    style = {"linestyle": (0, (4, 3)), "color": "#CC79A7"} if back else {"color": "#777777"}
    curve = "arc3,rad=0.18" if back else "arc3,rad=0"
    arrow = {"arrowstyle": "-|>", "connectionstyle": curve, "shrinkA": 14, "shrinkB": 18, "linewidth": 0.7, **style}
    axes.annotate("", xy=end, xytext=start, arrowprops=arrow, zorder=1)


def _layout(graph: nx.DiGraph) -> tuple[dict[Any, tuple[float, float]], dict[str, int], int]:
    """Places of the nodes (column, row), the columns, and how many rows there are."""
    present = {kind for kind, _ in graph.nodes}
    names = [kind for kind in KINDS if kind in present and kind not in _BELOW and kind not in _SAME_COLUMN]
    columns = {kind: x for x, kind in enumerate(names)}
    for kind, other in _SAME_COLUMN.items():
        if kind in present and other not in columns:
            columns[kind] = len(columns)
    row_of = {node: float(i) for i, node in enumerate(sorted(n for n in graph.nodes if n[0] == "vaddr"))}
    rows = max(len(row_of), sum(kind == "vm_area_struct" for kind, _ in graph.nodes), 2)
    for kind in ("pte", "pfn", "swap slot", "page", "paddr"):
        for node in (n for n in graph.nodes if n[0] == kind):
            row_of[node] = min(row_of[before] for before in graph.predecessors(node) if before in row_of)
    for kind in (
        "pte table",
        "pmd",
        "pud",
        "p4d",
        "pgd",
        "zone",
        "pg_data_t",
        "vm_area_struct",
        "mm_struct",
        "task_struct",
    ):
        _spread([node for node in graph.nodes if node[0] == kind], graph, row_of, rows)
    places = {}
    below = sorted(node for node in graph.nodes if node[0] in _BELOW)
    for node, row in row_of.items():
        places[node] = (
            float(columns[_SAME_COLUMN.get(node[0], node[0])] if node[0] not in columns else columns[node[0]]),
            row,
        )
    for i, node in enumerate(below):
        places[node] = ((i + 1) * len(columns) / (len(below) + 1), rows + 0.7)
    return places, columns, rows


def _spread(nodes: list[Any], graph: nx.DiGraph, row_of: dict[Any, float], rows: int) -> None:
    """Put the nodes of a column beside what they are joined with, but at least a row apart."""

    def middle(node: Any) -> float:
        near = [row_of[other] for other in (*graph.successors(node), *graph.predecessors(node)) if other in row_of]
        return sum(near) / len(near) if near else rows - 1.0

    wanted = sorted((middle(node), node) for node in nodes)
    last = -1.0
    for row, node in wanted:
        row_of[node] = last = max(row, last + 1.0)
    overhang = last - (rows - 1)
    if overhang > 0:
        for i, (_, node) in enumerate(reversed(wanted)):
            row_of[node] = min(row_of[node], rows - 1.0 - i)
