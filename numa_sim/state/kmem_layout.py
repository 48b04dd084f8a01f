"""The kernel's own memory as numpy records: slab caches, slabs, vmalloc areas, dentries (see `numa_sim.state.layout`).

Sizes are in bytes here, because objects are smaller than pages.
"""

from __future__ import annotations

from typing import Final

import numpy as np

MAX_CACHES: Final = 64
"""Slab caches a machine has room for."""
MAX_OBJECTS: Final = 512
"""Most objects of one slab: as many as one page holds of the smallest, with their management."""
CPUCACHE_ENTRIES: Final = 256
"""Columns of ``Kernel.cpucache``: how many objects there are, then up to 252 of them."""

KMEM_CACHE = np.dtype(
    [
        # kmem_cache_t, mm/slab.c @2.4.0
        ("used", "i8"),
        ("name", "i8", (3,)),  # up to 20 bytes of text, packed
        ("next", "i8"),  # cache_chain
        ("objsize", "i8"),  # bytes, aligned
        ("num", "i8"),  # objects per slab
        ("gfporder", "i8"),  # a slab has 2**gfporder pages
        ("gfpflags", "i8"),  # GFP_DMA_BIT or 0
        ("flags", "i8"),  # SLAB_*, CFLGS_OFF_SLAB
        ("ctor", "i8"),  # 1: objects are constructed when their slab is made
        ("colour", "i8"),  # how many colours there are
        ("colour_off", "i8"),  # bytes from one to the next
        ("colour_next", "i8"),  # of the next slab
        ("slab_size", "i8"),  # bytes of management per slab
        ("slabp_cache", "i8"),  # cache the management comes from if it is off-slab, else NIL
        ("limit", "i8"),  # of a CPU's array, 0 = no arrays
        ("batchcount", "i8"),
        ("growing", "i8"),  # tasks that wait for pages for it
        ("grown", "i8"),  # DFLGS_GROWN: has grown since the last reap looked
        ("list_head", "i8", (3,)),  # SLABS_FULL, SLABS_PARTIAL, SLABS_FREE
        ("list_tail", "i8", (3,)),
        ("list_length", "i8", (3,)),
        ("active", "i8"),  # objects out of their slabs, those in CPU arrays included
        ("allocs", "i8"),
        ("frees", "i8"),
        ("slabs_made", "i8"),
        ("slabs_destroyed", "i8"),
        ("constructed", "i8"),  # objects the constructor has run for
    ],
    align=True,
)
"""A cache of objects of one kind."""

SLAB = np.dtype(
    [
        # slab_t, mm/slab.c @2.4.0
        ("cache", "i4"),  # row of its cache + 1, 0 = unused
        ("pfn", "i4"),
        ("next", "i4"),
        ("prev", "i4"),
        ("colouroff", "i4"),  # bytes
        ("s_mem", "i4"),  # bytes from the first frame to the first object
        ("inuse", "i4"),
        ("free", "i4"),  # first free object, NIL = none
        ("management", "i8"),  # address of the off-slab management, 0 = on the slab
    ],
    align=True,
)
"""A block of pages cut into objects."""

VM_STRUCT = np.dtype(
    [
        # struct vm_struct, mm/vmalloc.c
        ("addr", "i8"),  # first virtual page
        ("size", "i8"),  # pages, with the guard page
        ("next", "i8"),  # vmlist, by address
        ("mapped", "i8"),  # pages mapped so far
    ],
    align=True,
)
"""An area of vmalloc."""

DENTRY = np.dtype(
    [
        # struct dentry and its struct inode, as far as their caches need them; the row is the name
        ("d_object", "i8"),  # address of the dentry, 0 = not in the cache
        ("d_count", "i8"),
        ("d_referenced", "i8"),  # DCACHE_REFERENCED: one more round on the list
        ("i_object", "i8"),  # address of the inode, 0 = not in the cache
        ("next", "i8", (2,)),  # dentry_unused and inode_unused, towards the older
        ("prev", "i8", (2,)),
    ],
    align=True,
)
"""A name and what it names."""
