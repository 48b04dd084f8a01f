"""Reader of CSV traces: one access or run per row.

Columns, in any order: ``page`` (page number) or ``address`` (bytes), decimal or ``0x`` hexadecimal; ``op`` (r, w, x,
read, write, load, store, fetch; absent = read); ``count`` or ``lines`` (accesses of the run, absent = 1).  The first
row names them, unless the names are given.  Other columns are ignored.  Mappings are not recorded: see `GrowingMap`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from numa_sim.errors import TraceFormatError
from numa_sim.state.constants import PAGE_SHIFT
from numa_sim.workloads.traces.growing_map import GrowingMap
from numa_sim.workloads.traces.items import (
    CHUNK,
    EXECUTE,
    MAX_COUNT,
    READ,
    USER_PAGES,
    WRITE,
    Item,
    Runs,
    touching_flags,
)

OPERATIONS = {
    "r": READ, "read": READ, "l": READ, "load": READ,
    "w": WRITE, "write": WRITE, "s": WRITE, "store": WRITE,
    "m": READ | WRITE, "modify": READ | WRITE,
    "x": EXECUTE, "i": EXECUTE, "fetch": EXECUTE,
}  # fmt: skip
COLUMNS = ("page", "address", "op", "count", "lines")
_LONGEST_NUMBER = 24


def read_csv(path: Path, *, instructions: bool = True, columns: Sequence[str] | None = None) -> Iterator[Item]:
    """Yield mappings and runs of a CSV trace.

    Parameters
    ----------
    path : Path
        UTF-8 text (bytes that are none are refused only in the columns used).
    instructions : bool
        Whether rows with op x will be replayed.
    columns : sequence of str, optional
        Names of the columns; then the file has no header row.

    Raises
    ------
    TraceFormatError
        With the number of the first line that cannot be read.
    """
    mappings = GrowingMap(touching_flags(instructions))
    rows: list[tuple[int, int, int]] = []
    for row in _rows(path, columns):
        rows.append(row)
        if len(rows) == CHUNK:
            yield from _chunk(mappings, rows)
            rows = []
    if rows:
        yield from _chunk(mappings, rows)


def _chunk(mappings: GrowingMap, rows: list[tuple[int, int, int]]) -> Iterator[Item]:
    vpn, count, flags = zip(*rows, strict=True)
    runs = Runs(np.array(vpn, np.int64), np.array(count, np.int64), np.array(flags, np.uint8))
    yield from mappings.observe(runs)
    yield runs


def _rows(path: Path, columns: Sequence[str] | None) -> Iterator[tuple[int, int, int]]:
    """Page, count and flags of each row."""
    line = 0
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            fields = None if columns is None else _Fields(path, columns, 0)
            while (row := next(reader, None)) is not None:
                line = reader.line_num
                if not row:
                    continue
                if fields is None:
                    fields = _Fields(path, row, line)
                else:
                    yield fields.read(row, line)
    except OSError as problem:
        raise TraceFormatError(path, "", f"cannot be read: {problem.strerror}") from None
    except csv.Error as problem:
        raise TraceFormatError(path, f"line {line + 1}", f"is no CSV text: {problem}") from None


class _Fields:
    """Where each column stands."""

    def __init__(self, path: Path, names: Sequence[str], line: int) -> None:
        self._path = path
        known = [name.strip().lower() for name in names]
        self._width = len(known)
        at = {name: known.index(name) for name in COLUMNS if name in known}
        twice = [name for name in at if known.count(name) > 1]
        if twice or ("page" in at) == ("address" in at) or ("count" in at and "lines" in at):
            what = f"column {twice[0]!r} stands twice" if twice else f"columns {', '.join(known)[:200]!r}"
            rule = "exactly one of page and address is needed; op and one of count and lines are optional"
            raise TraceFormatError(path, f"line {line}", f"{what}: {rule}")
        self._shift = PAGE_SHIFT if "address" in at else 0
        self._place = at.get("page", at.get("address", 0))
        self._op = at.get("op")
        self._count = at.get("count", at.get("lines"))

    def read(self, row: list[str], line: int) -> tuple[int, int, int]:
        """Page, count and flags of `row`."""
        if len(row) != self._width:
            raise TraceFormatError(self._path, f"line {line}", f"has {len(row)} columns, not {self._width}")
        place = self._number(row[self._place], line, 0, (USER_PAGES << self._shift) - 1)
        count = 1 if self._count is None else self._number(row[self._count], line, 1, MAX_COUNT)
        flags = READ
        if self._op is not None:
            op = OPERATIONS.get(row[self._op].strip().lower())
            if op is None:
                allowed = ", ".join(OPERATIONS)
                raise TraceFormatError(self._path, f"line {line}", f"op {row[self._op][:40]!r} is not one of {allowed}")
            flags = op
        return place >> self._shift, count, flags

    def _number(self, text: str, line: int, low: int, high: int) -> int:
        text = text.strip()
        digits = text[2:] if text[:2].lower() == "0x" else text
        try:
            if not digits.isalnum() or not digits.isascii() or len(digits) > _LONGEST_NUMBER:
                raise ValueError
            value = int(digits, 10 if digits is text else 16)
        except ValueError:
            raise TraceFormatError(self._path, f"line {line}", f"{text[:40]!r} is no number") from None
        if not low <= value <= high:
            raise TraceFormatError(self._path, f"line {line}", f"{value} is not {low} to {high}")
        return value
