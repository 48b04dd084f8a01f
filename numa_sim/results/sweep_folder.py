"""What a sweep folder holds, and its ``sweep.json``: the list of all runs its design asks for.

::

    SWEEP/sweep.json              format_version, model_version, config, factors, runs
    SWEEP/runs/RUN/               run folders; a run is finished when its manifest is there
    SWEEP/failures/RUN.json       what went wrong with a run
    SWEEP/results.parquet         one row per finished run, see `numa_sim.results.sweep_table`
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.results.canonical import seal_is_broken
from numa_sim.results.durable import existing_folder
from numa_sim.results.manifest import MANIFEST

__all__ = [
    "FAILURES",
    "RESULTS",
    "RUNS",
    "SWEEP",
    "SWEEP_VERSIONS",
    "PlannedRun",
    "SweepDesign",
    "read_design",
    "what_it_is",
]

SWEEP: Final = "sweep.json"
RUNS: Final = "runs"
FAILURES: Final = "failures"
RESULTS: Final = "results.parquet"
SWEEP_VERSIONS: Final = (1,)
"""Format versions of ``sweep.json`` that can be read, oldest first; the last one is written."""


@dataclass(frozen=True)
class PlannedRun:
    """A run the design asks for.

    Attributes
    ----------
    run : str
        Its id, and the name of its folder.
    point : int
        Number of its point in the design.
    replica : int
        Which replica of the point; replicas of one number share their seed in all points.
    seed : int
        Root of its random streams.
    factors : dict
        Value of each factor that its point has, of JSON types.
    """

    run: str
    point: int
    replica: int
    seed: int
    factors: dict[str, Any]


@dataclass(frozen=True)
class SweepDesign:
    """What ``sweep.json`` says.

    Attributes
    ----------
    folder : Path
        The sweep folder.
    model_version : str
        Of the model all runs are made with.
    config : dict
        The resolved configuration all points start from.
    factors : tuple of str
        Names of what differs between points, in the order of the design.
    runs : tuple of PlannedRun
        In the order of the design.
    """

    folder: Path
    model_version: str
    config: dict[str, Any]
    factors: tuple[str, ...]
    runs: tuple[PlannedRun, ...]

    @property
    def until_precise(self) -> bool:
        """Whether replicas end when a mean is precise, so that `runs` are those that may be made."""
        sweep = self.config.get("sweep")
        replicas = sweep.get("replicas") if isinstance(sweep, dict) else None
        return isinstance(replicas, dict) and replicas.get("metric") is not None

    def folder_of(self, run: str) -> Path:
        """Where a run's folder is, or will be."""
        return self.folder / RUNS / run

    def is_finished(self, run: str) -> bool:
        """Whether a run's folder is there, and so is whole."""
        return (self.folder_of(run) / MANIFEST).is_file()

    def finished(self) -> tuple[PlannedRun, ...]:
        """Runs whose folders are there, in the order of the design."""
        return tuple(planned for planned in self.runs if self.is_finished(planned.run))


def read_design(folder: Path | str) -> SweepDesign:
    """Read a sweep folder's ``sweep.json``.

    Raises
    ------
    RunFolderError
        If it is no sweep folder, was written by a newer numa_sim, or its ``sweep.json`` was damaged or edited.
    """
    path = existing_folder(folder)
    document = _sealed_document(path / SWEEP, folder)
    version = document.get("format_version")
    if version not in SWEEP_VERSIONS:
        known = ", ".join(map(str, SWEEP_VERSIONS))
        raise RunFolderError(folder, f"format_version {version!r} of {SWEEP} is unknown, this numa_sim reads {known}")
    try:
        runs = tuple(
            PlannedRun(str(run["run"]), int(run["point"]), int(run["replica"]), int(run["seed"]), dict(run["factors"]))
            for run in document["runs"]
        )
        return SweepDesign(
            path, str(document["model_version"]), dict(document["config"]), tuple(map(str, document["factors"])), runs
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(folder, f"{SWEEP} is not what a sweep writes: {error!r}") from error


def what_it_is(folder: Path) -> str:
    """What a folder without the files of a run is, for an error message."""
    if (folder / SWEEP).is_file():
        return "this is a sweep folder; its runs are in runs/"
    return "this is no run folder, or not a whole one"


def _sealed_document(file: Path, folder: Path | str) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        what = "a run folder, not a sweep's" if (file.parent / MANIFEST).is_file() else "no sweep folder"
        raise RunFolderError(folder, f"has no {file.name}: it is {what}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(folder, f"{file.name} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise RunFolderError(folder, f"{file.name} is not a JSON object")
    if seal_is_broken(document):
        raise RunFolderError(folder, f"{file.name} was damaged or edited: its own digest does not fit")
    return document
