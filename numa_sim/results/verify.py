"""Is a run folder what was written?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numa_sim.errors import RunFolderError
from numa_sim.results.canonical import seal_is_broken, sha256
from numa_sim.results.durable import existing_folder
from numa_sim.results.formats import unknown_version
from numa_sim.results.manifest import ENVIRONMENT, MANIFEST, SUMMARY
from numa_sim.results.run_folder import is_temporary
from numa_sim.results.sweep_folder import what_it_is
from numa_sim.results.tables import read_parquet

__all__ = ["check_run", "verify_run"]


def verify_run(folder: Path | str, *, read_tables: bool = True) -> list[str]:
    """Compare a run folder with its manifest.

    Parameters
    ----------
    folder : path
        The run folder.
    read_tables : bool
        Whether tables that are byte for byte what the manifest says are read nevertheless: most of the time it takes.

    Returns
    -------
    list of str
        What is wrong, one sentence each: files missing, added or changed, tables that cannot be read, documents that
        are no JSON or were edited, hashes that contradict each other.  Empty if the folder is as it was written.

    Raises
    ------
    RunFolderError
        If there is no such folder, or it cannot be read.
    """
    path = existing_folder(folder)
    try:
        return _problems(path, read_tables)
    except OSError as error:
        raise RunFolderError(folder, f"cannot be read: {error.strerror or error}") from error


def check_run(folder: Path | str) -> None:
    """Do nothing if the run folder is whole.

    Raises
    ------
    RunFolderError
        With all that `verify_run` found.
    """
    if problems := verify_run(folder):
        raise RunFolderError(folder, "; ".join(problems))


def _problems(folder: Path, read_tables: bool) -> list[str]:
    if is_temporary(folder):
        return ["the folder was never finished: its writer was stopped (it has the name of one being written)"]
    if not (folder / MANIFEST).is_file():
        return [f"{MANIFEST} is missing: {what_it_is(folder)}"]
    problems: list[str] = []
    documents = {name: _document(folder, name, problems) for name in (MANIFEST, ENVIRONMENT)}
    listed: dict[str, Any] = {}
    for name, document in documents.items():
        files = document.get("files")
        if isinstance(files, dict):
            listed.update(files)
        elif document:
            problems.append(f"{name}: lists no files")
    for name, entry in sorted(listed.items()):
        _check_file(folder, name, entry, problems, read_tables)
    if documents[MANIFEST] and documents[ENVIRONMENT]:
        known = {*listed, MANIFEST, ENVIRONMENT}
        problems += [f"{name}: is not in the manifest" for name in _names(folder) if name not in known]
    if SUMMARY in listed and documents[MANIFEST]:
        _check_summary(folder, documents[MANIFEST], problems)
    elif documents[MANIFEST]:
        problems.append(f"{MANIFEST}: does not list {SUMMARY}")
    return problems


def _names(folder: Path) -> list[str]:
    """Everything in the folder that is no plain folder with something in it, by its path there."""
    found = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir() or not any(p.iterdir()))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _is_inside(name: str) -> bool:
    """Whether a path of a manifest stays in the folder."""
    return bool(name) and "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def _document(folder: Path, name: str, problems: list[str]) -> dict[str, Any]:
    """Read a sealed document; {} if it cannot be read."""
    if not (folder / name).is_file():
        problems.append(f"{name}: is missing")
        return {}
    document = _json(folder / name)
    if not isinstance(document, dict):
        problems.append(f"{name}: is not a JSON object")
        return {}
    if problem := unknown_version(document):
        problems.append(f"{name}: {problem}")
        return {}
    if seal_is_broken(document):
        problems.append(f"{name}: was changed after it was written")
    return document


def _json(file: Path) -> Any:
    """Value of a JSON file; None if it is no JSON."""
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None


def _check_file(folder: Path, name: str, entry: object, problems: list[str], read_tables: bool) -> None:
    file = folder / name
    if not _is_inside(name) or not isinstance(entry, Mapping):
        problems.append(f"{name!r}: is no proper entry of the manifest")
        return
    if file.is_symlink() or not file.is_file():
        problems.append(f"{name}: is missing" if not file.exists() else f"{name}: is not a plain file")
        return
    content = file.read_bytes()
    if len(content) != entry.get("size_bytes"):
        problems.append(f"{name}: has {len(content)} bytes, the manifest says {entry.get('size_bytes')}")
    elif sha256(content) != entry.get("sha256"):
        problems.append(f"{name}: was changed after it was written")
    if read_tables and name.endswith(".parquet"):
        try:
            read_parquet(content)
        except ValueError as error:
            problems.append(f"{name}: cannot be read: {error}")


def _check_summary(folder: Path, manifest: Mapping[str, Any], problems: list[str]) -> None:
    """Compare what manifest and summary both say."""
    if not (folder / SUMMARY).is_file():
        return
    summary = _json(folder / SUMMARY)
    run = summary.get("run") if isinstance(summary, dict) else None
    if not isinstance(run, dict):
        problems.append(f"{SUMMARY}: is not the summary of a run")
        return
    problems += [
        f"{SUMMARY}: {key} is {run.get(key)!r}, the manifest says {manifest.get(key)!r}"
        for key in ("seed", "exit_state", "end_ns", "event_count", "event_hash", "state_hash")
        if run.get(key) != manifest.get(key)
    ]
