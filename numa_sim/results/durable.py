"""The few file operations a run folder is written with, each synced to the disk, in one replaceable place."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path

from numa_sim.errors import RunFolderError

__all__ = ["FileLayer", "WithHoles", "existing_folder", "replace_file"]

_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_SYNCED_AT_ONCE = 4


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
        try:
            if isinstance(content, WithHoles):
                for start, end in content.written:
                    os.lseek(descriptor, start, os.SEEK_SET)
                    _write_all(descriptor, memoryview(content)[start:end])
                os.ftruncate(descriptor, len(content))
            else:
                _write_all(descriptor, memoryview(content))
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        """Wait until a file's contents, or a folder's entries, are on the disk."""
        if os.name == "nt" and path.is_dir():  # Windows cannot open folders; it journals their entries itself
            return
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_all(self, paths: Iterable[Path]) -> None:
        """`sync` each of them, several at once: they then share commits of the file system's journal.

        One after the other each would have a commit of its own: a file gets its blocks when it is synced.
        """
        rest, problems = iter(list(paths)), list[Exception]()

        def sync_some() -> None:
            try:
                for path in rest:
                    self.sync(path)
            except Exception as problem:  # of whatever kind: it is raised where it is awaited
                problems.append(problem)

        others = [threading.Thread(target=sync_some, name="sync") for _ in range(_SYNCED_AT_ONCE - 1)]
        for thread in others:
            thread.start()
        sync_some()
        for thread in others:
            thread.join()
        if problems:
            raise problems[0]

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


def _write_all(descriptor: int, rest: memoryview) -> None:
    """Write until nothing is left: a call may take less than it is given."""
    while rest:
        rest = rest[os.write(descriptor, rest) :]


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
