"""kmalloc: a cache for every power of two from 32 to 131072 bytes, each also in memory for DMA (mm/slab.c @2.4.0)."""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.slab.grow import kmem_cache_alloc
from numa_sim.state.answers import ALLOC_FAIL
from numa_sim.state.constants import CACHE_CACHE, GFP_DMA_BIT
from numa_sim.state.kernel import Kernel

KMALLOC_MIN_BYTES: Final = 32
KMALLOC_MAX_BYTES: Final = 131072


@rule
def kmalloc_cache(size: int, dma: bool) -> int:
    """Row of the cache for `size` bytes; those of kmalloc follow the cache of caches in pairs (kmem_cache_init)."""
    c = CACHE_CACHE + 1
    fits = KMALLOC_MIN_BYTES
    while fits < size:
        fits *= 2
        c += 2
    return c + 1 if dma else c


@rule
def kmalloc(k: Kernel, t: int, size: int, gfp: int) -> int:
    """`kmalloc` @2.4.0: `size` physically contiguous bytes for task `t`, rounded up to a power of two.

    Returns
    -------
    int
        Physical address; ALLOC_FAIL, also for more than 128 KiB, which is a bug there; ALLOC_RECLAIM (call again).
    """
    if size > KMALLOC_MAX_BYTES:
        return ALLOC_FAIL
    return kmem_cache_alloc(k, t, kmalloc_cache(size, gfp & GFP_DMA_BIT != 0), gfp)
