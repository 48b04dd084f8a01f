"""Buffers of cached pages and their I/O: fs/buffer.c @2.4.37 (spec 9.5); when to flush is `numa_sim.kernel.bdflush`.

A page's buffer head is ``k.buffers[pfn]``: which block of which disk, on which list (BUF_CLEAN, BUF_LOCKED, BUF_DIRTY,
each in the order of arrival), when it is due.  Its state is ``page.buffers``; having one costs the page a reference.
Two kinds of I/O end differently (`b_async`): that of a page (`block_read_full_page`, `block_write_full_page`) unlocks
the page, that of a buffer (`write_buffer` by bdflush, kupdate, fsync, reclaim) leaves the page's lock alone.

*Interface*: the rules here queue requests (`ll_rw_blk.submit_bh`); `page_io.end_request` calls `end_buffer_read` or
`end_buffer_write`.  A page somebody waits for has PG_locked or ``page.buffers >= BUFFERS_BUSY`` until then.

Simplified: one buffer per page (a block is a page).  A block gets what its page contains when the transfer *ends*; so
writing a page out while its buffer is being written needs no second transfer.  Buffers that were never dirty (and those
of swap pages) are on no list, as in the kernel.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import in_page_cache, node_of, page_cache_release, unlock_page
from numa_sim.kernel.inode import block_tag_index, get_block, size_pages
from numa_sim.kernel.ll_rw_blk import count_transfer, submit_bh
from numa_sim.state.constants import (
    BUF_CLEAN,
    BUF_DIRTY,
    BUF_LOCKED,
    BUF_NONE,
    BUFFERS_BUSY,
    BUFFERS_CLEAN,
    BUFFERS_DIRTY,
    BUFFERS_NONE,
    BUFFERS_REDIRTIED,
    GFP_IO_BIT,
    IO_READ,
    IO_WRITE,
    NIL,
    NODEV,
    PG_error,
    PG_uptodate,
)
from numa_sim.state.counters import FILE_NOSPACE, FILE_WRITEPAGES, NR_DIRTY, NR_WRITEBACK, RECLAIM_BUFFER_WRITES
from numa_sim.state.event_codes import (
    EV_END_BUFFER_READ,
    EV_END_BUFFER_WRITE,
    EV_READPAGE,
    EV_TRY_TO_RELEASE_PAGE,
    EV_WRITE_BUFFER,
)
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

# Lists ---------------------------------------------------------------------------------------------------------------


@rule
def refile_buffer(k: Kernel, pfn: int, list_: int) -> None:
    """Move a buffer to the young end of BUF_CLEAN, BUF_LOCKED or BUF_DIRTY, or (BUF_NONE) off the lists."""
    vm = k.vm[0]
    head = k.buffers[pfn]
    old = head.b_list + 0
    if old != BUF_NONE:
        before = head.b_prev + 0
        after = head.b_next + 0
        if before == NIL:
            vm.buf_head[old] = after
        else:
            k.buffers[before].b_next = after
        if after == NIL:
            vm.buf_tail[old] = before
        else:
            k.buffers[after].b_prev = before
        vm.nr_buffers_type[old] -= 1
    head.b_list = list_
    if list_ == BUF_NONE:
        return
    youngest = vm.buf_tail[list_] + 0
    head.b_prev = youngest
    head.b_next = NIL
    if youngest == NIL:
        vm.buf_head[list_] = pfn
    else:
        k.buffers[youngest].b_next = pfn
    vm.buf_tail[list_] = pfn
    vm.nr_buffers_type[list_] += 1


@part
def _queue_on_inode(k: Kernel, pfn: int) -> None:
    """Put a buffer at the end of its inode's dirty_buffers, if it is not there (buffer_insert_inode_data_queue)."""
    head = k.buffers[pfn]
    if head.b_inode_queued != 0:
        return
    space = k.mappings[k.pages[pfn].mapping]
    last = space.dirty_buffers_tail + 0
    head.b_inode_queued = 1
    head.b_inode_prev = last
    head.b_inode_next = NIL
    if last == NIL:
        space.dirty_buffers_head = pfn
    else:
        k.buffers[last].b_inode_next = pfn
    space.dirty_buffers_tail = pfn


@part
def _leave_inode_queue(k: Kernel, pfn: int) -> None:
    """Take a buffer off its inode's dirty_buffers (remove_inode_queue)."""
    head = k.buffers[pfn]
    if head.b_inode_queued == 0:
        return
    space = k.mappings[k.pages[pfn].mapping]
    before = head.b_inode_prev + 0
    after = head.b_inode_next + 0
    if before == NIL:
        space.dirty_buffers_head = after
    else:
        k.buffers[before].b_inode_next = after
    if after == NIL:
        space.dirty_buffers_tail = before
    else:
        k.buffers[after].b_inode_prev = before
    head.b_inode_queued = 0


# State ---------------------------------------------------------------------------------------------------------------


@part
def attach_buffers(k: Kernel, pfn: int) -> None:
    """Give the page buffers under I/O, and their reference, if it has none (create_empty_buffers for swap I/O)."""
    page = k.pages[pfn]
    if page.buffers == BUFFERS_NONE:
        page.count += 1
    page.buffers = BUFFERS_BUSY


@rule
def create_empty_buffers(k: Kernel, pfn: int) -> None:
    """Give a file's page a clean buffer that is nowhere on disk yet, and its reference, if it has none."""
    page = k.pages[pfn]
    if page.buffers != BUFFERS_NONE:
        return
    page.count += 1
    page.buffers = BUFFERS_CLEAN
    head = k.buffers[pfn]
    head.b_dev = NODEV
    head.b_list = BUF_NONE
    head.b_inode_queued = 0
    head.b_wait_io = 0


@rule
def map_buffer(k: Kernel, pfn: int, create: int) -> int:
    """Find the block of a file's page, or with `create` take one for it; 1 = its buffer has one, 0 = hole or ENOSPC."""
    head = k.buffers[pfn]
    if head.b_dev != NODEV:
        return 1
    mapping = k.pages[pfn].mapping
    block = get_block(k, mapping, k.pages[pfn].index, create)
    if block == NIL:
        return 0
    head.b_dev = k.mappings[mapping].device + 1
    head.b_blocknr = block
    return 1


@rule
def mark_buffer_dirty(k: Kernel, pfn: int) -> None:
    """The page's contents have changed: dirty, due in ``bdf_age_buffer``, on BUF_DIRTY and its inode's queue."""
    page = k.pages[pfn]
    if page.buffers == BUFFERS_DIRTY or page.buffers == BUFFERS_REDIRTIED:
        return
    page.buffers = BUFFERS_REDIRTIED if page.buffers == BUFFERS_BUSY else BUFFERS_DIRTY
    k.buffers[pfn].b_flushtime_ns = k.vm[0].now_ns + k.vm[0].bdf_age_buffer_ns
    refile_buffer(k, pfn, BUF_DIRTY)
    _queue_on_inode(k, pfn)
    count(k, node_of(k, pfn), NR_DIRTY, 1)


@part
def drop_buffers(k: Kernel, pfn: int) -> None:
    """Forget the buffers of a page, dirty or not; their reference is left to the caller."""
    page = k.pages[pfn]
    if in_page_cache(k, pfn):
        if page.buffers == BUFFERS_DIRTY:
            count(k, node_of(k, pfn), NR_DIRTY, -1)
        _leave_inode_queue(k, pfn)
        refile_buffer(k, pfn, BUF_NONE)
    page.buffers = BUFFERS_NONE


@rule
def block_flushpage(k: Kernel, pfn: int) -> None:
    """Throw away the buffers of a locked page whose contents nobody wants on disk; those under I/O stay."""
    page = k.pages[pfn]
    if page.buffers == BUFFERS_CLEAN or page.buffers == BUFFERS_DIRTY:
        drop_buffers(k, pfn)
        page.count -= 1


# I/O -----------------------------------------------------------------------------------------------------------------


@rule
def end_buffer_read(k: Kernel, pfn: int) -> None:
    """A page has been read: it has its block's contents, is UPTODATE and unlocked (end_buffer_io_async)."""
    page = k.pages[pfn]
    head = k.buffers[pfn]
    device = head.b_dev - 1
    k.tags[pfn] = k.disk_tags[block_tag_index(k, device, head.b_blocknr)]
    k.disks[device].pages_read += 1
    page.buffers = BUFFERS_CLEAN
    page.flags |= PG_uptodate
    unlock_page(k, pfn)
    log_event(k, EV_END_BUFFER_READ, pfn, page.index)


@rule
def end_buffer_write(k: Kernel, pfn: int) -> None:
    """A buffer has been written: its block has the page's contents.  It is clean, unless written to meanwhile."""
    page = k.pages[pfn]
    head = k.buffers[pfn]
    device = head.b_dev - 1
    k.disk_tags[block_tag_index(k, device, head.b_blocknr)] = k.tags[pfn]
    k.disks[device].pages_written += 1
    count(k, node_of(k, pfn), NR_WRITEBACK, -1)
    head.b_wait_io = 0
    if page.buffers == BUFFERS_REDIRTIED:
        page.buffers = BUFFERS_DIRTY
    else:
        page.buffers = BUFFERS_CLEAN
        refile_buffer(k, pfn, BUF_CLEAN)
        _leave_inode_queue(k, pfn)
    if head.b_async != 0:
        page.flags |= PG_uptodate
        unlock_page(k, pfn)
    log_event(k, EV_END_BUFFER_WRITE, pfn, page.index)


@rule
def _submit(k: Kernel, op: int, pfn: int) -> None:
    """Start the transfer of a page's buffer; on a RAM-backed disk it is over at once, for CPU time."""
    head = k.buffers[pfn]
    disk = k.disks[head.b_dev - 1]
    if disk.synchronous == 0:
        submit_bh(k, op, head.b_dev - 1, head.b_blocknr, pfn)
        return
    charge(k, disk.sync_ns)
    count_transfer(k, op, pfn)
    if op == IO_READ:
        end_buffer_read(k, pfn)
    else:
        end_buffer_write(k, pfn)


@rule
def write_buffer(k: Kernel, pfn: int, async_: int) -> None:
    """Start writing a page's buffer, which has a block and is not under I/O; with `async_` the end unlocks the page."""
    page = k.pages[pfn]
    if page.buffers == BUFFERS_DIRTY:
        count(k, node_of(k, pfn), NR_DIRTY, -1)
    page.buffers = BUFFERS_BUSY
    k.buffers[pfn].b_async = async_
    refile_buffer(k, pfn, BUF_LOCKED)
    count(k, node_of(k, pfn), NR_WRITEBACK, 1)
    log_event(k, EV_WRITE_BUFFER, pfn, page.index)
    _submit(k, IO_WRITE, pfn)


@rule
def block_read_full_page(k: Kernel, pfn: int) -> None:
    """The readpage method of files: start reading a locked page from its block; a hole is zeros, at once."""
    page = k.pages[pfn]
    create_empty_buffers(k, pfn)
    if map_buffer(k, pfn, 0) == 0:
        k.tags[pfn] = 0
        page.flags |= PG_uptodate
        unlock_page(k, pfn)
        return
    page.flags &= ~PG_error
    page.buffers = BUFFERS_BUSY
    k.buffers[pfn].b_async = 1
    log_event(k, EV_READPAGE, pfn, page.index)
    _submit(k, IO_READ, pfn)


@rule
def block_write_full_page(k: Kernel, pfn: int) -> None:
    """The writepage method of files: start writing a locked page whose DIRTY flag the caller has cleared.

    It is unlocked at the end of the write; at once if it lies beyond the end of the file, or if the disk has no room
    for it: then its contents are lost with it (PG_error, file_nospace), as in the kernel.
    """
    page = k.pages[pfn]
    if page.index >= size_pages(k, page.mapping):
        unlock_page(k, pfn)
        return
    create_empty_buffers(k, pfn)
    if map_buffer(k, pfn, 1) == 0:
        page.flags |= PG_error
        count(k, node_of(k, pfn), FILE_NOSPACE, 1)
        unlock_page(k, pfn)
        return
    count(k, node_of(k, pfn), FILE_WRITEPAGES, 1)
    if page.buffers < BUFFERS_BUSY:
        write_buffer(k, pfn, 1)
        return
    # The write under way takes this page's contents along when it ends.
    if page.buffers == BUFFERS_REDIRTIED:
        count(k, node_of(k, pfn), NR_DIRTY, -1)
        refile_buffer(k, pfn, BUF_LOCKED)
    page.buffers = BUFFERS_BUSY
    k.buffers[pfn].b_async = 1


# Getting rid of them -------------------------------------------------------------------------------------------------


@part
def has_real_buffers(k: Kernel, pfn: int) -> bool:
    """Whether the page's buffers are on a disk (those of replays are nowhere)."""
    return in_page_cache(k, pfn) and k.buffers[pfn].b_dev != NODEV


@rule
def sync_page_buffers(k: Kernel, pfn: int) -> None:
    """Reclaim met dirty or busy buffers: a note the first time (BH_Wait_IO), the second time a write is started."""
    head = k.buffers[pfn]
    if head.b_wait_io == 0:
        head.b_wait_io = 1
    elif k.pages[pfn].buffers == BUFFERS_DIRTY:
        count(k, node_of(k, pfn), RECLAIM_BUFFER_WRITES, 1)
        write_buffer(k, pfn, 0)


@part
def must_wait_on_buffer(k: Kernel, pfn: int, gfp: int) -> bool:
    """Whether a reclaimer that meets the page again and may do I/O waits for its buffer (wait_on_buffer)."""
    if gfp & GFP_IO_BIT == 0 or k.pages[pfn].buffers < BUFFERS_BUSY or not has_real_buffers(k, pfn):
        return False
    return bool(k.buffers[pfn].b_wait_io != 0)


@rule
def try_to_release_page(k: Kernel, pfn: int, gfp: int) -> bool:
    """Strip a locked page's clean buffers and their reference (try_to_free_buffers); see to dirty ones if I/O may be.

    Dirty buffers that are nowhere on disk (replays) count as written.
    """
    page = k.pages[pfn]
    real = has_real_buffers(k, pfn)
    may_io = gfp & GFP_IO_BIT != 0
    done = page.buffers == BUFFERS_CLEAN or (page.buffers == BUFFERS_DIRTY and may_io and not real)
    log_event(k, EV_TRY_TO_RELEASE_PAGE, pfn, 1 if done else 0)
    if done:
        drop_buffers(k, pfn)
        page_cache_release(k, pfn)
    elif real and may_io:
        sync_page_buffers(k, pfn)
    return done
