"""Quick access to single records from Python.

``k.vm[0].now_ns`` costs two microseconds in plain Python: numpy makes a record, then a scalar.  A `Row` reads and
writes the same memory through a memoryview in a tenth of that, as Python ints.  For processes, which look at a few
fields often; compiled rules don't need it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

_WORD_BYTES = 8


@cache
def _row_class(dtype: np.dtype[Any]) -> type:
    """A class with one property per 8-byte integer field of `dtype`."""

    def accessor(at: int) -> property:
        def get(self: Any) -> int:
            return self._words[at]  # type: ignore[no-any-return]

        def put(self: Any, value: int) -> None:
            self._words[at] = value

        return property(get, put)

    body: dict[str, Any] = {"__slots__": ("_words",)}
    for name, (field, offset, *_) in (dtype.fields or {}).items():
        if field == np.dtype(np.int64):
            body[name] = accessor(offset // _WORD_BYTES)
    return type("Row", (), body)


def row(records: Any, index: int) -> Any:
    """Record `index` of a state array whose fields are 8-byte integers; nested arrays are left out.

    Examples
    --------
    >>> vm = row(k.vm, 0)      # doctest: +SKIP
    >>> vm.now_ns += 5         # doctest: +SKIP
    """
    plain = records.view(np.ndarray)
    result = _row_class(plain.dtype)()
    result._words = memoryview(plain[index : index + 1].view(np.int64))
    return result
