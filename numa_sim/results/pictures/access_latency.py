"""What a memory access costs over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numa_sim.results.pictures import series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(source: Run, ax: Axes | None = None) -> Axes:
    """Draw the mean latency of the memory accesses of each node's CPUs over time, ns, and the queueing in it (dotted).

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.

    Returns
    -------
    Axes
        Two lines per node whose CPUs accessed memory; broken where they did not, with a dot for a sample between gaps.
    """
    axes = style.axes_of(ax)
    scale = style.time_axis(axes, series.end_ns(source))
    t = series.sample_ns(source) / scale
    latency, queue = series.by_node(source, "mean_latency_ns"), series.by_node(source, "mean_queue_ns")
    ends = []
    for node, name in enumerate(series.node_names(source)):
        known = np.flatnonzero(~np.isnan(latency[:, node]))
        if not len(known):  # a node without CPUs, or an idle one
            continue
        look = style.line(node)
        style.line_with_dots(axes, t, latency[:, node], label=f"CPUs of {name}", **look)
        style.line_with_dots(axes, t, queue[:, node], color=look["color"], linestyle=":", linewidth=1.0)
        ends.append((f"CPUs of {name}", float(latency[known[-1], node]), look))
    axes.set_ylim(bottom=0)
    if ends:
        ends.append(("of which queueing", 0.0, {"color": "#666666", "linestyle": ":", "linewidth": 1.0}))
    else:
        style.empty(axes, "no memory accesses")
    style.label_ends(axes, ends)
    return style.finish(axes, "Memory access", "mean latency, ns")
