"""What the spinlocks of a machine were taken and waited for."""

from __future__ import annotations

from typing import Any, Final

from numa_sim.kernel.locks import lock_name
from numa_sim.state.kernel import Kernel

__all__ = ["lock_rows"]

_COUNTED: Final = ("acquisitions", "contentions", "wait_ns", "hold_ns")


def lock_rows(k: Kernel) -> list[dict[str, Any]]:
    """Each lock that was taken: ``name``, ``acquisitions``, ``contentions`` (that waited), ``wait_ns`` and ``hold_ns``.

    The page_table_locks of all address spaces are one row.  Empty with ``kernel.switches.locks`` off.
    """
    rows: dict[str, dict[str, Any]] = {}
    for lock_id in (k.locks["acquisitions"] != 0).nonzero()[0].tolist():
        name = lock_name(k, lock_id)
        row = rows.setdefault(name, {"name": name, **dict.fromkeys(_COUNTED, 0)})
        for key in _COUNTED:
            row[key] += int(k.locks[key][lock_id])
    return list(rows.values())
