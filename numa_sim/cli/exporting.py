"""``numa-sim export``: a run's timeline for other tools."""

from __future__ import annotations

from pathlib import Path

from numa_sim.errors import ConfigError

__all__ = ["export_timeline"]


def export_timeline(folder: Path, form: str, out: Path | None) -> str:
    """Write the timeline of a run folder as `form`; what to tell the user.

    Raises
    ------
    RunFolderError
        If it is no run folder, or the run recorded no timeline.
    ConfigError
        If the file exists or cannot be written, or there is no such format.
    """
    from numa_sim.results.run import open_run
    from numa_sim.results.timelines import FORMATS, exported

    content = exported(open_run(folder), form)
    target = out if out is not None else Path(f"{folder.name}-{FORMATS[form]}")
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
