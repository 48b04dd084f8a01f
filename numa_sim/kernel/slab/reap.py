"""What reclaim gets from slab caches: kmem_cache_reap, mm/slab.c @2.4.0 (spec 8.8)."""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.slab.grow import kmem_slab_destroy
from numa_sim.kernel.slab.objects import drain_array
from numa_sim.state.constants import NIL, SLAB_NO_REAP, SLABS_FREE
from numa_sim.state.counters import SLABS_SCANNED
from numa_sim.state.event_codes import EV_KMEM_CACHE_REAP
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

REAP_SCANLEN: Final = 10
"""Caches looked at in one call."""
REAP_PERFECT: Final = 10
"""Free slabs with which a cache is taken at once."""


@rule
def _worth(k: Kernel, c: int) -> int:
    """Pages a cache could give, less a fifth for a constructor and another for slabs of several pages."""
    cache = k.kmem_caches[c]
    pages = cache.list_length[SLABS_FREE] << cache.gfporder
    if cache.ctor != 0:
        pages = (pages * 4 + 1) // 5
    if cache.gfporder != 0:
        pages = (pages * 4 + 1) // 5
    return pages


@rule
def _after(k: Kernel, c: int) -> int:
    """The next cache of the chain, which is a ring."""
    after = k.kmem_caches[c].next + 0
    return after if after != NIL else k.vm[0].cache_chain + 0


@rule
def _choose_cache(k: Kernel) -> int:
    """The cache with most to give among up to ten from the clock's position on, NIL if none has a free slab."""
    vm = k.vm[0]
    cpu = vm.current_cpu + 0
    node = k.cpus[cpu].node
    best = NIL
    best_pages = 0
    start = vm.slab_clock + 0
    c = start
    for _ in range(REAP_SCANLEN):
        cache = k.kmem_caches[c]
        count(k, node, SLABS_SCANNED, cache.list_length[SLABS_FREE])
        charge(k, k.costs[0].scan_page_ns)
        if cache.grown != 0 and cache.growing == 0 and cache.flags & SLAB_NO_REAP == 0:
            cache.grown = 0
        elif cache.growing == 0 and cache.flags & SLAB_NO_REAP == 0:
            if k.cpucache[cpu, c, 0] > 0:
                drain_array(k, c, cpu, k.cpucache[cpu, c, 0])
            pages = _worth(k, c)
            if pages > best_pages:
                best = c
                best_pages = pages
                if cache.list_length[SLABS_FREE] >= REAP_PERFECT:
                    vm.slab_clock = _after(k, _after(k, c))
                    return best
        c = _after(k, c)
        if c == start:
            break
    vm.slab_clock = c
    return best


@rule
def _reap(k: Kernel) -> int:
    best = _choose_cache(k)
    if best == NIL:
        return 0
    cache = k.kmem_caches[best]
    left = (cache.list_length[SLABS_FREE] * 4 + 1) // 5
    pages = 0
    while left > 0 and cache.list_length[SLABS_FREE] > 0:
        pages += kmem_slab_destroy(k, best, int(cache.list_tail[SLABS_FREE]))
        left -= 1
    return pages


@rule
def kmem_cache_reap(k: Kernel) -> int:
    """Free 80 % of the free slabs of the cache that has most to give; return the pages.

    Caches that are not to be reaped, are growing, or have grown since the last look are passed over.  The current CPU's
    arrays are emptied on the way.  (2.4.0 returns nothing: its callers do not look at the answer.)
    ``vm.slab_reap``, pages of caches that are not modelled, is added; replays of traces set it.
    """
    reaped = k.vm[0].slab_reap + 0
    if k.vm[0].cache_chain != NIL:
        reaped += _reap(k)
    log_event(k, EV_KMEM_CACHE_REAP, reaped, 0)
    return reaped
