"""The last step of a page: off the inactive_clean list, out of its cache: `reclaim_page`, mm/vmscan.c @2.4.0.

Two users: an allocation that may take the page as its own at once (`numa_sim.kernel.v2_4_0.page_alloc`), and the daemon
kreclaimd, which fills the free lists of zones below their low mark: it sleeps with ``vm.kreclaimd_asleep = 1``, and
when ``vm.kreclaimd_wanted`` it runs `kreclaimd_round` once.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import in_swap_cache, node_of, remove_inode_page, unlock_page
from numa_sim.kernel.locks import PAGEMAP_LRU_LOCK, spin_for
from numa_sim.kernel.swapfile import swap_free
from numa_sim.kernel.swapper_space import leave_swap_cache
from numa_sim.kernel.v2_4_0.swap import lru_cache_del, move_to_active, move_to_inactive_dirty
from numa_sim.state.constants import (
    BUFFERS_NONE,
    MAPPING_NONE,
    NIL,
    NR_ZONES,
    PAGE_AGE_START,
    PF_KTHREAD,
    WMARK_LOW,
    PG_dirty,
    PG_locked,
    PG_referenced,
)
from numa_sim.state.counters import PGSCAN_DIRECT, PGSCAN_KSWAPD, PGSTEAL_DIRECT, PGSTEAL_KSWAPD, RECLAIM_PAGE
from numa_sim.state.event_codes import EV_LEAVE_PAGE_CACHE, EV_RECLAIM_PAGE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@part
def by_daemon(k: Kernel) -> bool:
    """Whether a kernel thread runs: its scans are kswapd's in the statistics, everybody else's are direct."""
    t = k.vm[0].current_task
    return t != NIL and k.tasks[t].flags & PF_KTHREAD != 0


@part
def still_used(k: Kernel, pfn: int) -> bool:
    """Whether an inactive page was used since it was deactivated; clears REFERENCED."""
    page = k.pages[pfn]
    referenced = page.flags & PG_referenced != 0
    page.flags &= ~PG_referenced
    return referenced or page.age > 0 or (page.buffers == BUFFERS_NONE and page.count > 1)


@part
def _leave_cache(k: Kernel, pfn: int) -> None:
    """Take a clean page out of the swap cache or its file; the cache's reference becomes the caller's."""
    if in_swap_cache(k, pfn):
        swap_free(k, leave_swap_cache(k, pfn))
    elif k.pages[pfn].mapping != MAPPING_NONE:
        log_event(k, EV_LEAVE_PAGE_CACHE, pfn, 0)
        remove_inode_page(k, pfn)


@rule
def reclaim_page(k: Kernel, zone_id: int) -> int:
    """Take the oldest page off a zone's inactive_clean list; pages used or dirtied meanwhile go back where they belong.

    Returns
    -------
    int
        A frame with count 1 that is on no list and in no cache, or NIL.
    """
    zone = k.zones[zone_id]
    left = zone.inactive_clean_pages + 0
    taken = NIL
    while taken == NIL and left > 0 and zone.inactive_clean_tail != NIL:
        left -= 1
        pfn = zone.inactive_clean_tail + 0
        page = k.pages[pfn]
        spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].scan_page_ns)
        charge(k, k.costs[0].scan_page_ns)
        count(k, node_of(k, pfn), PGSCAN_KSWAPD if by_daemon(k) else PGSCAN_DIRECT, 1)
        if still_used(k, pfn):
            move_to_active(k, pfn)
        elif page.buffers != BUFFERS_NONE or page.flags & (PG_dirty | PG_locked) != 0:
            move_to_inactive_dirty(k, pfn)
        else:
            page.flags |= PG_locked
            _leave_cache(k, pfn)
            lru_cache_del(k, pfn)
            unlock_page(k, pfn)
            page.age = PAGE_AGE_START
            count(k, node_of(k, pfn), RECLAIM_PAGE, 1)
            count(k, node_of(k, pfn), PGSTEAL_KSWAPD if by_daemon(k) else PGSTEAL_DIRECT, 1)
            taken = pfn
    k.vm[0].memory_pressure += 1
    log_event(k, EV_RECLAIM_PAGE, zone_id, taken)
    return taken


@rule
def kreclaimd_round(k: Kernel) -> int:
    """One awakening of kreclaimd: every zone below its low mark gets its clean pages freed; returns how many."""
    freed = 0
    node = k.vm[0].pgdat_list
    while node != NIL:
        for z in range(node * NR_ZONES, node * NR_ZONES + NR_ZONES):
            zone = k.zones[z]
            pfn = 0
            while pfn != NIL and zone.size != 0 and zone.free_pages < zone.watermarks[zone.index, WMARK_LOW]:
                pfn = reclaim_page(k, z)
                if pfn != NIL:
                    free_pages(k, pfn, 0)
                    freed += 1
        node = k.nodes[node].pgdat_next
    return freed
