"""truncate(2) and dropping cached pages: mm/memory.c:vmtruncate and mm/filemap.c @2.4.37 (spec 9.2).

The part of the last page that is cut off becomes zeros, as by a write; then the size is set, mappings of the pages
behind are removed, and the pages leave the cache, each after its I/O.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import block_flushpage, try_to_release_page
from numa_sim.kernel.filemap import (
    find_page,
    page_cache_release,
    remove_inode_page,
    try_lock_page,
    unlock_page,
    users,
)
from numa_sim.kernel.inode import get_block, truncate_blocks
from numa_sim.kernel.locks import i_shared_lock, spin_lock, spin_unlock
from numa_sim.kernel.read_write import generic_file_write_step, wait_on_page
from numa_sim.kernel.swap import lru_cache_del
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.kernel.zap import zap_page_range
from numa_sim.state.answers import FILE_DONE
from numa_sim.state.constants import (
    BUFFERS_BUSY,
    BUFFERS_NONE,
    CLEAN_PAGES,
    NIL,
    NR_PAGE_LISTS,
    PAGE_SHIFT,
    PAGE_SIZE,
    PG_uptodate,
)
from numa_sim.state.event_codes import EV_TRUNCATE, EV_ZAP_FILE_PAGE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

_CUT = 2
"""``file_stage`` once the new size is set."""


@part
def _vmtruncate_areas(k: Kernel, area: int, first: int) -> None:
    """Unmap page `first` of the file and all behind it from the areas of one list (vmtruncate_list)."""
    while area != NIL:
        vma = k.vmas[area]
        start = max(vma.vm_start + first - vma.vm_pgoff, vma.vm_start + 0)
        if start < vma.vm_end:
            flush_tlb_mm(k, vma.vm_mm)
            zap_page_range(k, vma.vm_mm, start, vma.vm_end)
        area = k.vmas[area].vm_next_share + 0


@rule
def _truncate_complete_page(k: Kernel, pfn: int) -> None:
    """Take a locked page that is not under I/O out of the cache, whatever it contains."""
    page = k.pages[pfn]
    log_event(k, EV_ZAP_FILE_PAGE, pfn, page.index)
    block_flushpage(k, pfn)
    page.flags &= ~PG_uptodate
    remove_inode_page(k, pfn)
    unlock_page(k, pfn)
    lru_cache_del(k, pfn)
    page_cache_release(k, pfn)


@rule
def truncate_inode_pages(k: Kernel, mapping: int, first: int) -> int:
    """Drop the cached pages from page `first` on; NIL, or a page that is under I/O: wait for it and call again."""
    for list_ in range(NR_PAGE_LISTS):
        pfn = k.mappings[mapping].pages_head[list_] + 0
        while pfn != NIL:
            behind = k.pages[pfn].list_next + 0
            if k.pages[pfn].index >= first:
                if k.pages[pfn].buffers >= BUFFERS_BUSY or not try_lock_page(k, pfn):
                    return pfn
                _truncate_complete_page(k, pfn)
            pfn = behind
    return NIL


@rule
def invalidate_inode_pages(k: Kernel, mapping: int) -> int:
    """Drop the file's clean pages nobody uses; return how many."""
    dropped = 0
    pfn = k.mappings[mapping].pages_head[CLEAN_PAGES] + 0
    while pfn != NIL:
        behind = k.pages[pfn].list_next + 0
        if users(k, pfn) == 1 and try_lock_page(k, pfn):
            k.pages[pfn].count += 1
            if k.pages[pfn].buffers == BUFFERS_NONE or try_to_release_page(k, pfn, 0):
                k.pages[pfn].count -= 1
                _truncate_complete_page(k, pfn)
                dropped += 1
            else:
                unlock_page(k, pfn)
                page_cache_release(k, pfn)
        pfn = behind
    return dropped


@rule
def truncate_step(k: Kernel, t: int, mapping: int, size: int) -> int:
    """One step of truncate to `size` bytes: GO_ON, FILE_DONE, FILE_WAIT, FILE_RECLAIM or FILE_FAILED.

    ``file_pos`` and ``file_left`` are the rest of the last page, as long as it must be zeroed.
    """
    task = k.tasks[t]
    space = k.mappings[mapping]
    if task.file_left > 0:
        return generic_file_write_step(k, t, mapping, False)
    first = (size + PAGE_SIZE - 1) >> PAGE_SHIFT
    if task.file_stage != _CUT:
        task.file_stage = _CUT
        log_event(k, EV_TRUNCATE, mapping, size)
        old_size = space.i_size + 0
        space.i_size = size
        if size >= old_size:
            return FILE_DONE
        outer = spin_lock(k, i_shared_lock(k, mapping), k.costs[0].page_table_lock_ns)
        _vmtruncate_areas(k, space.i_mmap + 0, first)
        _vmtruncate_areas(k, space.i_mmap_shared + 0, first)
        spin_unlock(k, i_shared_lock(k, mapping), outer)
    pfn = truncate_inode_pages(k, mapping, first)
    if pfn != NIL:
        return wait_on_page(k, t, pfn)
    truncate_blocks(k, mapping, first)
    return FILE_DONE


@rule
def must_zero_rest(k: Kernel, mapping: int, size: int) -> int:
    """1 if truncating to `size` leaves part of a page that is not all zeros: on the disk, or so far only cached."""
    if size >= k.mappings[mapping].i_size or size & (PAGE_SIZE - 1) == 0:
        return 0
    index = size >> PAGE_SHIFT
    pfn = find_page(k, mapping, index)
    return 1 if get_block(k, mapping, index, 0) != NIL or (pfn != NIL and k.tags[pfn] != 0) else 0
