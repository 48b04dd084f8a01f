"""Reclaim: the list half of mm/vmscan.c @2.4.37 (spec 4.7); its page-table half is `numa_sim.kernel.swap_out`.

`try_to_free_pages_zone` sleeps in the kernel (on pages under I/O), so here it is a machine that stops and goes on:
`reclaim_begin`, then `reclaim_run` until it answers RECLAIM_DONE or RECLAIM_FAILED.  Everything it must remember is
in ``tasks[t].reclaim_*`` and ``tasks[t].wait_pfn``; its time goes to ``tasks[t].cost_ns`` (task `t` must be the
current one).  It stops

* with RECLAIM_WAIT at a page being written, whose reference it holds until it is called again;
* with RECLAIM_YIELD once a call has cost ``vm.reclaim_quantum_ns`` (0 = no bound), when the I/O ring is half full,
  and after an out-of-memory round, so that others can run: the kernel's need_resched and yield().

2.4.22 (spec 4.8) has the same lists and an older driver: priorities 6 to 1 in place of passes, a share of the whole
inactive list per pass, and one `swap_out` that ends the scan as soon as too many mapped pages were met.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import must_wait_on_buffer, try_to_release_page
from numa_sim.kernel.costs import charge
from numa_sim.kernel.dcache import shrink_vfs
from numa_sim.kernel.filemap import (
    page_cache_release,
    try_lock_page,
    unlock_page,
)
from numa_sim.kernel.ll_rw_blk import io_ring_is_full
from numa_sim.kernel.locks import PAGEMAP_LRU_LOCK, spin_for, spin_lock, spin_unlock
from numa_sim.kernel.oom_kill import OOM_NOBODY, out_of_memory
from numa_sim.kernel.pageout import free_cached_page, launder_page
from numa_sim.kernel.slab.reap import kmem_cache_reap
from numa_sim.kernel.swap import (
    add_page_to_inactive_list,
    del_page_from_active_list,
    lru_cache_del,
)
from numa_sim.kernel.swap_out import memclass, swap_out
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import (
    BUFFERS_NONE,
    GFP_FS_BIT,
    GFP_HIGHIO_BIT,
    GFP_IO_BIT,
    KERNEL_2_4_37,
    KSWAPD,
    MAPPING_NONE,
    NIL,
    NR_ZONES,
    PF_MEMDIE,
    PF_NOIO,
    SWAP_CLUSTER_MAX,
    WMARK_HIGH,
    PG_dirty,
    PG_launder,
    PG_referenced,
)
from numa_sim.state.counters import PGDEACTIVATE, PGREFILL, PGSCAN_DIRECT, PGSCAN_KSWAPD, PGSTEAL_DIRECT, PGSTEAL_KSWAPD
from numa_sim.state.event_codes import EV_WAIT_ON_PAGE, EV_YIELD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel
from numa_sim.state.lists import active_add, active_del, inactive_add, inactive_del

STAGE_IDLE: Final = 0
STAGE_SHRINK_CACHES: Final = 1
"""A pass begins: slab, then `refill_inactive`, then the scan."""
STAGE_SHRINK_CACHE: Final = 2
"""Scanning the inactive list."""
STAGE_END: Final = 3
"""The pass has ended."""
LONE: Final = -1
"""reclaim_pass of a shrink_cache or shrink_caches called alone."""
_GO_ON: Final = 0
_SCAN_WAITS: Final = 1
_SCAN_ENDS: Final = 2


@rule
def check_classzone_need_balance(k: Kernel, zone: int) -> int:
    """1 if neither `zone` nor a lower zone of its node has more free pages than its high mark for that class."""
    index = k.zones[zone].index
    for z in range(zone - zone % NR_ZONES, zone + 1):
        # A slot without a zone has 0 free pages and a high mark of 0.
        if k.zones[z].free_pages > k.zones[z].watermarks[index, WMARK_HIGH]:
            return 0
    return 1


@part
def _node_of(k: Kernel, pfn: int) -> int:
    node: int = k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node
    return node


@rule
def refill_inactive(k: Kernel, nr_pages: int, class_zone: int) -> None:
    """Move pages from the tail of the active list to the head of the inactive list.

    How many keeps the lists in the proportion ``vm_lru_balance_ratio``.  A REFERENCED page loses the flag and goes to
    the active list's head instead, and can be met again in the same call.  Deactivated pages become REFERENCED: one
    use brings them back.
    """
    vm = k.vm[0]
    zone = k.zones[class_zone]
    if vm.profile < KERNEL_2_4_37:
        ratio = nr_pages * vm.nr_active_pages // ((vm.nr_inactive_pages + 1) * 2)
    else:
        ratio = nr_pages * zone.nr_active_pages // (zone.nr_inactive_pages * vm.vm_lru_balance_ratio + 1)
    outer = spin_lock(k, PAGEMAP_LRU_LOCK, k.costs[0].lru_lock_ns)
    pfn = vm.active_tail
    while ratio > 0 and pfn != NIL:
        page = k.pages[pfn]
        # The neighbour is looked up before the page moves.
        towards_head = page.lru_prev + 0
        charge(k, k.costs[0].scan_page_ns)
        count(k, _node_of(k, pfn), PGREFILL, 1)
        if page.flags & PG_referenced != 0:
            page.flags &= ~PG_referenced
            active_del(k, pfn)
            active_add(k, pfn)
        else:
            ratio -= 1
            del_page_from_active_list(k, pfn)
            add_page_to_inactive_list(k, pfn)
            page.flags |= PG_referenced
            count(k, _node_of(k, pfn), PGDEACTIVATE, 1)
        pfn = towards_head
    spin_unlock(k, PAGEMAP_LRU_LOCK, outer)


@part
def _stolen(k: Kernel, t: int, node: int) -> int:
    """One page fewer is wanted; whether the scan goes on."""
    k.tasks[t].reclaim_nr -= 1
    count(k, node, PGSTEAL_KSWAPD if t == KSWAPD else PGSTEAL_DIRECT, 1)
    return _GO_ON if k.tasks[t].reclaim_nr != 0 else _SCAN_ENDS


@rule
def _page_mapped(k: Kernel, t: int) -> int:
    """A page somebody still uses was met; too many of them, and page tables are searched (`swap_out`)."""
    task = k.tasks[t]
    task.reclaim_max_mapped -= 1
    if task.reclaim_max_mapped >= 0:
        return _GO_ON
    if k.vm[0].profile < KERNEL_2_4_37:
        swap_out(k, task.reclaim_zone)
        return _SCAN_ENDS
    task.reclaim_nr -= kmem_cache_reap(k)
    if task.reclaim_nr <= 0:
        return _SCAN_ENDS
    shrink_vfs(k, k.vm[0].vm_vfs_scan_ratio)
    if task.reclaim_failed_swapout == 0 and swap_out(k, task.reclaim_zone) == 0:
        task.reclaim_failed_swapout = 1
    task.reclaim_max_mapped = task.reclaim_nr * k.vm[0].vm_mapped_ratio
    refill_inactive(k, task.reclaim_nr, task.reclaim_zone)
    return _GO_ON


@part
def _reclaim_locked_page(k: Kernel, t: int, pfn: int) -> int:
    """What shrink_cache does with a page it has just locked: write it, strip it, free it, or let it be."""
    page = k.pages[pfn]
    node = _node_of(k, pfn)
    if launder_page(k, t, pfn):
        return _GO_ON
    if page.buffers != BUFFERS_NONE:
        page.count += 1
        waits = must_wait_on_buffer(k, pfn, k.tasks[t].reclaim_gfp)
        released = try_to_release_page(k, pfn, k.tasks[t].reclaim_gfp)
        if waits:
            unlock_page(k, pfn)
            log_event(k, EV_WAIT_ON_PAGE, pfn, 0)
            k.tasks[t].wait_pfn = pfn
            return _SCAN_WAITS
        if not released:
            unlock_page(k, pfn)
        elif page.mapping == MAPPING_NONE:
            # A page that was only its buffers must not stay on the lists.
            unlock_page(k, pfn)
            lru_cache_del(k, pfn)
        freed = released and page.mapping == MAPPING_NONE
        page_cache_release(k, pfn)
        if freed:
            return _stolen(k, t, node)
        if not released:
            return _GO_ON
    if page.mapping == MAPPING_NONE or page.count > 1:
        unlock_page(k, pfn)
        return _page_mapped(k, t)
    if page.flags & PG_dirty != 0:
        unlock_page(k, pfn)
        return _GO_ON
    free_cached_page(k, pfn)
    return _stolen(k, t, node)


@part
def _scan_page(k: Kernel, t: int) -> int:
    """Look at the page at the tail of the inactive list, after moving it to the head: one round of shrink_cache."""
    vm = k.vm[0]
    task = k.tasks[t]
    pfn = vm.inactive_tail + 0
    if task.reclaim_max_scan == 0 or k.zones[task.reclaim_zone].nr_inactive_pages == 0 or pfn == NIL:
        return _SCAN_ENDS
    page = k.pages[pfn]
    inactive_del(k, pfn)
    inactive_add(k, pfn)
    spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].scan_page_ns)
    task.cost_ns += k.costs[0].scan_page_ns
    if page.count == 0 or not memclass(k, pfn, task.reclaim_zone):
        return _GO_ON
    task.reclaim_max_scan -= 1
    count(k, _node_of(k, pfn), PGSCAN_KSWAPD if t == KSWAPD else PGSCAN_DIRECT, 1)
    if page.buffers == BUFFERS_NONE and (page.count != 1 or page.mapping == MAPPING_NONE):
        return _page_mapped(k, t)
    if not try_lock_page(k, pfn):
        if page.flags & PG_launder == 0 or task.reclaim_gfp & GFP_FS_BIT == 0:
            return _GO_ON
        log_event(k, EV_WAIT_ON_PAGE, pfn, 0)
        page.count += 1
        task.wait_pfn = pfn
        return _SCAN_WAITS
    return _reclaim_locked_page(k, t, pfn)


@part
def _begin_scan(k: Kernel, t: int) -> None:
    """The bounds of one shrink_cache call."""
    vm = k.vm[0]
    task = k.tasks[t]
    zone = k.zones[task.reclaim_zone]
    task.reclaim_stage = STAGE_SHRINK_CACHE
    if vm.profile < KERNEL_2_4_37:
        priority = task.reclaim_pass
        task.reclaim_max_scan = vm.nr_inactive_pages // priority
        task.reclaim_max_mapped = min(task.reclaim_nr << (10 - priority), task.reclaim_max_scan // 10)
        return
    task.reclaim_max_scan = (zone.nr_inactive_pages + zone.nr_active_pages) // vm.vm_cache_scan_ratio
    task.reclaim_max_mapped = vm.vm_mapped_ratio * task.reclaim_nr


@rule
def shrink_cache_begin(k: Kernel, t: int, class_zone: int, gfp: int, nr_pages: int, failed_swapout: int) -> None:
    """Start one shrink_cache; the answers are in ``reclaim_nr`` (still wanted) and ``reclaim_failed_swapout``."""
    task = k.tasks[t]
    task.reclaim_zone = class_zone
    task.reclaim_gfp = gfp
    task.reclaim_nr = nr_pages
    task.reclaim_failed_swapout = failed_swapout
    task.reclaim_pass = LONE
    _begin_scan(k, t)


@rule
def shrink_caches_begin(k: Kernel, t: int, class_zone: int, gfp: int, nr_pages: int, failed_swapout: int) -> None:
    """Start one shrink_caches: slab and `refill_inactive` before the scan; answers as `shrink_cache_begin`."""
    shrink_cache_begin(k, t, class_zone, gfp, nr_pages, failed_swapout)
    k.tasks[t].reclaim_stage = STAGE_SHRINK_CACHES


@part
def _begin_passes(k: Kernel, t: int) -> None:
    """Start a round of vm_passes passes over the lists, for SWAP_CLUSTER_MAX pages.

    ``reclaim_pass`` counts down to 1: @2.4.22 it is the priority, and ``vm_passes`` is DEF_PRIORITY.
    """
    task = k.tasks[t]
    task.reclaim_nr = SWAP_CLUSTER_MAX
    task.reclaim_failed_swapout = 1 if task.reclaim_gfp & GFP_IO_BIT == 0 else 0
    task.reclaim_pass = k.vm[0].vm_passes
    task.reclaim_stage = STAGE_SHRINK_CACHES


@rule
def reclaim_begin(k: Kernel, t: int, class_zone: int, gfp: int) -> None:
    """Start try_to_free_pages_zone for task `t`: free SWAP_CLUSTER_MAX pages of the class of `class_zone`."""
    task = k.tasks[t]
    if task.flags & PF_NOIO != 0:
        gfp &= ~(GFP_IO_BIT | GFP_HIGHIO_BIT | GFP_FS_BIT)
    task.reclaim_zone = class_zone
    task.reclaim_gfp = gfp
    _begin_passes(k, t)


@part
def _out_of_passes(k: Kernel, t: int) -> int:
    """Every pass failed: fail, or kill somebody (CONFIG_OOM_KILLER) and start over.

    Ours: the kernel starts over for ever; here the caller gets its answer when it is being killed itself, when
    nobody is left to kill (a panic there), and when others have freed enough meanwhile.
    """
    task = k.tasks[t]
    if k.vm[0].profile < KERNEL_2_4_37:
        if out_of_memory(k) == OOM_NOBODY and t != KSWAPD:
            task.flags |= PF_MEMDIE  # ours, for the panic: the caller may use the reserves, or fail
        return RECLAIM_FAILED
    if k.vm[0].oom_killer != 0:
        victim = out_of_memory(k)
        if victim == OOM_NOBODY or task.killed != 0:
            return RECLAIM_FAILED
        if check_classzone_need_balance(k, task.reclaim_zone) == 0:
            return RECLAIM_DONE
    elif task.pid != 1 or t == KSWAPD or check_classzone_need_balance(k, task.reclaim_zone) == 0:
        return RECLAIM_FAILED
    log_event(k, EV_YIELD, t, 0)
    _begin_passes(k, t)
    # Never free of charge, or nobody else's time would come.
    task.cost_ns += max(1, k.costs[0].context_switch_ns)
    return RECLAIM_YIELD


@part
def _end_pass(k: Kernel, t: int) -> int:
    """The end of a pass; the answer of the whole run, or NIL to go on with the next one."""
    task = k.tasks[t]
    if task.reclaim_pass == LONE or task.reclaim_nr <= 0:
        task.reclaim_stage = STAGE_IDLE
        return RECLAIM_DONE
    if k.vm[0].profile < KERNEL_2_4_37:
        shrink_vfs(k, task.reclaim_pass)
    else:
        shrink_vfs(k, k.vm[0].vm_vfs_scan_ratio)
        if task.reclaim_failed_swapout == 0 and swap_out(k, task.reclaim_zone) == 0:
            task.reclaim_failed_swapout = 1
    task.reclaim_pass -= 1
    if task.reclaim_pass > 0:
        task.reclaim_stage = STAGE_SHRINK_CACHES
        return NIL
    task.reclaim_stage = STAGE_IDLE
    return _out_of_passes(k, t)


@rule
def reclaim_run(k: Kernel, t: int) -> int:
    """Go on with what a ``*_begin`` rule started for task `t`.

    Returns
    -------
    int
        RECLAIM_DONE, RECLAIM_FAILED (only try_to_free_pages_zone), RECLAIM_WAIT or RECLAIM_YIELD (call again).
    """
    task = k.tasks[t]
    k.vm[0].reclaim_policy = task.alloc_first_node // k.vm[0].nr_nodes
    if task.wait_pfn != NIL:
        pfn = task.wait_pfn + 0
        task.wait_pfn = NIL
        page_cache_release(k, pfn)
    start_ns = task.cost_ns + 0
    quantum_ns = k.vm[0].reclaim_quantum_ns
    while True:
        if task.reclaim_stage == STAGE_SHRINK_CACHES:
            reaped = kmem_cache_reap(k)
            if task.reclaim_nr <= reaped or k.vm[0].profile >= KERNEL_2_4_37:
                task.reclaim_nr -= reaped  # @2.4.22 fewer than wanted count for nothing
            if task.reclaim_nr <= 0:
                task.reclaim_stage = STAGE_END
            else:
                refill_inactive(k, task.reclaim_nr, task.reclaim_zone)
                _begin_scan(k, t)
        elif task.reclaim_stage == STAGE_SHRINK_CACHE:
            found = _scan_page(k, t)
            if found == _SCAN_WAITS:
                return RECLAIM_WAIT
            if found == _SCAN_ENDS:
                task.reclaim_stage = STAGE_END
        else:
            answer = _end_pass(k, t)
            if answer != NIL:
                return answer
        if io_ring_is_full(k):
            task.cost_ns += 1
            return RECLAIM_YIELD
        if quantum_ns > 0 and task.cost_ns - start_ns >= quantum_ns:
            return RECLAIM_YIELD


@rule
def abandon_reclaim(k: Kernel, t: int) -> None:
    """Forget what task `t` was reclaiming and drop the page it waits for."""
    task = k.tasks[t]
    if task.wait_pfn != NIL:
        page_cache_release(k, task.wait_pfn)
        task.wait_pfn = NIL
    task.reclaim_stage = STAGE_IDLE
