"""``numa-sim verify``: is a folder what was written?"""

from __future__ import annotations

from pathlib import Path

import typer

from numa_sim.results.readable import plural
from numa_sim.results.sweep_folder import SWEEP
from numa_sim.results.verify import verify_run
from numa_sim.results.verify_sweep import verify_sweep

__all__ = ["verify_folder"]


def verify_folder(folder: Path) -> bool:
    """Check a run or sweep folder, say what is wrong, and whether nothing is.

    Raises
    ------
    RunFolderError
        If it is neither.
    """
    is_sweep = (folder / SWEEP).exists()
    problems = verify_sweep(folder) if is_sweep else verify_run(folder)
    for problem in problems:
        typer.echo(f"{folder}: {problem}", err=True)
    if not problems:
        typer.echo(f"{folder}: whole{_so_far(folder) if is_sweep else ''}")
    return not problems


def _so_far(folder: Path) -> str:
    """What is still to be made of a sweep."""
    from numa_sim.sweep.status import sweep_status

    status = sweep_status(folder)
    return f" so far, {plural(status.done, 'run')} of {status.wanted}" if status.missing else ""
