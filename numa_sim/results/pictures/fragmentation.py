"""Buddy fragmentation: how much of the free memory is in blocks too small, by order and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run

ZONES = ("DMA", "Normal", "HighMem")


def plot(source: Run, ax: Axes | None = None, *, node: int = 0, zone: str | None = None) -> Axes:
    """Draw the unusable free space index of a zone over time: the share of its free memory that is useless to a
    request of each order, because it lies in smaller blocks.

    Parameters
    ----------
    source : Run
        A run with ``run.observe = ["buddy"]``.
    ax : Axes, optional
        Where to draw; else new axes.
    node : int
        Node of the zone.
    zone : {"DMA", "Normal", "HighMem"}, optional
        The zone; else the node's largest by its free pages in the first sample.

    Returns
    -------
    Axes
        A heatmap: order by time, 0 % (dark: all free memory can be used) to 100 % (light); blank where nothing is free.

    Raises
    ------
    RunFolderError
        If the free lists were not recorded.
    ConfigError
        If there is no such zone.

    References
    ----------
    ``unusable_free_index`` of mm/vmstat.c (/sys/kernel/debug/extfrag/unusable_index): (free pages - free pages in
    blocks of the order or above) / free pages.  M. Gorman, P. Healy: Measuring the impact of the Linux memory manager,
    2005.
    """
    t_ns, blocks, name = _free_blocks(source, node, zone)
    axes = style.axes_of(ax, (6.6, 2.8))
    end_ns = series.end_ns(source)
    scale = style.time_axis(axes, end_ns)
    orders = np.arange(blocks.shape[1])
    index = unusable(blocks)
    if len(t_ns):
        edges = np.append(t_ns, max(end_ns, int(t_ns[-1]) + 1)) / scale
        mesh = axes.pcolormesh(
            edges,
            np.append(orders, len(orders)) - 0.5,
            100 * index.T,
            cmap=style.HEAT,
            vmin=0,
            vmax=100,
            rasterized=True,
        )
        style.colour_scale(axes, mesh, "free memory useless\nto a request, %")
        axes.set_yticks(orders)
    else:
        style.empty(axes, "no samples")
    where = series.node_names(source)[node]
    return style.finish(axes, f"Fragmentation, {where} {name}", "order of the request", grid=False)


def unusable(blocks: np.ndarray[Any, Any]) -> Any:
    """Share of free pages in blocks below each order.

    Parameters
    ----------
    blocks : int array [samples, orders]
        Free blocks.

    Returns
    -------
    float64 array [samples, orders]
        0 to 1; NaN where no page is free.
    """
    pages = blocks * (1 << np.arange(blocks.shape[1]))
    free = pages.sum(axis=1, keepdims=True)
    below = np.cumsum(pages, axis=1) - pages
    return np.where(free > 0, below / np.maximum(free, 1), np.nan)


def _free_blocks(run: Run, node: int, zone: str | None) -> tuple[Any, Any, str]:
    """Times of the samples, free blocks [samples, orders] of a zone, and its name."""
    table = run.buddy_series
    nodes, zones, orders, times, free = (
        table.column(name).to_numpy() for name in ("node", "zone", "order", "t_ns", "free_blocks")
    )
    n_orders = int(orders.max(initial=-1)) + 1
    there = {
        ZONES[z]: int((free << orders)[(nodes == node) & (zones == z)][:n_orders].sum())
        for z in np.unique(zones[nodes == node])
    }
    if zone is None and there:
        zone = max(there, key=lambda name: there[name])
    if zone not in there:
        known = [f"node {n}: {ZONES[z]}" for n, z in sorted({*zip(nodes.tolist(), zones.tolist(), strict=True)})]
        raise ConfigError(run.folder or "run", "", f"node {node} has no zone {zone or 'at all'}", known)
    mine = (nodes == node) & (zones == ZONES.index(zone))
    return times[mine][::n_orders], free[mine].reshape(-1, n_orders), zone
