"""Windows for the kernel onto memory it has no addresses for: kmap, mm/highmem.c @2.4 (spec 8.9).

1024 slots (512 with PAE) at 0xFE000000, each with a counter: 0 free; 1 mapped, but unused (other CPUs' TLBs may still
know it); n for n - 1 users.  The search goes round; each time it comes past the beginning, all slots of count 1 become
free and every TLB is flushed.  With no free slot the task sleeps until somebody gives one up.

Low memory needs none of that: it is mapped for good, and `kmap` answers so.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.buddy import page_zone
from numa_sim.kernel.tlb import flush_tlb_all
from numa_sim.state.constants import NIL, NR_ZONES, ZONE_HIGHMEM
from numa_sim.state.counters import KMAP_FLUSHES, KMAP_MAPS, KMAP_WAITS
from numa_sim.state.event_codes import EV_FLUSH_ALL_ZERO_PKMAPS, EV_KMAP_HIGH
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

KMAP_LINEAR: Final = -1
"""The page is low memory: it has an address of its own."""
KMAP_WAIT: Final = -2
"""Every slot is in use: sleep on pkmap_map_wait, then call `kmap` again."""


@rule
def page_slot(k: Kernel, pfn: int) -> int:
    """The slot that maps a frame (its ``page->virtual``), NIL if none does."""
    for slot in range(k.vm[0].nr_pkmap):
        if k.pkmap[slot, 0] > 0 and k.pkmap[slot, 1] == pfn:
            return slot
    return NIL


@rule
def flush_all_zero_pkmaps(k: Kernel) -> None:
    """Free every slot that is mapped but unused; no TLB may know them any more."""
    freed = 0
    for slot in range(k.vm[0].nr_pkmap):
        if k.pkmap[slot, 0] == 1:
            k.pkmap[slot, 0] = 0
            freed += 1
    count(k, k.cpus[k.vm[0].current_cpu].node, KMAP_FLUSHES, 1)
    log_event(k, EV_FLUSH_ALL_ZERO_PKMAPS, freed, 0)
    flush_tlb_all(k)


@rule
def _map_new_virtual(k: Kernel, pfn: int) -> int:
    """Find a free slot, going round from the last one found, and map the frame there; KMAP_WAIT if there is none."""
    vm = k.vm[0]
    left = vm.nr_pkmap + 0
    while left > 0:
        vm.last_pkmap = (vm.last_pkmap + 1) % vm.nr_pkmap
        if vm.last_pkmap == 0:
            flush_all_zero_pkmaps(k)
            left = vm.nr_pkmap + 0
        slot = vm.last_pkmap + 0
        if k.pkmap[slot, 0] == 0:
            k.pkmap[slot, 0] = 1
            k.pkmap[slot, 1] = pfn
            return slot
        left -= 1
    return KMAP_WAIT


@rule
def kmap(k: Kernel, pfn: int) -> int:
    """`kmap` @2.4: make a frame addressable for the kernel.

    Returns
    -------
    int
        The slot, one user more; KMAP_LINEAR; KMAP_WAIT.
    """
    if page_zone(k, pfn) % NR_ZONES != ZONE_HIGHMEM:
        return KMAP_LINEAR
    node = k.cpus[k.vm[0].current_cpu].node
    slot = page_slot(k, pfn)
    if slot == NIL:
        slot = _map_new_virtual(k, pfn)
        if slot == KMAP_WAIT:
            k.vm[0].pkmap_waiters += 1
            count(k, node, KMAP_WAITS, 1)
            return KMAP_WAIT
    k.pkmap[slot, 0] += 1
    count(k, node, KMAP_MAPS, 1)
    log_event(k, EV_KMAP_HIGH, slot, pfn)
    return slot


@rule
def kunmap(k: Kernel, pfn: int) -> bool:
    """`kunmap` @2.4: one user fewer; True if tasks that wait for a slot are to be woken.

    The slot stays mapped: it is free after the next flush only.
    """
    slot = page_slot(k, pfn)
    if slot == NIL or k.pkmap[slot, 0] < 2:
        return False
    k.pkmap[slot, 0] -= 1
    if k.pkmap[slot, 0] > 1 or k.vm[0].pkmap_waiters == 0:
        return False
    k.vm[0].pkmap_waiters = 0
    return True
