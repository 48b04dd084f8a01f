"""read(2) and write(2): do_generic_file_read and generic_file_write of mm/filemap.c @2.4.37 (spec 9.1 to 9.3).

Both go page by page and stop where the kernel sleeps; `numa_sim.kernel.file_operations` begins them and goes on.  Where
they are is in ``tasks[t].file_*``; ``file_pfn`` is the page in hand, with a reference of its own.

What a page contains is one number.  A write makes it another, different for every write of every page
(``vm.file_writes``), from the old one unless the whole page is written.

Simplified: a write that covers a page in part reads it first like a reader, and locks it then (the kernel reads with
the page locked); inodes and block maps take no I/O.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.bdflush import balance_dirty
from numa_sim.kernel.buffer import block_read_full_page, create_empty_buffers, map_buffer, mark_buffer_dirty
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import (
    add_to_page_cache,
    find_page,
    node_of,
    note_use,
    page_cache_release,
    page_was_found,
    page_was_used,
    try_lock_page,
    unlock_page,
)
from numa_sim.kernel.pgtable import alloc_for_task
from numa_sim.kernel.readahead import file_readahead, read_ahead_go_on
from numa_sim.state.answers import ALLOC_RECLAIM, ENOMEM, ENOSPC, FILE_DONE, FILE_FAILED, FILE_RECLAIM, FILE_WAIT
from numa_sim.state.constants import GFP_HIGHUSER, NIL, PAGE_SHIFT, PAGE_SIZE, PG_locked, PG_uptodate
from numa_sim.state.counters import PAGECACHE_HIT, PAGECACHE_MISS
from numa_sim.state.event_codes import EV_FILE_READ, EV_FILE_WRITE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

STAGE_FIND = 0
"""No page in hand: look the next one up."""
STAGE_LOCK = 1
"""The page in hand must become up to date (a reader) or be locked (a writer)."""
STAGE_COPY = 2
"""The page in hand is up to date: copy from it."""
GO_ON = -1
"""What the steps here answer while there is more to do at once."""
_TAG_MASK = (1 << 48) - 1


@part
def fail(k: Kernel, t: int, error: int) -> int:
    """The operation ends with an error."""
    k.tasks[t].file_error = error
    return FILE_FAILED


@part
def wait_on_page(k: Kernel, t: int, pfn: int) -> int:
    """Hold the page and have the caller wait for the end of its I/O."""
    k.pages[pfn].count += 1
    k.tasks[t].wait_pfn = pfn
    return FILE_WAIT


@part
def drop_page_in_hand(k: Kernel, t: int) -> None:
    """Give back ``file_pfn``; the next step looks a page up."""
    task = k.tasks[t]
    if task.file_pfn != NIL:
        pfn = task.file_pfn + 0
        task.file_pfn = NIL
        page_cache_release(k, pfn)
    task.file_stage = STAGE_FIND


@rule
def take_page(k: Kernel, t: int, mapping: int, index: int) -> int:
    """Have page `index` of a file in hand: the cached one, or a new, locked, empty one.

    Returns
    -------
    int
        1 = cached, 0 = new, or minus FILE_RECLAIM or FILE_FAILED.
    """
    task = k.tasks[t]
    charge(k, k.costs[0].scan_page_ns)
    pfn = find_page(k, mapping, index)
    if pfn != NIL:
        k.pages[pfn].count += 1
        task.file_pfn = pfn
        page_was_found(k, pfn)
        count(k, node_of(k, pfn), PAGECACHE_HIT, 1)
        return 1
    pfn = alloc_for_task(k, t, GFP_HIGHUSER)
    if pfn == ALLOC_RECLAIM:
        return -FILE_RECLAIM
    if pfn < 0:
        return -fail(k, t, ENOMEM)
    add_to_page_cache(k, pfn, mapping, index)
    task.file_pfn = pfn
    count(k, node_of(k, pfn), PAGECACHE_MISS, 1)
    return 0


@part
def still_there(k: Kernel, pfn: int, mapping: int, index: int) -> bool:
    """Whether the page was not taken out of the file while its user slept (truncate, reclaim)."""
    return k.pages[pfn].mapping == mapping and k.pages[pfn].index == index


@part
def _advance(k: Kernel, t: int, n_bytes: int) -> None:
    """`n_bytes` of the page in hand are copied; on to the next."""
    task = k.tasks[t]
    charge(k, k.costs[0].copy_page_ns * n_bytes // PAGE_SIZE)
    task.file_pos += n_bytes
    task.file_left -= n_bytes
    task.file_done += n_bytes
    drop_page_in_hand(k, t)


# read ----------------------------------------------------------------------------------------------------------------


@part
def _find_to_read(k: Kernel, t: int, mapping: int, index: int) -> int:
    """Find the page or start reading it, and read ahead."""
    task = k.tasks[t]
    found = take_page(k, t, mapping, index)
    if found < 0:
        return -found
    pfn = task.file_pfn + 0
    if found == 0:
        block_read_full_page(k, pfn)
    fresh = k.pages[pfn].flags & PG_uptodate != 0
    task.file_stage = STAGE_COPY if fresh else STAGE_LOCK
    if found == 0 and fresh:
        return GO_ON
    if file_readahead(k, t, task.file, pfn, index, task.file_reada_ok) == ALLOC_RECLAIM:
        return FILE_RECLAIM
    return GO_ON


@part
def _lock_to_read(k: Kernel, t: int, mapping: int, index: int) -> int:
    """Wait for the page in hand; start its read again if nobody does."""
    task = k.tasks[t]
    pfn = task.file_pfn + 0
    if not still_there(k, pfn, mapping, index):
        drop_page_in_hand(k, t)
        return GO_ON
    if k.pages[pfn].flags & PG_uptodate != 0:
        task.file_stage = STAGE_COPY
        return GO_ON
    if not try_lock_page(k, pfn):
        return wait_on_page(k, t, pfn)
    block_read_full_page(k, pfn)
    if k.pages[pfn].flags & PG_uptodate == 0 and (
        file_readahead(k, t, task.file, pfn, index, task.file_reada_ok) == ALLOC_RECLAIM
    ):
        return FILE_RECLAIM
    return GO_ON


@rule
def generic_file_read_step(k: Kernel, t: int) -> int:
    """One step of a read: GO_ON, FILE_DONE (all read, or end of file), FILE_WAIT, FILE_RECLAIM or FILE_FAILED."""
    task = k.tasks[t]
    file = k.files[task.file]
    mapping = file.f_mapping + 0
    index = task.file_pos >> PAGE_SHIFT
    if file.max_ahead != 0 and read_ahead_go_on(k, t, task.file, index) == ALLOC_RECLAIM:
        return FILE_RECLAIM
    n_bytes = min(PAGE_SIZE - (task.file_pos & (PAGE_SIZE - 1)), task.file_left)
    n_bytes = min(n_bytes, k.mappings[mapping].i_size - task.file_pos)
    if n_bytes <= 0:
        drop_page_in_hand(k, t)
        return FILE_DONE
    if task.file_stage == STAGE_FIND:
        return _find_to_read(k, t, mapping, index)
    if task.file_stage == STAGE_LOCK:
        return _lock_to_read(k, t, mapping, index)
    pfn = task.file_pfn + 0
    page_was_used(k, pfn)
    log_event(k, EV_FILE_READ, mapping << 32 | index, k.tags[pfn])
    _advance(k, t, n_bytes)
    return GO_ON


# write ---------------------------------------------------------------------------------------------------------------


@rule
def written(k: Kernel, old: int) -> int:
    """Contents of a page after one more write to it, `old` before (0 if all of it is written)."""
    k.vm[0].file_writes += 1
    return (old * 5 + k.vm[0].file_writes) & _TAG_MASK


@part
def _prepare_write(k: Kernel, pfn: int, mapping: int, whole: bool) -> int:
    """block_prepare_write of a locked page: 1 = it can be written to, 0 = it is being read first, NIL = no space."""
    page = k.pages[pfn]
    create_empty_buffers(k, pfn)
    had_block = map_buffer(k, pfn, 0)
    if page.flags & PG_uptodate == 0 and not whole:
        if had_block != 0 and page.index << PAGE_SHIFT < k.mappings[mapping].i_size:
            block_read_full_page(k, pfn)
            if page.flags & PG_uptodate == 0:
                return 0
            page.flags |= PG_locked
        else:
            k.tags[pfn] = 0
    return 1 if map_buffer(k, pfn, 1) != 0 else NIL


@rule
def _write_page(k: Kernel, t: int, mapping: int, n_bytes: int, may_grow: bool) -> int:
    """Write `n_bytes` to the locked page in hand, unlock it, and see to the balance of dirty buffers."""
    task = k.tasks[t]
    pfn = task.file_pfn + 0
    page = k.pages[pfn]
    offset = task.file_pos & (PAGE_SIZE - 1)
    end = task.file_pos + n_bytes
    # What lies beyond the end of the file need not be kept.
    whole = offset == 0 and (n_bytes == PAGE_SIZE or (may_grow and end >= k.mappings[mapping].i_size))
    ready = _prepare_write(k, pfn, mapping, whole)
    if ready == NIL:
        unlock_page(k, pfn)
        drop_page_in_hand(k, t)
        return fail(k, t, ENOSPC)
    if ready == 0:
        task.file_stage = STAGE_LOCK
        return GO_ON
    k.tags[pfn] = written(k, 0 if whole else k.tags[pfn])
    page.flags |= PG_uptodate
    mark_buffer_dirty(k, pfn)
    note_use(k, pfn)
    if may_grow and end > k.mappings[mapping].i_size:
        k.mappings[mapping].i_size = end
    log_event(k, EV_FILE_WRITE, mapping << 32 | page.index, k.tags[pfn])
    unlock_page(k, pfn)
    balance_dirty(k)
    _advance(k, t, n_bytes)
    return GO_ON


@rule
def generic_file_write_step(k: Kernel, t: int, mapping: int, may_grow: bool) -> int:
    """One step of a write: GO_ON, FILE_DONE, FILE_WAIT, FILE_RECLAIM, or FILE_FAILED (ENOSPC, ENOMEM).

    No page stays locked from one step to the next, unless its I/O is under way.
    """
    task = k.tasks[t]
    if task.file_left <= 0:
        return FILE_DONE
    index = task.file_pos >> PAGE_SHIFT
    if task.file_stage == STAGE_FIND:
        found = take_page(k, t, mapping, index)
        if found < 0:
            return -found
        task.file_stage = STAGE_LOCK
        if found == 0:
            unlock_page(k, task.file_pfn)
    pfn = task.file_pfn + 0
    if not still_there(k, pfn, mapping, index):
        drop_page_in_hand(k, t)
        return GO_ON
    if not try_lock_page(k, pfn):
        return wait_on_page(k, t, pfn)
    n_bytes = min(PAGE_SIZE - (task.file_pos & (PAGE_SIZE - 1)), task.file_left)
    return _write_page(k, t, mapping, n_bytes, may_grow)
