"""Files a run reads: which they are by content, and their contents if the run folder shall hold them."""

from __future__ import annotations

import hashlib
from pathlib import PurePath

from numa_sim.config.model import Config
from numa_sim.observe.result import InputFile

__all__ = ["read_input", "read_input_page"]


def read_input(config: Config, name: str) -> InputFile:
    """The file a configuration calls `name`; its contents too if ``run.keep_inputs`` allows that many bytes.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    path = config.place(name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(0, 2)
        file.seek(0)
        content = file.read() if size <= config.run.keep_inputs else None
    return InputFile(PurePath(name).name, size, digest, name, content)


def read_input_page(config: Config, name: str, page_bytes: int) -> tuple[InputFile, bytes]:
    """Of a file only the first page is read (a swap header): the input, and that page.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    path = config.place(name)
    with path.open("rb") as file:
        page = file.read(page_bytes)
    content = page if len(page) <= config.run.keep_inputs else None
    return InputFile(PurePath(name).name, len(page), hashlib.sha256(page).hexdigest(), name, content), page
