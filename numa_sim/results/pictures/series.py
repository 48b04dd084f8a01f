"""A run's time series as arrays by sample and node, for the pictures over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numa_sim.errors import ConfigError

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["by_node", "check_node", "end_ns", "node_names", "rate", "sample_ns"]


def end_ns(run: Run) -> int:
    """Simulated time at which the run ended, ns."""
    return int(run.summary["run"]["end_ns"])


def node_names(run: Run) -> list[str]:
    """Names of the nodes."""
    return [node["name"] for node in run.summary["nodes"]]


def sample_ns(run: Run) -> Any:
    """Times of the samples, ns: int64 [samples]."""
    return run.timeseries.column("t_ns").to_numpy()[:: len(run.summary["nodes"])]


def check_node(run: Run, node: int | None) -> None:
    """Raise ConfigError if there is no such node; None is all of them."""
    n = len(run.summary["nodes"])
    if node is not None and not 0 <= node < n:
        raise ConfigError(run.folder or "run", "node", f"there is no node {node}", [f"0 to {n - 1}"])


def by_node(run: Run, column: str) -> Any:
    """A column of the time series as [samples, nodes]; NaN where it is null."""
    return run.timeseries.column(column).to_numpy().reshape(-1, len(run.summary["nodes"]))


def rate(run: Run, counter: str, node: int | None = None) -> Any:
    """How fast a counter grew in the interval that ends at each sample, per second: float64 [samples].

    Of `node`, or of all nodes together.
    """
    counts = by_node(run, counter)
    total = counts.sum(axis=1) if node is None else counts[:, node]
    seconds = np.diff(sample_ns(run), prepend=0) / 1e9
    return np.diff(total, prepend=0) / np.where(seconds > 0, seconds, np.inf)
