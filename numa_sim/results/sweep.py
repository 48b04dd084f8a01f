"""A sweep to look at: its tables, frames, means with intervals, comparisons, and what is missing."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from numa_sim.errors import RunFolderError
from numa_sim.results import sweep_table
from numa_sim.results.failure_records import failure_files, read_failure
from numa_sim.results.frames import frame_library
from numa_sim.results.readable import plural, readable_interval
from numa_sim.results.run import Run, open_run
from numa_sim.results.sweep_columns import METRIC_COLUMNS
from numa_sim.results.sweep_factors import factor_values, text_of
from numa_sim.results.sweep_folder import PlannedRun, SweepDesign, read_design
from numa_sim.results.sweep_means import NUMBERS, checked_metric, compared, means
from numa_sim.results.sweep_precision import precision_notes
from numa_sim.statistics import Comparison, Interval

if TYPE_CHECKING:
    from numa_sim.results.pictures import Plots

__all__ = ["HEADLINE_METRICS", "Sweep", "open_sweep"]

HEADLINE_METRICS: Final = ("end_ns", "mean_latency_ns", "numa_miss", "pgmajfault", "pswpout")
"""Shown where nobody asked for others."""
_TABLES: Final = ("runs", "nodes", "tasks", "timeseries", "timeseries-swap", "timeseries-disk", "timeseries-cpu")
_MOST_ROWS: Final = 30


class Sweep:
    """One sweep's tables, means and runs, read from its folder when they are used.

    Made by `open_sweep`.

    Attributes
    ----------
    design : SweepDesign
        What ``sweep.json`` says: configuration, factors and all runs asked for.
    folder : Path
        Where it was read from.
    """

    def __init__(self, design: SweepDesign) -> None:
        self.design = design
        self.folder = design.folder
        self._read: dict[str, Any] = {}

    @property
    def factors(self) -> dict[str, list[Any]]:
        """Names of what was varied, with the values in the order of the design."""
        return factor_values(self.design)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that have means."""
        return NUMBERS

    @property
    def table(self) -> Any:
        """One row per finished run: pyarrow.Table, see `numa_sim.results.sweep_table.collect`."""
        if "runs" not in self._read:
            stored = sweep_table.stored_table(self.design)
            self._read["runs"] = sweep_table.run_rows(self.design, self._summaries) if stored is None else stored
        return self._read["runs"]

    @property
    def nodes(self) -> Any:
        """One row per (run, node): pyarrow.Table; joins `table` by ``run``."""
        return self.get("nodes")

    @property
    def tasks(self) -> Any:
        """One row per (run, task): pyarrow.Table; joins `table` by ``run``."""
        return self.get("tasks")

    def get(self, table: str) -> Any:
        """Return a table: ``runs``, ``nodes``, ``tasks``, or all runs' ``timeseries``, ``timeseries-swap``, ...

        Raises
        ------
        RunFolderError
            If there is no such table, or a run's folder cannot be read.
        """
        if table not in _TABLES:
            raise RunFolderError(self.folder, f"a sweep has no table {table!r} (allowed: {', '.join(_TABLES)})")
        if table == "runs":
            return self.table
        if table not in self._read:
            if table in ("nodes", "tasks"):
                rows = sweep_table.node_rows if table == "nodes" else sweep_table.task_rows
                self._read[table] = rows(self.design, self._summaries)
            else:
                self._read[table] = sweep_table.time_rows(self.design, table)
        return self._read[table]

    @cached_property
    def _summaries(self) -> dict[str, dict[str, Any]]:
        return sweep_table.summaries(self.design)

    def to_pandas(self, table: str = "runs") -> Any:
        """Return a table as a pandas.DataFrame (needs pandas); ``attrs["units"]`` holds the units by column."""
        arrow = self.get(table)
        frame_library("pandas")
        frame = arrow.to_pandas()
        frame.attrs["units"] = {field.name: field.metadata[b"unit"].decode() for field in arrow.schema}
        return frame

    def to_polars(self, table: str = "runs") -> Any:
        """Return a table as a polars.DataFrame (needs polars)."""
        return frame_library("polars").from_arrow(self.get(table))

    def to_xarray(self) -> Any:
        """Return the metrics as an xarray.Dataset (needs xarray): factors and ``replica`` are its dimensions.

        Each variable has ``units`` and ``long_name`` as attributes, which its plots show; runs that are not there are
        NaN.  Where the points are not all combinations of the factors' values (samples, lists zipped, groups), the
        dimensions are ``point`` and ``replica``, and the factors are coordinates along ``point``.
        """
        from numa_sim.results.sweep_array import dataset

        return dataset(self.design, self.table)

    def mean(
        self,
        metric: str,
        by: Sequence[str] | None = None,
        confidence: float = 0.95,
        where: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Mean of a metric over replicas, with its interval, for each combination of factors.

        Parameters
        ----------
        metric : str
            Column of `table`.
        by : sequence of str, optional
            Factors to tell apart; else all.  Over the others it is averaged within each replica first.
        confidence : float
            Of the intervals.
        where : mapping, optional
            Only points with these values of factors.

        Returns
        -------
        list of dict
            In the order of the design: the factors' values, ``mean``, ``half_width``, ``low``, ``high`` and ``n``, the
            number of replicas that all points of the row have.  With one replica the half width is infinite, with
            none the mean is NaN.

        Raises
        ------
        RunFolderError
            If there is no such metric, factor or value.
        """
        names = self._names(by)
        return [
            {
                **dict(zip(names, factors, strict=True)),
                "mean": answer.estimate,
                "half_width": answer.half_width,
                "low": answer.low,
                "high": answer.high,
                "n": answer.n,
            }
            for factors, answer in self.intervals(metric, names, confidence, where)
        ]

    def intervals(
        self,
        metric: str,
        by: Sequence[str] | None = None,
        confidence: float = 0.95,
        where: Mapping[str, Any] | None = None,
    ) -> list[tuple[tuple[Any, ...], Interval]]:
        """Return what `mean` returns, as pairs of the factors' values and an `Interval`."""
        return means(self.design, self.table, metric, self._names(by), where or {}, confidence)

    def _names(self, by: Sequence[str] | None) -> list[str]:
        if by is None:
            return list(self.design.factors)
        return [by] if isinstance(by, str) else list(by)

    def compare(
        self,
        metric: str,
        factor: str,
        a: Any,
        b: Any,
        where: Mapping[str, Any] | None = None,
        prefer: Literal["lower", "higher"] = "lower",
        confidence: float = 0.95,
    ) -> Comparison:
        """Compare two values of a factor, all else equal: paired by replica and by the remaining factors.

        Parameters
        ----------
        metric : str
            Column of `table`.
        factor : str
            What differs.
        a, b : any
            Two of its values.
        where : mapping, optional
            Only points with these values of other factors; else they are averaged over within each replica.
        prefer : {"lower", "higher"}
            Which values of the metric are better.
        confidence : float
            Of the interval.

        Returns
        -------
        Comparison
            Difference and ratio with intervals, variance reduction, and which is better if the interval excludes 0.

        Raises
        ------
        RunFolderError
            If there is no such metric, factor or value, or nothing to pair.
        """
        return compared(self.design, self.table, metric, factor, (a, b), where or {}, prefer, confidence)

    @property
    def precision_notes(self) -> list[str]:
        """Sentences a reader of the intervals must see, if replicas ended when a mean was precise; else none.

        `numa_sim.results.sweep_precision.imprecise_points` gives the points whose mean never became so.
        """
        return precision_notes(self.design, self.table)

    def unit(self, metric: str) -> str:
        """Unit of a metric."""
        checked_metric(self.design, metric)
        return next(figure.unit for figure in METRIC_COLUMNS if figure.name == metric)

    @property
    def plot(self) -> Plots:
        """Pictures: ``sweep.plot.facets(metric="pgmajfault")`` and its like, see `numa_sim.results.pictures`."""
        from numa_sim.results.pictures import Plots

        return Plots(self, "sweep")

    def run(self, run: str) -> Run:
        """Open one run by its id."""
        return open_run(self.design.folder_of(run))

    def runs(self) -> Iterator[Run]:
        """Open the finished runs one after the other, in the order of the design."""
        for planned in self.design.finished():
            yield self.run(planned.run)

    @property
    def missing(self) -> tuple[PlannedRun, ...]:
        """Runs the design asks for that are not finished; those that failed among them."""
        return tuple(planned for planned in self.design.runs if not self.design.is_finished(planned.run))

    @property
    def failures(self) -> tuple[dict[str, Any], ...]:
        """What went wrong with runs, one document of ``failures/`` each, in the order of the design.

        Raises
        ------
        RunFolderError
            If one cannot be read, or was written by a newer numa_sim.
        """
        order = {planned.run: i for i, planned in enumerate(self.design.runs)}
        files = sorted(failure_files(self.folder), key=lambda file: order.get(file.stem, len(order)))
        return tuple(read_failure(file) for file in files)

    @property
    def headline(self) -> str:
        """One line: how many runs there are of how many asked for, and what was varied."""
        planned, there = len(self.design.runs), len(self.design.finished())
        points = len({run.point for run in self.design.runs})
        varied = ", ".join(f"{name} ({len(values)})" for name, values in self.factors.items()) or "nothing varied"
        if self.design.until_precise:
            runs = f"{there} runs, of {planned} at most, until {self._deciding_metric} is precise"
        else:
            runs = f"all {planned} runs" if there == planned else f"only {there} of {planned} runs are there"
        failed = sum(not self.design.is_finished(failure["run"]) for failure in self.failures)
        failures = f", {failed} failed" if failed else ""
        return f"{plural(points, 'point')} of {varied}: {runs}{failures}"

    @property
    def _deciding_metric(self) -> str:
        return str(self.design.config["sweep"]["replicas"]["metric"])

    def __repr__(self) -> str:
        return f"<Sweep {self.folder}: {self.headline}>"

    def _repr_html_(self) -> str:
        """Headline, and means with intervals of a few metrics by point, for notebooks."""
        names = list(self.design.factors)
        columns = {metric: self.intervals(metric) for metric in HEADLINE_METRICS}
        head = "".join(f"<th>{html.escape(name)}</th>" for name in (*names, "n", *HEADLINE_METRICS))
        lines = []
        for row, (factors, first) in enumerate(columns[HEADLINE_METRICS[0]][:_MOST_ROWS]):
            cells = [*map(text_of, factors), str(first.n)]
            cells += [readable_interval(columns[metric][row][1], self.unit(metric)) for metric in HEADLINE_METRICS]
            lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        left = len(columns[HEADLINE_METRICS[0]]) - len(lines)
        more = f"<p>and {left} points more</p>" if left > 0 else ""
        return (
            f"<p><b>{html.escape(self.headline)}</b></p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(lines)}</tbody></table>{more}<p>Means ± half widths of 95 % intervals over replicas.</p>"
        )


def open_sweep(folder: Path | str) -> Sweep:
    """Open a sweep folder, finished or not; its tables are read when they are used.

    ``results.parquet`` is used if it has exactly the runs that are finished, else the runs' summaries are; nothing is
    written.

    Raises
    ------
    RunFolderError
        If it is no sweep folder, was written by a newer numa_sim, or its ``sweep.json`` was damaged or edited.
    """
    return Sweep(read_design(folder))
