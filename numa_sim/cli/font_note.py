"""One line about the characters that no font of pictures has."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numa_sim.errors import FontWarning

__all__ = ["fonts_told_once"]


@contextmanager
def fonts_told_once() -> Iterator[None]:
    """Say in one line which characters of all pictures no font has; other warnings are shown as ever."""
    lacking: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("always", FontWarning)
        shown = warnings.showwarning

        def show(message: Any, *where: Any, **more: Any) -> None:
            if isinstance(message, FontWarning):
                lacking.update(dict.fromkeys(message.characters))
            else:
                shown(message, *where, **more)

        warnings.showwarning = show
        try:
            yield
        finally:
            if lacking:
                print(f"numa-sim: note: {FontWarning(''.join(lacking))}", file=sys.stderr)  # noqa: T201
