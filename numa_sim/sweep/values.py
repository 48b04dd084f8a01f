"""The metric that decides how many replicas a point needs, read from the runs that are there."""

from __future__ import annotations

from numa_sim.results.run import open_run
from numa_sim.results.sweep_columns import metrics_of
from numa_sim.sweep.store import SweepFolder

__all__ = ["Values"]


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
