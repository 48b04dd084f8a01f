"""All pictures by name, and ``run.plot``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from numa_sim.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numa_sim.results.pictures.figure import Picture

__all__ = ["ALL", "Drawing", "Plots", "drawing"]

Source = Literal["run", "runs", "sweep"]


@dataclass(frozen=True)
class Drawing:
    """A picture that can be drawn.

    Attributes
    ----------
    name : str
        Its name, and that of its module in `numa_sim.results.pictures`.
    about : str
        What it shows.
    source : {"run", "runs", "sweep"}
        What it is drawn from: a run, a pair of runs, or a sweep.
    needs : str
        What a run's configuration must say for it; empty if nothing.
    """

    name: str
    about: str
    source: Source = "run"
    needs: str = ""

    @property
    def plot(self) -> Callable[..., Axes]:
        """The function ``plot(source, ax=None, **options)``."""
        return import_module(f"numa_sim.results.pictures.{self.name}").plot  # type: ignore[no-any-return]


ALL: Final = {
    each.name: each
    for each in (
        Drawing("node_fill", "used share of each node's memory over time"),
        Drawing("numa_hits", "pages that came from the node asked for, and those that did not, stacked"),
        Drawing("swap_use", "used space of each swap area over time"),
        Drawing("swap_queue", "requests in flight at each disk over time"),
        Drawing("access_latency", "mean latency of memory accesses over time, and the queueing in it"),
        Drawing("latency_cdf", "which share of accesses is done within a time", needs="run.fault_latency = true"),
        Drawing("latency_breakdown", "where each task's time went"),
        Drawing("faults", "minor and major page faults per second"),
        Drawing("reclaim_rates", "pages scanned and stolen per second by kswapd and direct reclaim"),
        Drawing("reclaim_timeline", "free memory against the watermarks, and who reclaimed when"),
        Drawing("fragmentation", "free memory useless to requests of each order", needs='run.observe = ["buddy"]'),
        Drawing("access_map", "which memory was accessed when", needs='run.observe = ["access_map"]'),
        Drawing("topology", "nodes, links, distances and latencies of the machine"),
        Drawing("two_runs", "a column of two runs' time series and its difference", "runs"),
        Drawing("facets", "a metric against factors, means with 95 % intervals", "sweep"),
        Drawing("memory_curve", "faults or misses over the size of memory", "sweep"),
        Drawing("difference", "paired difference between two values of a factor", "sweep"),
    )
}
"""Every picture with one ``plot``, by name."""


def drawing(name: str, source: Source) -> Drawing:
    """Return the picture of that name, if it can be drawn from such a source.

    Raises
    ------
    ConfigError
        Naming those that can.
    """
    found = ALL.get(name)
    if found is None or found.source != source:
        known = [each.name for each in ALL.values() if each.source == source]
        why = f"there is no picture {name!r}" if found is None else f"{name} is drawn from {_A[found.source]}"
        raise ConfigError("picture", "", f"{why}; of {_A[source]} there are", known)
    return found


_A: Final = {"run": "a run", "runs": "two runs", "sweep": "a sweep"}


class Plots:
    """Pictures of one run or sweep: ``run.plot()`` draws the overview, ``run.plot.node_fill()`` one picture.

    Parameters
    ----------
    source : Run or Sweep
        What is drawn.
    kind : {"run", "sweep"}
        Which of them.
    """

    def __init__(self, source: Any, kind: Source) -> None:
        self._source = source
        self._kind: Source = kind

    def __call__(self) -> Picture:
        """Overview of a run, a matplotlib Figure that notebooks show: node fill, swap, latency, faults, reclaim."""
        from numa_sim.results.pictures.overview import overview

        if self._kind != "run":
            raise ConfigError("picture", "", "a sweep has no overview; choose", dir(self))
        return overview(self._source)

    def __getattr__(self, name: str) -> Callable[..., Axes]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            plot = drawing(name, self._kind).plot
        except ConfigError as error:
            raise AttributeError(str(error)) from None

        @wraps(plot)
        def of_source(ax: Axes | None = None, **options: Any) -> Axes:
            return plot(self._source, ax, **options)

        return of_source

    def __dir__(self) -> list[str]:
        return [each.name for each in ALL.values() if each.source == self._kind]

    def __repr__(self) -> str:
        return f"<pictures of {self._source!r}: {', '.join(dir(self))}>"
