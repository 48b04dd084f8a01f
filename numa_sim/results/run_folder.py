"""Writing a run folder so that a folder of that name is always whole.

Everything is written and synced into a folder beside it with a name of its own (``.NAME.writing-PID-RANDOM``), the
manifest last; then that folder gets the final name in one step.  Whenever the writer is killed, either the final
name does not exist or the folder is whole; what may be left is the folder with the temporary name.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from numa_sim.errors import RunFolderError
from numa_sim.observe import procfs
from numa_sim.observe.elf_core import core_file, core_name
from numa_sim.observe.result import RunResult
from numa_sim.results import tables
from numa_sim.results.canonical import canonical_json
from numa_sim.results.durable import FileLayer, WithHoles
from numa_sim.results.manifest import ENVIRONMENT, MANIFEST, SUMMARY, TOPOLOGY, environment, kept_inputs, manifest
from numa_sim.results.run import Run
from numa_sim.results.timelines import exported
from numa_sim.topology import to_document

__all__ = ["is_temporary", "leftovers", "remove_leftovers", "write_run"]

_TEMPORARY: Final = re.compile(r"\..*\.writing-(\d+)-[0-9a-f]{32}", re.DOTALL)
_NAME_LENGTH: Final = 60  # of the final name's characters in the temporary one, which must stay below 255 bytes


def write_run(result: RunResult, folder: Path | str, *, picture: bool = True, files: FileLayer | None = None) -> Path:
    """Write the run folder of a finished run.

    Parameters
    ----------
    result : RunResult
        The run.
    folder : path
        Name it shall have; must not exist yet.  Its parents are made.
    picture : bool
        Whether to draw ``overview.png`` (takes a second or two).
    files : FileLayer, optional
        How to reach the disk.

    Returns
    -------
    Path
        The folder, absolute: ``manifest.json``, ``summary.json``, ``timeseries.parquet`` (a row per sample and
        node), ``timeseries-swap.parquet``, ``timeseries-disk.parquet``, ``timeseries-cpu.parquet``,
        ``environment.json``, and, if there are any, ``timeseries-buddy.parquet``, ``fault-latency.parquet``,
        ``access-map.parquet``, ``events.parquet``, ``proc.parquet`` (snapshots of /proc), ``spans.parquet`` and
        ``trace.pftrace`` (the timeline) and ``overview.png``; in ``proc/`` the texts of /proc at the end, in ``cores/``
        core files of crashed tasks, in ``inputs/`` files the run read (``run.keep_inputs``); ``topology.json`` is the
        machine as it was simulated.

    Raises
    ------
    RunFolderError
        If the folder exists, or cannot be written (disk full, no permission, ...); then nothing has that name.
    """
    final = Path(folder).absolute()
    _refuse_existing(final)
    run = Run.of(result)
    same = {
        SUMMARY: canonical_json(run.summary),
        "timeseries.parquet": tables.parquet_bytes(run.timeseries),
        "timeseries-swap.parquet": tables.parquet_bytes(run.swap_series),
        "timeseries-disk.parquet": tables.parquet_bytes(run.disk_series),
        "timeseries-cpu.parquet": tables.parquet_bytes(run.cpu_series),
    }
    for name, table in tables.recordings(result).items():
        same[f"{name}.parquet"] = tables.parquet_bytes(table)
    if int(result.kernel.vm[0].events_used):
        same["events.parquet"] = tables.parquet_bytes(tables.event_table(result.kernel))
    if result.timeline is not None:
        same["trace.pftrace"] = exported(run, "perfetto")
    if result.snapshots:
        same["proc.parquet"] = tables.parquet_bytes(tables.proc_table(result.snapshots))
    texts = procfs.texts(result.kernel, [area.name for area in result.swap_areas])
    same |= {f"proc/{name}": text.encode() for name, text in texts.items()}
    if result.topology is not None:
        same[TOPOLOGY] = canonical_json(to_document(result.topology))
    same |= kept_inputs(result)
    for dump in result.cores:
        core = core_file(dump)
        same[f"cores/{core_name(dump)}"] = WithHoles(core.contents, core.written)
    local = {"overview.png": run.picture()} if picture else {}
    contents = {
        **same,
        **local,
        ENVIRONMENT: canonical_json(environment(result, final.name, local)),
        MANIFEST: canonical_json(manifest(result, run.summary, same)),
    }
    _write_folder(final, contents, files or FileLayer())
    return final


def _write_folder(final: Path, contents: dict[str, bytes], disk: FileLayer) -> None:
    """Write `contents` (the manifest comes last) under the temporary name, then give it its own."""
    temporary = final.parent / f".{final.name[:_NAME_LENGTH]}.writing-{os.getpid()}-{uuid.uuid4().hex}"
    made = named = False
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        disk.make_folder(temporary)
        made = True
        inner = _inner_folders(contents)
        for name in inner:
            disk.make_folder(temporary / name)
        for name, content in contents.items():
            disk.write(temporary / name, content)
        disk.sync_all(temporary / name for name in (*contents, *inner, "."))
        _refuse_existing(final)  # an empty folder made meanwhile would be replaced without a word
        disk.rename(temporary, final)
        named = True
        disk.sync(final.parent)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        if named:
            raise RunFolderError(final, f"is whole, but may not outlive a power failure: {reason}") from error
        raise RunFolderError(final, f"cannot be written: {reason}") from error
    finally:
        if made and not named:
            with contextlib.suppress(OSError):
                disk.remove_folder(temporary)


def _inner_folders(names: Iterable[str]) -> list[str]:
    """Folders in which the files lie, the outer ones first."""
    direct = dict.fromkeys(name.rpartition("/")[0] for name in names)
    parents = (reversed((folder, *PurePosixPath(folder).parents[:-1])) for folder in map(PurePosixPath, direct))
    return list(dict.fromkeys(str(parent) for line in parents for parent in line if parent.name))


def _refuse_existing(final: Path) -> None:
    if os.path.lexists(final):  # unlike Path.exists, also answers for names no file can have
        raise RunFolderError(final, "already exists; choose another name or remove it")


def is_temporary(folder: Path) -> bool:
    """Whether a folder has the name of one that is being, or was not completely, written."""
    return _TEMPORARY.fullmatch(folder.name) is not None


def leftovers(parent: Path | str) -> list[Path]:
    """Folders in `parent` that a writer which is gone left behind, in order of their names.

    A writer counts as gone when no process of its number runs on this host.  So, when several hosts share `parent`,
    call this only while none of them writes there.
    """
    found: list[Path] = []
    if not Path(parent).is_dir():
        return found
    for path in sorted(Path(parent).iterdir()):
        match = _TEMPORARY.fullmatch(path.name)
        if match and path.is_dir() and not path.is_symlink() and not _runs(int(match[1])):
            found.append(path)
    return found


def remove_leftovers(parent: Path | str) -> list[Path]:
    """Remove the folders `leftovers` finds and return what they were called.

    Raises
    ------
    RunFolderError
        If one cannot be removed.
    """
    found = leftovers(parent)
    for path in found:
        try:
            FileLayer().remove_folder(path)
        except OSError as error:
            raise RunFolderError(path, f"cannot be removed: {error.strerror or error}") from error
    return found


def _runs(pid: int) -> bool:
    """Whether a process with this number exists."""
    if os.name == "nt":  # there, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
