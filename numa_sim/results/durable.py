"""The few file operations a run folder is written with, each synced to the disk, in one replaceable place."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path

from numa_sim.errors import RunFolderError

__all__ = ["FileLayer", "WithHoles", "existing_folder", "replace_file"]

_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def existing_folder(folder: Path | str) -> Path:
    """Return the path of a folder that exists; RunFolderError if there is none of that name."""
    if not os.path.isdir(folder):  # noqa: PTH112 - unlike Path.is_dir, also answers for names no file can have
        raise RunFolderError(folder, "is not a folder" if os.path.lexists(folder) else "does not exist")
    return Path(folder)


class WithHoles(bytes):
    """Contents of a file of which only some parts are written; the rest, zeros, need take no room on the disk."""

    def __new__(cls, content: bytes, written: tuple[tuple[int, int], ...]) -> WithHoles:
        """Take the whole contents, and where the parts to be written begin and end."""
        self = super().__new__(cls, content)
        self.written = written
        return self

    written: tuple[tuple[int, int], ...]


class FileLayer:
    """The real files; tests put one in its place that fails at the n-th operation.

    Every method raises OSError when the operation fails.
    """

    def make_folder(self, folder: Path) -> None:
        """Make a new, empty folder."""
        folder.mkdir()

    def write(self, file: Path, content: bytes) -> None:
        """Write a new file and leave it open to nobody; not yet synced."""
        descriptor = os.open(file, _OPEN_FLAGS, 0o666)
        parts = content.written if isinstance(content, WithHoles) else ((0, len(content)),)
        try:
            for start, end in parts:
                os.lseek(descriptor, start, os.SEEK_SET)
                rest = memoryview(content)[start:end]
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            os.ftruncate(descriptor, len(content))
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        """Wait until a file's contents, or a folder's entries, are on the disk."""
        if path.is_dir() and os.name == "nt":  # Windows cannot open folders; it journals their entries itself
            return
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a folder its name; fails if a folder with anything in it has that name already."""
        old.rename(new)

    def replace(self, old: Path, new: Path) -> None:
        """Give a file its name, in the place of the file that has it, if there is one."""
        old.replace(new)

    def remove_file(self, file: Path) -> None:
        """Remove a file."""
        file.unlink()

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and all that is in it."""
        shutil.rmtree(folder)


def replace_file(file: Path, content: bytes, disk: FileLayer | None = None) -> None:
    """Write a file that is whole whenever it is there; it takes the place of an older one in one step.

    Whenever the writer is killed, the name has the old contents or the new ones.  What may be left is a file with a
    name of its own, ``.NAME.writing-PID-RANDOM``.

    Raises
    ------
    RunFolderError
        If it cannot be written; the old contents are then still there.
    """
    disk = disk or FileLayer()
    temporary = file.parent / f".{file.name}.writing-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        disk.write(temporary, content)
        disk.sync(temporary)
        disk.replace(temporary, file)
        disk.sync(file.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            disk.remove_file(temporary)
        raise RunFolderError(file, f"cannot be written: {error.strerror or error}") from error
