"""Read-ahead of files: generic_file_readahead and nopage_sequential_readahead of mm/filemap.c @2.4 (spec 9.3, 9.4).

An open file remembers a window: ``f_raend`` (first page not read ahead), ``f_ralen`` (pages of the last read-ahead),
``f_rawin`` (pages of the whole window), ``f_ramax`` (how many the next one may take: it doubles while reading goes on
in order).  A read outside the window starts from nothing.

Read-ahead may stop for memory: what is left is kept in ``file.ahead`` and ``file.max_ahead``, and the caller calls
again after reclaim.  Off with ``vm.file_readahead = 0``; 2.4.0's drop-behind with ``vm.drop_behind = 0``.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import block_read_full_page
from numa_sim.kernel.filemap import add_to_page_cache, find_page, node_of
from numa_sim.kernel.pgtable import alloc_page_vma
from numa_sim.kernel.v2_4_0.swap import deactivate_page
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import GFP_HIGHUSER, KERNEL_2_4_0, NIL, PAGE_SHIFT, PAGE_SIZE, PG_locked
from numa_sim.state.counters import DROP_BEHIND, READAHEAD_PAGES
from numa_sim.state.event_codes import EV_DROP_BEHIND, EV_READAHEAD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

PAGE_EXISTS = -3
"""`page_cache_read` found the page cached."""


@rule
def page_cache_read(k: Kernel, t: int, mapping: int, index: int, vma: int, vpn: int) -> int:
    """Start reading a page nobody waits for into the cache (page_cache_read).

    Pages of files come under the policy of the task (`vma` NIL), those of shared memory under that for page `vpn` of
    the area that shows them.

    Returns
    -------
    int
        Its pfn (no reference is held for the caller); PAGE_EXISTS; ALLOC_FAIL; ALLOC_RECLAIM (nothing has changed).
    """
    if find_page(k, mapping, index) != NIL:
        return PAGE_EXISTS
    pfn = alloc_page_vma(k, t, GFP_HIGHUSER, vma, vpn)
    if pfn < 0:
        return pfn
    add_to_page_cache(k, pfn, mapping, index)
    block_read_full_page(k, pfn)
    k.pages[pfn].count -= 1
    return pfn


# read(2) -------------------------------------------------------------------------------------------------------------


@rule
def file_ra_begin(k: Kernel, file: int, pos: int, length: int) -> int:
    """Look at the window when a read call begins; 1 = the read goes on from it, 0 = it does not, the window is empty.

    A first read of up to half a page asks for no read-ahead; others for at least the pages they need.
    """
    f = k.files[file]
    index = pos >> PAGE_SHIFT
    offset = pos & (PAGE_SIZE - 1)
    goes_on = 1
    if index > f.f_raend or index + f.f_rawin < f.f_raend:
        goes_on = 0
        f.f_raend = f.f_ramax = f.f_ralen = f.f_rawin = 0
    if index == 0 and offset + length <= PAGE_SIZE >> 1:
        f.f_ramax = 0
    else:
        ramax = max(f.f_ramax + 0, ((offset + length) >> PAGE_SHIFT) + 1)
        if goes_on != 0:
            ramax = max(ramax, k.vm[0].vm_min_readahead + 0)
        f.f_ramax = min(ramax, k.vm[0].vm_max_readahead + 0)
    return goes_on


@part
def _plan(k: Kernel, file: int, pfn: int, index: int, goes_on: int) -> None:
    """Decide how many pages to read ahead of page `index`, and from where; 0 = none."""
    f = k.files[file]
    end_index = k.mappings[f.f_mapping].i_size >> PAGE_SHIFT
    f.ahead = f.max_ahead = f.ahead_async = 0
    f.ahead_from = f.f_raend
    if k.vm[0].file_readahead == 0:
        return
    if k.pages[pfn].flags & PG_locked != 0:
        # The page itself had to be read: read on from it.
        if f.f_ralen == 0 or index >= f.f_raend or index + f.f_rawin < f.f_raend:
            f.ahead_from = index
            f.max_ahead = f.f_ramax if index < end_index else 0
            f.f_rawin = 0
            f.f_ralen = 1
            if f.max_ahead == 0:
                f.f_raend = index + 1
                f.f_rawin = 1
    elif goes_on != 0 and f.f_ramax != 0 and f.f_raend >= 1 and index <= f.f_raend and index + f.f_ralen >= f.f_raend:
        # The reader has reached the last pages read ahead: the next ones, before it needs them.
        f.ahead_from = f.f_raend - 1
        f.max_ahead = f.f_ramax + 1 if f.ahead_from < end_index else 0
        if f.max_ahead != 0:
            f.ahead_async = 1
            f.f_rawin = f.f_ralen
            f.f_ralen = 0


@rule
def drop_behind(k: Kernel, file: int, index: int) -> None:
    """2.4.0: deactivate the window's pages the reader of page `index` has left behind, up to the first that is gone."""
    f = k.files[file]
    for passed in range(index - 1, max(index - f.f_rawin, 0) - 1, -1):
        pfn = find_page(k, f.f_mapping, passed)
        if pfn == NIL:
            return
        k.pages[pfn].count += 1
        deactivate_page(k, pfn)
        k.pages[pfn].count -= 1
        count(k, node_of(k, pfn), DROP_BEHIND, 1)
        log_event(k, EV_DROP_BEHIND, pfn, passed)


@rule
def read_ahead_go_on(k: Kernel, t: int, file: int, index: int) -> int:
    """Read what `file_readahead` planned, as far as memory allows; ALLOC_RECLAIM: call again, 0: done."""
    f = k.files[file]
    end_index = k.mappings[f.f_mapping].i_size >> PAGE_SHIFT
    early = k.vm[0].profile == KERNEL_2_4_0
    while f.ahead < f.max_ahead:
        wanted = f.ahead_from + f.ahead + 1
        if wanted >= end_index:
            # 2.4.0 counts the page it stops at.
            f.ahead += 1 if early else 0
            break
        pfn = page_cache_read(k, t, f.f_mapping, wanted, NIL, 0)
        if pfn == ALLOC_RECLAIM:
            return ALLOC_RECLAIM
        if pfn == ALLOC_FAIL:
            f.ahead += 1 if early else 0
            break
        if pfn >= 0:
            count(k, node_of(k, pfn), READAHEAD_PAGES, 1)
        f.ahead += 1
    if f.ahead > 0:
        f.f_ralen += f.ahead
        f.f_rawin += f.f_ralen
        f.f_raend = f.ahead_from + f.ahead + 1
        f.f_ramax = min(2 * f.f_ramax, k.vm[0].vm_max_readahead)
        log_event(k, EV_READAHEAD, f.ahead_from + 1, f.ahead)
        if early and k.vm[0].drop_behind != 0:
            drop_behind(k, file, index)
    f.ahead = f.max_ahead = 0
    return 0


@rule
def file_readahead(k: Kernel, t: int, file: int, pfn: int, index: int, goes_on: int) -> int:
    """generic_file_readahead for the read of page `index`, which is `pfn`; ALLOC_RECLAIM: call `read_ahead_go_on`."""
    _plan(k, file, pfn, index, goes_on)
    if k.files[file].max_ahead == 0:
        return 0
    return read_ahead_go_on(k, t, file, index)


# mmap ----------------------------------------------------------------------------------------------------------------


@rule
def read_cluster(k: Kernel, t: int, mapping: int, index: int, counter: int) -> int:
    """Start reading the aligned block of 2**page_cluster pages around page `index` (read_cluster_nonblocking).

    Restartable: pages already cached are passed over.  0 = done, ALLOC_RECLAIM, ALLOC_FAIL.
    """
    pages = 1 << k.vm[0].page_cluster
    first = index // pages * pages
    end = min(first + pages, (k.mappings[mapping].i_size + PAGE_SIZE - 1) >> PAGE_SHIFT)
    for wanted in range(first, end):
        pfn = page_cache_read(k, t, mapping, wanted, NIL, 0)
        if pfn == ALLOC_RECLAIM or pfn == ALLOC_FAIL:
            return pfn
        if pfn >= 0 and wanted != index:
            count(k, node_of(k, pfn), counter, 1)
    return 0
