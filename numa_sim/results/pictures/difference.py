"""Two settings of a sweep compared replica by replica."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import style
from numa_sim.results.pictures.sweep_points import Rows, short
from numa_sim.results.sweep_factors import text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(
    source: Any,
    ax: Axes | None = None,
    *,
    metric: str,
    factor: str | None = None,
    a: Any = None,
    b: Any = None,
    where: Mapping[str, Any] | None = None,
    relative: bool = False,
) -> Axes:
    """Draw by how much a metric differs between two values of a factor, with the 95 % interval of paired differences.

    Replicas of one number have the same random numbers everywhere, so they are compared in pairs.

    Parameters
    ----------
    source : Sweep, pyarrow.Table or sequence of dict
        The sweep, its tidy table, or its rows.
    ax : Axes, optional
        Where to draw; else new axes.
    metric : str
        Column to compare.
    factor : str, optional
        The factor; else the first that has several values.
    a, b : optional
        Its values: drawn is a - b; else the first against the second.
    where : mapping, optional
        Values of other factors.
    relative : bool
        In percent of the mean at `b`.

    Returns
    -------
    Axes
        A row per setting of the other factors: filled where the interval excludes 0, hollow where nothing is shown.

    Raises
    ------
    ConfigError
        An unknown column or value, or no factor of two values.
    """
    rows = Rows.of(source).where(where or {})
    if factor is None:
        factor = next((name for name in rows.factors if len(rows.values(name)) > 1), None)
    if factor is None:
        known = [f"{name} = {', '.join(map(text_of, rows.values(name)))}" for name in rows.factors]
        raise ConfigError("sweep", "factor", "no factor has two values to compare", known or ("none was varied",))
    values = rows.values(factor)
    a = values[0] if a is None else a
    b = next((value for value in values if value != a), a) if b is None else b
    found = rows.differences(metric, factor, a, b)
    axes = style.axes_of(ax, (4.6, 1.1 + 0.3 * max(len(found), 2)))
    axes.axvline(0, color=style.INK, linewidth=1.0)
    for row, (difference, mean_b) in enumerate(found.values()):
        scale = 1.0
        if relative:  # nothing is a percentage of 0, but 0 of everything
            scale = 100 / mean_b if mean_b else np.nan if difference.estimate else 0.0
        half = difference.half_width * abs(scale) if np.isfinite(difference.half_width) else 0.0
        axes.errorbar(
            [difference.estimate * scale], [row], xerr=[half], color=style.BLUE, marker="o", markersize=5, capsize=3,
            linestyle="none", markerfacecolor=style.BLUE if difference.excludes(0) else "white",
        )  # fmt: skip
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(max(len(found), 1) - 0.5, -0.5)
    if not found:
        style.empty(axes, "no pairs of runs")
    unit = style.unit_axis(axes.xaxis, "" if relative else rows.units.get(metric, ""))
    axes.set_xlabel(f"difference, % of {short(factor, b)}" if relative else f"difference{unit}")
    style.caption(axes, rows.caption)
    axes.margins(x=0.15)
    return style.finish(axes, f"{metric}: {short(factor, a)} less {short(factor, b)}")
