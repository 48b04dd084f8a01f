"""Quick access to single records from Python.

``k.vm[0].now_ns`` costs microseconds in plain Python: numpy makes a record, then a scalar.  A row is a ctypes view of
the same memory, read and written as Python ints in some ten nanoseconds.  For processes, which look at a few fields
often; compiled rules don't need it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np


@cache
def _row_class(dtype: np.dtype[Any]) -> type[ctypes.Structure]:
    """A ctypes structure laid out as the records of `dtype`, whose fields are 8-byte integers or arrays of them."""
    fields: list[tuple[str, Any]] = []
    for name in dtype.names or ():
        field = dtype[name]
        assert field.base == np.dtype(np.int64), f"{name}: rows have 8-byte integers only"
        words = field.itemsize // field.base.itemsize
        fields.append((name, ctypes.c_int64 if field.subdtype is None else ctypes.c_int64 * words))
    made = type("Row", (ctypes.Structure,), {"_fields_": fields})
    assert ctypes.sizeof(made) == dtype.itemsize
    return made


def row(records: Any, index: int) -> Any:
    """Record `index` of a state array whose fields are 8-byte integers (or arrays of them, as flat ctypes arrays).

    The row keeps the array alive.

    Examples
    --------
    >>> vm = row(k.vm, 0)      # doctest: +SKIP
    >>> vm.now_ns += 5         # doctest: +SKIP
    """
    plain = records.view(np.ndarray)
    return _row_class(plain.dtype).from_buffer(plain[index : index + 1])
