"""The event log as Python sees it: what happened, in order, by the names of the kernel's functions."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from numa_sim.errors import SimulationError
from numa_sim.state.event_codes import EVENTS
from numa_sim.state.kernel import Kernel

__all__ = ["OPERANDS", "Event", "recorded_events"]

_PAGE: Final = ("pfn",)
_CACHED: Final = ("pfn", "index")
_SLOT: Final = ("entry", "pfn")
_MAPPED: Final = ("vpn", "pfn")
_TASK: Final = ("task",)

OPERANDS: Final[dict[str, tuple[str, ...]]] = {
    "rmqueue": ("zone", "pfn"),
    "wakeup_kswapd": ("zone",),
    "yield": _TASK,
    "alloc_failed": ("node", "order"),
    "writepage": _PAGE,
    "try_to_release_page": ("pfn", "done"),
    "wait_on_page": _PAGE,
    "leave_page_cache": _PAGE,
    "leave_swap_cache": ("pfn", "entry"),
    "freed": _PAGE,
    "kmem_cache_reap": ("pages",),
    "shrink_dcache": ("share",),
    "shrink_icache": ("share",),
    "do_anonymous_page": _MAPPED,
    "zero_page": ("vpn",),
    "do_wp_page": _MAPPED,
    "do_swap_page": _MAPPED,
    "do_no_page": _MAPPED,
    "swap_cache_hit": _SLOT,
    "segv": ("vpn", "write"),
    "sigbus": ("vpn", "write"),
    "try_to_swap_out": _MAPPED,
    "swap_readpage": _SLOT,
    "swap_writepage": _SLOT,
    "end_swap_read": _SLOT,
    "end_swap_write": _SLOT,
    "kswapd_sleep": (),
    "kswapd_wake": ("zones",),
    "oom_kill": ("task", "count"),
    "task_start": _TASK,
    "task_exit": _TASK,
    "task_wake": ("task", "pfn"),
    "slice_end": _TASK,
    "context_switch": ("cpu", "task"),
    "flush_tlb_page": ("mm", "vpn"),
    "flush_tlb_mm": ("mm",),
    "mmap": ("vpn", "pages"),
    "munmap": ("vpn", "pages"),
    "pte_alloc": ("pfn", "row"),
    "pte_free": ("pfn", "row"),
    "bad_page": ("pfn", "kind"),
    "readpage": _CACHED,
    "write_buffer": _CACHED,
    "end_buffer_read": _CACHED,
    "end_buffer_write": _CACHED,
    "set_page_dirty": _CACHED,
    "zap_file_page": _CACHED,
    "readahead": ("index", "pages"),
    "balance_dirty": ("state", "dirty"),
    "fsync": ("file",),
    "truncate": ("file", "size"),
    "migrate_task": ("task", "cpu"),
    "send_sig": ("task", "signal"),
    "do_signal": ("task", "signal"),
    "fork": ("task", "mm"),
    "fixup": ("vpn", "write"),
    "exec": ("task", "mm"),
    "wait": ("pid", "status"),
}
"""What the operands ``a`` and ``b`` of an event are; of an event that is not here they go by those names.

Spaces are page frames (``pfn``), virtual pages (``vpn``), zones and tasks by their index, swap entries (``entry``).
"""


class Event(NamedTuple):
    """One recorded event: at simulated time `t_ns`, with `task` (its index; -1 none) the current one."""

    t_ns: int
    task: int
    name: str
    a: int
    b: int


def recorded_events(k: Kernel, *names: str) -> list[Event]:
    """Recorded events so far, in their order; of these `names` only, if there are any.

    Events are recorded up to the number ``run.record_events``; what comes later is counted and hashed only.

    Raises
    ------
    SimulationError
        If no event has such a name.

    Examples
    --------
    >>> woken, taken = recorded_events(machine.kernel, "wakeup_kswapd", "rmqueue")[:2]     # doctest: +SKIP
    """
    for name in names:
        if name not in EVENTS:
            raise SimulationError(f"no event is called {name!r}; there are {', '.join(EVENTS[1:])}")
    log: Any = k.events[: int(k.vm[0].events_used)].view(np.ndarray)
    if names:
        log = log[np.isin(log["code"], [EVENTS.index(name) for name in names])]
    columns = (log[field].tolist() for field in ("t_ns", "task", "code", "a", "b"))
    return [Event(t_ns, task, EVENTS[code], a, b) for t_ns, task, code, a, b in zip(*columns, strict=True)]
