"""A sweep's metric by its factors, means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.results.pictures import style
from numa_sim.results.pictures.sweep_points import Rows, Scale, scale_of, short, short_name
from numa_sim.results.sweep_factors import text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.pictures.figure import Picture
    from numa_sim.statistics import Interval

MARKERS = "os^Dv<>P"
Ends = list[tuple[str, float, dict[str, Any]]]
"""Name, height of the end, and look of each line, for `style.label_ends`."""
_ASIDE_PT = 2.5
"""Points of one place are drawn so far beside each other, lest their error bars cover each other."""


def plot(
    source: Any,
    ax: Axes | None = None,
    *,
    metric: str,
    x: str | None = None,
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the mean of a metric over replicas, with its interval, against one factor; a line per value of another.

    Parameters
    ----------
    source : Sweep, pyarrow.Table or sequence of dict
        The sweep, its tidy table, or its rows.
    ax : Axes, optional
        Where to draw; else new axes.
    metric : str
        Column to draw.
    x, by : str, optional
        Factors; else the first and the second that have several values.
    where : mapping, optional
        Values of the factors that are not drawn, which are written below the axis.
    title : str, optional
        Else the metric's name.

    Returns
    -------
    Axes
        Points with error bars; means over one replica have none.  Sizes and times stand at their values.  Points of a
        sample, which differ in all its factors, are not joined by lines.

    Raises
    ------
    ConfigError
        An unknown column, or a factor of several values that is neither drawn nor chosen.
    """
    rows = Rows.of(source).where(where or {})
    axes = style.axes_of(ax, (4.6, 3.0))
    ends = _drawn(rows, axes, metric, *chosen_factors(rows, x, by), metric if title is None else title)
    style.caption(axes, rows.caption)
    style.label_ends(axes, ends)
    return axes


def _drawn(rows: Rows, axes: Axes, metric: str, x: str, by: str | None, title: str) -> Ends:
    """Draw means of a metric; return the lines' ends, to be labelled once the axes have their final limits."""
    scattered = x in rows.sampled
    if not scattered:
        rows.refuse_mixing(metric, x, by)
    lines = rows.points(metric, x, by) if scattered else rows.intervals(metric, x, by)
    names = [] if by is None else [short(by, value) for value in lines]
    ends = draw_lines(axes, lines, scale_of(rows.values(x)), names, joined=not scattered, lost=rows.lost(x, by))
    mark_cut_short(axes, lines, scale_of(rows.values(x)), rows.cut_short(x, by))
    axes.set_xlabel(with_unit(short_name(x), scale_of(rows.values(x)).unit))
    style.finish(axes, title, metric + style.unit_axis(axes.yaxis, rows.units.get(metric, "")))
    return ends


def facets(
    source: Any,
    *,
    metric: str,
    x: str | None = None,
    by: str | None = None,
    panels: str,
    where: Mapping[str, Any] | None = None,
) -> Picture:
    """Draw `plot` side by side, a panel per value of the factor `panels`, with one scale; other options as there."""
    from numa_sim.results.pictures.figure import Picture

    rows = Rows.of(source).where(where or {})
    values = rows.values(panels)
    x, by = chosen_factors(rows, x, by, panels)
    figure = Picture(figsize=(0.8 + 2.6 * len(values), 2.8), layout="constrained")
    each = figure.subplots(1, len(values), sharex=True, sharey=True, squeeze=False)[0]
    ends = [
        _drawn(rows.where({panels: value}), axes, metric, x, by, short(panels, value))
        for value, axes in zip(values, each, strict=True)
    ]
    for axes, at in zip(each, ends, strict=True):  # now that all panels have their common limits
        style.label_ends(axes, at)
        axes.set_ylabel(axes.get_ylabel() if axes is each[0] else "")
    if rows.caption:
        figure.supxlabel(rows.caption, fontsize=style.LABEL_PT)
    return figure


def chosen_factors(rows: Rows, x: str | None, by: str | None, panels: str | None = None) -> tuple[str, str | None]:
    """The factors to draw: the named ones, else the first ones that have several values and are not zipped.

    Of a sample, one of its factors is x, and `by` is none of them: no two points are alike in one.
    """
    many = [name for name in rows.factors if len(rows.values(name)) > 1 and name not in (x, by, panels)]
    if x is None:
        x = next((name for name in (*filter(rows.sampled.__contains__, many), *many)), None)
        x = x or (rows.factors[0] if rows.factors else "point")
    if by is None and x in rows.columns:
        apart = [name for name in many if name != x and not (x in rows.sampled and name in rows.sampled)]
        by = next((name for name in apart if not rows.follows(name, x)), None)
    return x, by


def draw_lines(
    axes: Axes,
    lines: Mapping[Any, Sequence[tuple[Any, Interval]]],
    scale: Scale,
    names: Sequence[str],
    joined: bool = True,
    lost: Collection[tuple[Any, Any]] = (),
) -> Ends:
    """Draw means with error bars, a line each or points that are not joined; return where the lines of `names` end.

    Lines are broken at places of which all runs are `lost`: pairs of the line's value and the place's.
    """
    from matplotlib.transforms import offset_copy

    looks: list[dict[str, Any]] = []
    figure = style.root_figure(axes)
    for i, (group, line) in enumerate(lines.items()):
        aside = offset_copy(axes.transData, figure, x=_aside_pt(i, len(lines)), units="points")
        looks.append(style.line(i) if joined else {**style.line(i), "linestyle": "none"})
        at = [scale.at[value] for value, _ in line]
        means = [interval.estimate for _, interval in line]
        half = [interval.half_width if np.isfinite(interval.half_width) else 0.0 for _, interval in line]
        at, means, half = _broken(at, means, half, [scale.at[value] for to, value in lost if to == group])
        bars = axes.errorbar(
            at, means, half, capsize=2.5, marker=MARKERS[i % len(MARKERS)], markersize=4, elinewidth=1.0,
            label=names[i] if names else None, **looks[-1],
        )  # fmt: skip
        for bar in bars[2]:
            bar.set_linestyle("-")
        for part in (bars[0], *bars[1], *bars[2]):
            part.set_transform(aside)
        if line:  # the axis begins at 0, also if axes that share it have other data, and has room for what is lost
            axes.update_datalim([(place, 0.0) for place in scale.at.values()])
            bars[0].sticky_edges.y.append(0.0)
    if scale.categories:
        style.category_ticks(axes, scale.at.values(), [text_of(value) for value in scale.at])
        axes.margins(x=0.12)
    elif joined:
        if scale.spread:
            axes.set_xscale("log", base=2)
        axes.set_xticks(list(scale.at.values()), [f"{place:.4g}" for place in scale.at.values()])
        axes.set_xticks([], minor=True)
    if not any(lines.values()):
        style.empty(axes, "no finished runs")
        return []
    alone = len(axes.get_shared_y_axes().get_siblings(axes)) == 1
    drawn = [interval for line in lines.values() for _, interval in line]
    if alone and all(interval.estimate == 0 and interval.half_width in (0, np.inf) for interval in drawn):
        axes.set_ylim(0, 1)  # nothing but zeros: no scale of thousandths around them
    if not joined:  # points have no end to write a name at
        style.legend(axes)
        return []
    return [
        (name, line[-1][1].estimate if line else np.nan, look)
        for name, line, look in zip(names, lines.values(), looks, strict=False)
    ]


def mark_cut_short(
    axes: Axes, lines: Mapping[Any, Sequence[tuple[Any, Interval]]], scale: Scale, cut: Collection[tuple[Any, Any]]
) -> None:
    """Draw a cross over the means of which runs were cut short: pairs of the line's value and the place's."""
    from matplotlib.transforms import offset_copy

    for i, (group, line) in enumerate(lines.items()):
        marked = [(scale.at[value], interval.estimate) for value, interval in line if (group, value) in cut]
        if marked:
            aside = offset_copy(axes.transData, style.root_figure(axes), x=_aside_pt(i, len(lines)), units="points")
            (crosses,) = axes.plot(*zip(*marked, strict=True), "x", color=style.INK, markersize=9, label="_cut short")
            crosses.set_transform(aside)


def _aside_pt(i: int, n: int) -> float:
    """How far the `i`-th of `n` lines is drawn beside its place."""
    return _ASIDE_PT * (i - (n - 1) / 2)


def _broken(
    at: Sequence[float], means: Sequence[float], half: Sequence[float], gaps: Sequence[float]
) -> tuple[list[float], list[float], list[float]]:
    """A line with a gap at each of these places."""
    points = [*zip(at, means, half, strict=True), *((place, np.nan, 0.0) for place in gaps)]
    order = sorted(range(len(points)), key=lambda i: (points[i][0], i)) if gaps else range(len(points))
    return [points[i][0] for i in order], [points[i][1] for i in order], [points[i][2] for i in order]


def with_unit(name: str, unit: str) -> str:
    """Label of an axis."""
    return name if unit in ("", "1") else f"{name}, {unit}"
