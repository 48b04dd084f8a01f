"""A sweep made again from its folder alone: every run that is there, and the table that they make."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from numa_sim.errors import RunFolderError
from numa_sim.processes.warm_up import warm_up
from numa_sim.reproduction import reproduce
from numa_sim.results.difference import Difference, difference_in_bytes
from numa_sim.results.durable import replace_file
from numa_sim.results.readable import plural
from numa_sim.results.run import open_run
from numa_sim.results.sweep_folder import RESULTS, RUNS, SWEEP, SweepDesign, read_design
from numa_sim.results.sweep_table import run_rows
from numa_sim.results.tables import parquet_bytes, read_parquet
from numa_sim.sweep.processes import ProcessExecutor, SerialExecutor, usable_cpus
from numa_sim.sweep.runner import Progress

__all__ = ["SweepReproduction", "reproduce_sweep"]


@dataclass(frozen=True)
class SweepReproduction:
    """A sweep, and what came out when its runs were made again.

    Attributes
    ----------
    folder : Path
        The sweep folder they were made from.
    runs, planned : int
        Runs made again: those that are there, of those the design asks for.
    found : tuple of Difference
        The first difference in each file that differs, by its path in the folder: runs in the order of the design, the
        table last; empty: the same.
    alike : bool
        Whether all was written in the same form; False: an older numa_sim wrote some, and what it has was compared.
    has_table : bool
        Whether there was a table to be compared.
    """

    folder: Path
    runs: int
    planned: int
    found: tuple[Difference, ...]
    alike: bool
    has_table: bool

    @property
    def same(self) -> bool:
        """Whether every file came out the same."""
        return not self.found

    def __str__(self) -> str:
        of = "" if self.runs == self.planned else f" of {self.planned}"
        what = f"{plural(self.runs, 'run')}{of}{f', {RESULTS}' if self.has_table else ', there is no table yet'}"
        if self.same:
            how = "byte for byte" if self.alike else "in all that the older numa_sim wrote"
            return f"the same, {how} ({what})"
        more = f" (and {len(self.found) - 1} more files)" if len(self.found) > 1 else ""
        return f"differs in {self.found[0]}{more}"


class _Made(NamedTuple):
    """What came of one run."""

    found: tuple[Difference, ...]
    alike: bool
    summary: dict[str, Any]
    seconds: float


def reproduce_sweep(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    inputs: Sequence[Path | str] = (),
    anyway: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> SweepReproduction:
    """Make every run of a sweep folder again, from that folder alone, and its table of them; compare every byte.

    Parameters
    ----------
    folder : path
        Sweep folder; of one that is not finished, the runs that are there.
    out : path, optional
        Sweep folder to write; by default nothing is kept.
    inputs, anyway
        As for `numa_sim.reproduction.reproduce`.
    jobs : int, optional
        Processes; else one for each CPU.  0: this process makes the runs.
    progress : Progress, optional
        Whom to tell.

    Raises
    ------
    RunFolderError
        If it is no sweep folder, has no finished run, or one of its runs cannot be made again; or `out` exists.
    NumaSimError
        Whatever a run can raise.
    """
    design = read_design(folder)
    runs = list(dict.fromkeys(planned.run for planned in design.finished()))
    if not runs:
        raise RunFolderError(folder, "has no finished run")
    keep = Path(out) if out is not None else None
    if keep is not None and keep.exists():
        raise RunFolderError(keep, "exists already")
    workers = min(usable_cpus() if jobs is None else jobs, len(runs))
    with tempfile.TemporaryDirectory(prefix="numa-sim-") as temporary:
        place = (keep or Path(temporary)) / RUNS
        place.mkdir(parents=True)
        arguments = {run: (design.folder_of(run), place / run, tuple(inputs), anyway, keep is not None) for run in runs}
        made = _all_made(arguments, workers, progress or Progress())
    found = [
        difference._replace(file=f"{RUNS}/{run}/{difference.file}") for run in runs for difference in made[run].found
    ]
    table = parquet_bytes(run_rows(design, {run: made[run].summary for run in runs}))
    if keep is not None:
        replace_file(keep / SWEEP, (design.folder / SWEEP).read_bytes())
        replace_file(keep / RESULTS, table)
    stored, alike = _stored_table(design)
    if stored is not None and (parting := difference_in_bytes(RESULTS, stored, table, alike)):
        found.append(parting)
    alike = alike and all(one.alike for one in made.values())
    planned = len({run.run for run in design.runs})
    return SweepReproduction(Path(folder), len(runs), planned, tuple(found), alike, stored is not None)


def _all_made(arguments: dict[str, tuple[Any, ...]], workers: int, progress: Progress) -> dict[str, _Made]:
    """Every run made again, by as many processes; the first that cannot be ends them all."""
    executor: Executor = ProcessExecutor(workers) if workers else SerialExecutor()
    made: dict[str, _Made] = {}
    try:
        if workers:
            executor.submit(warm_up).exception()  # one compiles what the others load; if it fails, so will the runs
        progress.begin(len(arguments), 0)
        futures = {executor.submit(_made_again, *of_run): run for run, of_run in arguments.items()}
        for future in as_completed(futures):
            made[futures[future]] = future.result()
            progress.ended("done", made[futures[future]].seconds)
    finally:
        executor.shutdown(cancel_futures=len(made) < len(arguments))
    return made


def _made_again(folder: Path, out: Path, inputs: Sequence[Path | str], anyway: bool, keep: bool) -> _Made:
    """What a worker does."""
    started = perf_counter()
    again = reproduce(folder, out, inputs=inputs, anyway=anyway)
    summary = open_run(out).summary
    if not keep:
        shutil.rmtree(out)
    return _Made(again.found, again.alike, summary, perf_counter() - started)


def _stored_table(design: SweepDesign) -> tuple[bytes | None, bool]:
    """The table that was written, if there is one, and whether it has the columns it would have now."""
    try:
        content = (design.folder / RESULTS).read_bytes()
        columns = read_parquet(content).column_names
    except FileNotFoundError:
        return None, True
    except (OSError, ValueError) as error:
        raise RunFolderError(design.folder, f"{RESULTS} cannot be read: {error}") from error
    return content, columns == run_rows(design, {}).column_names
