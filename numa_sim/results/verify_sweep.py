"""Is a sweep folder what was written?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from numa_sim.errors import RunFolderError
from numa_sim.results.failure_records import failure_files, read_failure
from numa_sim.results.run import open_run
from numa_sim.results.sweep_folder import RESULTS, RUNS, SWEEP, SweepDesign, read_design
from numa_sim.results.tables import read_parquet
from numa_sim.results.verify import verify_run

__all__ = ["verify_sweep"]


def verify_sweep(folder: Path | str) -> list[str]:
    """Check a sweep folder: its seal, every run that is there, the records of failures and the table.

    Runs that are not there yet (the table is not either then) and what killed workers left under names of their own
    are no damage.

    Returns
    -------
    list of str
        What is wrong, one sentence each; empty if nothing is.

    Raises
    ------
    RunFolderError
        If it is no sweep folder, or cannot be read.
    """
    try:
        design = read_design(folder)
    except RunFolderError as problem:
        if not (Path(folder) / SWEEP).is_file():
            raise
        return [problem.message]
    try:
        return [*_in_runs(design), *_in_failures(design), *_in_table(design)]
    except OSError as error:
        raise RunFolderError(folder, f"cannot be read: {error.strerror or error}") from error


def _in_runs(design: SweepDesign) -> Iterator[str]:
    planned = {run.run: run for run in design.runs}
    place = design.folder / RUNS
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        name = path.name
        if name.startswith("."):  # being written, left by a killed worker, or set aside as damaged
            continue
        if name not in planned:
            yield f"{RUNS}/{name}: is not in the design"
            continue
        problems = verify_run(path) if path.is_dir() else ["is no folder"]
        yield from (f"{RUNS}/{name}: {problem}" for problem in problems)
        if problems:
            continue
        manifest = open_run(path).manifest
        for key, wanted in (("seed", planned[name].seed), ("model_version", design.model_version)):
            if manifest[key] != wanted:
                yield f"{RUNS}/{name}: {key} is {manifest[key]!r}, the design says {wanted!r}"


def _in_failures(design: SweepDesign) -> Iterator[str]:
    for file in failure_files(design.folder):
        try:
            read_failure(file)
        except RunFolderError as problem:
            yield problem.message


def _in_table(design: SweepDesign) -> Iterator[str]:
    file = design.folder / RESULTS
    if not file.exists():
        return
    try:
        table = read_parquet(file.read_bytes())
    except ValueError as error:
        yield f"{RESULTS}: cannot be read: {error}"
        return
    planned = {run.run for run in design.runs}
    rows = table.column("run").to_pylist() if "run" in table.column_names else [None]
    if unknown := [run for run in rows if run not in planned]:
        yield f"{RESULTS}: has {len(unknown)} rows of runs that are not in the design"
    if (design.folder / RUNS).is_dir():  # else the table was handed on alone
        yield from _between(design, planned.intersection(rows))


def _between(design: SweepDesign, rows: set[str]) -> Iterator[str]:
    """What the table has and the folder has not, and the other way round."""
    there, planned = {run.run for run in design.finished()}, {run.run for run in design.runs}
    if lost := sorted(rows - there):
        count = "a row of another" if len(lost) == 1 else f"rows of {len(lost)} others"
        yield f"{RUNS}: {len(there)} of {len(planned)} runs are there; {RESULTS} has {count}: {', '.join(lost[:3])}"
    if new := sorted(there - rows):
        yield f"{RESULTS}: lacks {len(new)} of the runs that are there: {', '.join(new[:3])}"
