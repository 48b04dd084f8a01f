"""``numa-sim run``: load, simulate with progress, write, summarise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from numa_sim.cli.progress import progress_line
from numa_sim.errors import ConfigError, RunFolderError

PLAIN_WIDTH = 100
"""Columns of the summary when it goes to a file or a pipe."""


def run_config(
    file: Path, settings: Sequence[str], out: Path | None, *, point: int | None, picture: bool, quiet: bool
) -> Path:
    """Run the configuration in `file` and write its run folder; see ``numa-sim run --help``.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    NumaSimError
        For whatever the user must mend; the run folder is then not there.
    """
    from numa_sim.config.reader import load
    from numa_sim.config.resolve import topology_of

    talk = Console(stderr=True, quiet=quiet)
    from numa_sim.cli.sweeping import point_of

    config = point_of(load(file, settings), point)
    topology = topology_of(config)
    if not config.workload:
        raise ConfigError(config.origin, "workload", "nothing to run", ("at least one [[workload]]",))
    folder = out if out is not None else _default_folder(file)
    if folder.exists():
        raise RunFolderError(folder, "exists already; name another with --out")
    from numa_sim.cli.compiling import compiling_together
    from numa_sim.processes.machine import Machine
    from numa_sim.results.run import open_run
    from numa_sim.results.run_folder import write_run

    with compiling_together(talk):
        machine = Machine(config, topology)
        with progress_line(talk, config.run.until) as progress:
            result = machine.run_to_end(progress)
    written = write_run(result, folder, picture=picture)
    if result.timeline is not None and (missing := result.timeline.missing):
        talk.print(f"timeline: {missing}", highlight=False)
    screen = Console()
    if not screen.is_terminal:
        screen = Console(width=PLAIN_WIDTH)
    if quiet:
        screen.print(folder, soft_wrap=True, highlight=False)
        return written
    from numa_sim.results.summary_tables import print_summary

    print_summary(open_run(written).summary, screen)
    screen.print(f"run folder  {folder}", soft_wrap=True, highlight=False)
    if picture:
        screen.print(f"picture     {folder / 'overview.png'}", soft_wrap=True, highlight=False)
    return written


def _default_folder(file: Path) -> Path:
    return Path("runs") / f"{file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
