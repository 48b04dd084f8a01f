"""Reading and writing swap slots: mm/page_io.c @2.4.37 (spec 6.8).

A request goes into the I/O ring (``k.io``, between ``vm.io_head`` and ``vm.io_tail``, both only growing); a device
process takes it out and calls `end_swap_read` or `end_swap_write` when the device is done.  Until then the page is
locked.  A RAM-backed area (``swap_info.writepage == WRITEPAGE_SYNC``) is done at once, for CPU time.

What a page contains is one number (``k.tags``); I/O moves it to or from the slot's (``k.swap_tags``).
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import attach_buffers, unlock_page
from numa_sim.kernel.swapfile import slot_index, swp_entry, swp_offset, swp_type
from numa_sim.state.constants import (
    BUFFERS_CLEAN,
    EV_END_SWAP_READ,
    EV_END_SWAP_WRITE,
    EV_SWAP_READPAGE,
    EV_SWAP_WRITEPAGE,
    IO_READ,
    PSWPIN,
    PSWPOUT,
    WRITEPAGE_SYNC,
    PG_uptodate,
)
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@part
def io_ring_is_full(k: Kernel) -> bool:
    """Whether the I/O ring is more than half full: then reclaim lets the devices take their requests first."""
    return (k.vm[0].io_tail - k.vm[0].io_head) * 2 > k.io.shape[0]


@rule
def end_swap_read(k: Kernel, type_: int, offset: int, pfn: int) -> None:
    """A read has ended: the page has the slot's contents, is UPTODATE and unlocked."""
    entry = swp_entry(type_, offset)
    k.tags[pfn] = k.swap_tags[slot_index(k, entry)]
    k.swap_info[type_].pages_read += 1
    k.pages[pfn].flags |= PG_uptodate
    k.pages[pfn].buffers = BUFFERS_CLEAN
    unlock_page(k, pfn)
    log_event(k, EV_END_SWAP_READ, entry, pfn)


@rule
def end_swap_write(k: Kernel, type_: int, offset: int, pfn: int) -> None:
    """A write has ended: the slot has the page's contents; the page is unlocked and no longer LAUNDER."""
    entry = swp_entry(type_, offset)
    k.swap_tags[slot_index(k, entry)] = k.tags[pfn]
    k.swap_info[type_].pages_written += 1
    k.pages[pfn].flags |= PG_uptodate
    k.pages[pfn].buffers = BUFFERS_CLEAN
    unlock_page(k, pfn)
    log_event(k, EV_END_SWAP_WRITE, entry, pfn)


@rule
def rw_swap_page(k: Kernel, op: int, pfn: int) -> None:
    """Start I/O (IO_READ, IO_WRITE) between a locked swap-cache page and its slot; counts pswpin or pswpout.

    The page gets buffers, which keep one reference until reclaim strips them.
    """
    vm = k.vm[0]
    page = k.pages[pfn]
    entry = page.index
    type_ = swp_type(entry)
    node = k.zones[k.section_zone[pfn >> vm.section_shift]].node
    if op == IO_READ:
        page.flags &= ~PG_uptodate
        count(k, node, PSWPIN, 1)
        log_event(k, EV_SWAP_READPAGE, entry, pfn)
    else:
        count(k, node, PSWPOUT, 1)
        log_event(k, EV_SWAP_WRITEPAGE, entry, pfn)
    attach_buffers(k, pfn)
    if k.swap_info[type_].writepage == WRITEPAGE_SYNC:
        charge(k, k.swap_info[type_].sync_ns)
        if op == IO_READ:
            end_swap_read(k, type_, swp_offset(entry), pfn)
        else:
            end_swap_write(k, type_, swp_offset(entry), pfn)
        return
    charge(k, k.costs[0].submit_io_ns)
    request = k.io[vm.io_tail % k.io.shape[0]]
    request.op = op
    request.type = type_
    request.offset = swp_offset(entry)
    request.pfn = pfn
    request.task = vm.current_task
    vm.io_tail += 1


@rule
def end_request(k: Kernel, op: int, type_: int, offset: int, pfns: np.ndarray) -> None:
    """The device has finished one request for neighbouring slots from `offset` on: end the I/O of each page."""
    for position in range(pfns.shape[0]):
        if op == IO_READ:
            end_swap_read(k, type_, offset + position, pfns[position])
        else:
            end_swap_write(k, type_, offset + position, pfns[position])
