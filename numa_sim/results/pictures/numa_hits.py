"""Pages that came from the node asked for, and pages that did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import series, style
from numa_sim.results.readable import readable_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(
    source: Run, ax: Axes | None = None, *, node: int | None = None, kind: Literal["total", "rate"] = "total"
) -> Axes:
    """Draw the counters numa_hit and numa_miss, stacked, over time.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.
    node : int, optional
        The node whose counters are drawn; else the sums of all nodes.
    kind : {"total", "rate"}
        Pages since boot, which end at the numbers of the summary, or pages per second in each sample's interval.

    Returns
    -------
    Axes
        Two areas: hits below, misses (hatched) on top of them, each labelled with its number at the end.

    Raises
    ------
    ConfigError
        If there is no such node or kind.
    """
    series.check_node(source, node)
    if kind not in ("total", "rate"):
        raise ConfigError("numa_hits", "kind", f"is {kind!r}", ("total", "rate"))
    axes = style.axes_of(ax)
    t = series.sample_ns(source) / style.time_axis(axes, series.end_ns(source))
    nodes = slice(None) if node is None else slice(node, node + 1)
    totals = [series.by_node(source, name)[:, nodes].sum(axis=1) for name in ("numa_hit", "numa_miss")]
    drawn = totals if kind == "total" else [series.rate(source, name, node) for name in ("numa_hit", "numa_miss")]
    step: Literal["pre"] | None = None if kind == "total" else "pre"
    looks: tuple[dict[str, Any], ...] = (
        {"color": style.SKY},
        {"facecolor": style.VERMILION, "hatch": "////", "edgecolor": "#333333"},
    )
    below = np.zeros(len(t))
    ends = []
    for name, total, height, look in zip(("numa_hit", "numa_miss"), totals, drawn, looks, strict=True):
        axes.fill_between(t, below, below + height, step=step, linewidth=0, label=name, **look)
        if len(t):
            line = {"color": look.get("facecolor", look.get("color")), "linewidth": 3.0}
            ends.append((f"{name}\n{readable_count(int(total[-1]))}", float(below[-1] + height[-1] / 2), line))
        below = below + height
    axes.set_ylim(0, 1.04 * float(below.max(initial=0)) or 1)
    if not len(t) or not below.any():
        style.empty(axes, "no pages allocated")
    style.label_ends(axes, ends, lines=2)
    where = "" if node is None else f", {series.node_names(source)[node]}"
    return style.finish(
        axes, f"Pages from the node asked for{where}", "pages" if kind == "total" else "pages per second"
    )
