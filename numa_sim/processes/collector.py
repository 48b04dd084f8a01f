"""Python's garbage collector, kept away from what is no garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["set_all_aside", "set_aside"]

_all_is_aside = False


@contextmanager
def set_aside() -> Iterator[None]:
    """Meanwhile the collector does not look at what exists now: compilers and libraries are a hundred thousand objects.

    Afterwards all of it counts as old, machines that are used no more included: they go when the collector next looks
    at everything, which may be dozens of runs later.
    """
    if _all_is_aside:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def set_all_aside() -> None:
    """Collect garbage, then set aside for good what is left.

    For a process that does one piece of work after the other, between two of them: from then on what a run leaves
    behind is found in no time, so its memory is there for the next one.
    """
    global _all_is_aside
    gc.collect()
    gc.freeze()
    _all_is_aside = True
