"""The wire format of protocol buffers, as much of it as a trace needs: https://protobuf.dev/programming-guides/encoding/."""

from __future__ import annotations

import struct

__all__ = ["fixed64", "message", "number", "real", "text", "varint"]

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_SMALL = tuple(bytes((value,)) for value in range(128))


def varint(value: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first; a negative one as its two's complement of 64 bits."""
    if 0 <= value < 128:
        return _SMALL[value]
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def number(field: int, value: int) -> bytes:
    """A field of type uint64, int64, bool or enum."""
    return varint(field << 3 | _VARINT) + varint(value)


def fixed64(field: int, value: int) -> bytes:
    """A field of type fixed64."""
    return varint(field << 3 | _FIXED64) + struct.pack("<Q", value)


def real(field: int, value: float) -> bytes:
    """A field of type double."""
    return varint(field << 3 | _FIXED64) + struct.pack("<d", value)


def message(field: int, content: bytes) -> bytes:
    """A field that is a message, or bytes."""
    return varint(field << 3 | _BYTES) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    """A field of type string."""
    return message(field, value.encode())
