"""Lines of rates on a logarithmic axis: what page faults and reclaim have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.results.pictures import series, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run

__all__ = ["plot_rates"]


_ROOM = 0.05
"""Decades between a value and the end of the axis, at least."""


def _whole_decades(axes: Axes, values: Any) -> None:
    """Make the y axis logarithmic, from one power of ten to another: only those have labels, which never touch.

    No value lies on an end, where half of its dot would be cut off.
    """
    low, high = np.floor(np.log10(values.min()) - _ROOM), np.ceil(np.log10(values.max()) + _ROOM)
    axes.set_yscale("log")
    axes.set_ylim(10**low, 10**high)
    axes.yaxis.set_minor_formatter("")


def plot_rates(run: Run, axes: Axes, rates: Mapping[str, tuple[Any, str, str]]) -> None:
    """Draw rates per second (with colour and dashes) by sample, broken where nothing happened; "none" if never."""
    t = series.sample_ns(run) / style.time_axis(axes, series.end_ns(run))
    looks: dict[str, Any] = {}
    for label, (rate, color, dashes) in rates.items():
        if (rate > 0).any():
            looks[label] = {"color": color, "linestyle": dashes, "linewidth": 1.2}
            style.line_with_dots(axes, t, np.where(rate > 0, rate, np.nan), label=label, **looks[label])
    if not looks:
        style.empty(axes, "none")
        return
    _whole_decades(axes, np.concatenate([rate[rate > 0] for rate, _, _ in rates.values()]))
    style.label_ends(axes, [(label, rates[label][0][rates[label][0] > 0][-1], look) for label, look in looks.items()])
