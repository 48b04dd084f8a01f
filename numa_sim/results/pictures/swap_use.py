"""How much of each swap area is in use over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.results.pictures import series, style
from numa_sim.state.constants import PAGE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(source: Run, ax: Axes | None = None) -> Axes:
    """Draw the used space of each swap area over time.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.

    Returns
    -------
    Axes
        A line per swap area, labelled with its name and priority.
    """
    axes = style.axes_of(ax)
    scale = style.time_axis(axes, series.end_ns(source))
    table = source.swap_series
    ids, times = (table.column(name).to_numpy() for name in ("area", "t_ns"))
    used_bytes = table.column("used_pages").to_numpy() * PAGE_SIZE
    size, unit = style.size_unit(int(used_bytes.max(initial=0)))
    areas = source.summary["swap_areas"]
    ends = []
    for area in areas:
        mine = ids == area["area"]
        label, look = f"{area['name']} (priority {area['priority']})", style.line(area["area"])
        axes.plot(times[mine] / scale, used_bytes[mine] / size, label=label, **look)
        ends.append((label, float(used_bytes[mine][-1] / size) if mine.any() else float("nan"), look))
    axes.set_ylim(bottom=0)
    if not len(times):
        style.empty(axes, "no samples" if areas else "no swap areas")
    style.label_ends(axes, ends)
    return style.finish(axes, "Swap", f"in use, {unit}")
