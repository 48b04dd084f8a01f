"""When dirty buffers are written: balance_dirty, bdflush and kupdate of fs/buffer.c @2.4 (spec 9.5, C-15).

Dirty buffers beyond ``bdf_nfract`` percent of the memory that could be freed wake bdflush; beyond ``bdf_nfract_sync``
the writer itself starts writes.  kupdate writes what is older than ``bdf_age_buffer_ns``.  The parameters are those of
bdflush(2); `bdflush_defaults` gives a profile's own.

*Interface* for the processes: a rule that wants bdflush sets ``vm.bdflush_wanted``.  A woken bdflush calls
`bdflush_step` until it answers FLUSH_SLEEP, kupdate calls `kupdate_step` every ``bdf_interval_ns`` until FLUSH_SLEEP;
after each FLUSH_AGAIN the devices take their requests and the cost is charged.
@2.4.0 bdflush also launders pages while there is a free shortage: its process calls `bdflush_flush`,
`page_launder` and `bdflush_goes_on` in turn.

2.2 (its flushing was not read closely, spec D-8): dirty buffers beyond ``bdf_nfract`` percent of the memory that is
free or caches files make the writer wait for bdflush; here he starts writes himself.

Simplified: super blocks and inodes themselves take no I/O.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import write_buffer
from numa_sim.kernel.filemap import clear_page_dirty, move_to_page_list, node_of, try_lock_page, unlock_page
from numa_sim.kernel.ll_rw_blk import io_ring_is_full
from numa_sim.kernel.pageout import writepage
from numa_sim.kernel.v2_4_0.pressure import free_shortage, inactive_target, nr_free_pages, nr_inactive_clean_pages
from numa_sim.state.answers import FLUSH_AGAIN, FLUSH_SLEEP
from numa_sim.state.constants import (
    BUF_DIRTY,
    BUFFERS_DIRTY,
    DIRTY_PAGES,
    GFP_USER,
    GFP_ZONEMASK,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KIND_INODE,
    LOCKED_PAGES,
    NIL,
    NR_ZONES,
    PF_NOIO,
    WMARK_HIGH,
    PG_dirty,
)
from numa_sim.state.counters import BALANCE_DIRTY_WRITES, BDFLUSH_WRITES, KUPDATE_WRITES
from numa_sim.state.event_codes import EV_BALANCE_DIRTY
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

NRSYNC = 32
"""Buffers written together (late 2.4)."""


@rule
def bdflush_defaults(k: Kernel) -> None:
    """Set the parameters the profile's kernel boots with (bdf_prm; HZ = 100)."""
    vm = k.vm[0]
    vm.bdf_nfract = 40 if vm.profile == KERNEL_2_2 else 30
    vm.bdf_ndirty = 64 if vm.profile == KERNEL_2_4_0 else 500
    vm.bdf_interval_ns = 5_000_000_000
    vm.bdf_age_buffer_ns = 30_000_000_000
    vm.bdf_nfract_sync = 40 if vm.profile == KERNEL_2_2 else 60
    vm.bdf_nfract_stop = 0 if vm.profile <= KERNEL_2_4_0 else 20


# How much is dirty ---------------------------------------------------------------------------------------------------


@part
def _buffer_pages_of_node(k: Kernel, node: int) -> int:
    """Pages of a node that could hold buffers, late 2.4: its cache, and what is free above the high marks.

    The node's first zone counts twice, as in the kernel.
    """
    first = k.zonelists[node, GFP_USER & GFP_ZONEMASK, 0]
    if first == NIL or first // NR_ZONES != node:
        return 0
    class_index = k.zones[first].index
    pages = k.zones[first].nr_cache_pages + 0
    pages += max(k.zones[first].free_pages - k.zones[first].watermarks[class_index, WMARK_HIGH], 0)
    at = 0
    while k.zonelists[node, GFP_USER & GFP_ZONEMASK, at] != NIL:
        zone = k.zones[k.zonelists[node, GFP_USER & GFP_ZONEMASK, at]]
        if zone.node == node:
            pages += max(zone.free_pages - zone.watermarks[class_index, WMARK_HIGH], 0)
        at += 1
    return pages


@rule
def nr_free_buffer_pages(k: Kernel) -> int:
    """Pages buffers could have without any process losing memory; what "percent dirty" is of.

    @2.2: what is free or in the page cache.
    @2.4.0: what is free or nearly so, or should be, and a sixteenth of the active pages.
    """
    vm = k.vm[0]
    if vm.profile == KERNEL_2_4_0:
        easy = nr_free_pages(k) + nr_inactive_clean_pages(k) + vm.nr_inactive_dirty_pages
        return max(easy, vm.freepages_high + inactive_target(k)) + vm.nr_active_pages // 16
    if vm.profile == KERNEL_2_2:
        return vm.nr_free_pages + vm.page_cache_size
    total = 0
    for node in range(vm.nr_nodes):
        total += _buffer_pages_of_node(k, node)
    return total


@rule
def balance_dirty_state(k: Kernel) -> int:
    """1 = the writer must write, 0 = bdflush should, -1 = neither.

    @2.4.0 bdflush should also while free pages are short and many pages wait to be laundered.
    """
    vm = k.vm[0]
    dirty = vm.nr_buffers_type[BUF_DIRTY] * 100
    total = nr_free_buffer_pages(k)
    if dirty > total * vm.bdf_nfract_sync:
        may_io = vm.current_task == NIL or k.tasks[vm.current_task].flags & PF_NOIO == 0
        if vm.profile <= KERNEL_2_4_0 or may_io:
            return 1
    if dirty > total * vm.bdf_nfract:
        return 0
    if vm.profile == KERNEL_2_4_0:
        missing = free_shortage(k)
        if missing != 0 and vm.nr_inactive_dirty_pages > max(missing, vm.freepages_high):
            return 0
    return -1


# Writing -------------------------------------------------------------------------------------------------------------


@rule
def write_some_buffers(k: Kernel, most: int, counter: int, due_ns: int) -> int:
    """Start writing the oldest dirty buffers, at most `most`, and only those due by `due_ns` (NIL: any); how many.

    Those still under I/O from the last time are passed over.
    """
    pfn = k.vm[0].buf_head[BUF_DIRTY] + 0
    written = 0
    while pfn != NIL and written < most:
        head = k.buffers[pfn]
        if due_ns != NIL and head.b_flushtime_ns > due_ns:
            break
        younger = head.b_next + 0
        if k.pages[pfn].buffers == BUFFERS_DIRTY:
            write_buffer(k, pfn, 0)
            count(k, node_of(k, pfn), counter, 1)
            written += 1
        pfn = younger
    return written


@rule
def balance_dirty(k: Kernel) -> None:
    """A buffer has been dirtied: wake bdflush, and if far too many are dirty start writing some (balance_dirty)."""
    vm = k.vm[0]
    state = balance_dirty_state(k)
    if state < 0:
        return
    vm.bdflush_wanted = 1
    log_event(k, EV_BALANCE_DIRTY, state, vm.nr_buffers_type[BUF_DIRTY])
    if state > 0:
        most = vm.bdf_ndirty + 0 if vm.profile <= KERNEL_2_4_0 else NRSYNC
        write_some_buffers(k, most, BALANCE_DIRTY_WRITES, NIL)


@rule
def bdflush_flush(k: Kernel) -> int:
    """The first part of a round of bdflush up to 2.4.0: write ``bdf_ndirty`` of the oldest dirty buffers; how many."""
    return 0 if io_ring_is_full(k) else write_some_buffers(k, k.vm[0].bdf_ndirty, BDFLUSH_WRITES, NIL)


@rule
def bdflush_goes_on(k: Kernel, done: int) -> int:
    """FLUSH_AGAIN if a round that wrote and laundered `done` pages is followed by another one, else FLUSH_SLEEP."""
    return FLUSH_SLEEP if done == 0 or balance_dirty_state(k) < 0 else FLUSH_AGAIN


@rule
def bdflush_step(k: Kernel) -> int:
    """One step of bdflush after 2.4.0: FLUSH_AGAIN, or FLUSH_SLEEP.

    It writes in groups of 32 and stops when the list is empty or ``bdf_nfract_stop`` is reached.  @2.2 a step is like a
    round of 2.4.0, without the laundry.
    """
    vm = k.vm[0]
    if io_ring_is_full(k):
        return FLUSH_AGAIN
    if vm.profile < KERNEL_2_4_0:
        return bdflush_goes_on(k, bdflush_flush(k))
    written = write_some_buffers(k, NRSYNC, BDFLUSH_WRITES, NIL)
    vm.bdf_written += written
    if written == NRSYNC and vm.bdf_written < vm.bdf_ndirty:
        return FLUSH_AGAIN
    vm.bdf_written = 0
    if written < NRSYNC:
        return FLUSH_SLEEP
    few = vm.nr_buffers_type[BUF_DIRTY] * 100 <= nr_free_buffer_pages(k) * vm.bdf_nfract_stop
    return FLUSH_SLEEP if few else FLUSH_AGAIN


@rule
def filemap_fdatasync_some(k: Kernel, mapping: int, most: int, counter: int) -> int:
    """Start writing DIRTY pages of a file, oldest first, at most `most` (filemap_fdatasync); how many.

    Each goes to the locked list.  A page that is locked is left where it is and ends the round.
    """
    written = 0
    while written < most:
        pfn = k.mappings[mapping].pages_tail[DIRTY_PAGES] + 0
        if pfn == NIL or not try_lock_page(k, pfn):
            break
        move_to_page_list(k, pfn, LOCKED_PAGES)
        if k.pages[pfn].flags & PG_dirty == 0:
            unlock_page(k, pfn)
            continue
        clear_page_dirty(k, pfn)
        writepage(k, pfn)
        count(k, node_of(k, pfn), counter, 1)
        written += 1
    return written


@rule
def kupdate_step(k: Kernel) -> int:
    """One step of kupdate (sync_old_buffers): files' DIRTY pages, then due buffers; FLUSH_AGAIN or FLUSH_SLEEP."""
    vm = k.vm[0]
    if io_ring_is_full(k):
        return FLUSH_AGAIN
    for mapping in range(k.mappings.shape[0]):
        if k.mappings[mapping].kind != KIND_INODE:
            continue
        if filemap_fdatasync_some(k, mapping, NRSYNC, KUPDATE_WRITES) == NRSYNC:
            return FLUSH_AGAIN
    if write_some_buffers(k, NRSYNC, KUPDATE_WRITES, vm.now_ns) == NRSYNC:
        return FLUSH_AGAIN
    return FLUSH_SLEEP
