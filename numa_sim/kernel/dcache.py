"""The dentry and inode caches under pressure: fs/dcache.c and fs/inode.c @2.4."""

from __future__ import annotations

from numa_sim.compiled import part
from numa_sim.state.constants import EV_SHRINK_DCACHE, EV_SHRINK_ICACHE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel


@part
def shrink_vfs(k: Kernel, share: int) -> None:
    """shrink_dcache_memory and shrink_icache_memory: one in `share` unused entries, of caches that are empty here."""
    log_event(k, EV_SHRINK_DCACHE, share, 0)
    log_event(k, EV_SHRINK_ICACHE, share, 0)
