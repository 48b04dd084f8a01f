"""``numa-sim sweep``: ``sweep CONFIG`` makes runs, ``sweep status`` and ``sweep table`` look at them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from numa_sim.cli.arguments import ConfigFile, Overrides, SweepFolder

__all__ = ["sweep_app"]


class _RunByDefault(TyperGroup):
    """Takes a first word that is none of its commands for the configuration of ``run``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``run`` before arguments that begin with no command."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


sweep_app = typer.Typer(
    cls=_RunByDefault,
    help="Make the runs of CONFIG's sweep, or look at them. sweep CONFIG is short for sweep run CONFIG.",
    no_args_is_help=True,
)


class ProgressKind(StrEnum):
    """What ``numa-sim sweep`` shows while it runs."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    off = "off"


@sweep_app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="Sweep folder, continued if it is there; else runs/NAME-OF-CONFIG.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes; else one for each CPU.")] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Do the I-th of N parts only (from 1).")] = None,
    executor: Annotated[
        str, typer.Option(help="processes, serial (here, without limits), dask, or dask:SCHEDULER.")
    ] = "processes",
    retry: Annotated[bool, typer.Option("--retry", help="Try quarantined runs again.")] = False,
    progress: Annotated[ProgressKind, typer.Option(help="auto: rich on a terminal, else plain.")] = ProgressKind.auto,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list the points; run nothing.")] = False,
) -> None:
    """Make the runs of CONFIG's sweep that are not there yet."""
    from numa_sim.cli.sweeping import SweepOptions, sweep_config

    options = SweepOptions(out, jobs, shard, executor, retry, progress.value, dry_run)
    raise typer.Exit(sweep_config(config, overrides or (), options))


@sweep_app.command()
def status(folder: SweepFolder) -> None:
    """Say how far the sweep in SWEEP is, and what failed."""
    from numa_sim.cli.sweeping import print_status

    raise typer.Exit(print_status(folder))


@sweep_app.command()
def table(
    folder: SweepFolder,
    by: Annotated[
        list[str] | None, typer.Option(metavar="FACTOR", help="Tell apart by this; may be repeated; else by all.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Mean of this; may be repeated; else a few common ones.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="FACTOR=VALUE", help="Only points with this value; may be repeated.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
) -> None:
    """Print means over the replicas of SWEEP with their intervals."""
    from numa_sim.cli.drawing import named_values
    from numa_sim.cli.sweep_view import print_sweep_table

    chosen = named_values("--where", "FACTOR=VALUE", where or ())
    print_sweep_table(folder, by or (), metric or (), chosen, confidence)
