"""Faults or misses over the size of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import style
from numa_sim.results.pictures.facets import MARKERS, chosen_factors, draw_lines, mark_cut_short, with_unit
from numa_sim.results.pictures.sweep_points import Rows, scale_of, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(
    source: Any,
    ax: Axes | None = None,
    *,
    metric: str = "pgmajfault",
    x: str | None = None,
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Axes:
    """Draw a metric of a sweep over the size of memory, or miss ratios that were computed from a trace.

    Parameters
    ----------
    source : Sweep, pyarrow.Table, sequence of dict, sequence of MissRatioCurve, or mapping of str to (array, array)
        A sweep; or curves of `numa_sim.miss_ratio_curve`; or by name memory sizes in pages and shares of accesses
        that missed.
    ax : Axes, optional
        Where to draw; else new axes.
    metric : str
        Column of a sweep.
    x : str, optional
        The factor that is the size of memory; else the first whose name has ``memory`` in it.
    by, where
        As for `numa_sim.results.pictures.facets.plot`.

    Returns
    -------
    Axes
        A line per curve: of a sweep means with 95 % intervals, of miss ratios steps, percent.

    Raises
    ------
    ConfigError
        If a sweep has no factor that is the size of memory, or as `numa_sim.results.pictures.facets.plot`.
    """
    axes = style.axes_of(ax, (4.6, 3.0))
    if isinstance(source, Sequence) and any(hasattr(curve, "miss_ratio") for curve in source):
        source = {curve.policy: (curve.sizes, curve.miss_ratio) for curve in source}
    if isinstance(source, Mapping):
        _ratios(axes, source)
        return style.finish(axes, "Misses by size of memory", "accesses that miss, %")
    rows = Rows.of(source).where(where or {})
    x = x or next((name for name in rows.factors if "memory" in name), None)
    if x is None:
        raise ConfigError(
            "sweep", "x", "no factor is a size of memory: name the one that is, or draw facets", rows.factors
        )
    x, by = chosen_factors(rows, x, by)
    rows.refuse_mixing(metric, x, by)
    scale = scale_of(rows.values(x))
    lines = rows.intervals(metric, x, by)
    in_order = {group: sorted(line, key=lambda point: scale.at[point[0]]) for group, line in lines.items()}
    ends = draw_lines(
        axes, in_order, scale, [] if by is None else [short(by, value) for value in lines], lost=rows.lost(x, by)
    )
    mark_cut_short(axes, in_order, scale, rows.cut_short(x, by))
    axes.set_xlabel(with_unit("memory" if "memory" in x else x, scale.unit))
    style.caption(axes, rows.caption)
    style.label_ends(axes, ends)
    label = metric + style.unit_axis(axes.yaxis, rows.units.get(metric, ""))
    return style.finish(axes, f"{metric} by size of memory", label)


def _ratios(axes: Axes, curves: Mapping[str, tuple[Any, Any]]) -> None:
    """Curves of shares by pages."""
    ends = []
    for i, (name, (pages, ratios)) in enumerate(curves.items()):
        look = style.line(i)
        percent = [100 * ratio for ratio in ratios]
        every = max(len(percent) // 8, 1)
        axes.plot(
            pages,
            percent,
            label=name,
            drawstyle="steps-post",
            marker=MARKERS[i % len(MARKERS)],
            markevery=every,
            markersize=3.5,
            **look,
        )
        if percent:
            ends.append((name, percent[-1], look))
    axes.set_xlabel("memory, pages")
    axes.set_ylim(bottom=0)
    if not ends:
        style.empty(axes, "no curves")
    style.label_ends(axes, ends)
