"""Swap slots of mm/swapfile.c @2.2.1 (spec 6.3, 6.5, G-3): `scan_swap_map` and `swap_free`.

No free run is looked for: a cluster begins at the first free slot.  A free slot still under I/O (its bit in the lock
map) is passed over.  Bounds may be wider than needed: only the upper one follows what is taken, and a free widens both
before anybody has looked whether the slot was in use.
"""

from __future__ import annotations

from numa_sim.compiled import part
from numa_sim.state.constants import NIL, SWAP_MAP_MAX, SWP_USED
from numa_sim.state.counters import SWAP_LOCK_SKIPS
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel


@part
def _may_take(k: Kernel, slot: int) -> bool:
    """Whether the slot at `slot` of ``swap_map`` is free and not under I/O."""
    if k.swap_map[slot] != 0:
        return False
    if k.swap_lockmap[slot] != 0:
        count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_LOCK_SKIPS, 1)
        return False
    return True


@part
def scan_swap_map(k: Kernel, type_: int) -> int:
    """Take a free slot of area `type_`: the next of the running cluster, else the first, which begins one; 0 = full."""
    si = k.swap_info[type_]
    taken = 0
    if si.cluster_nr != 0:
        while taken == 0 and si.cluster_next <= si.highest_bit:
            if _may_take(k, si.map_start + si.cluster_next):
                taken = si.cluster_next + 0
                si.cluster_nr -= 1
            si.cluster_next += 1
    if taken == 0:
        si.cluster_nr = k.vm[0].swapfile_cluster
        offset = si.lowest_bit + 0
        while offset <= si.highest_bit and not _may_take(k, si.map_start + offset):
            offset += 1
        if offset > si.highest_bit:
            return 0
        si.lowest_bit = offset
        taken = offset
    k.swap_map[si.map_start + taken] = 1
    si.inuse_pages += 1
    k.vm[0].nr_swap_pages -= 1
    if taken == si.highest_bit:
        si.highest_bit -= 1
    si.cluster_next = taken
    return taken


@part
def swap_free(k: Kernel, type_: int, offset: int) -> int:
    """Drop one use of slot `offset` of area `type_`, which may be wrong; 1 = the kernel would have complained.

    Freeing in an area of higher priority than the one to be tried next makes the search start from the list's head.
    """
    vm = k.vm[0]
    if type_ >= vm.nr_swapfiles or k.swap_info[type_].flags & SWP_USED == 0:
        return 1
    si = k.swap_info[type_]
    # With no area left on the list the kernel reads the priority of entry -1; here nothing changes.
    if vm.swap_list_next != NIL and si.prio > k.swap_info[vm.swap_list_next].prio:
        vm.swap_list_next = vm.swap_list_head
    if offset >= si.max:
        return 1
    si.lowest_bit = min(si.lowest_bit, offset)
    si.highest_bit = max(si.highest_bit, offset)
    uses = k.swap_map[si.map_start + offset] + 0
    if uses == 0:
        return 1
    if uses < SWAP_MAP_MAX:
        k.swap_map[si.map_start + offset] = uses - 1
        if uses == 1:
            si.inuse_pages -= 1
            vm.nr_swap_pages += 1
    return 0
