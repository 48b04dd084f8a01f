"""``numa-sim export``, ``proc`` and ``mrc``: what other tools read, and what they would say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from numa_sim.cli.output import refuse_existing, write_output
from numa_sim.errors import ConfigError

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.results.run import Run

__all__ = ["export_run", "miss_ratio_text", "write_proc"]

_PROFILE = ".mrc"
_DAMON = {"damon": "damon.json", "damon-compressed": "damon.data"}


def export_run(folder: Path, form: str, out: Path | None, force: bool = False) -> str:
    """Write what a run folder holds as `form`; what to tell the user.

    Raises
    ------
    RunFolderError
        If it is no run folder, or the run did not record what is asked for.
    ConfigError
        If the file exists or cannot be written, or there is no such format.
    """
    from numa_sim.results.run import open_run

    name, content = _exported(open_run(folder), form)
    target = out if out is not None else Path(f"{folder.name}-{name}")
    if target.resolve().is_relative_to(folder.resolve()):
        raise ConfigError("export", "out", f"{target} is in the run folder, which must stay as it was written")
    return write_output(target, content, force)


def write_proc(source: Path, settings: Iterable[str], at: str, out: Path) -> str:
    """Make the folder `out` with what /proc and /sys say at a moment of a run; what to tell the user.

    `source` is a configuration, or a run folder, whose run is made again up to that moment.

    Raises
    ------
    NumaSimError
        For whatever is wrong with the configuration or run folder, the time or `out`.
    """
    from numa_sim.units import parse_ns

    try:
        at_ns = parse_ns(at)
    except ValueError as problem:
        raise ConfigError("--at", "", str(problem)) from None
    if out.exists():
        raise ConfigError("proc", "out", f"{out} exists already; name another with --out")
    machine = _machine_of(source, settings)
    machine.run_until(at_ns)
    from numa_sim.processes.watched import proc_files

    files = proc_files(machine)
    try:
        out.mkdir(parents=True)
        for name, text in files.items():
            file = out / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    except FileExistsError:
        raise ConfigError("proc", "out", f"{out} exists already; name another with --out") from None
    except OSError as error:
        raise ConfigError("proc", "out", f"{out} cannot be written: {error.strerror or error}") from error
    return f"{out}: {len(files)} files written"


def _machine_of(source: Path, settings: Iterable[str]) -> Machine:
    """The machine of a configuration or of a run folder, before its first event."""
    if source.is_dir():
        if list(settings):
            raise ConfigError("--set", "", f"{source} is a run folder", ("a configuration with --set",))
        from numa_sim.reproduction.again import machine_again

        return machine_again(source)[1]
    from numa_sim.config.reader import load
    from numa_sim.processes.machine import Machine

    return Machine(load(source, settings))


def miss_ratio_text(
    trace: Path,
    form: str,
    policies: Sequence[str],
    sizes: str | None,
    out: Path | None,
    seed: int,
    force: bool = False,
) -> str:
    """Miss-ratio curves as a table, a column for each policy; or, with `out`, as CSV in that file.

    A file named ``*.mrc`` gets the one curve asked for in the layout of libCacheSim's mrcProfiler.

    Raises
    ------
    ConfigError
        If there is no such policy, format or size, or the file exists or cannot be written or holds one curve only.
    TraceFormatError
        If the trace cannot be read.
    """
    from numa_sim.policies.replay import PageTrace
    from numa_sim.results.miss_ratio import miss_ratio_curve

    if out is not None:
        refuse_existing(out, force)
    profile = out is not None and out.suffix == _PROFILE
    if profile and len(policies) > 1:
        raise ConfigError("mrc", "out", f"{out}: *{_PROFILE} holds one policy", ("one --policy", "*.csv"))
    asked = None if sizes is None else sizes.split(",")
    for policy in policies:
        miss_ratio_curve([], asked, policy)  # refuses a bad name or size before the trace is read
    accesses = PageTrace.read(trace, form)
    curves = [miss_ratio_curve(accesses, asked, policy, seed=seed) for policy in policies]
    if out is not None and profile:
        return write_output(out, curves[0].to_profile(str(trace)).encode(), force) + "\n"
    if out is not None:
        texts = [curve.to_csv() for curve in curves]
        rows = texts[0] + "".join(text.split("\n", 1)[1] for text in texts[1:])
        return write_output(out, rows.encode(), force) + "\n"
    first = curves[0]
    heads = ["pages", "of all", *(curve.policy for curve in curves)]
    lines = [
        [f"{size}", f"{size / max(first.working_set, 1):.1%}", *(f"{curve.miss_ratio[at]:.6f}" for curve in curves)]
        for at, size in enumerate(first.sizes.tolist())
    ]
    widths = [max(len(line[at]) for line in [heads, *lines]) for at in range(len(heads))]
    shown = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [heads, *lines]]
    return f"{first.requests} requests for {first.working_set} pages\n" + "".join(line + "\n" for line in shown)


def _exported(run: Run, form: str) -> tuple[str, bytes]:
    """What the file is called by default, and its contents."""
    if form in _DAMON:
        from numa_sim.results.damon import damon_file

        return _DAMON[form], damon_file(run, compress=form == "damon-compressed")
    from numa_sim.results.timelines import FORMATS, exported

    return FORMATS[form], exported(run, form)
