"""``numa-sim run``: load, simulate with progress, write, summarise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from numa_sim.errors import ConfigError, RunFolderError
from numa_sim.units import format_ns

if TYPE_CHECKING:
    from numa_sim.config.model import Config
    from numa_sim.processes.machine import Machine

PLAIN_WIDTH = 100
"""Columns of the summary when it goes to a file or a pipe."""

Progress = Callable[["Machine"], None]


def run_config(
    file: Path, settings: Sequence[str], out: Path | None, *, point: int | None, picture: bool, quiet: bool
) -> None:
    """Run the configuration in `file` and write its run folder; see ``numa-sim run --help``.

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
        with _progress(talk, config) as progress:
            result = machine.run_to_end(progress)
    written = write_run(result, folder, picture=picture)
    screen = Console()
    if not screen.is_terminal:
        screen = Console(width=PLAIN_WIDTH)
    if quiet:
        screen.print(folder, soft_wrap=True, highlight=False)
        return
    from numa_sim.results.summary import print_summary

    print_summary(open_run(written).summary, screen)
    screen.print(f"run folder  {folder}", soft_wrap=True, highlight=False)
    if picture:
        screen.print(f"picture     {folder / 'overview.png'}", soft_wrap=True, highlight=False)


def _default_folder(file: Path) -> Path:
    return Path("runs") / f"{file.stem}-{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def _progress(talk: Console, config: Config) -> Iterator[Progress | None]:
    """A progress line on a terminal; nothing elsewhere."""
    if not talk.is_terminal or talk.quiet:
        yield None
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Line

    limit_ns = config.run.until
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *((BarColumn(),) if limit_ns else ()))
    with Line(*columns, console=talk, transient=True) as line:
        shown = line.add_task("booting", total=limit_ns)

        def update(machine: Machine) -> None:
            alive = sum(task.process.is_alive for task in machine.tasks)
            words = f"simulated {_rounded(machine.now_ns)}   {alive} of {len(machine.tasks)} tasks alive"
            line.update(shown, completed=machine.now_ns, description=words)

        yield update


def _rounded(now_ns: int) -> str:
    """Simulated time to the millisecond once it is beyond one."""
    return format_ns(now_ns // 1_000_000 * 1_000_000 if now_ns >= 1_000_000 else now_ns)
