"""Pages in a mapping, page locks and page buffers: mm/filemap.c and the parts of fs/buffer.c reclaim needs, @2.4.37.

A page in a mapping holds one reference for it, buffers hold one more.  Only the swap cache has an index here
(``k.swap_cache``); pages of files are found by nobody yet, they only take memory and can be reclaimed.

Simplified: buffers are one state per page (``BUFFERS_*``) instead of a ring of buffer heads.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.swap import delta_nr_cache_pages, lru_cache_add
from numa_sim.state.constants import (
    BUFFERS_BUSY,
    BUFFERS_CLEAN,
    BUFFERS_DIRTY,
    BUFFERS_NONE,
    EV_FREED,
    EV_TRY_TO_RELEASE_PAGE,
    GFP_IO_BIT,
    MAPPING_NONE,
    PG_arch_1,
    PG_checked,
    PG_dirty,
    PG_error,
    PG_launder,
    PG_locked,
    PG_referenced,
    PG_uptodate,
)
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

KIND_FILE = 0
KIND_SWAP = 1
"""Values of ``mappings.kind``."""


@part
def in_swap_cache(k: Kernel, pfn: int) -> bool:
    """Whether the page's mapping is swapper_space (PageSwapCache)."""
    mapping = k.pages[pfn].mapping
    return mapping != MAPPING_NONE and k.mappings[mapping].kind == KIND_SWAP


@part
def users(k: Kernel, pfn: int) -> int:
    """References of a page, its buffers' own left out."""
    page = k.pages[pfn]
    return page.count - 1 if page.buffers != BUFFERS_NONE else page.count + 0


@part
def try_lock_page(k: Kernel, pfn: int) -> bool:
    """Lock the page; False if it was locked already."""
    page = k.pages[pfn]
    if page.flags & PG_locked != 0:
        return False
    page.flags |= PG_locked
    return True


@part
def unlock_page(k: Kernel, pfn: int) -> None:
    """Unlock the page; LAUNDER goes too, always (spec G-7).  Waking who waits for it is the processes' work."""
    k.pages[pfn].flags &= ~(PG_locked | PG_launder)


@rule
def page_cache_release(k: Kernel, pfn: int) -> None:
    """Drop one reference and say so (EV_FREED) if it was the last."""
    if k.pages[pfn].count == 1:
        log_event(k, EV_FREED, pfn, 0)
    free_pages(k, pfn, 0)


@rule
def add_to_page_cache(k: Kernel, pfn: int, mapping: int, index: int) -> None:
    """Give a page to a mapping: locked, one more reference, at the head of the inactive list.

    Clears UPTODATE, ERROR, DIRTY, REFERENCED, CHECKED and arch_1 (`__add_to_page_cache`, spec G-7).
    """
    page = k.pages[pfn]
    page.flags &= ~(PG_uptodate | PG_error | PG_dirty | PG_referenced | PG_checked | PG_arch_1)
    page.flags |= PG_locked
    page.count += 1
    page.mapping = mapping
    page.index = index
    k.mappings[mapping].nrpages += 1
    k.vm[0].page_cache_size += 1
    delta_nr_cache_pages(k, pfn, 1)
    lru_cache_add(k, pfn)


@rule
def remove_inode_page(k: Kernel, pfn: int) -> None:
    """Take a page out of its mapping; the caller drops the mapping's reference (`__remove_inode_page`)."""
    page = k.pages[pfn]
    k.mappings[page.mapping].nrpages -= 1
    page.mapping = MAPPING_NONE
    page.flags &= ~PG_dirty
    k.vm[0].page_cache_size -= 1
    delta_nr_cache_pages(k, pfn, -1)


@part
def attach_buffers(k: Kernel, pfn: int) -> None:
    """Give the page buffers under I/O, and their reference, if it has none (create_empty_buffers)."""
    page = k.pages[pfn]
    if page.buffers == BUFFERS_NONE:
        page.count += 1
    page.buffers = BUFFERS_BUSY


@rule
def try_to_release_page(k: Kernel, pfn: int, gfp: int) -> bool:
    """Strip the page's buffers and their reference; dirty ones only for a caller that may start I/O."""
    page = k.pages[pfn]
    done = page.buffers == BUFFERS_CLEAN or (page.buffers == BUFFERS_DIRTY and gfp & GFP_IO_BIT != 0)
    log_event(k, EV_TRY_TO_RELEASE_PAGE, pfn, 1 if done else 0)
    if done:
        page.buffers = BUFFERS_NONE
        page_cache_release(k, pfn)
    return done


@rule
def block_flushpage(k: Kernel, pfn: int) -> None:
    """Throw away the buffers of a locked page whose contents nobody wants on disk (fs/buffer.c)."""
    page = k.pages[pfn]
    if page.buffers == BUFFERS_CLEAN or page.buffers == BUFFERS_DIRTY:
        page.buffers = BUFFERS_NONE
        page.count -= 1
