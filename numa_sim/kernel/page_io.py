"""Reading and writing swap slots, and the end of every request: mm/page_io.c @2.4.37 (spec 6.8).

A request goes into the I/O ring (`numa_sim.kernel.ll_rw_blk.submit_bh`); a device process takes it out and calls
`end_request` when the device is done.  Until then the page is locked.  A RAM-backed area (``swap_info.writepage ==
WRITEPAGE_SYNC``) is done at once, for CPU time.

What a page contains is one number (``k.tags``); I/O moves it to or from the slot's (``k.swap_tags``).
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import attach_buffers, end_buffer_read, end_buffer_write
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import in_swap_cache, node_of, unlock_page
from numa_sim.kernel.inode import get_block
from numa_sim.kernel.ll_rw_blk import count_transfer, submit_bh
from numa_sim.kernel.swapfile import slot_index, swp_offset, swp_type
from numa_sim.state.constants import (
    BUFFERS_CLEAN,
    BUFFERS_NONE,
    IO_READ,
    KERNEL_2_2,
    WRITEPAGE_SYNC,
    PG_decr_after,
    PG_uptodate,
)
from numa_sim.state.counters import PSWPIN, PSWPOUT
from numa_sim.state.event_codes import EV_END_SWAP_READ, EV_END_SWAP_WRITE, EV_SWAP_READPAGE, EV_SWAP_WRITEPAGE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@part
def _end_page_io(k: Kernel, pfn: int) -> None:
    """The page is UPTODATE and unlocked, its buffers clean; @2.4.0 asynchronous I/O is counted off.

    @2.2 the buffers were the I/O's own and go with it, and so does the slot's lock.
    """
    page = k.pages[pfn]
    page.flags |= PG_uptodate
    page.buffers = BUFFERS_CLEAN
    if k.vm[0].profile == KERNEL_2_2:
        page.buffers = BUFFERS_NONE
        page.count -= 1
        k.swap_lockmap[slot_index(k, page.index)] = 0
    if page.flags & PG_decr_after != 0:
        page.flags &= ~PG_decr_after
        k.vm[0].nr_async_pages -= 1
    unlock_page(k, pfn)


@rule
def end_swap_read(k: Kernel, pfn: int) -> None:
    """A read has ended: the page has its slot's contents, is UPTODATE and unlocked."""
    entry = k.pages[pfn].index + 0
    k.tags[pfn] = k.swap_tags[slot_index(k, entry)]
    k.swap_info[swp_type(entry)].pages_read += 1
    _end_page_io(k, pfn)
    log_event(k, EV_END_SWAP_READ, entry, pfn)


@rule
def end_swap_write(k: Kernel, pfn: int) -> None:
    """A write has ended: the slot has the page's contents; the page is unlocked and no longer LAUNDER."""
    entry = k.pages[pfn].index + 0
    k.swap_tags[slot_index(k, entry)] = k.tags[pfn]
    k.swap_info[swp_type(entry)].pages_written += 1
    _end_page_io(k, pfn)
    log_event(k, EV_END_SWAP_WRITE, entry, pfn)


@rule
def swap_block(k: Kernel, entry: int) -> int:
    """Where on its disk a slot lies: counted from the start of a partition, found by bmap in a swap file."""
    area = k.swap_info[swp_type(entry)]
    if area.file == 0:
        return area.start_block + swp_offset(entry)
    return get_block(k, area.file, swp_offset(entry), 0)


@rule
def rw_swap_page(k: Kernel, op: int, pfn: int) -> None:
    """Start I/O (IO_READ, IO_WRITE) between a locked swap-cache page and its slot; counts pswpin or pswpout.

    The page gets buffers, which keep one reference until reclaim strips them.
    """
    page = k.pages[pfn]
    entry = page.index + 0
    type_ = swp_type(entry)
    node = node_of(k, pfn)
    if op == IO_READ:
        page.flags &= ~PG_uptodate
        count(k, node, PSWPIN, 1)
        log_event(k, EV_SWAP_READPAGE, entry, pfn)
    else:
        count(k, node, PSWPOUT, 1)
        log_event(k, EV_SWAP_WRITEPAGE, entry, pfn)
    attach_buffers(k, pfn)
    area = k.swap_info[type_]
    if area.writepage != WRITEPAGE_SYNC:
        submit_bh(k, op, area.device, swap_block(k, entry), pfn)
        return
    charge(k, area.sync_ns)
    count_transfer(k, op, pfn)
    if op == IO_READ:
        end_swap_read(k, pfn)
    else:
        end_swap_write(k, pfn)


@rule
def end_page(k: Kernel, op: int, pfn: int) -> None:
    """The transfer of one page has ended.

    What it was for says the page: a swap-cache page is locked, so it still has the slot it had when the I/O began; a
    file's page has its buffer.
    """
    if in_swap_cache(k, pfn):
        if op == IO_READ:
            end_swap_read(k, pfn)
        else:
            end_swap_write(k, pfn)
    elif op == IO_READ:
        end_buffer_read(k, pfn)
    else:
        end_buffer_write(k, pfn)


@rule
def end_request(k: Kernel, op: int, pfns: np.ndarray) -> None:
    """A disk has finished a request: end the I/O of each of its pages."""
    for pfn in pfns:
        end_page(k, op, pfn)
