"""The metric that decides how many replicas a point needs, read from the runs that are there."""

from __future__ import annotations

from numa_sim.errors import ConfigError
from numa_sim.sweep.store import SweepFolder

__all__ = ["Values"]


class Values:
    """One column of the sweep's table, run by run; each is read once."""

    def __init__(self, store: SweepFolder, metric: str | None) -> None:
        self._store, self._metric = store, metric
        self._known: dict[str, float] = {}

    def of(self, run: str) -> float | None:
        """The metric of a run; None if the run is not there.

        Raises
        ------
        ConfigError
            If runs have no such metric.
        """
        if run not in self._known:
            folder = self._store.run_folder(run)
            if not folder.is_dir():
                return None
            from numa_sim.results.sweep_table import run_metrics

            metrics = run_metrics(folder)
            if self._metric not in metrics:
                where = "sweep.replicas.metric"
                raise ConfigError("", where, f"runs have no column {self._metric!r}", tuple(sorted(metrics)))
            self._known[run] = float(metrics[self._metric])
        return self._known[run]
