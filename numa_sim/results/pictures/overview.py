"""What a run looks like at a glance: fill, swap, latency, faults, reclaim over time, and where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numa_sim.results.pictures import (
    access_latency,
    faults,
    latency_breakdown,
    node_fill,
    reclaim_rates,
    style,
    swap_use,
)

if TYPE_CHECKING:
    from numa_sim.results.pictures.figure import Picture
    from numa_sim.results.run import Run

__all__ = ["overview"]

_OVER_TIME = (node_fill, swap_use, access_latency, faults, reclaim_rates)


def overview(run: Run) -> Picture:
    """Draw the pictures over time below each other with one time axis, and below them where the time went."""
    from numa_sim.results.pictures.figure import Picture
    from numa_sim.results.summary_tables import headline

    n_bars = min(max(len(run.summary["tasks"]), 1), latency_breakdown.MOST_BARS)
    heights = [1.0] * len(_OVER_TIME) + [0.45 + 0.27 * n_bars]
    figure = Picture(figsize=(8, 1.4 * sum(heights) + 0.6), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    shared: Any = None
    for row, picture in enumerate(_OVER_TIME):
        axes = figure.add_subplot(grid[row], sharex=shared)
        shared = shared or axes
        picture.plot(run, axes)
        if row + 1 < len(_OVER_TIME):
            axes.tick_params(labelbottom=False)
            axes.set_xlabel("")
    latency_breakdown.plot(run, figure.add_subplot(grid[-1]))
    machine, _, rest = headline(run.summary).partition(": ")
    figure.suptitle(f"{machine}\n{rest}", fontsize=style.TITLE_PT)
    return figure
