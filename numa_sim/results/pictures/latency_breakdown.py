"""Where each task's time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from numa_sim.results.pictures import style
from numa_sim.results.pictures.style import (
    BLACK,
    BLUE,
    GREEN,
    LIGHT,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
)
from numa_sim.results.readable import readable_ns
from numa_sim.state.counters import TIME_PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run

PARTS: Final = {
    # Local is green, remote is warm, waiting for devices is blue.  Parts of one hatch differ in lightness.
    "compute": ("#C4C4C4", ""),
    "local": (GREEN, ""),
    "remote": (VERMILION, "////"),
    "queueing": (ORANGE, ""),
    "tlb_walk": (SKY, "////"),
    "minor_fault": (YELLOW, ""),
    "major_fault": (PURPLE, "...."),
    "direct_reclaim": (BLACK, ""),
    "swap_wait": (BLUE, ""),
    "context_switch": (LIGHT, "////"),
    "run_queue": (LIGHT, "\\\\\\\\"),
    "sleep": ("#FFFFFF", "...."),
    "syscall": (SKY, "\\\\\\\\"),
    "shootdown": (ORANGE, "xxxx"),
    "daemon": (PURPLE, "----"),
    "file_syscall": (YELLOW, "----"),
    "file_wait": (BLUE, "...."),
    "lock_wait": (VERMILION, "xxxx"),
    "kswapd_wait": ("#777777", "\\\\\\\\"),
}
"""Colour and hatch of each part of a task's time."""
MOST_BARS: Final = 12
_TWO_LINES_INCHES: Final = 0.3


def plot(source: Run, ax: Axes | None = None, *, most: int = MOST_BARS) -> Axes:
    """Draw where each task's time went: a bar per task, its parts as shares of the task's run time.

    Parameters
    ----------
    source : Run
        The run.
    ax : Axes, optional
        Where to draw; else new axes.
    most : int
        Bars at most; the longest tasks if there are more.

    Returns
    -------
    Axes
        Stacked horizontal bars that reach from 0 to 100 %: the parts sum exactly to the run time.
    """
    every = source.summary["tasks"]
    tasks = sorted(every, key=lambda task: (-task["run_ns"], task["task"]))[: max(most, 1)]
    tasks.sort(key=lambda task: task["task"])
    axes = style.axes_of(ax, (6.6, 1.1 + 0.34 * max(len(tasks), 3)))
    left = np.zeros(len(tasks))
    for part in TIME_PARTS:
        ns = np.array([task["parts_ns"][part] for task in tasks], float)
        if ns.any():
            share = 100 * ns / [max(task["run_ns"], 1) for task in tasks]
            _bars(axes, part, left, share)
            left += share
    between = "\n" if style.inches(axes)[1] > _TWO_LINES_INCHES * len(tasks) else " "
    axes.set_yticks(range(len(tasks)), [f"{task['name']}{between}{readable_ns(task['run_ns'])}" for task in tasks])
    axes.set_ylim(max(len(tasks), 1) - 0.5, -0.5)  # the first task on top
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of run time, %")
    if not tasks:
        style.empty(axes, "no tasks")
    style.legend(axes)
    more = "" if len(tasks) == len(every) else f" (the {len(tasks)} longest of {len(every)} tasks)"
    return style.finish(axes, f"Where the time went{more}", grid=False)


def _bars(axes: Any, part: str, left: Any, share: Any) -> None:
    """One part of every task."""
    color, hatch = PARTS.get(part, ("#FFFFFF", "++++"))
    edge = "#333333" if hatch else "white"
    label = part.replace("_", " ")
    axes.barh(range(len(share)), share, left=left, color=color, hatch=hatch, edgecolor=edge, linewidth=0.5, label=label)
    for row, value in enumerate(share):
        if value >= 5:
            text = axes.text(
                left[row] + value / 2, row, f"{value:.0f}", ha="center", va="center", fontsize=style.SMALL_PT,
                color=style.ink_on(color),
            )  # fmt: skip
            if hatch:
                text.set_bbox({"facecolor": color, "edgecolor": "none", "pad": 0.8})
