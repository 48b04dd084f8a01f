"""Arrow arrays made from their buffers.

``pyarrow.array`` and ``pyarrow.parquet.read_table`` import pandas, if it is installed, only to ask whether something is
one of its types; that takes half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

__all__ = ["arrow_array", "arrow_type"]

_NOTHING: Final = {"int": 0, "float": 0.0, "bool": False, "text": ""}
_TYPES: Final = {"int": "int64", "float": "float64", "bool": "bool_", "text": "string"}


def arrow_type(kind: str) -> Any:
    """Arrow type of a kind of values: int, float, bool or text."""
    import pyarrow as pa

    return getattr(pa, _TYPES[kind])()


def arrow_array(kind: str, values: Sequence[Any]) -> Any:
    """Arrow array of Python values of one kind; None becomes null."""
    import pyarrow as pa

    known = np.array([value is not None for value in values], bool)
    filled: list[Any] = [_NOTHING[kind] if value is None else value for value in values]
    if kind == "text":
        texts = [text.encode() for text in filled]
        ends = np.cumsum([0, *map(len, texts)]).astype(np.int32)
        buffers = [pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    elif kind == "bool":
        buffers = [pa.py_buffer(np.packbits(np.array(filled, bool), bitorder="little"))]
    else:
        buffers = [pa.py_buffer(np.array(filled, np.int64 if kind == "int" else np.float64))]
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(arrow_type(kind), len(filled), [valid, *buffers])
