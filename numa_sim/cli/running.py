"""``numa-sim run``: load, simulate with progress, write, summarise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from numa_sim.errors import ConfigError, RunFolderError
from numa_sim.units import format_ns

if TYPE_CHECKING:
    from numa_sim.config.model import Config
    from numa_sim.processes.machine import Machine

PLAIN_WIDTH = 100
"""Columns of the summary when it goes to a file or a pipe."""

Progress = Callable[["Machine"], None]


def run_config(file: Path, settings: Sequence[str], out: Path | None, *, picture: bool, quiet: bool) -> None:
    """Run the configuration in `file` and write its run folder; see ``numa-sim run --help``.

    Raises
    ------
    NumaSimError
        For whatever the user must mend; the run folder is then not there.
    """
    from numa_sim.config.reader import load
    from numa_sim.config.resolve import topology_of

    talk = Console(stderr=True, quiet=quiet)
    config = load(file, settings)
    topology = topology_of(config)
    if not config.workload:
        raise ConfigError(config.origin, "workload", "nothing to run", ("at least one [[workload]]",))
    folder = out if out is not None else _default_folder(file)
    if folder.exists():
        raise RunFolderError(folder, "exists already; name another with --out")
    _announce_compiling(talk)
    from numa_sim.processes.machine import Machine
    from numa_sim.results.run import open_run
    from numa_sim.results.run_folder import write_run

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


def _announce_compiling(talk: Console) -> None:
    from numa_sim.compiled import announce_compiling

    announce_compiling(lambda message: talk.print(message, highlight=False))


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


_WARM_UP: dict[str, Any] = {
    "machine": {
        "nodes": [{"memory": "32MiB", "cpus": "0-1"}, {"memory": "32MiB", "cpus": "2-3"}],
        "distances": [[10, 21], [21, 10]],
        "disk": [{"device": "hdd", "name": "sda", "size": "8MiB"}],
        "swap": [{"device": "zram", "size": "4MiB", "priority": 5}, {"device": "nvme", "size": "256MiB"}],
        "file": [{"name": "file", "size": "1MiB", "disk": "sda"}],
    },
    "workload": [
        {
            "name": "files",
            "program": [
                {"op": "open", "file": "file", "as": "file"},
                {"op": "read", "on": "file", "size": "4KiB", "pattern": {"kind": "sequential"}},
                {"op": "write", "on": "file", "size": "1MiB"},
                {"op": "mmap", "as": "map", "file": "file", "shared": True},
                {"op": "touch", "on": "map", "pattern": {"kind": "sequential"}, "accesses": 256, "write": 1.0},
                {"op": "msync", "on": "map"},
                {"op": "truncate", "on": "file", "size": "5000B"},
                {"op": "close", "on": "file"},
                {"op": "sleep", "for": "6s"},
            ],
        },
        *(
            {
                "name": kind,
                "count": 2,
                "program": [
                    {"op": "mmap", "as": "heap", "size": "48MiB"},
                    {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 12288, "write": 0.5},
                    {"op": "touch", "on": "heap", "pattern": {"kind": kind, **more}, "accesses": 2000, "write": 0.5},
                    {"op": "munmap", "on": "heap"},
                    {"op": "sleep", "for": "1us"},
                ],
            }
            for kind, more in (
                ("strided", {"stride": 3}),
                ("uniform", {}),
                ("zipf", {"s": 0.99}),
                ("pointer_chase", {}),
            )
        ),
    ],
}
"""A machine small enough to run in no time and short enough of memory to reach every rule."""


def compile_all() -> None:
    """Compile every rule that runs use, by running a small machine short of memory."""
    talk = Console(stderr=True)
    from numa_sim.compiled import COMPILED, cache_folder

    if not COMPILED:
        talk.print("NUMBA_DISABLE_JIT is set: nothing to compile")
        return
    from numa_sim.config.model import Config

    _announce_compiling(talk)
    started = time.perf_counter()
    from numa_sim.processes.machine import Machine

    Machine(Config.of(**_WARM_UP)).run_to_end()
    talk.print(f"compiled code in {cache_folder()}, {time.perf_counter() - started:.1f} s", highlight=False)
