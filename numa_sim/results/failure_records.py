"""Records of runs of a sweep that failed, ``SWEEP/failures/RUN.json``: seed, factors, and each attempt's end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.results.sweep_folder import FAILURES

__all__ = ["FAILURE_VERSIONS", "failure_file", "failure_files", "read_failure"]

FAILURE_VERSIONS: Final = (1,)
"""Format versions that can be read, oldest first; the last one is written."""
_KINDS: Final = {"seed": int, "factors": dict, "quarantined": bool, "attempts": list}
_TEXTS: Final = ("stage", "error", "message")


def failure_file(folder: Path, run: str) -> Path:
    """Where the record of a run is, or would be."""
    return folder / FAILURES / f"{run}.json"


def failure_files(folder: Path) -> list[Path]:
    """All records of a sweep; not those being written."""
    return sorted((folder / FAILURES).glob("[!.]*.json"))


def read_failure(file: Path) -> dict[str, Any]:
    """Read a record.

    Returns
    -------
    dict
        ``run``, ``seed``, ``factors``, ``quarantined`` and ``attempts``, at least one: a dict each with the texts
        ``stage``, ``error``, ``message``, ``traceback`` and ``log``.

    Raises
    ------
    FileNotFoundError
        There is none.
    RunFolderError
        It cannot be read, was written by a newer numa_sim, or is no record.
    """
    folder, name = file.parent.parent, f"{FAILURES}/{file.name}"
    try:
        record = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(folder, f"{name} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("run") != file.stem:
        raise RunFolderError(folder, f"{name} is no record of a failure of run {file.stem}")
    version = record.get("format_version")
    if version not in FAILURE_VERSIONS or type(version) is not int:
        known = ", ".join(map(str, FAILURE_VERSIONS))
        raise RunFolderError(folder, f"format_version {version!r} of {name} is unknown, this numa_sim reads {known}")
    wrong = [key for key, kind in _KINDS.items() if type(record.get(key)) is not kind]
    if wrong or not all(_is_attempt(attempt) for attempt in record["attempts"]) or not record["attempts"]:
        raise RunFolderError(folder, f"{name} is no record of a failure: see its {', '.join(wrong) or 'attempts'}")
    return record


def _is_attempt(attempt: Any) -> bool:
    return isinstance(attempt, dict) and all(isinstance(attempt.get(key), str) for key in _TEXTS)
