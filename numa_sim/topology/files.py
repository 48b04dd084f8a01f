"""Reading the small text files machines are described in."""

from pathlib import Path
from typing import Final

from numa_sim.errors import TopologyError

LARGEST_FILE_BYTES: Final = 64 << 20
"""Larger files are refused: the largest published machine description is a few MiB."""


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises
    ------
    TopologyError
        The file is missing, is not a readable regular file, or is larger than 64 MiB.
    """
    try:
        if path.is_dir():
            raise TopologyError(path, "", "is a directory, expected a file")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise TopologyError(path, "", "no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise TopologyError(path, "", f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise TopologyError(path, "", f"is larger than {LARGEST_FILE_BYTES >> 20} MiB")
    return content


def read_text(path: Path) -> str:
    """Return a file's content as text; errors as `read_bytes`, and when it is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TopologyError(path, f"byte {error.start}", "is not text (UTF-8)") from None
