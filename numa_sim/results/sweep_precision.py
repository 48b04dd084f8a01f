"""Replicas that end when a mean is precise: whether it became so, and what its interval is worth."""

from __future__ import annotations

from typing import Any, Final

from numa_sim.config.sweep import HONEST_MIN, Replicas
from numa_sim.results.readable import plural
from numa_sim.results.sweep_factors import named_points
from numa_sim.results.sweep_folder import SweepDesign
from numa_sim.results.sweep_means import means_by_point
from numa_sim.statistics import Interval

__all__ = ["imprecise_points", "precision_notes", "replicas_of"]

_COVERED: Final = "intervals then hold the mean less often than they say (from 3 on: 90 times of 100, not 95)"


def replicas_of(design: SweepDesign) -> Replicas:
    """How many replicas a sweep asks for."""
    sweep = design.config.get("sweep") or {}
    return Replicas.model_validate(sweep.get("replicas", 1))


def imprecise_points(design: SweepDesign, table: Any) -> list[tuple[int, Interval]]:
    """Points whose deciding mean is not known as well as was asked for: they have all the runs they may, or some miss.

    Parameters
    ----------
    design : SweepDesign
        The sweep.
    table : pyarrow.Table
        Its rows, see `numa_sim.results.sweep_table.run_rows`.

    Returns
    -------
    list of (int, Interval)
        Numbers of the points, in order, and the deciding metric's mean over replicas; empty if replicas are a number.
    """
    replicas = replicas_of(design)
    if replicas.metric is None:
        return []
    intervals = means_by_point(design, table, replicas.metric, replicas.confidence)
    return [(point, mean) for point, mean in intervals.items() if not mean.relative_half_width <= replicas.share]


def precision_notes(design: SweepDesign, table: Any | None = None) -> list[str]:
    """Sentences a reader of intervals must see: replicas that began with too few, means that never became precise.

    Without `table` nothing is said of single means.
    """
    replicas = replicas_of(design)
    if replicas.metric is None:
        return []
    notes = []
    if replicas.min < HONEST_MIN:
        notes.append(
            f"Replicas end at the first mean that looks precise, here from {replicas.min} on: {_COVERED}; "
            f"min = {HONEST_MIN} mends that."
        )
    if table is not None and (imprecise := imprecise_points(design, table)):
        points = len({planned.point for planned in design.runs})
        known = "is" if len(imprecise) == 1 else "are"
        notes.append(
            f"{plural(len(imprecise), 'mean')} of {replicas.metric} (of {plural(points, 'point')}) {known} not known "
            f"within {replicas.within} by the runs that are there, at most {replicas.max} each: "
            f"{named_points(design, [point for point, _ in imprecise])}."
        )
    return notes
