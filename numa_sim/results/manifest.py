"""The manifest of a run folder (what must be equal between equal runs) and its environment (what need not be)."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from numa_sim.observe.result import InputFile, RunResult
from numa_sim.results.canonical import file_entry, seal
from numa_sim.results.formats import FORMAT_VERSION
from numa_sim.results.host import checkout, cpu_model, shipped_trace
from numa_sim.version import __version__
from numa_sim.workloads.streams import STREAMS_VERSION

__all__ = [
    "ENVIRONMENT",
    "INPUTS",
    "MANIFEST",
    "SUMMARY",
    "TOPOLOGY",
    "environment",
    "kept_inputs",
    "manifest",
    "packages",
]

MANIFEST: Final = "manifest.json"
ENVIRONMENT: Final = "environment.json"
SUMMARY: Final = "summary.json"
TOPOLOGY: Final = "topology.json"
INPUTS: Final = "inputs"
"""Folder of the input files that are kept in a run folder."""

_PACKAGES: Final = ("numpy", "scipy", "numba", "simpy", "networkx", "pydantic", "pyarrow", "matplotlib")


def manifest(result: RunResult, summary: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What was run and what came out: byte for byte the same for the same configuration, seed and model version.

    Parameters
    ----------
    result : RunResult
        The run.
    summary : mapping
        Its summary (the hashes are taken from there).
    files : mapping of str to bytes
        The folder's files whose contents follow from the configuration and the seed.
    """
    run = summary["run"]
    return seal(
        {
            "format_version": FORMAT_VERSION,
            "model_version": result.model_version,
            "config": dict(result.config),
            "config_sha256": result.config_sha256,
            "inputs": [_input_entry(entry) for entry in result.inputs],
            "beyond_config": list(result.beyond_config),
            "seed": result.seed,
            "streams_version": STREAMS_VERSION,
            "check_level": result.check_level,
            "exit_state": result.exit_state,
            "end_ns": result.end_ns,
            "event_count": run["event_count"],
            "event_hash": run["event_hash"],
            "state_hash": run["state_hash"],
            "warnings": list(result.warnings),
            "files": {name: file_entry(content) for name, content in files.items()},
        }
    )


def kept_inputs(result: RunResult) -> dict[str, bytes]:
    """Inputs the run folder holds, by their names there; those that come with numa_sim are not among them."""
    return {_kept_name(i): i.content for i in result.inputs if i.content is not None and _is_kept(i)}


def _input_entry(i: InputFile) -> dict[str, Any]:
    entry = {"name": i.name, "file": i.file, "size_bytes": i.size_bytes, "sha256": i.sha256}
    return {**entry, "kept": _kept_name(i) if _is_kept(i) else None}


def _is_kept(i: InputFile) -> bool:
    return i.content is not None and shipped_trace(i.sha256, i.size_bytes) is None


def _kept_name(i: InputFile) -> str:
    """Name in the run folder: files of equal names must not meet there."""
    return f"{INPUTS}/{i.sha256[:12]}-{i.name}"


def environment(result: RunResult, folder_name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Where, when and with what the run was made; differs between equal runs, so no manifest holds its digest.

    Parameters
    ----------
    result : RunResult
        The run.
    folder_name : str
        Name of the run folder.
    files : mapping of str to bytes
        The folder's files whose bytes depend on the host, such as pictures (fonts, library versions).
    """
    return seal(
        {
            "format_version": FORMAT_VERSION,
            "folder": folder_name,
            "command": list(sys.argv),
            "config_folder": None if result.base is None else str(result.base.absolute()),
            "started_utc": _utc(result.started_unix_s),
            "ended_utc": _utc(result.started_unix_s + result.wall_seconds),
            "written_utc": _utc(time.time()),
            "wall_seconds": round(result.wall_seconds, 3),
            "host": {
                "name": platform.node(),
                "platform": platform.platform(),
                "machine": platform.machine(),
                "cpu": cpu_model(),
                "cpus": os.cpu_count() or 0,
            },
            "python": platform.python_version(),
            "numa_sim": __version__,
            "checkout": checkout(),
            "packages": packages(),
            "files": {name: file_entry(content) for name, content in files.items()},
        }
    )


def _utc(unix_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


def packages() -> dict[str, str]:
    """Versions of the installed packages that can have a part in a result or its picture."""
    return {name: version for name in _PACKAGES if (version := _version(name))}


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
