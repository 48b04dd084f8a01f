"""Compiled rules: one source, run by numba or, for debugging and coverage, as plain Python.

Every kernel rule and the access loop are plain functions marked ``@rule``.  With numba they compile on first
use and are cached in the user's cache folder, under a name made from the source text of everything that can be
compiled, so an edit in a *called* function of another file never meets a stale cache (numba itself sees only the
edited file).  With ``NUMBA_DISABLE_JIT=1`` the same functions run uncompiled.

`entry` gives the fastest way in from Python: numba's dispatcher spends about 12 us working out the types of a
state of thirty arrays, the compiled entry point itself about 1.5 us.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

COMPILED: bool = not numba.config.DISABLE_JIT
"""False when ``NUMBA_DISABLE_JIT=1``: rules are then ordinary Python functions."""

_KEPT_SECONDS = 30 * 24 * 3600
_PACKAGE = Path(__file__).parent
_COMPILED_FLOORS = ("compiled.py", "state", "kernel", "hardware", "workloads")


def source_digest() -> str:
    """Hex digest of the source text of every module that may hold compiled rules."""
    digest = hashlib.sha256()
    for name in _COMPILED_FLOORS:
        root = _PACKAGE / name
        files = [root] if root.is_file() else sorted(root.rglob("*.py"))
        for file in files:
            digest.update(str(file.relative_to(_PACKAGE)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Folder of the compiled code: ``$NUMA_SIM_CACHE``, or ``numa_sim`` in the user's cache folder."""
    if chosen := os.environ.get("NUMA_SIM_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "numa_sim"


def compiled_folder() -> Path:
    """Where this very source's compiled code lives (one folder per source digest)."""
    return cache_folder() / f"compiled-{source_digest()}"


def _prepare_folder() -> Path:
    """Make this source's folder, dropping those of other sources not touched for a month.

    Where the user's cache folder cannot be written (a read-only home), a temporary one lasts for this process.
    """
    folder = compiled_folder()
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            for other in folder.parent.glob("compiled-*"):
                if time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    temporary = tempfile.mkdtemp(prefix="numa_sim-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


if COMPILED and not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(_prepare_folder())


def is_warm() -> bool:
    """Whether compiled code of this source is already in the cache (so a run will not stop to compile)."""
    return not COMPILED or any(Path(numba.config.CACHE_DIR).rglob("*.nbi"))


_announced: list[str] = []


def announce_compiling(say: Callable[[str], object]) -> None:
    """Tell the user, once per process, that the first run of this version compiles; silent when it need not."""
    if not _announced and not is_warm():
        _announced.append(f"Compiling the kernel rules: once for this version, kept in {numba.config.CACHE_DIR}")
        say(_announced[0])


def rule(function: F) -> F:
    """Mark `function` as a rule on the state arrays: compiled by numba, cached between processes."""
    if not COMPILED:
        return function
    return numba.njit(cache=True, error_model="numpy", boundscheck=False, no_cfunc_wrapper=True)(function)  # type: ignore[no-any-return]


def part(function: F) -> F:
    """Mark `function` as a piece of a rule, put into its callers before they are compiled.

    Every rule has a compilation and a Python entry of its own, and each level of calls is optimised again with all
    that is below it; so small rules, and rules with one caller, compile faster as parts.
    """
    if not COMPILED:
        return function
    return numba.njit(inline="always", error_model="numpy", boundscheck=False)(function)  # type: ignore[no-any-return]


class entry:  # noqa: N801 - used like a function
    """Call a rule from Python without numba's type dispatch.

    The first call compiles (or loads) the rule for the types of its arguments; every later call goes straight to
    the compiled entry point, so all calls must pass the same types as the first (ints stay ints).

    Examples
    --------
    >>> free = entry(some_rule)     # doctest: +SKIP
    >>> free(k, 17)                 # doctest: +SKIP
    >>> free.call(k, 17)            # the same, 0.2 us faster: for calls in their millions; doctest: +SKIP
    """

    __slots__ = ("_function", "call")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.call: Callable[..., Any] = self._first_call if COMPILED else function

    def __call__(self, *args: Any) -> Any:
        """Call the rule."""
        return self.call(*args)

    def _first_call(self, *args: Any) -> Any:
        dispatcher: Any = self._function
        signature = tuple(numba.typeof(a) for a in args)
        dispatcher.compile(signature)
        self.call = dispatcher.overloads[signature].entry_point
        return self.call(*args)
