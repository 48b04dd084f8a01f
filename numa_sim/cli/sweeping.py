"""``numa-sim sweep``: many runs, resumed and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from numa_sim.errors import ConfigError
from numa_sim.results.readable import plural

if TYPE_CHECKING:
    from numa_sim.config.model import Config
    from numa_sim.sweep.progress import Kind

INTERRUPTED = 130
SOME_FAILED = 3
"""Exit code when runs of a sweep were quarantined."""


class InterruptedSweep(SystemExit):
    """Ctrl-C in the middle of a sweep, of which everything has been said."""


@dataclass(frozen=True)
class SweepOptions:
    """Options of ``numa-sim sweep``, as typed."""

    out: Path | None
    jobs: int | None
    shard: str | None
    executor: str
    retry: bool
    progress: Kind
    dry_run: bool


def sweep_config(file: Path, settings: Sequence[str], options: SweepOptions) -> int:
    """Run the sweep of a configuration, or what is missing of it; returns the exit code.

    Raises
    ------
    NumaSimError
        For whatever the user must mend; nothing was run then.
    """
    from numa_sim.config.reader import load

    config = load(file, settings)
    folder = options.out if options.out is not None else Path("runs") / file.stem
    if options.dry_run:
        _print_points(config)
        return 0
    from numa_sim.sweep.progress import progress_of
    from numa_sim.sweep.runner import run_sweep
    from numa_sim.sweep.shards import Shard
    from numa_sim.sweep.status import sweep_status

    shard = Shard.parse(options.shard) if options.shard is not None else None
    talk = Console(stderr=True)
    try:
        with _executor(options) as executor, progress_of(options.progress, talk) as progress:
            jobs = 0 if options.executor == "serial" else options.jobs
            outcome = run_sweep(
                config, folder, executor, jobs=jobs, shard=shard, retry=options.retry, progress=progress
            )
    except KeyboardInterrupt:
        said = f"numa-sim: interrupted; what is done is in {folder}, the same command goes on"
        talk.print(said, highlight=False, soft_wrap=True)
        raise InterruptedSweep(INTERRUPTED) from None
    screen = Console(highlight=False, soft_wrap=True)
    for line in sweep_status(folder).lines():
        screen.print(line, markup=False)
    return 0 if outcome.whole else SOME_FAILED


@contextmanager
def _executor(options: SweepOptions) -> Iterator[Executor | None]:
    """The executor that ``--executor`` names; None for processes and serial."""
    kind, _, address = options.executor.partition(":")
    if options.executor in ("processes", "serial"):
        yield None
        return
    if kind != "dask":
        wanted = ("processes", "serial", "dask", "dask:ADDRESS")
        raise ConfigError("--executor", "", f"there is no executor {options.executor!r}", wanted)
    from numa_sim.sweep.dask import dask_executor
    from numa_sim.sweep.processes import usable_cpus

    with dask_executor(address or None, options.jobs or usable_cpus()) as executor:
        yield executor


def _print_points(config: Config) -> None:
    """The points of a sweep, one a line."""
    from numa_sim.sweep.design import make_plan

    plan = make_plan(config)
    screen = Console(highlight=False, soft_wrap=True)
    for point in plan.points:
        named = ", ".join(f"{name} = {value}" for name, value in point.factors.items())
        again = plan.repeated.get(point.index)
        same = "" if again is None else f" (the same run as point {again})"
        screen.print(f"{point.index}: {named or 'as it is'}{same}", markup=False)
    replicas = plan.sweep.replicas
    number = plural(replicas.max, "replica")
    if replicas.metric is not None:
        number = f"{replicas.min} to {number}"
    screen.print(f"{plural(len(plan.points), 'point')} x {number}, seeds from {config.run.seed}", markup=False)


def print_status(folder: Path) -> int:
    """Say how far a sweep is; the exit code says whether runs were quarantined."""
    from numa_sim.sweep.status import sweep_status

    status = sweep_status(folder)
    screen = Console(highlight=False, soft_wrap=True)
    for line in status.lines():
        screen.print(line, markup=False)
    return SOME_FAILED if status.quarantined else 0


def point_of(config: Config, point: int | None) -> Config:
    """One run of a configuration with a sweep: that of a point, with the configuration's own seed.

    Raises
    ------
    ConfigError
        If the configuration is a sweep and no point is named, or it has no such point.
    """
    if config.sweep is None and point is None:
        return config
    if point is None:
        where = f"numa-sim sweep {config.origin}"
        raise ConfigError(
            config.origin, "sweep", "this is a sweep, not one run", (where, "--point N for one of its runs")
        )
    from numa_sim.sweep.design import points_of

    points = points_of(config)
    if not 0 <= point < len(points):
        raise ConfigError("--point", "", f"the sweep has no point {point}", (f"0 to {len(points) - 1}",))
    return points[point].config(config)
