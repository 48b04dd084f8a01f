"""Files, buffers, disks, swap areas and what is on its way to them, as numpy records (see `numa_sim.state.layout`)."""

from __future__ import annotations

import numpy as np

from numa_sim.state.constants import NR_PAGE_LISTS

ADDRESS_SPACE = np.dtype(
    [
        # struct address_space and, for KIND_INODE, what its struct inode adds
        ("kind", "i4"),
        ("writepage", "i4"),  # WRITEPAGE_*
        ("nrpages", "i8"),
        ("pages_head", "i4", (NR_PAGE_LISTS,)),  # CLEAN_PAGES, DIRTY_PAGES, LOCKED_PAGES
        ("pages_tail", "i4", (NR_PAGE_LISTS,)),
        ("i_size", "i8"),  # bytes
        ("device", "i8"),  # disk
        ("extents", "i8"),  # first extent, NIL = none
        ("i_mmap", "i8"),  # first private area, NIL = none
        ("i_mmap_shared", "i8"),
        ("dirty_buffers_head", "i8"),  # i_dirty_data_buffers: dirty or being written
        ("dirty_buffers_tail", "i8"),
        ("i_writecount", "i8"),  # below 0: that many areas deny writing (MAP_DENYWRITE); above: open for writing
        ("swapped", "i8"),  # shared memory: pages that have a swap slot (shmem_inode_info)
    ],
    align=True,
)
"""A mapping of pages."""

SHMEM_SLOT = np.dtype([("index", "i8"), ("entry", "i8"), ("mapping", "i4"), ("next", "i4")], align=True)
"""Which page of which shared memory a swap slot holds (mapping 0: none), and slot + 1 of the next in its hash chain."""

EXTENT = np.dtype([("index", "i8"), ("length", "i8"), ("block", "i8"), ("next", "i8")], align=True)
"""`length` pages of a file from page `index` on lie on its disk from `block` on; what no extent has is a hole."""

DISK = np.dtype(
    [
        ("tags_start", "i8"),  # where its blocks start in `disk_tags`
        ("blocks", "i8"),  # of PAGE_SIZE
        ("next_block", "i8"),  # first block no file has: what files grow into
        ("synchronous", "i8"),  # a RAM-backed disk: a transfer is over at once, for `sync_ns` of CPU time
        ("sync_ns", "i8"),
        ("pages_read", "i8"),
        ("pages_written", "i8"),
        # What the block layer counts (struct disk_stat, later /proc/diskstats); requests count when they are done
        ("reads", "i8"),
        ("read_merges", "i8"),  # page transfers that joined the request of a neighbour
        ("sectors_read", "i8"),  # of 512 bytes
        ("writes", "i8"),
        ("write_merges", "i8"),
        ("sectors_written", "i8"),
        ("seeks", "i8"),  # requests for which the head moved
        ("plugs", "i8"),  # times the queue was plugged
        ("in_flight", "i8"),  # requests queued or under way
        ("busy_ns", "i8"),  # time with a request under way
        ("await_ns", "i8"),  # from submission to completion, summed over requests
    ],
    align=True,
)
"""What rules know of a disk, and what it has done; when a transfer ends is the block layer's matter."""

BUFFER_HEAD = np.dtype(
    [
        # struct buffer_head of a page, found by its frame; whether it is dirty or locked says `page.buffers`
        ("b_blocknr", "i8"),
        ("b_flushtime_ns", "i8"),  # when kupdate writes it
        ("b_next", "i4"),  # towards the younger
        ("b_prev", "i4"),
        ("b_inode_next", "i4"),
        ("b_inode_prev", "i4"),
        ("b_dev", "i2"),  # disk + 1; NODEV
        ("b_list", "i1"),  # BUF_*
        ("b_async", "i1"),  # 1 = the end of the I/O unlocks the page (end_buffer_io_async), 0 = only the buffer
        ("b_inode_queued", "i1"),  # on the inode's dirty_buffers
        ("b_wait_io", "i1"),  # BH_Wait_IO: reclaim met it dirty or locked before
    ],
    align=True,
)

FILE = np.dtype(
    [
        # struct file
        ("f_count", "i8"),  # 0 = free record
        ("f_mapping", "i8"),
        ("f_pos", "i8"),
        ("f_raend", "i8"),
        ("f_ramax", "i8"),
        ("f_ralen", "i8"),
        ("f_rawin", "i8"),
        # a read-ahead that stopped for memory and goes on
        ("ahead_from", "i8"),
        ("ahead", "i8"),
        ("max_ahead", "i8"),
        ("ahead_async", "i8"),
        ("f_mode", "i8"),  # FMODE_*
    ],
    align=True,
)
"""An open file; 0 is none."""

SWAP_INFO = np.dtype(
    [
        # struct swap_info_struct, include/linux/swap.h
        ("flags", "i8"),
        ("prio", "i8"),
        ("next", "i8"),
        ("lowest_bit", "i8"),
        ("highest_bit", "i8"),
        ("cluster_next", "i8"),
        ("cluster_nr", "i8"),
        ("pages", "i8"),
        ("max", "i8"),
        ("map_start", "i8"),  # where its slots start in swap_map, swap_cache and swap_tags
        ("writepage", "i8"),  # WRITEPAGE_ASYNC, or WRITEPAGE_SYNC for a RAM-backed device
        ("sync_ns", "i8"),  # CPU cost of one page on a RAM-backed device
        ("pages_read", "i8"),
        ("pages_written", "i8"),
        ("inuse_pages", "i8"),
        ("device", "i8"),  # disk it lies on
        ("start_block", "i8"),  # where on it
        ("file", "i8"),  # mapping of the swap file, 0 = a partition
    ],
    align=True,
)

IO_REQUEST = np.dtype([("op", "i4"), ("device", "i4"), ("block", "i8"), ("pfn", "i8"), ("task", "i8")], align=True)
"""One page to or from one block of a disk."""

EVENT = np.dtype([("t_ns", "i8"), ("a", "i8"), ("b", "i8"), ("code", "i4"), ("task", "i4")], align=True)
