"""The tidy tables of a sweep: one row per run, per (run, node), per (run, task), per (run, sample, node)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.results.arrow_arrays import arrow_array, arrow_type
from numa_sim.results.durable import FileLayer, replace_file
from numa_sim.results.run import open_run
from numa_sim.results.sweep_columns import (
    DESIGN_COLUMNS,
    METRIC_COLUMNS,
    NODE_FIGURES,
    RESERVED_COLUMNS,
    TASK_FIGURES,
    Figure,
)
from numa_sim.results.sweep_factors import factor_kind, point_factors
from numa_sim.results.sweep_folder import RESULTS, RUNS, PlannedRun, SweepDesign, read_design
from numa_sim.results.tables import parquet_bytes, read_parquet

__all__ = ["TABLE_VERSIONS", "collect", "node_rows", "run_rows", "stored_table", "summaries", "task_rows", "time_rows"]

TABLE_VERSIONS: Final = (1,)
"""Format versions of ``results.parquet`` that can be read, oldest first; the last one is written."""


def collect(folder: Path | str, *, files: FileLayer | None = None) -> Any:
    """Make a sweep's table from its finished runs and write it as ``results.parquet``.

    Parameters
    ----------
    folder : path
        The sweep folder.
    files : FileLayer, optional
        How to reach the disk.

    Returns
    -------
    pyarrow.Table
        One row per finished run in the order of the design: ``run``, ``point``, ``replica``, ``seed``, the factors by
        their names, and `METRIC_COLUMNS`; each field's metadata holds its ``unit`` and ``description``.  Its bytes
        follow from the design and the summaries alone, whoever made the runs and in which order.

    Raises
    ------
    RunFolderError
        If it is no sweep folder, a run in it cannot be read, or the table cannot be written.
    """
    design = read_design(folder)
    table = run_rows(design, summaries(design))
    file, content = design.folder / RESULTS, parquet_bytes(table)
    if not file.is_file() or file.read_bytes() != content:  # an archive that is whole need not be writable
        replace_file(file, content, files)
    return table


def summaries(design: SweepDesign) -> dict[str, dict[str, Any]]:
    """Summaries of all finished runs by run id, in the order of the design."""
    found: dict[str, dict[str, Any]] = {}
    for planned in design.finished():
        if planned.run not in found:
            found[planned.run] = open_run(design.folder_of(planned.run)).summary
    return found


def run_rows(design: SweepDesign, found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Table of one row per run that has a summary; see `collect`."""
    if clash := sorted(RESERVED_COLUMNS & set(design.factors)):
        raise RunFolderError(design.folder, f"factor {clash[0]!r} has the name of a column of every sweep")
    rows = [planned for planned in design.runs if planned.run in found]
    columns = [
        _column(name, unit, about, kind, [getattr(planned, name) for planned in rows])
        for name, unit, about, kind in DESIGN_COLUMNS
    ]
    points = point_factors(design)
    columns += [
        _column(name, "", f"factor {name}", factor_kind(design, name), [points[row.point][name] for row in rows])
        for name in design.factors
    ]
    columns += [_figure_column(figure, [found[planned.run] for planned in rows]) for figure in METRIC_COLUMNS]
    return _table(columns, design, "runs")


def node_rows(design: SweepDesign, found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Table of one row per run and node: ``run``, then `NODE_FIGURES`."""
    return _part_rows(design, found, "nodes", NODE_FIGURES)


def task_rows(design: SweepDesign, found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Table of one row per run and task: ``run``, then `TASK_FIGURES`."""
    return _part_rows(design, found, "tasks", TASK_FIGURES)


def time_rows(design: SweepDesign, name: str = "timeseries") -> Any:
    """Table of one row per (run, sample, ...): ``run``, then the columns of the runs' time series.

    Parameters
    ----------
    design : SweepDesign
        The sweep; only its finished runs are read.
    name : str
        Which series: ``timeseries`` (by node), ``timeseries-swap``, ``timeseries-disk`` or ``timeseries-cpu``.
    """
    import pyarrow as pa

    pieces = []
    for planned in _once(design.finished()):
        series = open_run(design.folder_of(planned.run)).table(name)
        label = pa.field("run", pa.string(), metadata={"unit": "", "description": DESIGN_COLUMNS[0][2]})
        pieces.append(series.add_column(0, label, arrow_array("text", [planned.run] * len(series))))
    if not pieces:
        raise RunFolderError(design.folder, "has no finished run")
    return pa.concat_tables(pieces, promote_options="default")


def stored_table(design: SweepDesign) -> Any:
    """``results.parquet`` if it is there, of a version that can be read, and says all that the run folders say.

    Returns
    -------
    pyarrow.Table or None
        None if it is not there, lacks runs that have finished by now, or lacks columns that came later.  Where the run
        folders were not handed on with it, it is all there is: columns that came later are then null.

    Raises
    ------
    RunFolderError
        If it is damaged, or was written by a newer numa_sim.
    """
    try:
        table = read_parquet((design.folder / RESULTS).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunFolderError(design.folder, f"{RESULTS} cannot be read: {error}") from error
    version = (table.schema.metadata or {}).get(b"format_version", b"").decode()
    if version not in map(str, TABLE_VERSIONS):
        known = ", ".join(map(str, TABLE_VERSIONS))
        raise RunFolderError(
            design.folder, f"format_version {version!r} of {RESULTS} is unknown, this numa_sim reads {known}"
        )
    later = [figure for figure in METRIC_COLUMNS if figure.name not in table.column_names]
    if (design.folder / RUNS).is_dir():
        same = table.column("run").to_pylist() == [planned.run for planned in design.finished()]
        return table if same and not later else None
    for figure in later:
        nothing = [None] * len(table)
        table = table.append_column(*_column(figure.name, figure.unit, figure.about, figure.kind, nothing))
    return table


def _once(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Each run id once: two points of a design may be the same configuration."""
    return list({planned.run: planned for planned in runs}.values())


def _part_rows(
    design: SweepDesign, found: Mapping[str, Mapping[str, Any]], part: str, figures: Sequence[Figure]
) -> Any:
    rows = [(run, row) for run, summary in found.items() for row in summary[part]]
    name, unit, about, kind = DESIGN_COLUMNS[0]
    columns = [_column(name, unit, about, kind, [run for run, _ in rows])]
    columns += [_figure_column(figure, [row for _, row in rows]) for figure in figures]
    return _table(columns, design, part)


# Arrow ----------------------------------------------------------------------------------------------------------------


def _figure_column(figure: Figure, parts: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
    values = [figure.of(part) for part in parts]
    return _column(figure.name, figure.unit, figure.about, figure.kind, values)


def _column(name: str, unit: str, about: str, kind: str, values: Sequence[Any]) -> tuple[Any, Any]:
    """Field and array."""
    import pyarrow as pa

    field = pa.field(name, arrow_type(kind), metadata={"unit": unit, "description": about})
    return field, arrow_array(kind, values)


def _table(columns: Sequence[tuple[Any, Any]], design: SweepDesign, rows: str) -> Any:
    import pyarrow as pa

    metadata = {
        "format_version": str(TABLE_VERSIONS[-1]),
        "model_version": design.model_version,
        "factors": json.dumps(design.factors, ensure_ascii=False),
        "rows": rows,
    }
    schema = pa.schema([field for field, _ in columns], metadata=metadata)
    return pa.Table.from_arrays([array for _, array in columns], schema=schema)
