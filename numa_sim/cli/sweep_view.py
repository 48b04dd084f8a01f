"""``numa-sim sweep table``: means of a sweep's runs with their intervals, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from numa_sim.results.readable import readable_interval
from numa_sim.results.sweep import HEADLINE_METRICS, Sweep, open_sweep
from numa_sim.results.sweep_factors import text_of
from numa_sim.results.sweep_remarks import ALL_EQUAL, CUT_SHORT, any_all_equal, cut_short, has_cut_short
from numa_sim.results.text_tables import text_table

if TYPE_CHECKING:
    from numa_sim.statistics import Interval

__all__ = ["print_sweep_table"]

_PLAIN_WIDTH = 1000
"""Columns when it goes to a file or a pipe: no name is broken in two."""


def print_sweep_table(
    folder: Path,
    by: Sequence[str],
    metrics: Sequence[str],
    where: Mapping[str, Any],
    confidence: float = 0.95,
    console: Console | None = None,
) -> None:
    """Print means over replicas, half widths of their intervals, and numbers of replicas.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    by : sequence of str
        Factors to tell apart; all if there are none.
    metrics : sequence of str
        Columns of the sweep's table; a few common ones if there are none.
    where : mapping
        Only points with these values of factors.
    confidence : float
        Of the intervals.
    console : Console, optional
        Where to.

    Raises
    ------
    NumaSimError
        If it is no sweep folder, has no such factor or metric, or `confidence` is not between 0 and 1.
    """
    screen = console or Console()
    if not screen.is_terminal and console is None:
        screen = Console(width=_PLAIN_WIDTH)
    sweep = open_sweep(folder)
    names, chosen = (
        list(dict.fromkeys(by)) or list(sweep.design.factors),
        list(dict.fromkeys(metrics)) or HEADLINE_METRICS,
    )
    columns = [sweep.intervals(metric, names, confidence, where) for metric in chosen]
    table = _means_table(sweep, names, chosen, columns, has_cut_short(sweep, names, where))
    screen.print(Text(f"{folder}: {sweep.headline}"))
    screen.print()
    screen.print(table)
    how = f"Means over n replicas ± half widths of {100 * confidence:.6g} % intervals; one replica has none."
    equal = any_all_equal(interval for column in columns for _, interval in column)
    screen.print(Text(f"{how} {ALL_EQUAL}" if equal else how), style="dim")
    for note in [*(f"{CUT_SHORT} {line}" for line in cut_short(sweep, where)), *sweep.precision_notes]:
        screen.print(Text(note), style="dim")


def _means_table(
    sweep: Sweep,
    by: Sequence[str],
    metrics: Sequence[str],
    columns: Sequence[Sequence[tuple[tuple[Any, ...], Interval]]],
    marked: Sequence[bool],
) -> Any:
    """A row per combination of factors; `marked` ones have runs that were cut short."""
    table = text_table("Means", *by, "n", *metrics, left=len(by))
    for cells, mark in zip(zip(*columns, strict=True), marked, strict=True):
        factors = cells[0][0]
        counts = sorted({interval.n for _, interval in cells})
        said = [
            readable_interval(interval, sweep.unit(metric)) if interval.n else "-"
            for metric, (_, interval) in zip(metrics, cells, strict=True)
        ]
        words = [text_of(value) for value in factors]
        n = " to ".join(str(n) for n in (counts[0], counts[-1])[: len(counts)])
        table.add_row(*words, f"{n}{CUT_SHORT}" if mark else n, *said)
    return table
