"""Pages scanned and freed over time, by kswapd and by those who needed memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.results.pictures import rates, series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(source: Run, ax: Axes | None = None) -> Axes:
    """Draw pages scanned and stolen per second by kswapd and by direct reclaim, all nodes, on a logarithmic axis.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.

    Returns
    -------
    Axes
        A line of each rate that was ever above 0, broken where it was not.
    """
    axes = style.axes_of(ax)
    looks = {
        "scanned, kswapd": ("pgscan_kswapd", style.SKY, "--"),
        "stolen, kswapd": ("pgsteal_kswapd", style.BLUE, "-"),
        "scanned, direct": ("pgscan_direct", style.ORANGE, ":"),
        "stolen, direct": ("pgsteal_direct", style.VERMILION, "-."),
    }
    lines = {label: (series.rate(source, counter), *look) for label, (counter, *look) in looks.items()}
    rates.plot_rates(source, axes, lines)
    return style.finish(axes, "Reclaim", "pages per second")
