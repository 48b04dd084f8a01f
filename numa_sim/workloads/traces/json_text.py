"""JSON read piece by piece: what is too large to be held stands in the file, plain or compressed with zlib."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

from numa_sim.errors import TraceFormatError

_BLOCK = 1 << 16
_MOST_AT_ONCE = 1 << 22
_LARGEST = 1 << 26
"""Characters of the largest value that is taken as a whole."""
_CUT = 4096
"""An error so near the end of what has been read may be one of a value cut in two."""
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonText:
    """A JSON text walked through from its beginning: objects and arrays are entered, smaller values taken as a whole.

    Use it in a ``with`` statement.  Whoever enters an array or an object must take every element, or value, of it.

    Parameters
    ----------
    path : Path
        UTF-8 text, or such text compressed with zlib.

    Raises
    ------
    TraceFormatError
        Here and by every method: the text is none, or ends too soon; with the number of the character, or byte.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._at = 0
        self._dropped = 0
        self._bytes = 0
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._inflater: Any = None
        self._decoder = json.JSONDecoder(parse_constant=self._no_constant)
        self._ended = False
        try:
            self._file: IO[bytes] = path.open("rb")
        except (OSError, ValueError) as problem:
            raise TraceFormatError(path, "", f"cannot be read: {getattr(problem, 'strerror', problem)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def refuse(self, why: str) -> NoReturn:
        """Raise the error about the place reached."""
        raise TraceFormatError(self._path, f"character {self._dropped + self._at}", why)

    def members(self) -> Iterator[str]:
        """Enter an object; yield the name of each member, whose value must then be taken."""
        self._take("{")
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            if self._peek() != '"':
                self.refuse("expected a name in double quotes")
            name = self.value()
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def elements(self) -> Iterator[int]:
        """Enter an array; yield the number of each element, which must then be taken."""
        self._take("[")
        if self._peek() == "]":
            self._at += 1
            return
        number = 0
        while True:
            yield number
            number += 1
            if self._take(",]") == "]":
                return

    def value(self) -> Any:
        """Take one value as a whole."""
        if not self._peek():
            self.refuse("ends too soon")
        wanted = 0
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more(wanted):  # a number may go on
                    self._at = end
                    return value
            except json.JSONDecodeError as problem:
                cut = problem.pos > len(self._text) - _CUT or problem.msg.startswith("Unterminated")
                if len(self._text) - self._at > _LARGEST:
                    self.refuse(f"a value longer than {_LARGEST} characters")
                if not cut or not self._more(wanted):
                    self._at = problem.pos
                    self.refuse(f"is no JSON: {problem.msg}")
            except (ValueError, RecursionError) as problem:
                self.refuse(f"is no JSON: {'nested too deeply' if isinstance(problem, RecursionError) else problem}")
            wanted = len(self._text) - self._at  # twice as much each time

    def end(self) -> None:
        """Nothing may follow."""
        if self._peek():
            self.refuse("text behind the end")

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(0):
                return ""

    def _take(self, characters: str) -> str:
        found = self._peek()
        if not found or found not in characters:
            self.refuse(f"expected {' or '.join(characters)}, found {repr(found) if found else 'the end'}")
        self._at += 1
        return found

    def _more(self, wanted: int) -> bool:
        """Read on, at least `wanted` characters if there are as many; False at the end."""
        parts = []
        length = 0
        while not self._ended and (length == 0 or length < wanted):
            part = self._read()
            parts.append(part)
            length += len(part)
        if length:
            self._text = self._text[self._at :] + "".join(parts)
            self._dropped += self._at
            self._at = 0
        return length > 0

    def _read(self) -> str:
        """The next piece of text, which may be empty before the end."""
        at = self._bytes
        try:
            data = self._file.read(_BLOCK)
            self._bytes += len(data)
            if at == 0 and data[:1] == b"\x78" and int.from_bytes(data[:2], "big") % 31 == 0:
                self._inflater = zlib.decompressobj()
            if self._inflater is None:
                self._ended = not data
            else:
                data = self._inflate(data)
            return self._utf8.decode(data, final=self._ended)
        except OSError as problem:
            raise TraceFormatError(self._path, f"byte {at}", f"cannot be read: {problem.strerror}") from None
        except zlib.error as problem:
            raise TraceFormatError(self._path, f"byte {at}", f"cannot be decompressed: {problem}") from None
        except UnicodeDecodeError as problem:
            raise TraceFormatError(self._path, f"byte {at}", f"is no UTF-8 text: {problem.reason}") from None

    def _inflate(self, data: bytes) -> bytes:
        """Decompress, no more than `_MOST_AT_ONCE`: a small file can hold more than the memory does."""
        kept = self._inflater.unconsumed_tail
        if not data and not kept:
            if not self._inflater.eof:
                raise TraceFormatError(self._path, f"byte {self._bytes}", "compressed data are cut short")
            self._ended = True
        text: bytes = self._inflater.decompress(kept + data, _MOST_AT_ONCE)
        if self._inflater.unused_data:
            raise TraceFormatError(self._path, f"byte {self._bytes}", "data behind the compressed text")
        return text

    def _no_constant(self, name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")
