"""The manifest of a run folder (what must be equal between equal runs) and its environment (what need not be)."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from numa_sim.observe.result import RunResult
from numa_sim.results.canonical import file_entry, seal
from numa_sim.version import __version__

__all__ = ["ENVIRONMENT", "FORMAT_VERSION", "MANIFEST", "SUMMARY", "environment", "manifest"]

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
ENVIRONMENT: Final = "environment.json"
SUMMARY: Final = "summary.json"

_PACKAGES: Final = ("numpy", "numba", "simpy", "networkx", "pydantic", "pyarrow", "matplotlib")


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
            "inputs": [{"name": i.name, "size_bytes": i.size_bytes, "sha256": i.sha256} for i in result.inputs],
            "seed": result.seed,
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
            "written_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "wall_seconds": round(result.wall_seconds, 3),
            "host": {
                "name": platform.node(),
                "platform": platform.platform(),
                "machine": platform.machine(),
                "cpus": os.cpu_count() or 0,
            },
            "python": platform.python_version(),
            "numa_sim": __version__,
            "packages": {name: version for name in _PACKAGES if (version := _version(name))},
            "files": {name: file_entry(content) for name, content in files.items()},
        }
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
