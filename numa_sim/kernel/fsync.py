"""fsync(2): everything dirty of a file goes to its disk (fs/buffer.c, mm/filemap.c @2.4.37, spec 9.1).

Two kinds of dirt: pages marked DIRTY by who mapped them (on the mapping's dirty list), and buffers dirtied by write(2)
(on the inode's dirty_buffers).  `fdatasync` starts all writes, `fdatawait` waits for them.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.bdflush import NRSYNC, filemap_fdatasync_some
from numa_sim.kernel.buffer import write_buffer
from numa_sim.kernel.filemap import move_to_page_list, node_of
from numa_sim.kernel.read_write import GO_ON, wait_on_page
from numa_sim.state.answers import FILE_DONE
from numa_sim.state.constants import BUFFERS_BUSY, BUFFERS_DIRTY, CLEAN_PAGES, DIRTY_PAGES, LOCKED_PAGES, NIL, PG_locked
from numa_sim.state.counters import FSYNC_WRITES
from numa_sim.state.event_codes import EV_FSYNC
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

_WRITE_PAGES = 0
_WRITE_BUFFERS = 1
_WAIT_FOR_BUFFERS = 2
_WAIT_FOR_PAGES = 3
"""Values of ``file_stage``."""


@part
def _write_pages(k: Kernel, t: int, mapping: int) -> int:
    """Start writing the DIRTY pages, some at a time (filemap_fdatasync)."""
    if filemap_fdatasync_some(k, mapping, NRSYNC, FSYNC_WRITES) == NRSYNC:
        return GO_ON
    pfn = k.mappings[mapping].pages_tail[DIRTY_PAGES]
    if pfn != NIL and k.pages[pfn].flags & PG_locked != 0:
        return wait_on_page(k, t, pfn)
    if pfn == NIL:
        k.tasks[t].file_stage = _WRITE_BUFFERS
    return GO_ON


@part
def _write_buffers(k: Kernel, t: int, mapping: int) -> int:
    """Start writing the file's dirty buffers, some at a time (fsync_inode_data_buffers)."""
    pfn = k.mappings[mapping].dirty_buffers_head + 0
    started = 0
    while pfn != NIL and started < NRSYNC:
        behind = k.buffers[pfn].b_inode_next + 0
        if k.pages[pfn].buffers == BUFFERS_DIRTY:
            write_buffer(k, pfn, 0)
            count(k, node_of(k, pfn), FSYNC_WRITES, 1)
            started += 1
        pfn = behind
    if started < NRSYNC:
        k.tasks[t].file_stage = _WAIT_FOR_BUFFERS
    return GO_ON


@part
def _wait_for_buffers(k: Kernel, t: int, mapping: int) -> int:
    """Wait for the file's buffers under I/O, whoever started it."""
    pfn = k.mappings[mapping].dirty_buffers_head + 0
    while pfn != NIL:
        if k.pages[pfn].buffers >= BUFFERS_BUSY:
            return wait_on_page(k, t, pfn)
        pfn = k.buffers[pfn].b_inode_next + 0
    k.tasks[t].file_stage = _WAIT_FOR_PAGES
    return GO_ON


@part
def _wait_for_pages(k: Kernel, t: int, mapping: int) -> int:
    """Back to the clean list with the pages sent off, each after its write (filemap_fdatawait)."""
    while True:
        pfn = k.mappings[mapping].pages_head[LOCKED_PAGES] + 0
        if pfn == NIL:
            return FILE_DONE
        if k.pages[pfn].flags & PG_locked != 0:
            return wait_on_page(k, t, pfn)
        move_to_page_list(k, pfn, CLEAN_PAGES)


@rule
def fsync_step(k: Kernel, t: int, mapping: int) -> int:
    """One step of fsync: GO_ON, FILE_WAIT or FILE_DONE."""
    stage = k.tasks[t].file_stage
    if stage == _WRITE_PAGES:
        return _write_pages(k, t, mapping)
    if stage == _WRITE_BUFFERS:
        return _write_buffers(k, t, mapping)
    if stage == _WAIT_FOR_BUFFERS:
        return _wait_for_buffers(k, t, mapping)
    answer = _wait_for_pages(k, t, mapping)
    if answer == FILE_DONE:
        log_event(k, EV_FSYNC, mapping, 0)
    return answer
