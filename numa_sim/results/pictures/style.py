"""How pictures look: one set of colours, line styles, hatches and sizes for all of them.

Everything is said in artists' own properties, nothing in matplotlib's global settings.  Colours are those of Okabe and
Ito, which colour-blind readers can tell apart; whatever lies side by side differs in line style, hatch or
lightness too, so that a grey print can be read.  Text is 7 points or larger at any size of the axes: a picture drawn
3.3 inches wide (a column of a paper) is printed as it is, never shrunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from numa_sim.results.readable import readable_bytes, readable_ns, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "axes_of",
    "caption",
    "category_ticks",
    "colour_scale",
    "empty",
    "finish",
    "inches",
    "ink_on",
    "label_ends",
    "legend",
    "line",
    "line_with_dots",
    "root_figure",
    "size_unit",
    "time_axis",
    "unit_axis",
]

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY, LIGHT, INK = "#999999", "#DDDDDD", "#222222"
HEAT: Final = "cividis"
"""Colour map of heatmaps: it looks the same to red-green blind readers, and its lightness only rises."""
TITLE_PT, LABEL_PT, SMALL_PT = 9.0, 8.0, 7.0
_LINES: Final = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_DASHES: Final = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
"""As many as share no divisor with the colours: 35 lines differ from each other."""
_LETTER: Final = 0.5
"""Mean width of a letter, in heights of the text."""
_DOT_PT: Final = 4.0
_MOST_LABELS: Final = 20
_WIDE_INCHES: Final = 5.0


def axes_of(ax: Axes | None, size_inches: tuple[float, float] = (6.6, 2.6)) -> Axes:
    """Return `ax`, or new axes in a figure of their own, which pyplot does not know."""
    if ax is not None:
        return ax
    from numa_sim.results.pictures.figure import Picture, ShownAxes

    return Picture(figsize=size_inches, layout="constrained").add_subplot(axes_class=ShownAxes)


def line(i: int) -> dict[str, Any]:
    """Colour, dashes and width of the `i`-th line; neighbours differ in colour and in dashes."""
    return {"color": _LINES[i % len(_LINES)], "linestyle": _DASHES[i % len(_DASHES)], "linewidth": 1.4}


def line_with_dots(axes: Axes, x: Any, y: Any, **look: Any) -> None:
    """Draw a line that is broken where `y` is NaN, and a dot at each value that stands alone between gaps."""
    known = np.pad(~np.isnan(y), 1)
    alone = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
    axes.plot(x, y, marker="o", markersize=_DOT_PT, markeredgewidth=0, markevery=alone.tolist(), **look)


def time_axis(axes: Axes, end_ns: int) -> int:
    """Make the x axis simulated time from 0 to `end_ns`; return the unit it is in, ns."""
    scale, unit = time_unit(max(end_ns, 1))
    axes.set_xlabel(f"simulated time, {unit}")
    axes.set_xlim(0, max(end_ns, 1) / scale)
    return scale


def size_unit(n_bytes: float) -> tuple[int, str]:
    """Bytes in, and name of, the unit in which a size of `n_bytes` is best read."""
    units = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"))
    return next(((scale, unit) for scale, unit in units if n_bytes >= scale), (1 << 10, "KiB"))


def unit_axis(axis: Any, unit: str) -> str:
    """Let the ticks of an axis in ns or bytes name their own units; return what its label must still say."""
    readable = {"ns": readable_ns, "bytes": readable_bytes}.get(unit)
    if readable is None:
        return "" if unit in ("", "1") else f", {unit}"
    axis.set_major_formatter(lambda value, _: readable(value) if value else "0")
    return ""


def empty(axes: Axes, why: str) -> None:
    """Say in the middle of the axes why nothing is drawn."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="#555555", fontsize=LABEL_PT)
    axes.set_yticks([])


def finish(axes: Axes, title: str, ylabel: str = "", *, grid: bool = True) -> Axes:
    """Give the axes their title, labels, sizes of text and grid; return them."""
    axes.set_title(title, loc="left", fontsize=TITLE_PT, fontweight="bold")
    axes.set_ylabel(ylabel, fontsize=LABEL_PT)
    axes.xaxis.label.set_fontsize(LABEL_PT)
    axes.tick_params(labelsize=SMALL_PT)
    axes.tick_params(which="minor", labelsize=SMALL_PT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(alpha=0.3, linewidth=0.5)
    return axes


def category_ticks(axes: Axes, places: Iterable[float], names: Sequence[str]) -> None:
    """Name places of the x axis; names that would touch each other are written aslant."""
    axes.set_xticks(list(places), names)
    room_pt = inches(axes)[0] * 72 / max(len(names), 1)
    if max(map(len, names), default=0) * _LETTER * SMALL_PT > 0.9 * room_pt:
        axes.tick_params(axis="x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def caption(axes: Axes, text: str) -> None:
    """Write a remark below the label of the x axis, in as many lines as it needs; nothing if it is empty."""
    if text:
        width = max(int(inches(axes)[0] * 72 / (LABEL_PT * _LETTER)), 20)
        axes.set_xlabel("\n".join([axes.get_xlabel(), *wrap(text, width)]))


def legend(axes: Axes, **how: Any) -> None:
    """Explain what has a label: beside wide axes, below narrow ones."""
    n = len(axes.get_legend_handles_labels()[0])
    if not n:
        return
    if inches(axes)[0] >= _WIDE_INCHES:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03), "ncols": 1 if n <= 9 else 2}
    else:
        from matplotlib.transforms import offset_copy

        # Past the tick labels and the label of the axis, whatever the height of the axes.
        below = offset_copy(axes.transAxes, root_figure(axes), x=-36, y=-26, units="points")
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below, "ncols": 3 if n > 6 else 2}
        how = {"columnspacing": 0.7, "handlelength": 1.4, "handletextpad": 0.5, **how}
    axes.legend(frameon=False, fontsize=SMALL_PT, **{**place, **how})


def colour_scale(axes: Axes, drawn: Any, label: str) -> None:
    """Explain the colours of a heatmap beside it."""
    figure: Any = axes.get_figure()
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=14)
    bar.set_label(label, fontsize=SMALL_PT)
    bar.ax.tick_params(which="both", labelsize=SMALL_PT)


def label_ends(axes: Axes, ends: Sequence[tuple[str, float, dict[str, Any]]], *, lines: int = 1) -> None:
    """Write names beside the right edge at the height where their lines end, as far apart as text must be.

    Parameters
    ----------
    axes : Axes
        With its final limits and scales.
    ends : sequence of (str, float, dict)
        Name, y of the end (data coordinates) and look of each line, as `line` gives it.
    lines : int
        Lines of text a name has at most.
    """
    shown = [(name, y, look) for name, y, look in ends if np.isfinite(y)]
    height_pt = inches(axes)[1] * 72 * 0.9  # a little less: layout will make room for titles
    step_pt = SMALL_PT * 1.25 * lines
    most = min(_MOST_LABELS, max(int(height_pt / step_pt), 1))
    if len(shown) > most:
        axes.annotate(
            f"and {len(shown) - most + 1} more", (1, 0), xycoords="axes fraction", xytext=(16, -step_pt),
            textcoords="offset points", fontsize=SMALL_PT, color=INK,
        )  # fmt: skip
        shown = shown[: most - 1]
    at = [_fraction(axes, y) * height_pt for _, y, _ in shown]
    for (name, _, look), end_pt, text_pt in zip(shown, at, _apart(at, step_pt, height_pt), strict=True):
        arrow = {"arrowstyle": "-", "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5), **look}
        axes.annotate(
            name, (1, end_pt / height_pt), xycoords="axes fraction", xytext=(16, text_pt - end_pt), va="center",
            textcoords="offset points", fontsize=SMALL_PT, color=INK, arrowprops=arrow,
        )  # fmt: skip


def _fraction(axes: Axes, y: float) -> float:
    """Height of a value in the axes: 0 bottom, 1 top."""
    point = axes.transData.transform((axes.get_xlim()[0], y))
    return float(np.clip(axes.transAxes.inverted().transform(point)[1], 0, 1))


def _apart(wanted: Sequence[float], step: float, height: float) -> list[float]:
    """Heights near the wanted ones, in their order, each `step` or more from the next, within the axes if possible."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], -i))
    placed: list[float] = []
    for i in order:
        placed.append(max(wanted[i], placed[-1] + step) if placed else wanted[i])
    top = height
    for n in range(len(placed) - 1, -1, -1):
        placed[n] = min(placed[n], top)
        top = placed[n] - step
    return [at for _, at in sorted(zip(order, placed, strict=True))]


def inches(axes: Axes) -> tuple[float, float]:
    """Width and height of the axes, inches."""
    box = axes.get_window_extent()
    dpi = root_figure(axes).dpi
    return box.width / dpi, box.height / dpi


def ink_on(color: str) -> str:
    """White or black, whichever can be read on `color`."""
    from matplotlib.colors import to_rgb

    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.26 else "black"


def root_figure(axes: Axes) -> Any:
    """The figure the axes are in, however deep."""
    return axes.get_figure(root=True)
