"""The caches reclaim asks for pages beside the LRU lists: slab, dentries, inodes.

Simplified: `kmem_cache_reap` finds ``vm.slab_reap`` pages; the dentry, inode and quota caches are empty (calls are
logged).
"""

from __future__ import annotations

from numa_sim.compiled import part
from numa_sim.state.constants import EV_KMEM_CACHE_REAP, EV_SHRINK_DCACHE, EV_SHRINK_ICACHE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel


@part
def kmem_cache_reap(k: Kernel) -> int:
    """Pages the slab caches give back: ``vm.slab_reap``."""
    reaped: int = k.vm[0].slab_reap
    log_event(k, EV_KMEM_CACHE_REAP, reaped, 0)
    return reaped


@part
def shrink_vfs(k: Kernel, share: int) -> None:
    """shrink_dcache_memory and shrink_icache_memory: one in `share` unused entries, of caches that are empty here."""
    log_event(k, EV_SHRINK_DCACHE, share, 0)
    log_event(k, EV_SHRINK_ICACHE, share, 0)
