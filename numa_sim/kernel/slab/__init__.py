"""The slab allocator: mm/slab.c @2.4.0 (spec 8.8).

A cache holds objects of one size.  It cuts them out of slabs, blocks of pages from `__alloc_pages`, and keeps its slabs
in three groups: full, partial, free.  `objects` hands objects out and takes them back, `grow` gets a cache one more
slab, `cache` makes caches, `reap` gives free slabs back under memory pressure, `kmalloc` has a cache for every power of
two from 32 bytes to 128 KiB.
"""
