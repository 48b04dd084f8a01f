"""Reader of ``valgrind --tool=lackey --trace-mem=yes`` text, plain or gzip.

Lines: ``I  addr,size`` (fetch), `` L addr,size`` (load), `` S addr,size`` (store), `` M addr,size`` (modify: load and
store of one place, one access that writes); address hexadecimal, size decimal.  Valgrind's own lines (``==pid==``,
``--pid--``) and empty lines are skipped.  An access across a page boundary touches every page it covers.  Accesses
that follow each other on one page become one run.  Lackey records no mappings: see `GrowingMap`.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from numa_sim.compiled import entry, rule
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
    new_runs,
    touching_flags,
)

MAX_LINE_BYTES = 4096
MAX_SIZE = 65536
"""Bytes of the largest access accepted (lackey splits at 512, but instructions such as XSAVE are longer)."""
_BLOCK_BYTES = 1 << 20

_GOOD, _NO_KIND, _NO_ADDRESS, _NO_SIZE, _TRAILING, _TOO_HIGH, _BAD_SIZE = range(7)
_MESSAGES = {
    _NO_KIND: "starts with none of I, L, S, M",
    _NO_ADDRESS: "has no hexadecimal address followed by a comma",
    _NO_SIZE: "has no decimal size",
    _TRAILING: "has text after the size",
    _TOO_HIGH: "names an address beyond user space (47 bits)",
    _BAD_SIZE: f"has a size that is not 1 to {MAX_SIZE}",
}

SPACE, COMMA, NEWLINE, RETURN, EQUALS, MINUS = 32, 44, 10, 13, 61, 45
_LETTER_I, _LETTER_L, _LETTER_M, _LETTER_S = 73, 76, 77, 83


@rule
def hex_digit(c: int) -> int:
    """Value of the hexadecimal digit with character code `c`, -1 if it is none."""
    if 48 <= c <= 57:
        return c - 48
    if 97 <= c <= 102:
        return c - 87
    if 65 <= c <= 70:
        return c - 55
    return -1


@rule
def parse_line(text: Any, at: int, end: int) -> tuple[int, int, int, int]:
    """Read the line in ``text[at:end]``.

    Returns
    -------
    tuple of int
        Error (0 = none), flags (0 = a line without an access), address, size in bytes.
    """
    while end > at and (text[end - 1] == RETURN or text[end - 1] == SPACE):
        end -= 1
    if end == at or (end - at > 1 and text[at] == text[at + 1] and (text[at] == EQUALS or text[at] == MINUS)):
        return _GOOD, 0, 0, 0
    while text[at] == SPACE:
        at += 1
    kind = text[at]
    flags = 0
    if kind == _LETTER_I:
        flags = EXECUTE
    elif kind == _LETTER_L:
        flags = READ
    elif kind == _LETTER_S:
        flags = WRITE
    elif kind == _LETTER_M:
        flags = READ | WRITE
    at += 1
    if flags == 0 or at == end or text[at] != SPACE:
        return _NO_KIND, 0, 0, 0
    while at < end and text[at] == SPACE:
        at += 1
    address, digits = 0, 0
    while at < end and hex_digit(int(text[at])) >= 0:
        address = min(address * 16 + hex_digit(int(text[at])), 1 << 58)
        digits += 1
        at += 1
    if digits == 0 or at == end or text[at] != COMMA:
        return _NO_ADDRESS, 0, 0, 0
    at += 1
    size, digits = 0, 0
    while at < end and 48 <= text[at] <= 57:
        size = min(size * 10 + int(text[at]) - 48, 1 << 30)
        digits += 1
        at += 1
    if digits == 0:
        return _NO_SIZE, 0, 0, 0
    if at < end:
        return _TRAILING, 0, 0, 0
    if size < 1 or size > MAX_SIZE:
        return _BAD_SIZE, 0, 0, 0
    if (address + size - 1) >> PAGE_SHIFT >= USER_PAGES:
        return _TOO_HIGH, 0, 0, 0
    return _GOOD, flags, address, size


@rule
def parse_lines(text: Any, at: int, stop: int, vpn: Any, count: Any, flags: Any, n: int) -> tuple[int, int, int, int]:
    """Read whole lines of ``text[at:stop]`` into runs from index `n` - 1 (the run still open) on.

    Returns
    -------
    tuple of int
        Error (0 = none), where the first line not read begins, lines read, runs.  Stops early when fewer runs are
        left than one line can need.
    """
    lines = 0
    room = len(vpn) - MAX_SIZE // 4096 - 2
    while n <= room:
        end = at
        while end < stop and text[end] != NEWLINE:
            end += 1
        if end == stop:
            break
        error, kind, address, size = parse_line(text, at, end)
        if error != _GOOD:
            return error, at, lines, n
        at = end + 1
        lines += 1
        if kind == 0:
            continue
        page = address >> PAGE_SHIFT
        while page <= (address + size - 1) >> PAGE_SHIFT:
            if n > 0 and vpn[n - 1] == page and count[n - 1] < MAX_COUNT:
                count[n - 1] += 1
                flags[n - 1] |= kind
            else:
                vpn[n] = page
                count[n] = 1
                flags[n] = kind
                n += 1
            page += 1
    return _GOOD, at, lines, n


_parse_lines = entry(parse_lines)


class _Parser:
    """Runs of a text that arrives in blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs = new_runs(CHUNK)
        self._n = 0
        self.lines = 0

    def feed(self, text: Any) -> Iterator[Runs]:
        """Read the whole lines of `text` (bytes as an array); yield full chunks of runs, the open one kept."""
        at = 0
        while True:
            error, at, lines, self._n = _parse_lines(text, at, len(text), *self._runs, self._n)
            self.lines += lines
            if error:
                raise TraceFormatError(self._path, f"line {self.lines + 1}", _MESSAGES[error])
            if self._n <= CHUNK - MAX_SIZE // 4096 - 2:
                self.rest = text[at:]
                return
            yield from self._take(self._n - 1)

    def finish(self) -> Iterator[Runs]:
        """Yield the runs that are left."""
        yield from self._take(self._n)

    def _take(self, n: int) -> Iterator[Runs]:
        full, left = self._runs, self._n - n
        self._runs = new_runs(CHUNK)
        for new, old in zip(self._runs, full, strict=True):
            new[:left] = old[n : n + left]
        self._n = left
        if n:
            yield Runs(full.vpn[:n], full.count[:n], full.flags[:n])


def read_runs(path: Path) -> Iterator[Runs]:
    """Yield the accesses of a lackey trace, without mappings."""
    parser = _Parser(path)
    rest = np.zeros(0, np.uint8)
    with _open(path) as file:
        while True:
            try:
                block = file.read(_BLOCK_BYTES)
            except (OSError, EOFError, zlib.error) as problem:
                raise TraceFormatError(path, f"after line {parser.lines}", f"cannot be read: {problem}") from None
            if not block:
                break
            yield from parser.feed(np.concatenate((rest, np.frombuffer(block, np.uint8))))
            rest = parser.rest
            if len(rest) > MAX_LINE_BYTES:
                raise TraceFormatError(path, f"line {parser.lines + 1}", f"is longer than {MAX_LINE_BYTES} bytes")
    if len(rest):
        yield from parser.feed(np.append(rest, np.uint8(NEWLINE)))
    yield from parser.finish()


def _open(path: Path) -> IO[bytes]:
    try:
        file = path.open("rb")
        magic = file.read(2)
        file.seek(0)
    except OSError as problem:
        raise TraceFormatError(path, "", f"cannot be read: {problem.strerror}") from None
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if magic == b"\x1f\x8b" else file


def read_lackey(path: Path, *, instructions: bool = True) -> Iterator[Item]:
    """Yield mappings and runs of a lackey trace.

    Parameters
    ----------
    path : Path
        Text, or gzip of it (told by its first bytes).
    instructions : bool
        Whether fetches will be replayed (else the pages of code are not mapped).

    Raises
    ------
    TraceFormatError
        With the number of the first line that cannot be read.
    """
    mappings = GrowingMap(touching_flags(instructions))
    for runs in read_runs(path):
        yield from mappings.observe(runs)
        yield runs
