"""``numa-sim reproduce`` and ``numa-sim run --verify-determinism``: run it again, name the first difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from numa_sim.cli.progress import progress_line

if TYPE_CHECKING:
    from numa_sim.reproduction import Reproduction
    from numa_sim.sweep.again import SweepReproduction


def reproduce_run(folder: Path, out: Path | None, inputs: Sequence[Path], *, anyway: bool, quiet: bool) -> bool:
    """Run a run folder again and say what came of it; see ``numa-sim reproduce --help``.

    Returns
    -------
    bool
        Whether it is the same, byte for byte.

    Raises
    ------
    NumaSimError
        For whatever keeps it from being run.
    """
    from numa_sim.cli.compiling import compiling_together
    from numa_sim.reproduction import reproduce, version_changes
    from numa_sim.results import check_run, open_run

    talk = Console(stderr=True, quiet=quiet)
    check_run(folder)
    run = open_run(folder)
    for change in version_changes(run):
        talk.print(f"other versions: {change}", highlight=False, markup=False, soft_wrap=True)
    with (
        compiling_together(talk),
        progress_line(talk, run.manifest["config"]["run"]["until"] and run.manifest["end_ns"]) as progress,
    ):
        again = reproduce(folder, out, inputs=inputs, anyway=anyway, progress=progress)
    _tell(folder, again, quiet)
    return again.same


def reproduce_all(
    folder: Path, out: Path | None, inputs: Sequence[Path], *, anyway: bool, jobs: int | None, quiet: bool
) -> bool:
    """Make every run of a sweep folder again, and its table, and say what came of it; as `reproduce_run`."""
    from numa_sim.reproduction import version_changes
    from numa_sim.results import open_run
    from numa_sim.results.sweep_folder import read_design
    from numa_sim.sweep.again import reproduce_sweep
    from numa_sim.sweep.progress import progress_of

    talk = Console(stderr=True, quiet=quiet)
    design = read_design(folder)
    for planned in design.finished()[:1]:
        for change in version_changes(open_run(design.folder_of(planned.run))):
            talk.print(f"other versions: {change}", highlight=False, markup=False, soft_wrap=True)
    with progress_of("off" if quiet else "auto", talk) as progress:
        again = reproduce_sweep(folder, out, inputs=inputs, anyway=anyway, jobs=jobs, progress=progress)
    _tell(folder, again, quiet)
    return again.same


def verify_determinism(folder: Path, *, quiet: bool) -> bool:
    """Run what is in a folder just written once more, in a process of other surroundings; whether it is the same."""
    from numa_sim.reproduction import run_afresh

    again = run_afresh(folder)
    _tell("second run, in other surroundings", again, quiet)
    return again.same


def _tell(who: object, again: Reproduction | SweepReproduction, quiet: bool) -> None:
    """One line if the run came out the same; else one more for each file that differs, the most telling first."""
    if again.same:
        Console(quiet=quiet).print(f"{who}: {again}", highlight=False, markup=False, soft_wrap=True)
        return
    lines = [f"{who}: {again}", *(f"  {difference}" for difference in again.found[1:])]
    Console(stderr=True).print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
