"""How long memory accesses take: which share of them is done within a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.results.pictures import style
from numa_sim.results.readable import readable_count, readable_ns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.run import Run

_LEAST_REST = 1e-12


def plot(source: Run, ax: Axes | None = None) -> Axes:
    """Draw the distribution function of access latency: all memory accesses, those without a fault, each kind of fault.

    The vertical axis counts nines (90 %, 99 %, 99.9 %, ...), so that a tail of a millionth can be seen.

    Parameters
    ----------
    source : Run
        A run with ``run.fault_latency = true``.
    ax : Axes, optional
        Where to draw; else new axes.

    Returns
    -------
    Axes
        A line per kind; it ends at its longest time.

    Raises
    ------
    RunFolderError
        If the run has no histogram of fault latency.

    Notes
    -----
    Accesses without a fault are drawn at one or two times per pair of nodes: the pair's mean latency, queueing
    included, and that plus a page walk for the share of its CPUs' accesses that missed the TLB.  How queueing varied
    within a pair is not recorded.  Faults come from histograms with four time spans per power of two; drawn is the end
    of each span.  An access that faults is counted with its fault's time.
    """
    histogram = source.fault_histogram
    axes = style.axes_of(ax, (6.6, 3.2))
    times, counts = _resident(source)
    kinds = _faults(histogram)
    n_faults = sum(int(count.sum()) for _, count in kinds.values())
    whole = max(int(counts.sum()), n_faults)
    resident = counts * (1 - n_faults / whole) if whole else counts
    parts = {"without fault": (times, resident), **kinds}
    all_times, all_counts = (np.concatenate([part[i] for part in parts.values()]) for i in (0, 1))
    if whole == 0:
        style.empty(axes, "no memory accesses")
        return style.finish(axes, "Access latency", "share of accesses")
    _scales(axes, whole)
    _steps(axes, "all accesses", all_times, all_counts, look={"color": style.BLACK, "linewidth": 2.2})
    for i, (name, part) in enumerate(parts.items()):
        _steps(axes, name, *part, look=style.line(i))
    style.legend(axes)
    return style.finish(axes, "Access latency", f"share of {readable_count(whole)} accesses")


def _resident(run: Run) -> tuple[Any, Any]:
    """Latency of accesses without a fault, ns, and how many: per pair of nodes those that hit and missed the TLB."""
    cpus = run.summary["cpus"]
    walks = sum(cpu["tlb_misses"] for cpu in cpus)
    walk_ns = run.summary["totals"]["parts_ns"]["tlb_walk"] / walks if walks else 0.0
    times, counts = [], []
    for pair in run.summary["pairs"]:
        mine = [cpu for cpu in cpus if cpu["node"] == pair["cpu_node"]]
        looked_up = sum(cpu["tlb_hits"] + cpu["tlb_misses"] for cpu in mine)
        missed = sum(cpu["tlb_misses"] for cpu in mine) / looked_up if looked_up else 0.0
        times += [pair["mean_latency_ns"], pair["mean_latency_ns"] + walk_ns]
        counts += [pair["accesses"] * (1 - missed), pair["accesses"] * missed]
    return np.array(times), np.array(counts)


def _faults(histogram: Any) -> dict[str, tuple[Any, Any]]:
    """Ends of time spans, ns, and faults in them, of each kind, all tasks together."""
    kind = np.array(histogram.column("kind").to_pylist(), dtype=object)
    high, count = (histogram.column(name).to_numpy() for name in ("high_ns", "count"))
    found = {}
    for name in dict.fromkeys(kind):
        spans, place = np.unique(high[kind == name], return_inverse=True)
        found[f"{name.replace('_', ' ')} fault"] = (spans.astype(float), np.bincount(place, count[kind == name]))
    return found


def _steps(axes: Any, name: str, times: Any, counts: Any, look: dict[str, Any]) -> None:
    """One distribution function; the last step, to 100 %, is drawn up to the top."""
    order = np.argsort(times, kind="stable")
    times, counts = times[order][counts[order] > 0], counts[order][counts[order] > 0]
    if len(times):
        share = np.cumsum(counts) / counts.sum()
        axes.step([times[0], *times], [0, *share], where="post", label=name, **look)


def _scales(axes: Any, whole: int) -> None:
    """Time logarithmic; shares by their nines, up to one access of all."""
    from matplotlib.ticker import LogLocator

    def nines(share: Any) -> Any:
        return -np.log10(np.maximum(1 - np.asarray(share, float), _LEAST_REST))

    def share(nines: Any) -> Any:
        return 1 - 10 ** -np.asarray(nines, float)

    axes.set_xscale("log")
    axes.set_yscale("function", functions=(nines, share))
    n = max(int(np.ceil(np.log10(whole))), 1)
    axes.set_ylim(0, 1 - 10.0**-n)
    ticks = [0, *(1 - 10.0**-i for i in range(1, n + 1))]
    axes.set_yticks(ticks, [f"{100 * tick:.{max(i - 2, 0)}f} %" for i, tick in enumerate(ticks)])
    axes.xaxis.set_major_locator(LogLocator(numticks=max(int(1.2 * style.inches(axes)[0]), 3)))
    axes.xaxis.set_major_formatter(lambda ns, _: readable_ns(ns))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("done within")
