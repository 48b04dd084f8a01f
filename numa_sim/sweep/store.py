"""A sweep's folder: the plan, the runs that are there, and the failures."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.results.canonical import canonical_json, ordered_json, seal
from numa_sim.results.durable import FileLayer, replace_file
from numa_sim.results.failure_records import FAILURE_VERSIONS, failure_file, failure_files, read_failure
from numa_sim.results.manifest import MANIFEST
from numa_sim.results.run_folder import is_temporary
from numa_sim.results.sweep_folder import FAILURES, RUNS, SWEEP, SWEEP_VERSIONS, SweepDesign, read_design
from numa_sim.results.verify import verify_run
from numa_sim.sweep.design import Plan

__all__ = ["ATTEMPTS", "Failure", "SweepFolder"]

STARTED: Final = ".started"
"""Folder of the logs of runs under way; a log is gone when its run has ended."""
ATTEMPTS: Final = 3
"""Times a run is tried before it is quarantined."""


@dataclass
class Failure:
    """Attempts at a run that failed, in order."""

    run: str
    seed: int
    factors: dict[str, Any]
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def quarantined(self) -> bool:
        """Whether it is not tried again."""
        return len(self.attempts) >= ATTEMPTS


class SweepFolder:
    """What is where in a sweep's folder, and how it gets there: every file at once or not at all.

    Parameters
    ----------
    path : path
        The folder.
    files : FileLayer, optional
        How to reach the disk.
    """

    def __init__(self, path: Path | str, files: FileLayer | None = None) -> None:
        self.path = Path(path).absolute()
        self._files = files or FileLayer()

    def run_folder(self, run: str) -> Path:
        """Where a run's results are, or will be."""
        return self.path / RUNS / run

    def log(self, run: str) -> Path:
        """Where a run under way writes what it says."""
        return self.path / STARTED / f"{run}.log"

    def prepare(self, plan: Plan) -> None:
        """Make the folder, or find that it is this sweep's already; its limits may have been others.

        Axes are written in their order: it decides about the numbers of points.

        Raises
        ------
        RunFolderError
            If it holds another sweep, or something else, or cannot be written.
        """
        content = ordered_json(seal({"format_version": SWEEP_VERSIONS[-1], **plan.as_json()}))
        file = self.path / SWEEP
        if file.is_file():
            if file.read_bytes() != content and (difference := _difference(read_design(self.path), plan)):
                raise RunFolderError(self.path, difference)
        elif self._is_a_strangers():
            raise RunFolderError(self.path, f"exists already and has no {SWEEP}; name another with --out")
        try:
            for name in (STARTED, RUNS, FAILURES):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if file.is_file():  # nothing need be written to an archive that is whole
                return
            raise RunFolderError(self.path, f"cannot be made: {error.strerror or error}") from error
        if not file.is_file():
            replace_file(file, content, self._files)

    def _is_a_strangers(self) -> bool:
        """Whether there is something of that name that no shard of this sweep can have begun to make."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(self.path.iterdir()) and not (self.path / STARTED).is_dir()

    def holds(self, run: str) -> bool:
        """Whether a run's results are there and as they were written; damaged ones are renamed to make room."""
        folder = self.run_folder(run)
        if not folder.exists():
            return False
        if not verify_run(folder, read_tables=False):
            return True
        folder.rename(folder.with_name(f".{run}.damaged-{uuid.uuid4().hex[:8]}"))
        return False

    def failure(self, run: str, seed: int, factors: dict[str, Any]) -> Failure:
        """Attempts at a run that failed so far."""
        try:
            return Failure(run, seed, factors, list(read_failure(failure_file(self.path, run))["attempts"]))
        except FileNotFoundError:
            return Failure(run, seed, factors)

    def add_attempt(self, failure: Failure, attempt: dict[str, Any]) -> None:
        """Record one more failed attempt."""
        failure.attempts.append(attempt)
        document = {
            "format_version": FAILURE_VERSIONS[-1],
            "run": failure.run,
            "seed": failure.seed,
            "factors": failure.factors,
            "quarantined": failure.quarantined,
            "attempts": failure.attempts,
        }
        replace_file(failure_file(self.path, failure.run), canonical_json(document), self._files)

    def forget_failure(self, run: str) -> None:
        """Let a run be tried afresh."""
        with contextlib.suppress(FileNotFoundError):
            failure_file(self.path, run).unlink()

    def failed(self) -> dict[str, dict[str, Any]]:
        """Records of failures, by run; RunFolderError if one is damaged or of a newer numa_sim."""
        found = {}
        for file in failure_files(self.path):
            with contextlib.suppress(FileNotFoundError):  # another shard has just mended it
                found[file.stem] = read_failure(file)
        return found

    def under_way(self) -> list[str]:
        """Runs that have begun and not ended, or whose worker was killed."""
        return sorted(file.stem for file in (self.path / STARTED).glob("*.log"))

    def tidy(self, runs: Iterable[str]) -> None:
        """Remove what killed workers left of runs that are there, or set aside, by now."""
        done = set(runs)
        for path in (self.path / RUNS).iterdir():
            if is_temporary(path) and path.name[1:].split(".")[0] in done:
                with contextlib.suppress(OSError):
                    self._files.remove_folder(path)
        for run in self.under_way():
            if run in done:
                self.log(run).unlink(missing_ok=True)

    def present(self) -> set[str]:
        """Names of the runs whose results are there."""
        folder = self.path / RUNS
        return {path.name for path in folder.iterdir() if (path / MANIFEST).is_file()} if folder.is_dir() else set()


def _difference(found: SweepDesign, plan: Plan) -> str:
    """Why a folder is not that of a plan; empty if it is, whatever its runs may take."""
    wanted = plan.as_json()
    if found.model_version != wanted["model_version"]:
        return (
            f"holds a sweep of model version {found.model_version}, this is {wanted['model_version']}: "
            "their results must not be mixed; name another folder with --out"
        )
    there, here = _without_limits(found.config), _without_limits(wanted["config"])
    if there != here or list(found.factors) != wanted["factors"]:
        from numa_sim.results.difference import first_in_documents

        place, one, other = first_in_documents(there, here) or ("factors", "others", "these")
        return (
            f"holds the sweep of another configuration; name another folder with --out "
            f"({place}: {one} there, {other} here)"
        )
    if found.runs != plan.runs:
        return "holds a sweep whose input files were others; name another folder with --out"
    return ""


def _without_limits(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what its results do not follow from."""
    return {**config, "sweep": {key: value for key, value in config["sweep"].items() if key != "limits"}}
