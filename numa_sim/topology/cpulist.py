"""CPU and node lists as Linux prints them (``"0-7,16-23"``) and as hwloc does (``"0xffffffff,0x000000ff"``)."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

MAX_NUMBER: Final = 1 << 16
"""Numbers from here on are refused: no machine has them, and a typo must not eat all memory."""

_RANGE: Final = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?", re.ASCII)
_WORD: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{1,8})?", re.ASCII)


def parse_list(text: str) -> tuple[int, ...]:
    """Return the numbers of a Linux list such as ``"0-3,8"``, ascending; an empty text is the empty list.

    Raises
    ------
    ValueError
        Not such a list, a range that runs backwards, a number named twice, or a number of 65536 or more.
    """
    numbers: list[int] = []
    for part in text.strip().split(",") if text.strip() else []:
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is neither a number nor a range such as 0-7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"range {part.strip()!r} runs backwards")
        if last >= MAX_NUMBER:
            raise ValueError(f"number {last} is too large (at most {MAX_NUMBER - 1})")
        numbers.extend(range(first, last + 1))
    numbers.sort()
    for a, b in pairwise(numbers):
        if a == b:
            raise ValueError(f"number {a} is named twice")
    return tuple(numbers)


def format_list(numbers: Iterable[int]) -> str:
    """Print numbers as Linux does: ``(0, 1, 2, 5)`` is ``"0-2,5"``."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_mask(text: str) -> tuple[int, ...]:
    """Return the bits set in a mask of 32-bit hexadecimal words, the most significant word first, ascending.

    Both forms in use are read: hwloc's (``"0x1,0xffffffff"``, an empty word is zero) and sysfs ``cpumap``'s
    (``"1,ffffffff"``).

    Raises
    ------
    ValueError
        Not such a mask, an infinite one (``"0xf...f"``), or more than 65536 bits.
    """
    if "0xf...f" in text:
        raise ValueError(f"mask {text.strip()!r} is infinite")
    words = text.strip().split(",")
    if len(words) * 32 > MAX_NUMBER:
        raise ValueError(f"mask has {len(words)} words (at most {MAX_NUMBER // 32})")
    value = 0
    for word in words:
        match = _WORD.fullmatch(word.strip())
        if match is None:
            raise ValueError(f"{word.strip()!r} is not a 32-bit hexadecimal word")
        value = value << 32 | int(match[1] or "0", 16)
    return tuple(bit for bit in range(value.bit_length()) if value >> bit & 1)
