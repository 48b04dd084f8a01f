"""Where compiled rules are kept between processes, and under which name, so that stale code is never met.

A rule's machine code depends on its own text, on the text of what is put into it (`numa_sim.compiled.part`, short
rules), on the constants they name, on the layout of the arrays they name, and on the signatures of the rules they
call; on nothing else.  All of that goes into the name of its file.  So an edit of one rule compiles one rule again.
"""

from __future__ import annotations

import contextlib
import dis
import hashlib
import os
import pickle
import sys
import time
import types
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

_KEPT_SECONDS = 30 * 24 * 3600
_DAY_SECONDS = 24 * 3600
_PACKAGE = Path(__file__).parent
_LOAD_GLOBAL, _EXTENDED_ARG = dis.opmap["LOAD_GLOBAL"], dis.opmap["EXTENDED_ARG"]
_FOUNDATION = ("compiled.py", "rule_cache.py", "rule_calls.py", "state/handle.py")

state_layout: Callable[[], dict[str, str]] = dict
"""What machine code knows of each state array, by name; `numa_sim.state.handle` says it."""

symbols: set[str] = set()
"""Symbols of the rules whose machine code is in this process."""


def cache_folder() -> Path:
    """Folder of the compiled code: ``$NUMA_SIM_CACHE``, or ``numa_sim`` in the user's cache folder."""
    if chosen := os.environ.get("NUMA_SIM_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "numa_sim"


@cache
def foundation() -> str:
    """What all compiled code depends on: versions, this CPU, and how rules are compiled at all."""
    said = hashlib.sha256(
        repr((sys.version, numba.__version__, cpu_target.target_context.codegen().magic_tuple())).encode()
    )
    for name in _FOUNDATION:
        said.update((_PACKAGE / name).read_bytes())
    return said.hexdigest()[:16]


def named(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of every global and closed-over variable that the text of `function` uses.

    Of a module, also those of its members that the text names anywhere: ``vmscan.reclaim_run``.
    """
    if function.__closure__:
        cells = zip(function.__code__.co_freevars, function.__closure__, strict=True)
        yield from ((name, cell.cell_contents) for name, cell in cells)
    attributes = sorted({name for code in _codes(function.__code__) for name in code.co_names})
    for name in sorted({name for code in _codes(function.__code__) for name in _globals_loaded(code)}):
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        yield name, value
        if isinstance(value, types.ModuleType):
            members = vars(value)
            yield from ((f"{name}.{member}", members[member]) for member in attributes if member in members)


def _globals_loaded(code: types.CodeType) -> Iterator[str]:
    """Names of the globals that `code` loads (``co_names`` has those of attributes too)."""
    high = 0
    for operation, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = high | low
        high = argument << 8 if operation == _EXTENDED_ARG else 0
        if operation == _LOAD_GLOBAL:
            yield code.co_names[argument >> 1]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def text_of(function: Callable[..., Any]) -> list[Any]:
    """What the text of `function` means to the compiler: its code and constants, without comments and places."""
    said: list[Any] = [function.__qualname__]
    for code in _codes(function.__code__):
        constants = [c for c in code.co_consts if not isinstance(c, types.CodeType)]
        constants = [sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in constants]
        said.append((code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars))
    return said


def embedded(value: Any) -> Callable[..., Any] | None:
    """The function whose text is put into callers of `value`; None if it is not such a thing."""
    if isinstance(value, Dispatcher):
        return value.py_func  # type: ignore[no-any-return]
    if getattr(value, "is_rule", False) and value.is_short:
        return value.function  # type: ignore[no-any-return]
    return None


def digest(function: Callable[..., Any]) -> str:
    """Hex digest of everything the machine code of `function` depends on."""
    said: list[Any] = [foundation()]
    seen: set[int] = set()

    def add(function: Callable[..., Any]) -> None:
        if id(function) in seen:
            return
        seen.add(id(function))
        said.append(text_of(function))
        layout = state_layout()
        said.append([layout[name] for code in _codes(function.__code__) for name in code.co_names if name in layout])
        for name, value in named(function):
            inner = embedded(value)
            said.append((name, _meaning(value)))
            if inner is not None:
                add(inner)

    add(function)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def _meaning(value: Any) -> str:
    """What a caller's machine code takes over from a global: a constant's value, a rule's symbol."""
    if isinstance(value, (bool, int, float, str, bytes, tuple)):
        return repr(value)
    if getattr(value, "is_rule", False):
        return f"{value.symbol} {value.is_short}"
    if isinstance(value, (Dispatcher, types.ModuleType, types.BuiltinFunctionType)):
        return str(getattr(value, "__name__", ""))
    return _source_digest(getattr(value, "__module__", None) or type(value).__module__)


@cache
def _source_digest(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not Path(file).is_relative_to(_PACKAGE):
        return module
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _file(function: Callable[..., Any], arguments: Any, variant: str) -> Path:
    key = hashlib.sha256(f"{digest(function)} {arguments} {variant}".encode()).hexdigest()[:24]
    return (
        cache_folder() / "rules" / f"{function.__module__}.{function.__qualname__}-{key}.nbc".replace("<locals>.", "")
    )


def load(function: Callable[..., Any], arguments: Any, variant: str) -> Any:
    """The compiled rule kept for these argument types, or None; nor one that calls what is not in this process."""
    file = _file(function, arguments, variant)
    try:
        kept = file.read_bytes()
    except OSError:
        return None
    _mark_used(file)
    try:
        called, counts_references, payload = pickle.loads(kept)
    except Exception:  # a file cut short by a full disk can raise nearly anything
        return None
    if not symbols.issuperset(called):
        return None  # a symbol that is missing would end the process
    if counts_references:
        rtsys.initialize(cpu_target.target_context)
    # The context is not refreshed, as it is before compiling: nothing is left to be looked up in what is compiled, and
    # all of numba's array functions (and scipy, for some of them) would be imported for it.
    return CompileResult._rebuild(cpu_target.target_context, *payload)


def save(function: Callable[..., Any], arguments: Any, variant: str, compiled: Any) -> None:
    """Keep a compiled rule; where nothing can be written it lasts for this process."""
    file = _file(function, arguments, variant)
    unfinished = file.with_suffix(f".{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        _drop_old(file.parent)
        outside = [f.name for f in compiled.library._final_module.functions if f.is_declaration]
        called = [name for name in outside if name in symbols]
        counts_references = any(name.startswith("NRT_") for name in outside)
        unfinished.write_bytes(dumps((called, counts_references, compiled._reduce())))
        unfinished.replace(file)


def _mark_used(file: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - file.stat().st_mtime > _DAY_SECONDS:
            os.utime(file)


@cache
def _drop_old(folder: Path) -> None:
    """Remove what nobody has used for a month; once per process that compiles."""
    for file in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > _KEPT_SECONDS:
                file.unlink()


def _say_on_stderr(message: str) -> None:
    sys.stderr.write(message + "\n")


_teller: Callable[[str], object] = _say_on_stderr
_told = False


def announce_compiling(say: Callable[[str], object]) -> Callable[[str], object]:
    """Have `say` tell the user when the first rule must be compiled, once per process; silent when none must.

    Returns
    -------
    callable
        Who would have told until now; at first a line on stderr.
    """
    global _teller
    before, _teller = _teller, say
    return before


def about_to_compile() -> None:
    """Say, the first time, that rules are being compiled."""
    global _told
    if not _told:
        _told = True
        _teller(f"Compiling the kernel rules: once for this version, kept in {cache_folder()}")
