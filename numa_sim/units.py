"""Exact quantities: bytes, nanoseconds, bytes per second and pages, as plain ints.

Everything numa_sim computes with is a whole number of the base unit in an ``int64``; text with a unit
(``"64GiB"``, ``"1.5us"``, ``"100GB/s"``) exists only at the border.  Parsing is exact (`fractions.Fraction`, no
floats): a text that is not a whole number of base units is refused instead of rounded, and
``parse(format(x)) == x`` for every allowed ``x``.  All functions here raise `ValueError` (wrong value) or `TypeError`
(wrong type) with a text meant for the user; callers add the file and path.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, TypeAlias

__all__ = [
    "PAGE_BYTES",
    "Bytes",
    "BytesPerSecond",
    "GiB",
    "KiB",
    "MiB",
    "Ns",
    "Pages",
    "TiB",
    "check_bandwidth",
    "check_bytes",
    "check_ns",
    "check_pages",
    "format_bandwidth",
    "format_bytes",
    "format_ns",
    "format_pages",
    "parse_bandwidth",
    "parse_bytes",
    "parse_ns",
    "parse_pages",
]

Bytes: TypeAlias = int
Ns: TypeAlias = int
BytesPerSecond: TypeAlias = int
Pages: TypeAlias = int

KiB: Final = 1 << 10
MiB: Final = 1 << 20
GiB: Final = 1 << 30
TiB: Final = 1 << 40
PAGE_BYTES: Final = 4096
"""Bytes per page frame on i386 and x86-64."""

LARGEST: Final = (1 << 63) - 1
"""Largest quantity: the state arrays hold 64-bit signed integers."""

_BINARY: Final = {"B": 1, "KiB": KiB, "MiB": MiB, "GiB": GiB, "TiB": TiB}
_BYTE_UNITS: Final = {**_BINARY, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TIME_UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_BANDWIDTH_UNITS: Final = {f"{unit}/s": size for unit, size in _BYTE_UNITS.items()}
_PAGE_UNITS: Final = {"pages": 1, "page": 1}

_PRINTED_TIMES: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_PRINTED_BANDWIDTHS: Final = {"TB/s": 10**12, "GB/s": 10**9, "MB/s": 10**6, "kB/s": 10**3, "B/s": 1}

_QUANTITY: Final = re.compile(r"([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)[ \t]*([^\s0-9._+-]*)", re.ASCII)
_LONGEST_TEXT: Final = 64


def _hint(unit: str, units: Mapping[str, int]) -> str:
    """Say what the user probably meant by a unit that does not exist."""
    per_second = "/s" if "B/s" in units else ""
    if not unit:
        return "a unit is missing"
    if (letter := unit.removesuffix("/s")) in ("K", "k", "M", "G", "T") and "ns" not in units:
        binary, decimal = f"{letter.upper()}iB", f"{'k' if letter in 'Kk' else letter}B"
        return f"{unit!r} alone is ambiguous: write {binary}{per_second} (binary) or {decimal}{per_second} (decimal)"
    for known in units:
        if known.lower() == unit.lower():
            return f"unknown unit {unit!r}: did you mean {known!r}?"
    return f"unknown unit {unit!r}"


def _parse(text: str, units: Mapping[str, int], base: str) -> int:
    """Return `text` as a whole number of the unit whose size is 1."""
    if not isinstance(text, str):
        raise TypeError(f"expected a text such as '1{base}', got {text!r} ({type(text).__name__})")
    stripped = text.strip()
    shown = repr(stripped if len(stripped) <= _LONGEST_TEXT else stripped[:_LONGEST_TEXT] + "...")
    allowed = f"allowed units: {', '.join(units)}"
    if stripped.startswith("-"):
        raise ValueError(f"{shown} is negative; quantities start at 0")
    match = _QUANTITY.fullmatch(stripped) if len(stripped) <= _LONGEST_TEXT else None
    if match is None:
        raise ValueError(f"{shown} is not a number with a unit ({allowed})")
    number, unit = match.groups()
    unit = unit.replace("\u00b5s", "us").replace("\u03bcs", "us")  # micro sign, Greek mu
    if unit not in units:
        raise ValueError(f"{shown}: {_hint(unit, units)} ({allowed})")
    value = Fraction(number) * units[unit]
    if value.denominator != 1:
        raise ValueError(f"{shown} is not a whole number of {base}")
    if value > LARGEST:
        raise ValueError(f"{shown} is too large; the largest quantity is {LARGEST} {base}")
    return value.numerator


def _check(value: object, name: str, base: str, least: int = 0) -> int:
    """Return `value` if it is a plain int of `least` to 2**63-1 base units."""
    # type() and not isinstance(): bool is an int, and numpy scalars overflow silently
    if type(value) is not int:
        raise TypeError(f"{name} must be a whole number of {base} (int), got {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be at least {least} {base}, got {value}")
    if value > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST} {base}, got {value}")
    return value


def _decimal(value: int, sizes: Mapping[str, int], base: str) -> str:
    """Print `value` exactly in the largest unit of powers of ten that is not larger than it."""
    for unit, size in sizes.items():
        if value >= size:
            whole, rest = divmod(value, size)
            digits = str(rest).zfill(len(str(size)) - 1).rstrip("0") if rest else ""
            return f"{whole}.{digits}{unit}" if digits else f"{whole}{unit}"
    return f"0{base}"


def parse_bytes(text: str) -> Bytes:
    """Return a memory size in bytes: ``"64GiB"`` (binary units) or ``"64GB"`` (decimal units).

    Raises
    ------
    ValueError
        Negative, not a number with a known unit (bare ``K``, ``M``, ``G`` are ambiguous and refused), not whole bytes,
        or above 2**63-1.
    TypeError
        Not a text.
    """
    return _parse(text, _BYTE_UNITS, "B")


def parse_ns(text: str) -> Ns:
    """Return a time in nanoseconds: ``"120ns"``, ``"1.5us"``, ``"30s"``, ``"5min"``, ``"1h"``.

    Raises
    ------
    ValueError, TypeError
        As `parse_bytes`.
    """
    return _parse(text, _TIME_UNITS, "ns")


def parse_bandwidth(text: str) -> BytesPerSecond:
    """Return a bandwidth in bytes per second: ``"100GB/s"`` or ``"93GiB/s"``; errors as `parse_bytes`."""
    return _parse(text, _BANDWIDTH_UNITS, "B/s")


def parse_pages(text: str, page_bytes: int = PAGE_BYTES) -> Pages:
    """Return a number of pages: ``"300pages"``, or a size such as ``"16MiB"`` that is a whole number of pages.

    Parameters
    ----------
    text : str
        The number with its unit.
    page_bytes : int
        Bytes per page, for sizes.

    Raises
    ------
    ValueError, TypeError
        As `parse_bytes`, and for a size that is not whole pages.
    """
    pages = _parse(text, {**_PAGE_UNITS, **_BYTE_UNITS}, "pages")
    if text.strip().endswith(("page", "pages")):
        return pages
    if pages % page_bytes:
        raise ValueError(f"{text.strip()!r} is not a whole number of pages of {page_bytes} B")
    return pages // page_bytes


def format_bytes(value: Bytes) -> str:
    """Print bytes exactly as a whole number of the largest binary unit that fits: ``65536`` is ``"64KiB"``."""
    _check(value, "value", "B")
    unit, size = max(((u, s) for u, s in _BINARY.items() if value % s == 0), key=lambda item: item[1])
    return f"{value // size}{unit}" if value else "0B"


def format_ns(value: Ns) -> str:
    """Print nanoseconds exactly in the largest unit up to seconds: ``1500`` is ``"1.5us"``."""
    return _decimal(_check(value, "value", "ns"), _PRINTED_TIMES, "ns")


def format_bandwidth(value: BytesPerSecond) -> str:
    """Print bytes per second exactly in decimal units: ``100_000_000_000`` is ``"100GB/s"``."""
    return _decimal(_check(value, "value", "B/s"), _PRINTED_BANDWIDTHS, "B/s")


def format_pages(value: Pages) -> str:
    """Print a number of pages: ``300`` is ``"300pages"``."""
    return f"{_check(value, 'value', 'pages')}pages"


def check_ns(value: object, name: str) -> Ns:
    """Return `value` if it is a time in ns: a plain ``int`` of 0 to 2**63-1.

    The border check of the simulated clock: SimPy itself accepts NaN, floats and numpy scalars.

    Parameters
    ----------
    value : object
        What was given.
    name : str
        How to call it in the message.

    Raises
    ------
    TypeError
        A bool, float (NaN too), numpy scalar or anything else that is not an ``int``.
    ValueError
        Negative or above 2**63-1.
    """
    return _check(value, name, "ns")


def check_bytes(value: object, name: str) -> Bytes:
    """Return `value` if it is a size in bytes; errors as `check_ns`."""
    return _check(value, name, "B")


def check_pages(value: object, name: str) -> Pages:
    """Return `value` if it is a number of pages; errors as `check_ns`."""
    return _check(value, name, "pages")


def check_bandwidth(value: object, name: str) -> BytesPerSecond:
    """Return `value` if it is a bandwidth in bytes per second, at least 1; errors as `check_ns`."""
    return _check(value, name, "B/s", least=1)
