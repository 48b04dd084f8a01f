"""Pictures of a run.

Every function draws into the matplotlib Axes it is given (or new ones) and returns them; none needs a display.
Colours are those of Okabe and Ito, which colour-blind readers can tell apart; where they do not suffice, line style
or hatching differs too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from numa_sim.results.readable import readable_ns, time_unit
from numa_sim.state.constants import PAGE_SIZE, TIME_PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.picture import Picture
    from numa_sim.results.run import Run

__all__ = [
    "overview",
    "plot_faults",
    "plot_latency",
    "plot_node_fill",
    "plot_reclaim",
    "plot_swap",
    "plot_time_parts",
]

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
_LINES: Final = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_STYLES: Final = ("-", "--", "-.")
_PARTS: Final = {
    # What is good news for a NUMA machine is green, what is bad warm, waiting for devices blue.
    "compute": ("#999999", ""),
    "local": (GREEN, ""),
    "remote": (VERMILION, ""),
    "queueing": (ORANGE, ""),
    "tlb_walk": (SKY, ""),
    "minor_fault": (YELLOW, ""),
    "major_fault": (PURPLE, ""),
    "direct_reclaim": (BLACK, ""),
    "swap_wait": (BLUE, ""),
    "context_switch": ("#DDDDDD", "///"),
    "run_queue": ("#DDDDDD", ""),
    "sleep": ("#FFFFFF", "..."),
    "syscall": (SKY, "///"),
    "shootdown": (ORANGE, "///"),
    "daemon": (PURPLE, "///"),
    "file_syscall": (YELLOW, "///"),
    "file_wait": (BLUE, "///"),
    "kswapd_wait": (BLACK, "///"),
}
_BARS: Final = 12
"""Most tasks a bar chart shows."""


def plot_node_fill(run: Run, ax: Axes | None = None) -> Axes:
    """Used share of each node's memory over time, percent."""
    axes = _axes(ax)
    t = _time_axis(run, axes)
    used, free = _by_node(run, "used_pages"), _by_node(run, "free_pages")
    present = np.maximum(used + free, 1)
    for node, name in enumerate(_node_names(run)):
        if (used[:, node] + free[:, node]).any():  # a node without memory has no fill
            axes.plot(t, 100 * used[:, node] / present[:, node], label=name, **_line(node))
    axes.set_ylim(0, 104)
    return _finish(axes, "Node fill", "used, %")


def plot_swap(run: Run, ax: Axes | None = None) -> Axes:
    """Used swap space of each area over time."""
    axes = _axes(ax)
    _time_axis(run, axes)
    areas = run.summary["swap_areas"]
    ids, times = (run.swap_series.column(name).to_numpy() for name in ("area", "t_ns"))
    used = run.swap_series.column("used_pages").to_numpy() * PAGE_SIZE
    scale, unit = _size_unit(int(used.max(initial=0)))
    for area in areas:
        mine = ids == area["area"]
        label = f"{area['name']} (priority {area['priority']})"
        axes.plot(times[mine] / _time_scale(run)[0], used[mine] / scale, label=label, **_line(area["area"]))
    axes.set_ylim(bottom=0)
    if not areas:
        axes.text(0.5, 0.5, "no swap areas", transform=axes.transAxes, ha="center", va="center", color="#666666")
        axes.set_yticks([])
    return _finish(axes, "Swap", f"in use, {unit}")


def plot_latency(run: Run, ax: Axes | None = None) -> Axes:
    """Mean latency of the memory accesses of each node's CPUs over time, and the queueing in it (dotted), ns."""
    axes = _axes(ax)
    t = _time_axis(run, axes)
    latency, queue = _by_node(run, "mean_latency_ns"), _by_node(run, "mean_queue_ns")
    for node, name in enumerate(_node_names(run)):
        if np.isnan(latency[:, node]).all():  # a node without CPUs, or an idle one
            continue
        look = _line(node)
        axes.plot(t, latency[:, node], label=f"CPUs of {name}", **look)
        axes.plot(t, queue[:, node], color=look["color"], linestyle=":", linewidth=1.0)
    axes.plot([], [], color="#666666", linestyle=":", linewidth=1.0, label="of which queueing")
    axes.set_ylim(bottom=0)
    return _finish(axes, "Memory access", "mean latency, ns")


def plot_faults(run: Run, ax: Axes | None = None) -> Axes:
    """Minor and major page faults per second of simulated time, all nodes, logarithmic."""
    axes = _axes(ax)
    t = _time_axis(run, axes)
    major = _rate(run, "pgmajfault")
    _plot_rates(axes, t, {"minor": (_rate(run, "pgfault") - major, GREEN, "--"), "major": (major, VERMILION, "-")})
    return _finish(axes, "Page faults", "per second")


def plot_reclaim(run: Run, ax: Axes | None = None) -> Axes:
    """Pages scanned and stolen per second by kswapd and by direct reclaim, all nodes, logarithmic."""
    axes = _axes(ax)
    t = _time_axis(run, axes)
    rates = {
        "scanned, kswapd": (_rate(run, "pgscan_kswapd"), SKY, "--"),
        "stolen, kswapd": (_rate(run, "pgsteal_kswapd"), BLUE, "-"),
        "scanned, direct": (_rate(run, "pgscan_direct"), ORANGE, "--"),
        "stolen, direct": (_rate(run, "pgsteal_direct"), VERMILION, "-"),
    }
    _plot_rates(axes, t, rates)
    return _finish(axes, "Reclaim", "pages per second")


def plot_time_parts(run: Run, ax: Axes | None = None) -> Axes:
    """Where each task's time went, as shares of its run time; the longest tasks if there are many."""
    axes = _axes(ax)
    every = run.summary["tasks"]
    tasks = sorted(every, key=lambda task: (-task["run_ns"], task["task"]))[:_BARS]
    tasks.sort(key=lambda task: task["task"])
    names = [f"{task['name']}\n{readable_ns(task['run_ns'])}" for task in tasks]
    left = np.zeros(len(tasks))
    for part in TIME_PARTS:
        ns = [task["parts_ns"][part] for task in tasks]
        if not any(ns):
            continue
        share = np.array([100 * n / max(task["run_ns"], 1) for n, task in zip(ns, tasks, strict=True)])
        color, hatch = _PARTS.get(part, ("#FFFFFF", "xxx"))
        label = part.replace("_", " ")
        bars = axes.barh(
            range(len(tasks)), share, left=left, color=color, hatch=hatch, edgecolor="white", linewidth=0.6, label=label
        )
        for bar in bars:
            bar.set_edgecolor("#444444" if hatch else "white")
        dark = part in ("direct_reclaim", "swap_wait", "local", "remote")
        for row, value in enumerate(share):
            if value >= 5:
                at, text_color = left[row] + value / 2, "white" if dark else "black"
                axes.text(at, row, f"{value:.0f}", ha="center", va="center", fontsize="small", color=text_color)
        left += share
    axes.set_yticks(range(len(tasks)), names)
    axes.set_ylim(max(len(tasks), 1) - 0.5, -0.5)  # the first task on top
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of run time, %")
    more = "" if len(tasks) == len(every) else f" (the {len(tasks)} longest of {len(every)} tasks)"
    return _finish(axes, f"Where the time went{more}", "", grid=False)


def overview(run: Run) -> Picture:
    """Draw all of the above, those over time with one time axis."""
    from numa_sim.results.picture import Picture
    from numa_sim.results.summary_tables import headline

    n_bars = min(max(len(run.summary["tasks"]), 1), _BARS)
    over_time = (plot_node_fill, plot_swap, plot_latency, plot_faults, plot_reclaim)
    heights = [1.0] * len(over_time) + [0.45 + 0.3 * n_bars]
    figure = Picture(figsize=(10, 1.75 * sum(heights) + 0.6), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    shared: Any = None
    for row, plot in enumerate(over_time):
        axes = figure.add_subplot(grid[row], sharex=shared)
        shared = shared or axes
        plot(run, axes)
        if row + 1 < len(over_time):
            axes.tick_params(labelbottom=False)
            axes.set_xlabel("")
    plot_time_parts(run, figure.add_subplot(grid[-1]))
    machine, _, rest = headline(run.summary).partition(": ")
    figure.suptitle(f"{machine}\n{rest}", fontsize="medium")
    return figure


# Parts ---------------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None) -> Any:
    from matplotlib.figure import Figure

    return ax if ax is not None else Figure(figsize=(8, 3), layout="constrained").add_subplot()


def _line(i: int) -> dict[str, Any]:
    return {"color": _LINES[i % len(_LINES)], "linestyle": _STYLES[i % len(_STYLES)], "linewidth": 1.5}


def _time_scale(run: Run) -> tuple[int, str]:
    """Unit of the time axis: that in which the run's end is a number of at least 1."""
    return time_unit(max(int(run.summary["run"]["end_ns"]), 1))


def _time_axis(run: Run, axes: Any) -> Any:
    """Label the x axis; return the times of the samples in its unit."""
    scale, unit = _time_scale(run)
    axes.set_xlabel(f"simulated time, {unit}")
    axes.set_xlim(0, max(int(run.summary["run"]["end_ns"]), 1) / scale)
    return _sample_ns(run) / scale


def _sample_ns(run: Run) -> Any:
    return run.timeseries.column("t_ns").to_numpy()[:: len(run.summary["nodes"])]


def _by_node(run: Run, column: str) -> Any:
    """A column as [samples, nodes]; NaN where it is null."""
    values = run.timeseries.column(column).to_numpy()
    return values.reshape(-1, len(run.summary["nodes"]))


def _node_names(run: Run) -> list[str]:
    return [node["name"] for node in run.summary["nodes"]]


def _rate(run: Run, counter: str) -> Any:
    """Rate of a counter of all nodes, per second, over the interval that ends at each sample."""
    total = _by_node(run, counter).sum(axis=1)
    seconds = np.diff(_sample_ns(run), prepend=0) / 1e9
    return np.diff(total, prepend=0) / np.where(seconds > 0, seconds, np.inf)


def _plot_rates(axes: Any, t: Any, rates: dict[str, tuple[Any, str, str]]) -> None:
    """Lines on a logarithmic axis, broken where nothing happened."""
    for label, (rate, color, style) in rates.items():
        if (rate > 0).any():
            shown = np.where(rate > 0, rate, np.nan)
            axes.plot(t, shown, color=color, linestyle=style, linewidth=1.3, marker=".", markersize=2.5, label=label)
    if axes.lines:
        axes.set_yscale("log")
    else:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color="#666666")
        axes.set_yticks([])


def _size_unit(n_bytes: int) -> tuple[int, str]:
    units = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"))
    return next(((scale, unit) for scale, unit in units if n_bytes >= scale), (1 << 10, "KiB"))


def _finish(axes: Axes, title: str, ylabel: str, grid: bool = True) -> Axes:
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(alpha=0.3, linewidth=0.6)
    if n_entries := len(axes.get_legend_handles_labels()[0]):
        columns = 1 if n_entries <= 9 else 2
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), frameon=False, fontsize="small", ncols=columns)
    return axes
