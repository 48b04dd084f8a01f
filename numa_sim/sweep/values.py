"""The metric that decides how many replicas a point needs, read from the runs that are there."""

from __future__ import annotations

from difflib import get_close_matches

from numa_sim.config.model import Config
from numa_sim.errors import ConfigError
from numa_sim.results.run import open_run
from numa_sim.results.sweep_columns import METRIC_COLUMNS, metrics_of
from numa_sim.sweep.store import SweepFolder

__all__ = ["Values", "check_metric"]


def check_metric(config: Config, metric: str | None) -> None:
    """Refuse a metric that is no number of the sweep's table."""
    names = [figure.name for figure in METRIC_COLUMNS if figure.kind != "text"]
    if metric is not None and metric not in names:
        meant = get_close_matches(metric, names, n=5, cutoff=0.4) or names[:5]
        allowed = (*meant, "or another of the table's columns of numbers")
        raise ConfigError(config.origin, "sweep.replicas.metric", f"runs have no figure {metric!r}", allowed)


class Values:
    """One column of the sweep's table, run by run; each is read once."""

    def __init__(self, store: SweepFolder, metric: str | None) -> None:
        self._store, self._metric = store, metric
        self._known: dict[str, float | None] = {}

    def of(self, run: str) -> float | None:
        """The metric of a run; None if the run is not there, or has no such figure."""
        folder = self._store.run_folder(run)
        if run not in self._known and folder.is_dir() and self._metric is not None:
            self._known[run] = metrics_of(open_run(folder).summary)[self._metric]
        return self._known.get(run)
