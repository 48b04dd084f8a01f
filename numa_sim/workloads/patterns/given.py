"""Accesses the user supplies: arrays, or a Python generator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numa_sim.errors import ConfigError
from numa_sim.workloads.patterns.source import (
    ENDLESS,
    MAX_COMPUTE_NS,
    MAX_LINES,
    AccessSource,
    Binding,
    new_accesses,
    require,
)


class ArraySource(AccessSource):
    """Gives the records of an ACCESS array (virtual page numbers, ready made) once, in order."""

    def __init__(self, accesses: Any) -> None:
        super().__init__(len(accesses))
        self._accesses = accesses

    def _fill(self, accesses: Any) -> int:
        n = len(accesses)
        accesses[:] = self._accesses[self.given : self.given + n]
        return n


def _column(values: ArrayLike, length: int, name: str, low: int, high: int) -> Any:
    """`values` as integers of `length`, checked against `low` .. `high`."""
    column = np.asarray(values)
    if column.dtype == bool:
        column = column.astype(np.int8)
    if column.dtype.kind not in "iu" and column.size:
        raise ConfigError("", f"from_arrays.{name}", f"holds {column.dtype}", ("integers",))
    if column.ndim > 1 or (column.ndim == 1 and len(column) != length):
        raise ConfigError("", f"from_arrays.{name}", f"has shape {column.shape}", (f"one number, or {length}",))
    if column.size:
        least, most = int(column.min()), int(column.max())
        require(low <= least, f"from_arrays.{name}", f"{least}", f"{low} to {high}")
        require(most <= high, f"from_arrays.{name}", f"{most}", f"{low} to {high}")
    return column


@dataclass(frozen=True, slots=True, eq=False)
class from_arrays:  # noqa: N801 - patterns read like the functions users call
    """Touch the pages of an array, in its order.

    What the arrays say replaces the `write`, `lines` and `compute` of the touch where given.  Default length: the
    array once; more accesses than that are not made.

    Parameters
    ----------
    pages : array of int
        Pages counted from the start of what is touched.
    writes, lines, compute_ns : int or array of int, optional
        Read 0 or write 1; cache lines 1 to 64; ns before the access.
    """

    pages: ArrayLike
    writes: ArrayLike | None = None
    lines: ArrayLike | None = None
    compute_ns: ArrayLike | None = None

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of the arrays' accesses; every page must lie inside `binding`."""
        pages = np.asarray(self.pages)
        require(pages.ndim == 1, "from_arrays.pages", f"shape {pages.shape}", "one dimension")
        n = len(pages)
        wanted = n if binding.accesses is None else min(n, binding.accesses)
        out = new_accesses(n)
        out.vpn = binding.start_vpn + _column(pages, n, "pages", 0, binding.pages - 1).astype(np.int64)
        if self.writes is not None:
            out.write = _column(self.writes, n, "writes", 0, 1)
        elif 0.0 < binding.write < 1.0:
            out.write = binding.rng.random(n) < binding.write
        else:
            out.write = int(binding.write)
        out.lines = binding.lines if self.lines is None else _column(self.lines, n, "lines", 1, MAX_LINES)
        out.compute_ns = (
            binding.compute_ns
            if self.compute_ns is None
            else _column(self.compute_ns, n, "compute_ns", 0, MAX_COMPUTE_NS)
        )
        return ArraySource(out[:wanted])


class _Generated(AccessSource):
    def __init__(self, binding: Binding, items: Iterator[Any]) -> None:
        super().__init__(ENDLESS if binding.accesses is None else binding.accesses)
        self._binding = binding
        self._items = items

    def _fill(self, accesses: Any) -> int:
        b = self._binding
        done = 0
        for item in self._items:
            page, write, lines = item if isinstance(item, tuple) else (item, int(b.write), b.lines)
            number = self.given + done
            require(0 <= page < b.pages, f"access {number}", f"page {page}", f"0 to {b.pages - 1}")
            require(1 <= lines <= MAX_LINES, f"access {number}", f"{lines} cache lines", f"1 to {MAX_LINES}")
            accesses[done] = (b.start_vpn + page, b.compute_ns, lines, 1 if write else 0)
            done += 1
            if done == len(accesses):
                break
        return done


@dataclass(frozen=True, slots=True)
class from_generator:  # noqa: N801 - patterns read like the functions users call
    """Touch what a Python generator yields (about 1 us an access; arrays are a hundred times quicker).

    Parameters
    ----------
    function : callable
        Takes the touch's random `Generator`, yields ``(page, write, lines)`` tuples or bare page numbers, pages
        counted from the start of what is touched.  It is asked ahead of time, a buffer at once: it must not depend
        on what the simulation does meanwhile.
    """

    function: Callable[[np.random.Generator], Iterable[Any]]

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of what the generator yields."""
        return _Generated(binding, iter(self.function(binding.rng)))
