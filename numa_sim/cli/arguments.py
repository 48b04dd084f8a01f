"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile", "Force", "Overrides", "SweepFolder"]

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration, TOML or JSON.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change a value of the configuration; may be repeated."),
]
SweepFolder = Annotated[Path, typer.Argument(metavar="SWEEP", help="Sweep folder.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that exists.")]
