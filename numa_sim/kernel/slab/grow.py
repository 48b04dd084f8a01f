"""More memory for a cache, and back: kmem_cache_grow, kmem_slab_destroy, mm/slab.c @2.4.0.

An allocation that finds no object makes a slab first, which may need reclaim: `kmem_cache_alloc` then answers
ALLOC_RECLAIM and is called again after the slow path.  Nothing is held meanwhile; the cache counts as growing, so that
reclaim does not shrink it.

Simplified: the colour advances with a slab, not with a vain attempt at one; constructors take no time.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.kernel.gfp import alloc_slab_block
from numa_sim.kernel.numa import alloc_pages
from numa_sim.kernel.slab.lists import add_slab_tail, del_slab
from numa_sim.kernel.slab.objects import BUFCTL_END, give_object, object_address, object_number, take_object
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import CFLGS_OFF_SLAB, GFP_WAIT_BIT, NIL, NR_ZONES, SLABS_FREE, SLABS_PARTIAL, PG_slab
from numa_sim.state.counters import NR_SLAB, SLAB_GROWN, SLAB_REAPED
from numa_sim.state.event_codes import EV_KMEM_CACHE_GROW, EV_KMEM_SLAB_DESTROY
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@rule
def stop_growing(k: Kernel, t: int) -> None:
    """Task `t` no longer waits for pages for a cache."""
    task = k.tasks[t]
    if task.growing_cache != 0:
        k.kmem_caches[task.growing_cache - 1].growing -= 1
        task.growing_cache = 0


@rule
def _pages_for(k: Kernel, t: int, c: int, gfp: int) -> int:
    """kmem_getpages: a block for one slab; first frame, ALLOC_FAIL or ALLOC_RECLAIM."""
    cache = k.kmem_caches[c]
    stop_growing(k, t)
    if gfp & GFP_WAIT_BIT == 0:
        # It never waits, so it has nothing to do with what an interrupted allocation of the task is waiting for.
        return alloc_pages(k, t, k.cpus[k.vm[0].current_cpu].node, gfp | cache.gfpflags, cache.gfporder)
    pfn = alloc_slab_block(k, t, gfp | cache.gfpflags, cache.gfporder)
    if pfn == ALLOC_RECLAIM:
        cache.growing += 1
        k.tasks[t].growing_cache = c + 1
    return pfn


@rule
def _new_row(k: Kernel) -> int:
    """An unused row of `slabs`, NIL if all are in use."""
    vm = k.vm[0]
    row = vm.slab_free + 0
    if row != NIL:
        vm.slab_free = k.slabs[row].next
        return row
    if vm.slab_used == k.slabs.shape[0]:
        return NIL
    vm.slab_used += 1
    return vm.slab_used - 1


@rule
def _new_slab(k: Kernel, t: int, c: int, gfp: int) -> int:
    """A slab of cache `c` without free objects or management yet: its row, ALLOC_FAIL or ALLOC_RECLAIM."""
    cache = k.kmem_caches[c]
    pfn = _pages_for(k, t, c, gfp)
    if pfn < 0:
        return pfn
    row = _new_row(k)
    if row == NIL:
        free_pages(k, pfn, cache.gfporder)
        return ALLOC_FAIL
    pages = 1 << cache.gfporder
    for at in range(pfn, pfn + pages):
        k.pages[at].flags |= PG_slab
        k.pages[at].list_next = c
        k.pages[at].list_prev = row
    slab = k.slabs[row]
    slab.cache = c + 1
    slab.pfn = pfn
    slab.inuse = 0
    slab.management = 0
    node = page_zone(k, pfn) // NR_ZONES
    count(k, node, NR_SLAB, pages)
    count(k, node, SLAB_GROWN, pages)
    log_event(k, EV_KMEM_CACHE_GROW, c, pfn)
    return row


@rule
def _cut(k: Kernel, c: int, row: int) -> None:
    """kmem_cache_init_objs: place the objects by the cache's next colour and make all of them free."""
    cache = k.kmem_caches[c]
    slab = k.slabs[row]
    colour = cache.colour_next + 0
    cache.colour_next = colour + 1
    if cache.colour_next >= cache.colour:
        cache.colour_next = 0
    slab.colouroff = colour * cache.colour_off
    slab.s_mem = slab.colouroff
    if cache.flags & CFLGS_OFF_SLAB == 0:
        slab.s_mem += cache.slab_size
    for index in range(cache.num):
        k.slab_bufctl[row, index] = index + 1
    k.slab_bufctl[row, cache.num - 1] = BUFCTL_END
    slab.free = 0
    if cache.ctor != 0:
        cache.constructed += cache.num
    cache.slabs_made += 1
    cache.grown = 1
    add_slab_tail(k, c, row, SLABS_FREE)


@rule
def _has_object(k: Kernel, c: int) -> bool:
    """Whether the current CPU gets an object of the cache without growing it."""
    cache = k.kmem_caches[c]
    if cache.limit != 0 and k.cpucache[k.vm[0].current_cpu, c, 0] > 0:
        return True
    return cache.list_head[SLABS_PARTIAL] != NIL or cache.list_head[SLABS_FREE] != NIL


@rule
def kmem_cache_grow(k: Kernel, t: int, c: int, gfp: int) -> int:
    """One slab more for cache `c`, on the time of task `t`: 1, ALLOC_FAIL, or ALLOC_RECLAIM (call again)."""
    cache = k.kmem_caches[c]
    slabp_cache = cache.slabp_cache + 0
    if slabp_cache != NIL and not _has_object(k, slabp_cache):
        # The management lies in an object of another cache, whose own management is always on its slabs.
        row = _new_slab(k, t, slabp_cache, gfp)
        if row < 0:
            return row
        _cut(k, slabp_cache, row)
    row = _new_slab(k, t, c, gfp)
    if row < 0:
        return row
    if slabp_cache != NIL:
        k.kmem_caches[slabp_cache].allocs += 1
        k.slabs[row].management = object_address(k, take_object(k, slabp_cache))
    _cut(k, c, row)
    return 1


@rule
def kmem_slab_destroy(k: Kernel, c: int, row: int) -> int:
    """Give a free slab's pages back to the page allocator; return how many."""
    cache = k.kmem_caches[c]
    slab = k.slabs[row]
    del_slab(k, c, row, SLABS_FREE)
    if slab.management != 0:
        give_object(k, cache.slabp_cache, object_number(k, slab.management))
    pfn = int(slab.pfn)
    pages = 1 << cache.gfporder
    for at in range(pfn, pfn + pages):
        k.pages[at].flags &= ~PG_slab
    slab.cache = 0
    slab.next = k.vm[0].slab_free
    k.vm[0].slab_free = row
    cache.slabs_destroyed += 1
    node = page_zone(k, pfn) // NR_ZONES
    count(k, node, NR_SLAB, -pages)
    count(k, node, SLAB_REAPED, pages)
    log_event(k, EV_KMEM_SLAB_DESTROY, c, pfn)
    free_pages(k, pfn, cache.gfporder)
    return pages


@rule
def kmem_cache_alloc(k: Kernel, t: int, c: int, gfp: int) -> int:
    """`kmem_cache_alloc` @2.4.0 for task `t`.

    Returns
    -------
    int
        Physical address of the object, in bytes; ALLOC_FAIL; ALLOC_RECLAIM: call again after the slow path.
    """
    number = take_object(k, c)
    while number == NIL:
        grown = kmem_cache_grow(k, t, c, gfp)
        if grown < 0:
            return grown
        number = take_object(k, c)
    stop_growing(k, t)
    k.kmem_caches[c].allocs += 1
    return object_address(k, number)
