"""Page faults over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.results.pictures import rates, series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(source: Run, ax: Axes | None = None) -> Axes:
    """Draw minor and major page faults per second of simulated time, all nodes, on a logarithmic axis.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.

    Returns
    -------
    Axes
        A line of each kind that happened, broken where it did not.
    """
    axes = style.axes_of(ax)
    major = series.rate(source, "pgmajfault")
    minor = series.rate(source, "pgfault") - major
    rates.plot_rates(source, axes, {"minor": (minor, style.GREEN, "--"), "major": (major, style.VERMILION, "-")})
    return style.finish(axes, "Page faults", "per second")
