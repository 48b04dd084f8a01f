"""``numa-sim export``: what a run recorded, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from numa_sim.errors import ConfigError

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["export_run"]

_DAMON = {"damon": "damon.json", "damon-compressed": "damon.data"}


def export_run(folder: Path, form: str, out: Path | None) -> str:
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
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigError("export", "out", f"{target} exists already; name another with --out") from None
    except OSError as error:
        raise ConfigError("export", "out", f"{target} cannot be written: {error.strerror or error}") from error
    return f"{target}: written"


def _exported(run: Run, form: str) -> tuple[str, bytes]:
    """What the file is called by default, and its contents."""
    if form in _DAMON:
        from numa_sim.results.damon import damon_file

        return _DAMON[form], damon_file(run, compress=form == "damon-compressed")
    from numa_sim.results.timelines import FORMATS, exported

    return FORMATS[form], exported(run, form)
