"""From a folder to its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from numa_sim.errors import RunFolderError
from numa_sim.results.durable import existing_folder, replace_file
from numa_sim.results.manifest import ENVIRONMENT
from numa_sim.results.report.page import rendered
from numa_sim.results.sweep_folder import SWEEP

__all__ = ["default_name", "write_report"]


def default_name(folder: Path | str) -> Path:
    """Where a report goes if nobody says where: beside the folder, which stays as it was sealed."""
    path = Path(folder).resolve()
    return path.with_name(f"{path.name}-report.html")


def write_report(folder: Path | str, file: Path | str | None = None, metrics: Sequence[str] = ()) -> Path:
    """Write the report of a run or a sweep: one HTML file that fetches nothing.

    Parameters
    ----------
    folder : path
        Run folder or sweep folder.
    file : path, optional
        Where to; else `default_name`.  An older file of that name is replaced, in one step.
    metrics : sequence of str
        Of a sweep: columns of its table to report.

    Returns
    -------
    Path
        The file.  Equal folders and numa_sim give equal bytes.

    Raises
    ------
    RunFolderError
        If the folder is neither, a run folder is not whole, a metric is unknown, or the file cannot be written.
    """
    path = existing_folder(folder)
    target = default_name(path) if file is None else Path(file)
    if not target.parent.is_dir():
        raise RunFolderError(target, "cannot be written: there is no such folder")
    if (path / SWEEP).is_file():
        from numa_sim.results.report.of_sweep import page_of_sweep
        from numa_sim.results.sweep import open_sweep

        page = page_of_sweep(open_sweep(path), metrics)
    else:
        from numa_sim.results.report.of_run import page_of_run
        from numa_sim.results.run import open_run
        from numa_sim.results.verify import check_run

        if metrics:
            raise RunFolderError(path, "is a run: metrics are chosen for the report of a sweep")
        check_run(path)
        page = page_of_run(open_run(path), json.loads((path / ENVIRONMENT).read_bytes()))
    replace_file(target, rendered(page).encode())
    return target
