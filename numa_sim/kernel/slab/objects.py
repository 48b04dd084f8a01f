"""Objects out of slabs and back: `__kmem_cache_alloc`, `__kmem_cache_free` and what they call, mm/slab.c @2.4.0.

An object is known by its physical address in bytes; the pages of a slab say which slab they are of
(``page.list_prev``; SET_PAGE_SLAB) and which cache (``page.list_next``; SET_PAGE_CACHE).  Inside this package it is a
number, ``slab * MAX_OBJECTS + index``.

On machines of several CPUs each CPU keeps some objects of every cache for itself (``k.cpucache``), and goes to the
slabs for half of its limit at a time.

Ours: an allocated object is marked in ``k.slab_bufctl``, so that a wrong free is found (the kernel's debug build does
the same); it changes nothing and is noted like a wrong free of a page.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.buddy import BUG_OBJECT, refuse_free
from numa_sim.kernel.slab.lists import add_slab_head, add_slab_tail, del_slab
from numa_sim.state.constants import NIL, PAGE_SHIFT, SLABS_FREE, SLABS_FULL, SLABS_PARTIAL, PG_slab
from numa_sim.state.kernel import Kernel
from numa_sim.state.kmem_layout import MAX_OBJECTS

BUFCTL_END: Final = -1
BUFCTL_ACTIVE: Final = -2
"""Somebody has the object."""
BUFCTL_IN_ARRAY: Final = -3
"""A CPU keeps it."""


@rule
def object_address(k: Kernel, number: int) -> int:
    """Physical address of an object, bytes."""
    slab = k.slabs[number // MAX_OBJECTS]
    objsize = k.kmem_caches[slab.cache - 1].objsize
    return (int(slab.pfn) << PAGE_SHIFT) + slab.s_mem + number % MAX_OBJECTS * objsize


@rule
def object_number(k: Kernel, address: int) -> int:
    """The object at an address, NIL if none begins there."""
    pfn = address >> PAGE_SHIFT
    if address <= 0 or pfn >= k.vm[0].nr_frames or k.pages[pfn].flags & PG_slab == 0:
        return NIL
    row = int(k.pages[pfn].list_prev)
    slab = k.slabs[row]
    cache = k.kmem_caches[slab.cache - 1]
    offset = address - (int(slab.pfn) << PAGE_SHIFT) - slab.s_mem
    if offset < 0 or offset % cache.objsize != 0 or offset // cache.objsize >= cache.num:
        return NIL
    return row * MAX_OBJECTS + offset // cache.objsize


@rule
def cache_of(k: Kernel, address: int) -> int:
    """The cache an object is of, NIL if there is no object."""
    number = object_number(k, address)
    return k.slabs[number // MAX_OBJECTS].cache - 1 if number != NIL else NIL


@rule
def take_from_slab(k: Kernel, c: int) -> int:
    """kmem_cache_alloc_one: the first free object of the first slab that is not full; NIL if all are full."""
    cache = k.kmem_caches[c]
    row = cache.list_head[SLABS_PARTIAL] + 0
    if row == NIL:
        row = cache.list_head[SLABS_FREE] + 0
        if row == NIL:
            return NIL
        del_slab(k, c, row, SLABS_FREE)
        add_slab_head(k, c, row, SLABS_PARTIAL)
    slab = k.slabs[row]
    index = slab.free + 0
    slab.free = k.slab_bufctl[row, index]
    k.slab_bufctl[row, index] = BUFCTL_ACTIVE
    slab.inuse += 1
    cache.active += 1
    if slab.free == BUFCTL_END:
        del_slab(k, c, row, SLABS_PARTIAL)
        add_slab_tail(k, c, row, SLABS_FULL)
    return row * MAX_OBJECTS + index


@rule
def give_to_slab(k: Kernel, c: int, number: int) -> None:
    """kmem_cache_free_one: the object is the slab's next; a full slab becomes the first partial one, an empty one the
    last free one.
    """
    cache = k.kmem_caches[c]
    row = number // MAX_OBJECTS
    slab = k.slabs[row]
    group = SLABS_FULL if slab.inuse == cache.num else SLABS_PARTIAL
    k.slab_bufctl[row, number % MAX_OBJECTS] = slab.free
    slab.free = number % MAX_OBJECTS
    slab.inuse -= 1
    cache.active -= 1
    if group == SLABS_FULL:
        # Also if it is empty now, which it can be if it holds one object: then it is the first of the free ones.
        del_slab(k, c, row, SLABS_FULL)
        add_slab_head(k, c, row, SLABS_PARTIAL if slab.inuse > 0 else SLABS_FREE)
    elif slab.inuse == 0:
        del_slab(k, c, row, SLABS_PARTIAL)
        add_slab_tail(k, c, row, SLABS_FREE)


@rule
def _fill_array(k: Kernel, c: int, cpu: int) -> None:
    """kmem_cache_alloc_batch: move up to `batchcount` objects from slabs to the empty array of a CPU."""
    left = k.kmem_caches[c].batchcount
    while left > 0:
        left -= 1
        number = take_from_slab(k, c)
        if number == NIL:
            return
        k.slab_bufctl[number // MAX_OBJECTS, number % MAX_OBJECTS] = BUFCTL_IN_ARRAY
        k.cpucache[cpu, c, 0] += 1
        k.cpucache[cpu, c, k.cpucache[cpu, c, 0]] = number


@rule
def drain_array(k: Kernel, c: int, cpu: int, n: int) -> None:
    """free_block: the `n` objects that came last to a CPU's array go back to their slabs, the older ones first."""
    first = k.cpucache[cpu, c, 0] - n + 1
    for at in range(first, first + n):
        give_to_slab(k, c, int(k.cpucache[cpu, c, at]))
    k.cpucache[cpu, c, 0] -= n


@rule
def take_object(k: Kernel, c: int) -> int:
    """An object of cache `c` for whoever runs on the current CPU, if there is one without growing; else NIL."""
    if k.kmem_caches[c].limit == 0:
        return take_from_slab(k, c)
    cpu = k.vm[0].current_cpu + 0
    if k.cpucache[cpu, c, 0] == 0:
        _fill_array(k, c, cpu)
    at = int(k.cpucache[cpu, c, 0])
    if at == 0:
        return NIL
    k.cpucache[cpu, c, 0] = at - 1
    number = int(k.cpucache[cpu, c, at])
    k.slab_bufctl[number // MAX_OBJECTS, number % MAX_OBJECTS] = BUFCTL_ACTIVE
    return number


@rule
def give_object(k: Kernel, c: int, number: int) -> None:
    """Take an object back: into the CPU's array, of which half goes to the slabs first if it is full."""
    cache = k.kmem_caches[c]
    cache.frees += 1
    if cache.limit == 0:
        give_to_slab(k, c, number)
        return
    cpu = k.vm[0].current_cpu + 0
    if k.cpucache[cpu, c, 0] >= cache.limit:
        drain_array(k, c, cpu, cache.batchcount)
    k.cpucache[cpu, c, 0] += 1
    k.cpucache[cpu, c, k.cpucache[cpu, c, 0]] = number
    k.slab_bufctl[number // MAX_OBJECTS, number % MAX_OBJECTS] = BUFCTL_IN_ARRAY


@rule
def kmem_cache_free(k: Kernel, c: int, address: int) -> bool:
    """`kmem_cache_free` @2.4.0: give the object at `address` back to cache `c`.

    Returns
    -------
    bool
        False if there is no such object or nobody has it: that is a bug, noted in ``vm.bug``, and nothing is done.
    """
    number = object_number(k, address)
    if (
        number == NIL
        or k.slabs[number // MAX_OBJECTS].cache != c + 1
        or k.slab_bufctl[number // MAX_OBJECTS, number % MAX_OBJECTS] != BUFCTL_ACTIVE
    ):
        refuse_free(k, address >> PAGE_SHIFT, BUG_OBJECT)
        return False
    give_object(k, c, number)
    return True


@rule
def kfree(k: Kernel, address: int) -> bool:
    """`kfree` @2.4.0: as `kmem_cache_free`, into the cache that the object's page names."""
    return kmem_cache_free(k, cache_of(k, address), address)
