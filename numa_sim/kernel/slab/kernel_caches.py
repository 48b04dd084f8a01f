"""Caches of the kernel's own structures: memory areas, address spaces, open files, buffer heads, dentries, inodes.

Sizes are those of a 2.4 kernel on i386: slabinfo(5), and include/linux/sched.h for what it does not list.  The rows
follow those of kmalloc, in this order.

With ``vm.slab_objects = 0`` the simulator's records take no memory of the machine.  With 1 each cache holds as many
objects as there are structures of its kind, brought up to date before every operation of a program (`own_objects`).

Simplified: which object is whose is not kept, the oldest slab's goes first; objects are allocated as if atomically:
when memory is that short, structures go without (and `pgalloc_fail` counts), but no system call fails.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.slab.grow import kmem_cache_grow
from numa_sim.kernel.slab.objects import BUFCTL_ACTIVE, give_object, take_object
from numa_sim.state.constants import GFP_ATOMIC, NIL, SLABS_FULL, SLABS_PARTIAL
from numa_sim.state.kernel import Kernel
from numa_sim.state.kmem_layout import MAX_OBJECTS

KERNEL_CACHES: Final = (
    ("vm_area_struct", 64, False),
    ("mm_struct", 128, False),
    ("filp", 96, False),
    ("buffer_head", 96, True),
    ("dentry_cache", 128, False),
    ("inode_cache", 480, True),
)
"""Name, bytes, and whether a constructor runs (init_once, init_buffer_head)."""
_FIRST: Final = 27
"""Rows before: the cache of caches and 26 of kmalloc."""
VM_AREA_CACHE: Final = _FIRST
MM_CACHE: Final = _FIRST + 1
FILP_CACHE: Final = _FIRST + 2
BH_CACHE: Final = _FIRST + 3
DENTRY_CACHE: Final = _FIRST + 4
INODE_CACHE: Final = _FIRST + 5


@rule
def _oldest_object(k: Kernel, c: int) -> int:
    """An object somebody has, of the oldest slab of the cache that has one; NIL if there is none."""
    for group in range(SLABS_FULL, SLABS_PARTIAL + 1):
        row = k.kmem_caches[c].list_head[group] + 0
        while row != NIL:
            for index in range(k.kmem_caches[c].num):
                if k.slab_bufctl[row, index] == BUFCTL_ACTIVE:
                    return row * MAX_OBJECTS + index
            row = k.slabs[row].next + 0
    return NIL


@rule
def own_objects(k: Kernel, c: int, wanted: int) -> None:
    """See that `wanted` objects of a cache are in use: take what is missing, give back what is too many."""
    cache = k.kmem_caches[c]
    while cache.allocs - cache.frees < wanted:
        number = take_object(k, c)
        if number == NIL:
            if kmem_cache_grow(k, max(k.vm[0].current_task, 0), c, GFP_ATOMIC) < 0:
                return
            number = take_object(k, c)
        cache.allocs += 1
    while cache.allocs - cache.frees > wanted:
        number = _oldest_object(k, c)
        if number == NIL:
            return
        give_object(k, c, number)
