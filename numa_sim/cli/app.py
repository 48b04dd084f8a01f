"""The command ``numa-sim``.

Nothing heavy is imported here: each command imports what it needs, so that ``--help`` answers at once.
Exit codes: 0 done; 1 a run folder is not what was written, or a run made again came out different; 2 bad input; 3 some
runs of a sweep failed; 130 interrupted.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from numa_sim.cli.arguments import ConfigFile, Force, Overrides
from numa_sim.cli.font_note import fonts_told_once
from numa_sim.cli.output import refuse_existing
from numa_sim.cli.sweep_commands import sweep_app
from numa_sim.errors import BudgetError, NumaSimError

DIFFERENT = 1
BAD_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    name="numa-sim",
    help="Simulate a NUMA machine's memory under Linux: zones, reclaim, swap and latency, in simulated time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
trace_app = typer.Typer(help="Recorded page traces.", no_args_is_help=True)
app.add_typer(trace_app, name="trace")
app.add_typer(sweep_app, name="sweep")


class View(StrEnum):
    """What ``numa-sim show`` can show."""

    topology = "topology"
    zonelists = "zonelists"
    zoneinfo = "zoneinfo"
    buddyinfo = "buddyinfo"
    meminfo = "meminfo"
    vmstat = "vmstat"
    slabinfo = "slabinfo"
    numastat = "numastat"
    disks = "disks"
    levels = "levels"
    swaps = "swaps"
    maps = "maps"
    smaps = "smaps"
    numa_maps = "numa_maps"
    status = "status"
    statm = "statm"
    graph = "graph"
    walk = "walk"
    schema = "schema"
    config = "config"


def _print_version(wanted: bool) -> None:
    if wanted:
        from numa_sim.version import __version__

        typer.echo(f"numa-sim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Root of all random streams, instead of run.seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write; else one under runs/.")] = None,
    point: Annotated[int | None, typer.Option(help="Of a configuration with a sweep: the point to run.")] = None,
    picture: Annotated[bool, typer.Option(help="Draw overview.png.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the run folder's path.")] = False,
    twice: Annotated[
        bool,
        typer.Option(
            "--verify-determinism", help="Run it a second time, in other surroundings, and name the first difference."
        ),
    ] = False,
) -> None:
    """Run CONFIG and write a run folder."""
    from numa_sim.cli.running import run_config

    settings = list(overrides or ())
    if seed is not None:
        settings.append(f"run.seed={seed}")
    folder = run_config(config, settings, out, point=point, picture=picture, quiet=quiet)
    if twice:
        from numa_sim.cli.reproducing import verify_determinism

        if not verify_determinism(folder, quiet=quiet):
            raise typer.Exit(DIFFERENT)


@app.command()
def reproduce(
    folder: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="Run or sweep folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to write; else nothing is kept.")] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with input files that RUN does not hold; may be repeated.", show_default=False),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also if RUN was made with another model version.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes for a SWEEP; else one for each CPU.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say something only if it differs.")] = False,
) -> None:
    """Run RUN, or all of SWEEP, again and compare every byte.

    The folder alone is needed. If a byte differs, the first is named; exit code 1.
    """
    from numa_sim.cli.reproducing import reproduce_all, reproduce_run
    from numa_sim.results.sweep_folder import SWEEP

    if (folder / SWEEP).exists():
        same = reproduce_all(folder, out, inputs or (), anyway=anyway, jobs=jobs, quiet=quiet)
    else:
        same = reproduce_run(folder, out, inputs or (), anyway=anyway, quiet=quiet)
    if not same:
        raise typer.Exit(DIFFERENT)


@app.command()
def show(
    view: Annotated[View, typer.Argument(help="What to show.", show_default=False)],
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="Configuration; schema: nothing, or machine.", show_default=False),
    ] = None,
    overrides: Overrides = None,
    at: Annotated[str | None, typer.Option(help='Simulated time, like "5ms"; else after boot.')] = None,
    task: Annotated[str | None, typer.Option(help="Whose maps, smaps, numa_maps, status, statm, graph, walk.")] = None,
    pages: Annotated[int, typer.Option(min=1, max=1000, help="Most pages in the graph.")] = 12,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", "--output", help="Picture of the graph to write: *.png, *.svg or *.pdf; else it is text."
        ),
    ] = None,
    address: Annotated[str | None, typer.Option(help="walk: the address to translate, like 0x40000000.")] = None,
    force: Force = False,
) -> None:
    """Show the machine of CONFIG as its kernel would. After boot, or at a moment of the run; or the configuration."""
    from numa_sim.cli.showing import Moment, view_text

    moment = Moment.of(at, task, pages, output, address)
    if output is not None:
        refuse_existing(output, force)
    typer.echo(view_text(view.value, config, overrides or (), moment), nl=False)


@app.command()
def plot(
    folder: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="Run or sweep folder.", show_default=False)],
    picture: Annotated[
        str | None, typer.Option(help="Which one (a wrong name lists all); else an overview.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write: *.png, *.svg or *.pdf; else PICTURE.png here.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help='Of the picture, like "node=1"; may be repeated.'),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FACTOR=VALUE", help="Of SWEEP only points with this value; may be repeated."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Another run, to draw both and their difference.")
    ] = None,
    force: Force = False,
) -> None:
    """Draw a picture of RUN or SWEEP."""
    from numa_sim.cli.drawing import draw

    typer.echo(f"{draw(folder, picture, out, options or (), where or (), against, force)}: written")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="Run or sweep folder.", show_default=False)],
) -> None:
    """Check that a run or sweep folder is exactly what was written."""
    from numa_sim.cli.verifying import verify_folder

    if not verify_folder(folder):
        raise typer.Exit(DIFFERENT)


@app.command()
def events(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="NAME", help="Only events of this name; may be repeated.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only events of this task.", show_default=False)] = None,
) -> None:
    """Print the events of RUN one a line, as ftrace does. Record them with run.record_events."""
    from numa_sim.cli.showing import event_lines

    for line in event_lines(folder, names or (), task):
        typer.echo(line)


class ExportFormat(StrEnum):
    """What ``numa-sim export`` can write."""

    perfetto = "perfetto"
    chrome = "chrome"
    ftrace = "ftrace"
    damon = "damon"
    damon_compressed = "damon-compressed"


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="The timeline, for ui.perfetto.dev, for chrome://tracing or as text; "
            "the access map as DAMON's records, plain or compressed, for damo.",
        ),
    ] = ExportFormat.perfetto,
    out: Annotated[Path | None, typer.Option(help="File to write; else one here, named after RUN.")] = None,
    force: Force = False,
) -> None:
    """Write what RUN recorded for other tools. Its timeline (run.timeline=true), or its access map (run.observe)."""
    from numa_sim.cli.exporting import export_run

    typer.echo(export_run(folder, form.value, out, force))


@app.command("proc")
def proc_folder(
    source: Annotated[
        Path, typer.Argument(metavar="CONFIG|RUN", help="Configuration, or run folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to make.", show_default=False)],
    overrides: Overrides = None,
    at: Annotated[str, typer.Option(help='Simulated time, like "5ms"; 0s: after boot.')] = "0s",
) -> None:
    """Write /proc and /sys of a machine as files. Other tools read them as they read those of Linux."""
    from numa_sim.cli.exporting import write_proc

    typer.echo(write_proc(source, overrides or (), at, out))


@app.command("mrc")
def miss_ratio_curves(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Recorded trace.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help="numa_sim, lackey, oracleGeneral, csv or damon.")] = "numa_sim",
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="POLICY",
            help="lru, fifo, clock, or another one of kernel.reclaim; may be repeated; else lru. "
            "immediate misses as fifo does; none frees nothing: it needs sizes that hold all pages.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help='Sizes of memory: pages, bytes or shares of the working set, like "1000,64MiB,0.25".'),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file to write, or *.mrc in the layout of libCacheSim's mrcProfiler; else a table is shown."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For policies that draw.")] = 0,
    force: Force = False,
) -> None:
    """Print which share of TRACE's requests misses by size of memory."""
    from numa_sim.cli.exporting import miss_ratio_text

    typer.echo(miss_ratio_text(trace, form, policies or ["lru"], sizes, out, seed, force), nl=False)


@app.command()
def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[PRESET]", help="Describe this one.", show_default=False)
    ] = None,
) -> None:
    """List the machines that come with numa_sim, or describe one."""
    from numa_sim.cli.showing import preset_text

    typer.echo(preset_text(name), nl=False)


@app.command()
def mkswap(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to make a swap area.", show_default=False)],
    size: Annotated[str | None, typer.Option(help='Its size, like "64MiB"; needed for a new file.')] = None,
    version: Annotated[int, typer.Option(help="1: SWAP-SPACE, 2: SWAPSPACE2.")] = 2,
    bad: Annotated[str, typer.Option(help='Pages that cannot be used, like "3,7-9".')] = "",
    label: Annotated[str, typer.Option(help="Volume label, version 2 only.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write the header into a file that exists.")] = False,
) -> None:
    """Write the header of a swap area to FILE, as mkswap does. A configuration can take it as an area's image."""
    from numa_sim.cli.swap_image import make_swap

    typer.echo(make_swap(file, size, version, bad, label, force=force))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="Run or sweep folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="File to write; else FOLDER-report.html beside it.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Of a sweep: what to report; may be repeated.")
    ] = None,
    force: Force = False,
) -> None:
    """Write a report on RUN or SWEEP, one HTML file. What was run, pictures, where time went, how far to trust it."""
    from numa_sim.results.report import default_name, write_report

    target = out if out is not None else default_name(folder)
    refuse_existing(target, force)
    typer.echo(write_report(folder, target, tuple(metric or ())))


@app.command("compile")
def compile_rules() -> None:
    """Compile everything now, so that no later run stops for it. Needed once per version and user."""
    from numa_sim.cli.compiling import compile_all

    compile_all()


@trace_app.command("import")
def trace_import(
    form: Annotated[
        str, typer.Argument(metavar="FORMAT", help="lackey, lackey+strace, oracleGeneral, csv, damon or numa_sim.")
    ],
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Trace to read.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Trace to write, *.npz.", show_default=False)],
    strace: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Log of strace -f of the same run (lackey+strace).", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """Turn a trace of another tool into numa_sim's run-length form."""
    from numa_sim.workloads.traces import import_trace

    refuse_existing(target, force)
    import_trace(form, source, target, **({} if strace is None else {"strace": strace, "exact": True}))
    typer.echo(f"{target}: written")


def _redeliver_interrupt(unraisable: sys.UnraisableHookArgs) -> None:
    """Bring back a Ctrl-C that fell into a callback of the compiler, where Python can only drop it."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    again = threading.Timer(0.05, _thread.interrupt_main)
    again.daemon = True
    again.start()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; a user's mistake is one line on stderr, never a traceback."""
    sys.unraisablehook = _redeliver_interrupt
    try:
        with fonts_told_once():
            app(args=list(arguments) if arguments is not None else None, prog_name="numa-sim")
    except NumaSimError as problem:
        print(f"numa-sim: error: {problem}", file=sys.stderr)  # noqa: T201 - the one place errors are printed
        if isinstance(problem, BudgetError):
            print("\n".join(("it did last:", *problem.last)), file=sys.stderr)  # noqa: T201
        sys.exit(BAD_INPUT)
    except SystemExit as ended:
        if ended.code == INTERRUPTED and type(ended) is SystemExit:  # typer's own answer to Ctrl-C
            print("numa-sim: interrupted, no run folder written", file=sys.stderr)  # noqa: T201
        raise
    finally:
        sys.unraisablehook = sys.__unraisablehook__
    sys.exit(0)


if __name__ == "__main__":
    main()
