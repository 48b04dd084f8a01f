"""One page that shall go: written by its mapping's method if it is dirty, else freed; out of mm/vmscan.c @2.4.37."""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import block_write_full_page
from numa_sim.kernel.filemap import (
    clear_page_dirty,
    in_swap_cache,
    page_cache_release,
    remove_inode_page,
    unlock_page,
    users,
)
from numa_sim.kernel.shmem_swap import shmem_writepage
from numa_sim.kernel.swap import lru_cache_del
from numa_sim.kernel.swap_state import leave_swap_cache, swap_writepage
from numa_sim.kernel.swapfile import swap_free
from numa_sim.state.constants import (
    GFP_FS_BIT,
    MAPPING_NONE,
    WRITEPAGE_FILE,
    WRITEPAGE_NONE,
    WRITEPAGE_REFUSE,
    WRITEPAGE_SHMEM,
    WRITEPAGE_SWAP,
    WRITEPAGE_SYNC,
    PG_dirty,
    PG_launder,
)
from numa_sim.state.event_codes import EV_LEAVE_PAGE_CACHE, EV_WRITEPAGE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel


@rule
def writepage(k: Kernel, pfn: int) -> None:
    """Call the writepage method of a locked page's mapping."""
    log_event(k, EV_WRITEPAGE, pfn, 0)
    method = k.mappings[k.pages[pfn].mapping].writepage
    if method == WRITEPAGE_SWAP:
        swap_writepage(k, pfn)
    elif method == WRITEPAGE_FILE:
        block_write_full_page(k, pfn)
    elif method == WRITEPAGE_SHMEM:
        shmem_writepage(k, pfn)
    elif method == WRITEPAGE_REFUSE:
        k.pages[pfn].flags |= PG_dirty
        unlock_page(k, pfn)
    elif method == WRITEPAGE_SYNC:
        unlock_page(k, pfn)


@part
def launder_page(k: Kernel, t: int, pfn: int) -> bool:
    """Start writing a locked, dirty page nobody else uses, if its mapping can and the caller may; whether it did."""
    page = k.pages[pfn]
    if page.flags & PG_dirty == 0 or users(k, pfn) != 1 or page.mapping == MAPPING_NONE:
        return False
    if k.tasks[t].reclaim_gfp & GFP_FS_BIT == 0 or k.mappings[page.mapping].writepage == WRITEPAGE_NONE:
        return False
    clear_page_dirty(k, pfn)
    page.flags |= PG_launder
    page.count += 1
    writepage(k, pfn)
    page_cache_release(k, pfn)
    return True


@part
def free_cached_page(k: Kernel, pfn: int) -> None:
    """Take a clean, locked page nobody uses out of its mapping and off the lists, and free it."""
    if in_swap_cache(k, pfn):
        swap_free(k, leave_swap_cache(k, pfn))
    else:
        log_event(k, EV_LEAVE_PAGE_CACHE, pfn, 0)
        remove_inode_page(k, pfn)
    lru_cache_del(k, pfn)
    unlock_page(k, pfn)
    page_cache_release(k, pfn)
