"""Free memory against the watermarks, and who was reclaiming when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.results.pictures import series, style
from numa_sim.results.readable import readable_count
from numa_sim.state.constants import PAGE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run

_STRIP = 0.11
"""Height of a strip, as share of the axes."""
_STRIPS = (("direct", "pgsteal_direct", style.VERMILION, "////"), ("kswapd", "pgsteal_kswapd", style.SKY, ""))

_NO_MARKS = " (no watermarks: the numa_sim that made this run did not keep them)"


def plot(source: Run, ax: Axes | None = None, *, node: int | None = None) -> Axes:
    """Draw a node's free memory with its watermarks, and below it when kswapd and when tasks themselves freed pages.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.
    node : int, optional
        The node; else the one on which most pages were reclaimed.  With linux-2.2, whose marks are the machine's, it
        is the whole machine unless a node is named (which then has no marks).

    Returns
    -------
    Axes
        Free memory on a logarithmic axis, with a line each for min, low and high (of all zones of the node
        together; of a run made before summaries had them none, and the title says so); at the bottom two strips
        whose height is the rate at which pages were freed, to the same scale, labelled with the pages freed in all.

    Raises
    ------
    ConfigError
        If there is no such node.
    """
    series.check_node(source, node)
    axes = style.axes_of(ax, (6.6, 3.0))
    marks = source.summary.get("watermarks", [])
    of_machine = any(row["node"] < 0 for row in marks)
    if node is None and not of_machine:
        steals = series.by_node(source, "pgsteal_kswapd")[-1:] + series.by_node(source, "pgsteal_direct")[-1:]
        node = int(np.argmax(steals[0])) if len(steals) else 0
    t = series.sample_ns(source) / style.time_axis(axes, series.end_ns(source))
    free_pages = series.by_node(source, "free_pages")
    free = (free_pages.sum(axis=1) if node is None else free_pages[:, node]) * PAGE_SIZE
    mine = [row for row in marks if row["node"] == (-1 if node is None else node)]
    name = "all nodes" if node is None else series.node_names(source)[node]
    if not len(t):
        style.empty(axes, "no samples")
        return style.finish(axes, f"Reclaim, {name}", "free memory")
    ends = _free_and_marks(axes, t, free, {mark: sum(row[mark] for row in mine) for mark in ("min", "low", "high")})
    ends += _strips(source, axes, t, node)
    style.label_ends(axes, ends)
    unit = style.size_unit(float(free.max()))[1]
    unknown = "" if "watermarks" in source.summary else _NO_MARKS
    return style.finish(axes, f"Reclaim, {name}{unknown}", f"free memory, {unit}")


def _free_and_marks(axes: Any, t: Any, free: Any, marks: dict[str, int]) -> list[Any]:
    """Draw free memory and the marks; return what to write at their ends."""
    size = style.size_unit(float(free.max()))[0]
    look = {"color": style.BLACK, "linestyle": "-", "linewidth": 1.4}
    axes.plot(t, np.maximum(free, PAGE_SIZE) / size, label="free", **look)
    ends = [("free", float(max(free[-1], PAGE_SIZE)) / size, look)]
    for (mark, pages), color, dashes in zip(
        marks.items(), (style.VERMILION, style.ORANGE, style.BLUE), ("-", "--", ":"), strict=True
    ):
        if pages:
            look = {"color": color, "linestyle": dashes, "linewidth": 1.0}
            axes.axhline(pages * PAGE_SIZE / size, label=mark, **look)
            ends.append((mark, pages * PAGE_SIZE / size, look))
    axes.set_yscale("log")
    low = min([float(max(free.min(), PAGE_SIZE)), *(p * PAGE_SIZE for p in marks.values() if p)]) / size
    high = float(free.max()) / size * 1.15
    room = 2.6 * _STRIP  # the strips stand below what is drawn
    axes.set_ylim(low * 0.9 / (high / (low * 0.9)) ** (room / (1 - room)), high)
    decades = [10.0**i for i in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    ticks = [mark * decade for decade in decades for mark in (1, 3) if low <= mark * decade <= high]
    axes.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    return ends


def _strips(run: Run, axes: Any, t: Any, node: int | None) -> list[Any]:
    """Draw how fast pages were freed, by whom; return what to write beside it."""
    rates = [series.rate(run, counter, node) for _, counter, _, _ in _STRIPS]
    most = max(max(rate.max(initial=0) for rate in rates), 1)
    ends = []
    for i, ((who, counter, color, hatch), rate) in enumerate(zip(_STRIPS, rates, strict=True)):
        base = i * 1.25 * _STRIP
        axes.axhline(0, color=style.LIGHT, linewidth=0.6).set_data([0, 1], [base, base])
        axes.lines[-1].set_transform(axes.transAxes)
        axes.fill_between(
            t, base, base + _STRIP * rate / most, step="pre", transform=axes.get_xaxis_transform(), facecolor=color,
            hatch=hatch, edgecolor="#333333" if hatch else color, linewidth=0.6, label=who,
        )  # fmt: skip
        counts = series.by_node(run, counter)[-1]
        pages = int(counts.sum() if node is None else counts[node])
        y = axes.transData.inverted().transform(axes.transAxes.transform((0, base + _STRIP / 2)))[1]
        look = {"color": color, "linewidth": 3.0}
        ends.append((f"{who} {readable_count(pages)}", float(y), look))
    return ends
