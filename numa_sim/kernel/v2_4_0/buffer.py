"""Buffers of pages that are laundered: `try_to_free_buffers`, fs/buffer.c @2.4.0 (spec 4.6)."""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import drop_buffers, has_real_buffers, write_buffer
from numa_sim.kernel.filemap import node_of
from numa_sim.state.constants import BUFFERS_BUSY, BUFFERS_CLEAN, BUFFERS_DIRTY
from numa_sim.state.counters import RECLAIM_BUFFER_WRITES
from numa_sim.state.event_codes import EV_TRY_TO_FREE_BUFFERS
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

CLEAN_BUFFERS: Final = 0
WRITE_BUFFERS: Final = 1
WAIT_FOR_BUFFERS: Final = 2
"""How far `try_to_free_buffers` goes: no I/O; writes are started; and waited for."""


@part
def under_io(k: Kernel, pfn: int) -> bool:
    """Whether the page's buffers are being read or written."""
    return k.pages[pfn].buffers >= BUFFERS_BUSY and has_real_buffers(k, pfn)


@rule
def try_to_free_buffers(k: Kernel, pfn: int, patience: int) -> bool:
    """Strip a locked page's clean buffers and their reference; see to dirty ones as `patience` says.

    After WAIT_FOR_BUFFERS on buffers under I/O the caller sleeps, and tries again with CLEAN_BUFFERS.  Buffers that are
    nowhere on disk (replays) count as written, or waited for.
    """
    page = k.pages[pfn]
    real = has_real_buffers(k, pfn)
    if real and patience != CLEAN_BUFFERS and page.buffers == BUFFERS_DIRTY:
        count(k, node_of(k, pfn), RECLAIM_BUFFER_WRITES, 1)
        write_buffer(k, pfn, 0)
    if real:
        # On a RAM-backed disk the write is over already.
        done = page.buffers == BUFFERS_CLEAN
    else:
        done = page.buffers <= BUFFERS_CLEAN + patience
    log_event(k, EV_TRY_TO_FREE_BUFFERS, pfn, patience << 1 | done)
    if done:
        drop_buffers(k, pfn)
        page.count -= 1
    return done
