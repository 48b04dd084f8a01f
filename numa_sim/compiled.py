"""Compiled rules: one source, run by numba or, for debugging and coverage, as plain Python.

Every kernel rule and the access loop are plain functions marked ``@rule`` (or ``@part``).  With numba they compile on
first use and are kept in the user's cache folder (`numa_sim.rule_cache`).  With ``NUMBA_DISABLE_JIT=1`` the same
functions run uncompiled.

A rule whose annotations say what it takes and returns (``Kernel``, ``int``, ``bool``, ``float``; ``None`` and tuples of
``int`` as answers) is compiled exactly once; its callers only name it and call it (`numa_sim.rule_calls`).  Any other
rule (one that takes an array) is compiled again for each combination of types and put into its callers.

`entry` gives the fastest way in from Python: numba's dispatcher spends about 12 us working out types, the compiled
entry point itself about 1.5 us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from numa_sim import rule_cache
from numa_sim.rule_calls import OPTIONS, DeclaredRule, OpenRuleCache, declared_signature

F = TypeVar("F", bound=Callable[..., Any])

COMPILED: bool = not numba.config.DISABLE_JIT
"""False when ``NUMBA_DISABLE_JIT=1``: rules are then ordinary Python functions."""

cache_folder = rule_cache.cache_folder
announce_compiling = rule_cache.announce_compiling


def rule(function: F) -> F:
    """Mark `function` as a rule on the state arrays: compiled by numba, cached between processes."""
    if not COMPILED:
        return function
    if declared_signature(function) is not None:
        return DeclaredRule(function)  # type: ignore[return-value]
    dispatcher: Any = numba.njit(**OPTIONS)(function)
    dispatcher._cache = OpenRuleCache(function)
    return dispatcher  # type: ignore[no-any-return]


def part(function: F) -> F:
    """Mark `function` as a piece of rules, however long: it always goes into its callers.

    For what is called for every access, and for pieces of one rule.  One whose annotations do not declare its types
    (it takes an array) is compiled again, from its text, in every caller.
    """
    if not COMPILED:
        return function
    if declared_signature(function) is not None:
        return DeclaredRule(function, into_callers=True)  # type: ignore[return-value]
    return numba.njit(inline="always", error_model="numpy", boundscheck=False)(function)  # type: ignore[no-any-return]


class entry:  # noqa: N801 - used like a function
    """Call a rule from Python without numba's type dispatch.

    The first call compiles (or loads) the rule; every later call goes straight to the compiled entry point.  A rule
    whose annotations do not declare its types takes those of its first call: later calls must pass the same.

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
        if isinstance(function, DeclaredRule):
            function.python_calls_it = True

    def __call__(self, *args: Any) -> Any:
        """Call the rule."""
        return self.call(*args)

    def _first_call(self, *args: Any) -> Any:
        function: Any = self._function
        if isinstance(function, DeclaredRule):
            self.call = function.entry_point()
        else:
            signature = tuple(numba.typeof(a) for a in args)
            function.compile(signature)
            self.call = function.overloads[signature].entry_point
        return self.call(*args)
