"""The per-thread cache of linux 3.15 to 6.0 in front of the red-black tree: mm/vmacache.c @5.10 (spec 10.5).

Four areas per thread; the slot of an address is its number of the memory one leaf page table maps, modulo 4.
Every removal of an area changes the address space's sequence number, which makes all its threads' caches void.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel

SLOTS: Final = 4


@rule
def _is_valid(k: Kernel, t: int, mm: int) -> bool:
    """Whether thread `t` may use its cache for `mm`: its own, unchanged; else the cache is emptied if it is stale."""
    if t < 0 or k.tasks[t].mm != mm:
        return False
    task = k.tasks[t]
    if task.vmacache_seqnum == k.mms[mm].vmacache_seqnum:
        return True
    task.vmacache_seqnum = k.mms[mm].vmacache_seqnum
    for slot in range(SLOTS):
        task.vmacache[slot] = NIL
    return False


@rule
def vmacache_find(k: Kernel, mm: int, vpn: int) -> int:
    """The cached area that contains `vpn`, looked for from its slot round; NIL if there is none."""
    t = k.vm[0].current_task + 0
    if not _is_valid(k, t, mm):
        return NIL
    first = vpn >> k.vm[0].entry_bits
    for step in range(SLOTS):
        vma = k.tasks[t].vmacache[(first + step) % SLOTS] + 0
        if vma == NIL:
            continue
        if k.vmas[vma].vm_mm != mm:
            break  # left from before exec
        if k.vmas[vma].vm_start <= vpn < k.vmas[vma].vm_end:
            return vma
    return NIL


@rule
def vmacache_update(k: Kernel, mm: int, vpn: int, vma: int) -> None:
    """Note what was found for `vpn`."""
    t = k.vm[0].current_task + 0
    if t >= 0 and k.tasks[t].mm == mm:
        k.tasks[t].vmacache[(vpn >> k.vm[0].entry_bits) % SLOTS] = vma
