"""How many replicas a point needs: decided from the results that are there, so the same whoever made them, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from numa_sim.config.sweep import Replicas
from numa_sim.results.sweep_folder import PlannedRun

__all__ = ["missing_runs"]


def missing_runs(
    runs: Iterable[PlannedRun],
    replicas: Replicas,
    settled: Callable[[str], bool],
    value_of: Callable[[str], float | None],
) -> list[PlannedRun]:
    """Runs to be made next, in order; none when every point has as many as it needs.

    Parameters
    ----------
    runs : iterable of PlannedRun
        All that may be made of the points in question.
    replicas : Replicas
        How many: a number, or until a mean is precise; then a point begins with ``min`` and gets half as many again,
        up to ``max``, as long as it is not.
    settled : callable
        Whether the run of a name is there, or will never be.
    value_of : callable
        The metric of a run that is there; None for one that will never be.
    """
    by_point: dict[int, list[PlannedRun]] = {}
    for run in runs:
        by_point.setdefault(run.point, []).append(run)
    missing = [run for of_point in by_point.values() for run in _next(of_point, replicas, settled, value_of)]
    return sorted(missing, key=lambda run: (run.replica, run.point))


def _next(
    runs: list[PlannedRun],
    replicas: Replicas,
    settled: Callable[[str], bool],
    value_of: Callable[[str], float | None],
) -> list[PlannedRun]:
    """Runs of one point to be made next."""
    if replicas.metric is None:
        return [run for run in runs if not settled(run.run)]
    count = replicas.min
    while True:
        wanted = runs[:count]
        if unsettled := [run for run in wanted if not settled(run.run)]:
            return unsettled
        if count >= replicas.max or _is_precise(wanted, replicas, value_of):
            return []
        count = min(count + max(1, count // 2), replicas.max)


def _is_precise(runs: list[PlannedRun], replicas: Replicas, value_of: Callable[[str], float | None]) -> bool:
    from numa_sim.statistics import precise_enough

    values = [value for run in runs if (value := value_of(run.run)) is not None]
    return len(values) > 1 and bool(precise_enough(values, replicas.share, replicas.confidence, at_least=replicas.min))
