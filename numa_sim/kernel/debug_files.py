"""What must always be true of files' pages: their lists, buffers and hash (see `numa_sim.kernel.debug_vm`)."""

from __future__ import annotations

from typing import Final

import numpy as np

from numa_sim.compiled import rule
from numa_sim.kernel.debug_problems import (
    BUFFER_COUNTERS,
    BUFFER_LIST,
    GAUGES,
    INODE_QUEUE,
    NOT_ON_LRU,
    PAGE_HASH,
    PAGE_LIST,
)
from numa_sim.kernel.filemap import find_page
from numa_sim.state.constants import (
    BUF_CLEAN,
    BUF_DIRTY,
    BUFFERS_DIRTY,
    BUFFERS_NONE,
    BUFFERS_REDIRTIED,
    DIRTY_PAGES,
    KERNEL_2_2,
    KIND_INODE,
    NIL,
    NR_BUFFER_LISTS,
    NR_PAGE_LISTS,
    PG_active,
    PG_dirty,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_locked,
    PG_lru,
)
from numa_sim.state.counters import NR_DIRTY, NR_FILE_PAGES
from numa_sim.state.kernel import Kernel

_ANY_LRU: Final = PG_lru | PG_active | PG_inactive_dirty | PG_inactive_clean


@rule
def _being_stripped(k: Kernel, pfn: int) -> bool:
    """Whether a task sleeps on the page's buffers: page_launder @2.4.0 holds it locked and off the lists meanwhile."""
    for t in range(k.tasks.shape[0]):
        if k.tasks[t].launder_stripping != 0 and k.tasks[t].wait_pfn == pfn:
            return k.pages[pfn].flags & PG_locked != 0
    return False


@rule
def _check_page_list(k: Kernel, mapping: int, which: int, seen: np.ndarray) -> tuple[int, int]:
    """One list of a file's pages: (-length, 0), or (problem, where)."""
    space = k.mappings[mapping]
    length = 0
    last = NIL
    pfn = space.pages_head[which] + 0
    while pfn != NIL:
        page = k.pages[pfn]
        misplaced = page.flags & PG_dirty != 0 and which != DIRTY_PAGES
        if page.mapping != mapping or seen[pfn] != 0 or page.list_prev != last or misplaced:
            return PAGE_LIST, pfn
        if page.flags & _ANY_LRU == 0 and k.vm[0].profile != KERNEL_2_2 and not _being_stripped(k, pfn):
            return NOT_ON_LRU, pfn
        if find_page(k, mapping, page.index) != pfn:
            return PAGE_HASH, pfn
        seen[pfn] = 1
        length += 1
        last = pfn
        pfn = page.list_next + 0
    return (-length, 0) if space.pages_tail[which] == last else (PAGE_LIST, mapping)


@rule
def _check_mapping(k: Kernel, mapping: int, seen: np.ndarray, queued: np.ndarray) -> tuple[int, int]:
    """The pages of one file are on its lists, its dirty buffers in its queue."""
    space = k.mappings[mapping]
    length = 0
    for which in range(NR_PAGE_LISTS):
        problem, where = _check_page_list(k, mapping, which, seen)
        if problem > 0:
            return problem, where
        length -= problem
    if length != space.nrpages:
        return PAGE_LIST, mapping
    pfn = space.dirty_buffers_head + 0
    while pfn != NIL:
        if k.pages[pfn].mapping != mapping or k.pages[pfn].buffers < BUFFERS_DIRTY or queued[pfn] != 0:
            return INODE_QUEUE, pfn
        queued[pfn] = 1
        pfn = k.buffers[pfn].b_inode_next + 0
    return 0, 0


@rule
def _check_buffer_lists(k: Kernel) -> tuple[int, int]:
    """The lists of buffers and their lengths."""
    for which in range(BUF_CLEAN, NR_BUFFER_LISTS):
        length = 0
        pfn = k.vm[0].buf_head[which] + 0
        while pfn != NIL:
            if k.buffers[pfn].b_list != which or k.pages[pfn].buffers == BUFFERS_NONE:
                return BUFFER_LIST, pfn
            length += 1
            pfn = k.buffers[pfn].b_next + 0
        if length != k.vm[0].nr_buffers_type[which]:
            return BUFFER_COUNTERS, which
    return 0, 0


@rule
def check_files(k: Kernel) -> tuple[int, int]:
    """Every file's pages: mapping lists, hash, LRU, buffers, gauges."""
    seen = np.zeros(k.pages.shape[0], np.int8)
    queued = np.zeros(k.pages.shape[0], np.int8)
    for mapping in range(k.mappings.shape[0]):
        if k.mappings[mapping].kind == KIND_INODE:
            problem, where = _check_mapping(k, mapping, seen, queued)
            if problem != 0:
                return problem, where
    file_pages = 0
    dirty = 0
    for pfn in range(k.pages.shape[0]):
        page = k.pages[pfn]
        if page.mapping == 0 or k.mappings[page.mapping].kind != KIND_INODE:
            continue
        if seen[pfn] == 0:
            return PAGE_LIST, pfn
        dirty_buffer = page.buffers == BUFFERS_DIRTY or page.buffers == BUFFERS_REDIRTIED
        if page.buffers != BUFFERS_NONE and dirty_buffer != (k.buffers[pfn].b_list == BUF_DIRTY):
            return BUFFER_LIST, pfn
        if dirty_buffer and queued[pfn] == 0:
            return INODE_QUEUE, pfn
        file_pages += 1
        dirty += int(dirty_buffer) + int(page.flags & PG_dirty != 0)
    if k.vmstat[:, NR_FILE_PAGES].sum() != file_pages or k.vmstat[:, NR_DIRTY].sum() != dirty:
        return GAUGES, dirty
    return _check_buffer_lists(k)
