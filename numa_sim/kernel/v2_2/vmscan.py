"""Reclaim: `shrink_mmap` of mm/filemap.c and `do_try_to_free_pages` of mm/vmscan.c @2.2.1 (spec 4.9).

One clock hand goes over all frames of the machine (``vm.clock``).  It frees pages that only a cache still holds, unless
they were used since it came by last; `swap_out` makes such pages by unmapping.  32 pages freed or writes started are a
success; a machine on which six rounds of growing effort do not reach that has no memory to give.

Writes may make the caller sleep, so reclaim is a machine that stops and goes on: `try_to_free_pages_begin`, then
`reclaim_run` until it answers RECLAIM_DONE or RECLAIM_FAILED.  It stops with RECLAIM_WAIT at a page under I/O,
``tasks[t].wait_pfn``, whose reference it holds until it is called again, and with RECLAIM_YIELD once a call has cost
``vm.reclaim_quantum_ns`` or the I/O ring is half full.

The used bit is off with ``vm.second_chance = 0``.

Simplified: a file's page and its buffer are one page here (2.2 kept what was written a second time, in the buffer
cache), so both minima look at the page's kind and both are freed together; a dirty page of a shared mapping that was
unmapped is written when the hand meets it (2.2 writes it when it is unmapped); System V shared memory is not modelled.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import drop_buffers, has_real_buffers
from numa_sim.kernel.costs import charge
from numa_sim.kernel.dcache import shrink_vfs
from numa_sim.kernel.filemap import (
    clear_page_dirty,
    in_page_cache,
    in_swap_cache,
    node_of,
    page_cache_release,
    try_lock_page,
    users,
)
from numa_sim.kernel.ll_rw_blk import io_ring_is_full
from numa_sim.kernel.pageout import free_cached_page, writepage
from numa_sim.kernel.slab.reap import kmem_cache_reap
from numa_sim.kernel.swapfile import slot_index
from numa_sim.kernel.v2_2.buddy import can_dma
from numa_sim.kernel.v2_2.swap_out import swap_out
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import (
    BUF_CLEAN,
    BUF_DIRTY,
    BUF_LOCKED,
    BUF_NONE,
    BUFFERS_CLEAN,
    BUFFERS_NONE,
    GFP_DMA_BIT,
    GFP_IO_BIT,
    KSWAPD,
    NIL,
    SWAP_CLUSTER_MAX,
    PG_dirty,
    PG_locked,
    PG_referenced,
    PG_reserved,
)
from numa_sim.state.counters import PGSCAN_DIRECT, PGSCAN_KSWAPD, PGSTEAL_DIRECT, PGSTEAL_KSWAPD
from numa_sim.state.event_codes import EV_TRY_TO_FREE_PAGES
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

GFP_KSWAPD_2_2: Final = GFP_IO_BIT
"""What kswapd reclaims with: it may start I/O, but not wait for memory."""
DEF_PRIORITY: Final = 6
MIN_PERCENT: Final = 2
"""buffer_mem.min_percent, page_cache.min_percent: of all memory, what reclaim leaves to each."""
STAGE_IDLE: Final = 0
STAGE_SHRINK_MMAP: Final = 1
STAGE_SWAP_OUT: Final = 2
_PASS_BY: Final = 0
_FREED: Final = 1


@part
def _pgcache_under_min(k: Kernel) -> bool:
    """Whether the page cache, the swap cache included, is so small that reclaim leaves it alone."""
    return bool(k.vm[0].page_cache_size * 100 < MIN_PERCENT * k.vm[0].total_pages)


@part
def _buffer_under_min(k: Kernel) -> bool:
    """The same for pages whose buffers were written to."""
    vm = k.vm[0]
    pages = vm.nr_buffers_type[BUF_CLEAN] + vm.nr_buffers_type[BUF_LOCKED] + vm.nr_buffers_type[BUF_DIRTY]
    return bool(pages * 100 < MIN_PERCENT * vm.total_pages)


@part
def _free(k: Kernel, t: int, pfn: int) -> int:
    """Take a page that only its cache holds out of it, its clean buffers with it."""
    count(k, node_of(k, pfn), PGSTEAL_KSWAPD if t == KSWAPD else PGSTEAL_DIRECT, 1)
    if k.pages[pfn].buffers != BUFFERS_NONE:
        drop_buffers(k, pfn)
        k.pages[pfn].count -= 1
    k.pages[pfn].flags |= PG_locked
    free_cached_page(k, pfn)
    return _FREED


@part
def _visit_file_page(k: Kernel, t: int, pfn: int) -> int:
    """A page of a file that was not used since the last visit."""
    page = k.pages[pfn]
    if page.flags & PG_dirty != 0:
        if k.tasks[t].reclaim_gfp & GFP_IO_BIT != 0 and try_lock_page(k, pfn):
            clear_page_dirty(k, pfn)
            writepage(k, pfn)
        return _PASS_BY
    if has_real_buffers(k, pfn) and k.buffers[pfn].b_list != BUF_NONE:
        if _buffer_under_min(k):
            return _PASS_BY
        if page.buffers != BUFFERS_CLEAN:
            # try_to_free_buffers: busy; bdflush should see to it.
            k.vm[0].bdflush_wanted = 1
            return _PASS_BY
    elif _pgcache_under_min(k) or page.buffers > BUFFERS_CLEAN:
        return _PASS_BY
    return _free(k, t, pfn)


@part
def _visit(k: Kernel, t: int, pfn: int) -> int:
    """The clock hand comes to a page with one user."""
    page = k.pages[pfn]
    used = page.flags & PG_referenced != 0 and k.vm[0].second_chance != 0
    page.flags &= ~PG_referenced
    if page.flags & PG_locked != 0 or (k.tasks[t].reclaim_gfp & GFP_DMA_BIT != 0 and not can_dma(k, pfn)):
        return _PASS_BY
    if in_swap_cache(k, pfn):
        # Nobody else has the slot: it is no use to anybody, used or not.
        if used and k.swap_map[slot_index(k, page.index)] != 1:
            return _PASS_BY
        return _free(k, t, pfn)
    if used or not in_page_cache(k, pfn):
        return _PASS_BY
    return _visit_file_page(k, t, pfn)


@part
def _next_frame(k: Kernel, pfn: int) -> int:
    """Where the clock hand goes from a frame: the next one, over holes, and from the last to the first."""
    shift = k.vm[0].section_shift
    pfn += 1
    while pfn < k.vm[0].nr_frames and k.section_zone[pfn >> shift] == NIL:
        pfn = ((pfn >> shift) + 1) << shift
    return pfn if pfn < k.vm[0].nr_frames else 0


@rule
def shrink_mmap(k: Kernel, t: int, priority: int) -> int:
    """Move the clock hand on until it has freed a page or met 1 in 2**priority of all pages with just one user.

    Pages of the kernel and anonymous ones count as met; they are passed by, too.

    Returns
    -------
    int
        1 = a page was freed, 0 = not.
    """
    vm = k.vm[0]
    left = vm.total_pages >> priority
    barren = 0
    counter = PGSCAN_KSWAPD if t == KSWAPD else PGSCAN_DIRECT
    # The kernel would go round for ever on a machine without any page that has one user.
    while left > 0 and barren < vm.nr_frames:
        vm.clock = _next_frame(k, vm.clock)
        pfn = vm.clock + 0
        charge(k, k.costs[0].scan_page_ns)
        if k.pages[pfn].flags & PG_reserved != 0 or users(k, pfn) != 1:
            barren += 1
            continue
        barren = 0
        left -= 1
        count(k, node_of(k, pfn), counter, 1)
        if _visit(k, t, pfn) == _FREED:
            return 1
    return 0


# do_try_to_free_pages ------------------------------------------------------------------------------------------------


@rule
def try_to_free_pages_begin(k: Kernel, t: int, gfp: int) -> None:
    """Start `do_try_to_free_pages` for task `t`."""
    task = k.tasks[t]
    task.reclaim_gfp = gfp
    task.reclaim_nr = SWAP_CLUSTER_MAX
    task.reclaim_priority = DEF_PRIORITY
    task.reclaim_got = 0
    task.reclaim_stage = STAGE_SHRINK_MMAP
    log_event(k, EV_TRY_TO_FREE_PAGES, 0, gfp)
    kmem_cache_reap(k)


@part
def _one_done(k: Kernel, t: int) -> None:
    """One page freed or one write started; the last that was wanted ends the work."""
    task = k.tasks[t]
    task.reclaim_nr -= 1
    if task.reclaim_nr == 0:
        task.reclaim_got = 1
        task.reclaim_stage = STAGE_IDLE


@part
def _step(k: Kernel, t: int) -> None:
    """One call of shrink_mmap or swap_out; when both find nothing more, the next priority."""
    task = k.tasks[t]
    if task.reclaim_stage == STAGE_SHRINK_MMAP:
        if shrink_mmap(k, t, task.reclaim_priority) != 0:
            _one_done(k, t)
        else:
            task.reclaim_stage = STAGE_SWAP_OUT
    elif swap_out(k, t, task.reclaim_priority, task.reclaim_gfp) != 0:
        _one_done(k, t)
    else:
        shrink_vfs(k, task.reclaim_priority)
        task.reclaim_priority -= 1
        task.reclaim_stage = STAGE_SHRINK_MMAP if task.reclaim_priority >= 0 else STAGE_IDLE


@rule
def reclaim_run(k: Kernel, t: int) -> int:
    """Go on with what `try_to_free_pages_begin` started for task `t`.

    Returns
    -------
    int
        RECLAIM_DONE or RECLAIM_FAILED, RECLAIM_WAIT or RECLAIM_YIELD (call again).
    """
    task = k.tasks[t]
    if task.wait_pfn != NIL:
        pfn = task.wait_pfn + 0
        task.wait_pfn = NIL
        page_cache_release(k, pfn)
    start_ns = task.cost_ns + 0
    quantum_ns = k.vm[0].reclaim_quantum_ns
    while task.reclaim_stage != STAGE_IDLE:
        _step(k, t)
        if task.wait_pfn != NIL:
            if k.pages[task.wait_pfn].flags & PG_locked != 0:
                return RECLAIM_WAIT
            pfn = task.wait_pfn + 0
            task.wait_pfn = NIL
            page_cache_release(k, pfn)
        if io_ring_is_full(k):
            task.cost_ns += 1
            return RECLAIM_YIELD
        if quantum_ns > 0 and task.cost_ns - start_ns >= quantum_ns:
            return RECLAIM_YIELD
    return RECLAIM_DONE if task.reclaim_got > 0 else RECLAIM_FAILED
