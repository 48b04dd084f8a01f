"""How full each node's memory is over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from numa_sim.results.pictures import series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(source: Run, ax: Axes | None = None, *, nodes: Sequence[int] | None = None) -> Axes:
    """Draw the used share of each node's memory over time, percent; nodes without memory have no line.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.
    nodes : sequence of int, optional
        Nodes to draw; else all.

    Returns
    -------
    Axes
        A line per node, labelled at its end.
    """
    axes = style.axes_of(ax)
    scale = style.time_axis(axes, series.end_ns(source))
    t = series.sample_ns(source) / scale
    used, free = series.by_node(source, "used_pages"), series.by_node(source, "free_pages")
    present = used + free
    ends = []
    for node, name in enumerate(series.node_names(source)):
        if present[:, node].any() and (nodes is None or node in nodes):
            look = style.line(node)
            fill = 100 * used[:, node] / np.maximum(present[:, node], 1)
            axes.plot(t, fill, label=name, **look)
            ends.append((name, float(fill[-1]), look))
    axes.set_ylim(0, 104)
    if not ends:
        style.empty(axes, "no samples")
    style.label_ends(axes, ends)
    return style.finish(axes, "Node fill", "used, %")
