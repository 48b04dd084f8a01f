"""What can be wrong with the state, for all checks (see `numa_sim.kernel.debug_vm`)."""

from __future__ import annotations

from typing import Final

PROBLEMS: Final = (
    "",
    "free_pages differs from the free lists of a zone",
    "a free list's length differs from nr_free",
    "a free block is misaligned or in use",
    "two buddies of one order are both free",
    "a frame's count differs from its owners",
    "a frame has no owner",
    "a page is on the LRU lists twice or its flags disagree",
    "the LRU counters differ from the lists",
    "rss differs from the page tables",
    "a swap slot's count differs from its users",
    "the swap cache and its pages disagree",
    "a page table's entry count is wrong",
    "the number of free swap slots is wrong",
    "a free frame is mapped or cached",
    "a file's page is not on exactly one list of its mapping",
    "a file's page is not found by the page hash",
    "a file's page is on no LRU list",
    "a buffer is on the wrong list",
    "the buffer counters differ from the lists",
    "the inode's dirty buffers differ from its pages",
    "the gauges of dirty and file pages differ from the pages",
    "a page that somebody may write to without a fault is somebody else's, too",
    "mm_users differs from the tasks that use an address space",
    "a slab cache, its slabs and its counts disagree",
    "the reverse map counts other mappings than the page tables have",
    "a page of shared memory is in swap and in memory, or not where it is looked for",
)
"""What each code of the checks means."""
(
    _OK, FREE_PAGES, LIST_LENGTH, FREE_BLOCK, BUDDIES, COUNT, OWNER, LRU, LRU_COUNTERS, RSS, SLOT, CACHE, TABLE,
    FREE_SLOTS, FREE_IN_USE, PAGE_LIST, PAGE_HASH, NOT_ON_LRU, BUFFER_LIST, BUFFER_COUNTERS, INODE_QUEUE, GAUGES,
    WRITABLE, USERS,
    SLABS, RMAP, SHMEM,
) = range(len(PROBLEMS))  # fmt: skip
