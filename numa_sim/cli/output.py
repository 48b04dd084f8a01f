"""Files that commands write for the user: whole or not at all, and never over another one unasked."""

from __future__ import annotations

from pathlib import Path

from numa_sim.errors import ConfigError

__all__ = ["refuse_existing", "write_output"]


def refuse_existing(target: Path, force: bool) -> None:
    """Refuse a file that exists, before anything is computed for it.

    Raises
    ------
    ConfigError
        If it exists and is not to be written over.
    """
    if target.exists() and not force:
        raise ConfigError(target, "", "exists already", ("another name with --out", "--force"))


def write_output(target: Path, content: bytes, force: bool) -> str:
    """Write a file, in one step; what to tell the user.

    Raises
    ------
    ConfigError
        If it exists and is not to be written over.
    RunFolderError
        If it cannot be written; an older file is then still there.
    """
    from numa_sim.results.durable import replace_file

    refuse_existing(target, force)
    replace_file(target, content)
    return f"{target}: written"
