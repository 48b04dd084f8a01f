"""State arrays that refuse negative indexes, for plain Python runs: compiled rules do not test for them.

Also a pytest plugin: ``NUMBA_DISABLE_JIT=1 python -m pytest -p indexes tests/machine`` watches any tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numa_sim.compiled import COMPILED
from numa_sim.state.kernel import ARRAYS, Kernel, Records


class NegativeIndexError(AssertionError):
    """A state array was indexed from its end (by NIL, most likely)."""


def checked(index: Any) -> Any:
    for one in index if isinstance(index, tuple) else (index,):
        if isinstance(one, int | np.integer) and one < 0:
            raise NegativeIndexError(f"index {index}")
    return index


class WatchedRecords(Records):
    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(checked(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(checked(index), value)


class WatchedNumbers(np.ndarray[Any, Any]):
    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(checked(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(checked(index), value)


def watch_indexes() -> None:
    """From now on the arrays of every new machine refuse negative indexes."""
    assert not COMPILED, "compiled rules do not go through these arrays"
    as_made = Kernel.__post_init__

    def watched(k: Kernel) -> None:
        for name in ARRAYS:
            array = getattr(k, name)
            setattr(k, name, array.view(WatchedRecords if isinstance(array, Records) else WatchedNumbers))
        as_made(k)

    Kernel.__post_init__ = watched  # type: ignore[method-assign]


if not COMPILED:  # imported for this, and nothing to watch otherwise
    watch_indexes()
