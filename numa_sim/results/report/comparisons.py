"""Comparisons in the report of a sweep: each value of a factor against the first one, paired by replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.results.readable import readable_interval
from numa_sim.results.report.page import Block, Notes, Paragraph, Table
from numa_sim.results.sweep_factors import selected_points, text_of
from numa_sim.results.text_tables import text_table

if TYPE_CHECKING:
    from numa_sim.results.sweep import Sweep

__all__ = ["NOTHING", "comparisons"]

NOTHING: Final = "–"
"""Stands where there is no figure."""
_MOST_ROWS: Final = 60
_HOW: Final = (
    "Replicas of one number have the same random numbers at every point, so they are compared in pairs; other factors "
    "are averaged over. A difference is clear if its 95 % interval excludes 0: one such interval in twenty errs."
)


def comparisons(sweep: Sweep, metrics: Sequence[str], factors: Sequence[str]) -> list[Block]:
    """A table for each factor that has pairs, and a note for each that has none; nothing with one replica.

    Parameters
    ----------
    sweep : Sweep
        Finished or not.
    metrics : sequence of str
        Columns of its table.
    factors : sequence of str
        Factors of several values.
    """
    if len({run.replica for run in sweep.design.finished()}) < 2:
        return []
    blocks = [block for factor in factors for block in _against_first(sweep, metrics, factor)]
    return [Paragraph(_HOW), *blocks] if any(isinstance(block, Table) for block in blocks) else blocks


def _against_first(sweep: Sweep, metrics: Sequence[str], factor: str) -> list[Block]:
    """Each value against the first that has finished runs; below it why values have nothing to be compared with."""
    first = _first_there(sweep, factor)
    others = [value for value in sweep.factors[factor] if value != first]
    table = text_table(f"{factor}, against {text_of(first)}", "metric", factor, "difference", "clear?", left=2)
    reasons: dict[str, None] = {}
    for metric in metrics:
        for value in others:
            try:
                compared = sweep.compare(metric, factor, value, first)
            except RunFolderError as error:  # no pair: runs failed, are not there yet, or differ in more than this
                reasons.setdefault(f"{NOTHING}: {error.message}.")
                table.add_row(metric, text_of(value), NOTHING, NOTHING)
                continue
            difference = readable_interval(compared.paired.difference, sweep.unit(metric))
            table.add_row(metric, text_of(value), difference, "no" if compared.better is None else "yes")
    if all(row[2] == NOTHING for row in table.rows):
        why = next(iter(reasons), "").removeprefix(f"{NOTHING}: ")
        return [Notes((f"{factor}: nothing is compared with {text_of(first)}, as {why}",))]
    return [Table(table, " ".join(reasons))] if len(table.rows) <= _MOST_ROWS else []


def _first_there(sweep: Sweep, factor: str) -> Any:
    """The first value of a factor at whose points a run has finished."""
    there = {run.point for run in sweep.design.finished()}
    values = sweep.factors[factor]
    return next((value for value in values if there.intersection(selected_points(sweep.design, {factor: value}))), None)
