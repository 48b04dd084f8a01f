"""Which memory was accessed when, as DAMON's heatmaps show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import series, style
from numa_sim.results.readable import readable_bytes
from numa_sim.state.constants import PAGE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run

_MOST_ROWS = 512
_MOST_COLUMNS = 500
"""Of more bins several are one column: one narrower than a pixel would not be seen."""
_GAP_SHARE = 16
"""Unused memory longer than this part of all that was used is left out."""


def plot(source: Run | Any, ax: Axes | None = None, *, process: int | None = None) -> Axes:
    """Draw how often each part of a process's memory was accessed over time.

    Parameters
    ----------
    source : Run
        A run with ``run.observe = ["access_map"]``, or its table `numa_sim.observe.access_map.ACCESS_COLUMNS`.
    ax : Axes, optional
        Where to draw; else new axes.
    process : int, optional
        Process id; else the one with most accesses.

    Returns
    -------
    Axes
        A heatmap: address by time, logarithmic in accesses per page and millisecond.  Memory that nobody used is left
        out: a line marks where, the labels say which address follows.  Large memories and long runs are drawn in larger
        parts, each with its mean.

    Raises
    ------
    RunFolderError
        If accesses were not recorded.
    ConfigError
        If there is no such process.
    """
    from matplotlib.colors import LogNorm

    table: Any = source.access_map if hasattr(source, "summary") else source
    columns = {
        name: table.column(name).to_numpy() for name in ("t_ns", "length_ns", "process", "start", "bytes", "accesses")
    }
    axes = style.axes_of(ax, (6.6, 3.2))
    ends = columns["t_ns"]
    end_ns = series.end_ns(source) if hasattr(source, "summary") else int(ends.max(initial=1))
    scale = style.time_axis(axes, end_ns)
    if not len(ends):
        style.empty(axes, "no accesses")
        return style.finish(axes, "Accesses by address", grid=False)
    process = _process(columns, process)
    mine = columns["process"] == process
    columns = {name: values[mine] for name, values in columns.items()}
    rows, starts, cell = _rows(columns["start"], int(columns["bytes"][0]))
    edges = _edges(columns["t_ns"], columns["length_ns"], max(end_ns, int(columns["t_ns"].max())))
    heat = np.zeros((rows.max() + 1, len(edges) - 1))
    at = np.searchsorted(edges, columns["t_ns"]) - 1
    np.add.at(heat, (rows, at), columns["accesses"])
    heat /= (cell / PAGE_SIZE) * np.diff(edges) / 1e6
    shown = np.ma.masked_less_equal(heat, 0)
    colours = LogNorm(shown.min(), max(shown.max(), shown.min() * 10))
    axes.set_facecolor("#FFFFFF")
    mesh = axes.pcolormesh(
        edges / scale, np.arange(len(heat) + 1), shown, cmap=f"{style.HEAT}_r", norm=colours, rasterized=True
    )
    style.colour_scale(axes, mesh, "accesses per page and ms")
    _address_axis(axes, starts, len(heat), cell)
    shown_bytes = readable_bytes(len(heat) * cell)
    return style.finish(axes, f"Accesses by address, {_name(source, process)}", f"address ({shown_bytes})", grid=False)


def _edges(t_ns: Any, length_ns: Any, end_ns: int) -> Any:
    """Edges of the columns, ns: those of the bins, or of equal numbers of bins if there may be too many of them."""
    bin_ns = int(length_ns.max())
    if end_ns <= _MOST_COLUMNS * bin_ns:
        return np.unique(np.concatenate([t_ns, t_ns - length_ns]))
    return np.append(np.arange(0, end_ns, bin_ns * -(-end_ns // (_MOST_COLUMNS * bin_ns))), end_ns)


def _name(source: Any, process: int) -> str:
    """What to call the process: its first task."""
    tasks = source.summary["tasks"] if hasattr(source, "summary") else []
    return next((str(task["name"]) for task in tasks if task["pid"] == process), f"process {process}")


def _process(columns: dict[str, Any], wanted: int | None) -> int:
    """The process to draw."""
    known, place = np.unique(columns["process"], return_inverse=True)
    if wanted is None:
        return int(known[np.argmax(np.bincount(place, columns["accesses"]))])
    if wanted not in known:
        raise ConfigError("access map", "process", f"there is no process {wanted}", known.tolist())
    return wanted


def _rows(start: Any, region_bytes: int) -> tuple[Any, list[tuple[int, int]], int]:
    """Row of each region, long unused parts left out; (row, address) of the start of each used part; bytes of a row."""
    used = np.unique(start // region_bytes)
    cell = 1
    while len(np.unique(used // cell)) > _MOST_ROWS:
        cell *= 2
    used = np.unique(used // cell)
    gap = np.diff(used, prepend=used[0] - 1)
    long = gap > max(len(used) // _GAP_SHARE, 1)
    steps = np.where(long, 2, gap)  # one empty row stands for what is left out
    row_of = np.cumsum(steps) - steps[0]
    first = np.flatnonzero(long | (np.arange(len(used)) == 0))
    starts = [(int(row_of[i]), int(used[i]) * cell * region_bytes) for i in first]
    return row_of[np.searchsorted(used, start // region_bytes // cell)], starts, cell * region_bytes


def _address_axis(axes: Any, starts: list[tuple[int, int]], n_rows: int, cell: int) -> None:
    """Label where used parts begin; mark where something is left out."""
    for row, _ in starts[1:]:
        axes.axhline(row - 0.5, color=style.GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    step = 1 << max((n_rows // 5).bit_length() - 1, 0)
    ticks: list[tuple[int, str]] = []
    for (row, address), (end, _) in zip(starts, [*starts[1:], (n_rows, 0)], strict=True):
        inside = [(at, f"+{readable_bytes((at - row) * cell)}") for at in range(row + step, end, step)]
        for at, text in [(row, f"{address:#x}"), *inside]:
            if not ticks or at - ticks[-1][0] > n_rows / 14:
                ticks.append((at, text))
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    axes.set_ylim(0, n_rows)
