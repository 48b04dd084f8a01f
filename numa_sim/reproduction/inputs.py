"""Finding the files a run read: in its folder, among numa_sim's own, where they were, or where the user says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from numa_sim.errors import RunFolderError
from numa_sim.results import Run
from numa_sim.results.host import shipped_trace
from numa_sim.results.manifest import INPUTS
from numa_sim.units import PAGE_BYTES, format_bytes

__all__ = ["locate_inputs"]


def locate_inputs(run: Run, folders: Iterable[Path], was_in: str | None) -> dict[str, Path]:
    """Files of a run folder's inputs, known by their content.

    Parameters
    ----------
    run : Run
        The run, opened from its folder.
    folders : iterable of Path
        Where to look besides (``--inputs``).
    was_in : str, optional
        Folder the configuration was in.

    Returns
    -------
    dict of str to Path
        By the names that the configuration has for them.

    Raises
    ------
    RunFolderError
        If one is nowhere, or only changed; the message names all that are missing.
    """
    found, missing = {}, []
    for name in _named_files(run.manifest["config"]):
        entry = _entry(run.manifest["inputs"], name)
        if entry is None:
            raise RunFolderError(run.folder, f"does not say what its input {name!r} was")
        path = next((place for place in _places(run, entry, folders, was_in) if _is_it(place, entry)), None)
        if path is None:
            missing.append(f"{name!r} ({format_bytes(entry['size_bytes'])}, SHA-256 {entry['sha256'][:12]}...)")
        else:
            found[name] = path
    if missing:
        what = "the input" if len(missing) == 1 else "the inputs"
        raise RunFolderError(run.folder, f"{what} {', '.join(missing)} cannot be found; --inputs FOLDER says where")
    return found


def _named_files(config: Mapping[str, Any]) -> list[str]:
    """Names of the files a resolved configuration reads while it runs."""
    traces = [workload["trace"] for workload in config.get("workload", ()) if workload.get("trace")]
    names = [trace.get(key) for trace in traces for key in ("file", "strace")]
    names += [area.get("image") for area in config["machine"].get("swap", ())]
    return list(dict.fromkeys(name for name in names if name is not None))


def _entry(inputs: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    bare = PurePath(name).name  # all that format version 1 knew
    return next((entry for entry in inputs if entry["file"] == name or entry["file"] == bare), None)


def _places(run: Run, entry: Mapping[str, Any], folders: Iterable[Path], was_in: str | None) -> Iterator[Path]:
    """Where a file may be, the surest places first."""
    assert run.folder is not None
    if entry["kept"] is not None:
        yield run.folder / entry["kept"]
    shipped = shipped_trace(entry["sha256"], entry["size_bytes"])
    if shipped is not None:
        yield shipped
    for folder in (*folders, run.folder.absolute().parents[1] / INPUTS):  # the sweep's own, if it is a run of one
        yield folder / entry["file"]
        if folder.is_dir():
            yield from (path for path in sorted(folder.rglob("*")) if path.name.endswith(entry["name"]))
            yield from sorted(folder.rglob("*"))
    if was_in is not None:
        yield Path(was_in) / entry["file"]


def _is_it(path: Path, entry: Mapping[str, Any]) -> bool:
    """Whether a file has the content; of a swap header's file the first page counts."""
    size = entry["size_bytes"]
    try:
        if not path.is_file() or path.stat().st_size < size or (path.stat().st_size > size and size != PAGE_BYTES):
            return False
        with path.open("rb") as file:
            return bool(hashlib.sha256(file.read(size)).hexdigest() == entry["sha256"])
    except (OSError, ValueError):
        return False
