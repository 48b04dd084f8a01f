"""How many requests wait at the disks that hold swap areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.errors import ConfigError
from numa_sim.results.pictures import series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run


def plot(source: Run, ax: Axes | None = None, *, disks: tuple[str, ...] | None = None) -> Axes:
    """Draw how many requests are queued or under way at each sample, by disk.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.
    disks : tuple of str, optional
        Names of the disks to draw; else those that were asked for anything.

    Returns
    -------
    Axes
        A line per disk, labelled with the mean over the whole run (exact: summed waits by time, not the samples').

    Raises
    ------
    ConfigError
        If there is no disk of a name.

    Notes
    -----
    A disk that also holds files is drawn with the requests for those.
    """
    known = [disk["name"] for disk in source.summary["disks"]]
    for name in disks or ():
        if name not in known:
            raise ConfigError(source.folder or "run", "disks", f"there is no disk {name!r}", known)
    axes = style.axes_of(ax)
    scale = style.time_axis(axes, series.end_ns(source))
    table = source.disk_series
    ids, times, depth = (table.column(name).to_numpy() for name in ("disk", "t_ns", "in_flight"))
    ends = []
    for disk in source.summary["disks"]:
        used = disk["reads"] + disk["writes"] if disks is None else disk["name"] in disks
        mine = ids == disk["disk"]
        if used and mine.any():
            look = style.line(disk["disk"])
            axes.plot(times[mine] / scale, depth[mine], label=disk["name"], drawstyle="steps-post", **look)
            ends.append((f"{disk['name']}\n(mean {disk['mean_in_flight']:.3g})", float(depth[mine][-1]), look))
    axes.set_ylim(bottom=0)
    if not ends:
        style.empty(axes, "no disk was used" if source.summary["disks"] else "no disks")
    style.label_ends(axes, ends, lines=2)
    return style.finish(axes, "Swap queue depth", "requests in flight")
