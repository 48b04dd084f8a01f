"""A cache's slabs in three groups: full, partial, free.

In the kernel (2.4.0) they are one list in that order, with a pointer to the first slab that is not full; three lists
behind each other are the same, and are never searched.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@rule
def add_slab_head(k: Kernel, c: int, row: int, group: int) -> None:
    """Put a slab at the front of a group."""
    cache = k.kmem_caches[c]
    head = cache.list_head[group] + 0
    k.slabs[row].next = head
    k.slabs[row].prev = NIL
    if head == NIL:
        cache.list_tail[group] = row
    else:
        k.slabs[head].prev = row
    cache.list_head[group] = row
    cache.list_length[group] += 1


@rule
def add_slab_tail(k: Kernel, c: int, row: int, group: int) -> None:
    """Put a slab at the end of a group."""
    cache = k.kmem_caches[c]
    tail = cache.list_tail[group] + 0
    k.slabs[row].next = NIL
    k.slabs[row].prev = tail
    if tail == NIL:
        cache.list_head[group] = row
    else:
        k.slabs[tail].next = row
    cache.list_tail[group] = row
    cache.list_length[group] += 1


@rule
def del_slab(k: Kernel, c: int, row: int, group: int) -> None:
    """Take a slab out of its group."""
    cache = k.kmem_caches[c]
    before = k.slabs[row].prev + 0
    after = k.slabs[row].next + 0
    if before == NIL:
        cache.list_head[group] = after
    else:
        k.slabs[before].next = after
    if after == NIL:
        cache.list_tail[group] = before
    else:
        k.slabs[after].prev = before
    cache.list_length[group] -= 1
