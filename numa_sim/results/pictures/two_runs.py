"""A column of two runs' time series, over each other, with their difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(
    source: tuple[Run, Run],
    ax: Axes | None = None,
    *,
    column: str = "free_pages",
    node: int | None = None,
    names: tuple[str, ...] = ("A", "B"),
    difference_only: bool = False,
) -> Axes:
    """Draw a column of the time series of two runs, and the difference between them.

    Parameters
    ----------
    source : tuple of Run
        The two runs.
    ax : Axes, optional
        Where to draw; else new axes.
    column : str
        One of `numa_sim.observe.sampler.NODE_COLUMNS`; counters count from boot.
    node : int, optional
        The node; else all nodes together.
    names : tuple of str
        What to call the runs.
    difference_only : bool
        Draw B - A as a line around 0, instead of both with the difference shaded.

    Returns
    -------
    Axes
        Both lines; between them, while both runs last, it is plain where B is above A and hatched where it is below.

    Raises
    ------
    ConfigError
        If there is no such column or node, or the names are not two.
    """
    if len(names) != 2:
        raise ConfigError("two runs", "names", f"are {len(names)}", ("two names",))
    axes = style.axes_of(ax, (6.6, 2.8))
    a, b = (_values(run, column, node) for run in source)
    scale = style.time_axis(axes, max(series.end_ns(run) for run in source))
    both, in_a, in_b = np.intersect1d(a[0], b[0], return_indices=True)
    difference = b[1][in_b] - a[1][in_a]
    if difference_only:
        look = style.line(0)
        axes.axhline(0, color=style.INK, linewidth=1.0)
        axes.plot(both / scale, difference, label=f"{names[1]} - {names[0]}", **look)
        ends = [(f"{names[1]} - {names[0]}", float(difference[-1]), look)] if len(difference) else []
    else:
        for above, hatch, color in ((difference >= 0, "", style.SKY), (difference <= 0, "////", style.ORANGE)):
            axes.fill_between(
                both / scale, a[1][in_a], b[1][in_b], where=above, facecolor=color, alpha=0.5, hatch=hatch,
                edgecolor="#555555", linewidth=0.0,
            )  # fmt: skip
        ends = []
        for i, (name, (t_ns, values)) in enumerate(zip(names, (a, b), strict=True)):
            axes.plot(t_ns / scale, values, label=name, **style.line(i))
            if len(values):
                ends.append((name, float(values[-1]), style.line(i)))
    if not ends:
        style.empty(axes, "no samples in common" if len(a[0]) and len(b[0]) else "no samples")
    style.label_ends(axes, ends)
    where = "" if node is None else f", {series.node_names(source[0])[node]}"
    return style.finish(axes, f"{column}{where}", column)


def _values(run: Run, column: str, node: int | None) -> tuple[Any, Any]:
    """Times of the samples and the column then, of one node or summed."""
    known = [name for name in run.timeseries.column_names if name not in ("t_ns", "node")]
    if column not in known:
        raise ConfigError(run.folder or "run", "column", f"there is no column {column!r}", known)
    values = series.by_node(run, column)
    series.check_node(run, node)
    return series.sample_ns(run), values.sum(axis=1) if node is None else values[:, node]
