"""Swap areas and their slots: mm/swapfile.c @2.4.37 (spec 6.1 to 6.5, 6.7, 6.10 and G-1 to G-5).

2.4.0 differs in a few lines: bounds that are not tidied up when an area is full, and read-ahead that holds its slots.
2.2 takes and frees slots by rules of its own, `numa_sim.kernel.v2_2.swapfile`; devices are chosen alike.
Areas are added by `numa_sim.kernel.swapon` and emptied by `numa_sim.kernel.swapoff`.

A swap entry is ``type << 1 | offset << 8`` (i386 encoding, used on every architecture here); 0 is no entry.  Area
`type` owns ``swap_map[map_start : map_start + max]``; slot 0 is the header and counts as bad.

``vm.swapfile_cluster`` is SWAPFILE_CLUSTER; 0 switches clusters off: then the lowest free slot is taken, always.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.locks import SWAP_LIST_LOCK, sdev_lock, spin_for, spin_lock, spin_unlock
from numa_sim.kernel.v2_2.swapfile import scan_swap_map as scan_swap_map_2_2
from numa_sim.kernel.v2_2.swapfile import swap_free as swap_free_2_2
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    NIL,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
    SWP_USED,
    SWP_WRITEOK,
)
from numa_sim.state.kernel import Kernel

_TYPE_MASK: Final = 0x3F


@part
def swp_entry(type_: int, offset: int) -> int:
    """The entry that names slot `offset` of area `type_` (SWP_ENTRY)."""
    return type_ << 1 | offset << 8


@part
def swp_type(entry: int) -> int:
    """The area an entry names (SWP_TYPE)."""
    return (entry >> 1) & _TYPE_MASK


@part
def swp_offset(entry: int) -> int:
    """The slot an entry names (SWP_OFFSET)."""
    return entry >> 8


@part
def slot_index(k: Kernel, entry: int) -> int:
    """Where the entry's slot is in ``swap_map``, ``swap_cache`` and ``swap_tags``."""
    return k.swap_info[(entry >> 1) & _TYPE_MASK].map_start + (entry >> 8)


@rule
def vm_swap_full(k: Kernel) -> bool:
    """Whether more than half of the swap space is taken (vm_swap_full, include/linux/swap.h)."""
    return k.vm[0].nr_swap_pages * 2 < k.vm[0].total_swap_pages


@part
def _in_cluster(k: Kernel, type_: int) -> int:
    """Next free slot of the running cluster, 0 if none."""
    si = k.swap_info[type_]
    if si.cluster_nr == 0:
        return 0
    while si.cluster_next <= si.highest_bit:
        offset = si.cluster_next
        si.cluster_next += 1
        if k.swap_map[si.map_start + offset] == 0:
            si.cluster_nr -= 1
            return offset
    return 0


@part
def _new_cluster(k: Kernel, type_: int, length: int) -> int:
    """First slot of the lowest wholly free run of `length` slots (any alignment), 0 if none."""
    si = k.swap_info[type_]
    start = si.lowest_bit
    offset = start
    while start + length - 1 <= si.highest_bit:
        if offset == start + length:
            return start
        if k.swap_map[si.map_start + offset] != 0:
            start = offset + 1
        offset += 1
    return 0


@part
def scan_swap_map(k: Kernel, type_: int) -> int:
    """Take a free slot of area `type_`: the running cluster, a new cluster, else the first free slot; 0 = full."""
    if k.vm[0].profile == KERNEL_2_2:
        return scan_swap_map_2_2(k, type_)
    si = k.swap_info[type_]
    length = k.vm[0].swapfile_cluster
    tidy = k.vm[0].profile != KERNEL_2_4_0
    offset = 0
    if length != 0:
        offset = _in_cluster(k, type_)
        if offset == 0:
            si.cluster_nr = length
            offset = _new_cluster(k, type_, length)
    if offset == 0:
        offset = si.lowest_bit
        while offset <= si.highest_bit and k.swap_map[si.map_start + offset] != 0:
            offset += 1
        if offset > si.highest_bit:
            if tidy:
                si.lowest_bit = si.max
                si.highest_bit = 0
            return 0
        if tidy:
            si.lowest_bit = offset
    if offset == si.lowest_bit:
        si.lowest_bit += 1
    if offset == si.highest_bit:
        si.highest_bit -= 1
    if tidy and si.lowest_bit > si.highest_bit:
        si.lowest_bit = si.max
        si.highest_bit = 0
    k.swap_map[si.map_start + offset] = 1
    si.inuse_pages += 1
    si.cluster_next = offset + 1
    k.vm[0].nr_swap_pages -= 1
    return offset


@rule
def get_swap_page(k: Kernel) -> int:
    """Take a slot with count 1, by priority and in turn among areas of equal priority.

    Returns
    -------
    int
        The swap entry; 0 if no area has a free slot.
    """
    outer = spin_lock(k, SWAP_LIST_LOCK, k.costs[0].swap_lock_ns)
    entry = _next_slot(k)
    spin_unlock(k, SWAP_LIST_LOCK, outer)
    return entry


@part
def _next_slot(k: Kernel) -> int:
    """`get_swap_page` with the swap_list_lock held."""
    vm = k.vm[0]
    type_ = vm.swap_list_next
    if type_ < 0 or vm.nr_swap_pages == 0 or (vm.nr_swap_pages < 0 and vm.profile > KERNEL_2_4_0):
        return 0
    wrapped = False
    while True:
        si = k.swap_info[type_]
        if si.flags & SWP_WRITEOK == SWP_WRITEOK:
            spin_for(k, sdev_lock(type_), k.costs[0].swap_lock_ns)
            offset = scan_swap_map(k, type_)
            if offset != 0:
                after = si.next
                if after < 0 or k.swap_info[after].prio != si.prio:
                    after = vm.swap_list_head
                vm.swap_list_next = after
                return swp_entry(type_, offset)
        prio = si.prio
        type_ = si.next
        if not wrapped and (type_ < 0 or k.swap_info[type_].prio != prio):
            type_ = vm.swap_list_head
            wrapped = True
        if type_ < 0:
            return 0


@rule
def swap_info_get(k: Kernel, entry: int) -> int:
    """The area of a slot in use; NIL if the entry is wrong (the kernel complains, except about entry 0).

    A side effect all users share: an area of higher priority than ``swap_list.next`` becomes the next one tried.
    """
    if entry == 0:
        return NIL
    vm = k.vm[0]
    type_ = swp_type(entry)
    if type_ >= vm.nr_swapfiles:
        return NIL
    si = k.swap_info[type_]
    offset = swp_offset(entry)
    if si.flags & SWP_USED == 0 or offset >= si.max or k.swap_map[si.map_start + offset] == 0:
        return NIL
    # With no area left on the list the kernel reads the priority of entry -1; here nothing changes.
    if vm.swap_list_next >= 0 and si.prio > k.swap_info[vm.swap_list_next].prio:
        vm.swap_list_next = type_
    return type_


@rule
def swap_entry_free(k: Kernel, type_: int, offset: int) -> int:
    """Drop one use of a slot in use; return the uses left (SWAP_MAP_MAX and bad slots never change)."""
    outer = spin_lock(k, SWAP_LIST_LOCK, k.costs[0].swap_lock_ns)
    spin_for(k, sdev_lock(type_), k.costs[0].swap_lock_ns)
    spin_unlock(k, SWAP_LIST_LOCK, outer)
    si = k.swap_info[type_]
    uses = k.swap_map[si.map_start + offset]
    if uses < SWAP_MAP_MAX:
        uses -= 1
        k.swap_map[si.map_start + offset] = uses
        if uses == 0:
            if offset < si.lowest_bit:
                si.lowest_bit = offset
            if offset > si.highest_bit:
                si.highest_bit = offset
            si.inuse_pages -= 1
            k.vm[0].nr_swap_pages += 1
    return uses


@rule
def swap_free(k: Kernel, entry: int) -> int:
    """Drop one use of a swap entry; return 1 if the kernel would have complained (wrong or unused entry)."""
    if k.vm[0].profile == KERNEL_2_2:
        return swap_free_2_2(k, swp_type(entry), swp_offset(entry)) if entry != 0 else 0
    type_ = swap_info_get(k, entry)
    if type_ == NIL:
        return 1 if entry != 0 else 0
    swap_entry_free(k, type_, swp_offset(entry))
    return 0


@rule
def swap_free_uses(k: Kernel, entry: int, uses: int) -> int:
    """Drop several uses of a swap entry at once (`__swap_free` @2.4.0).

    Returns
    -------
    int
        1 if the kernel would have complained: wrong or unused entry, or fewer uses than that; then nothing is dropped.
    """
    type_ = swap_info_get(k, entry)
    if type_ == NIL:
        return 1 if entry != 0 else 0
    left = k.swap_map[slot_index(k, entry)]
    if left < SWAP_MAP_MAX and left < uses:
        return 1
    for _ in range(uses):
        swap_entry_free(k, type_, swp_offset(entry))
    return 0


@rule
def swap_duplicate(k: Kernel, entry: int) -> int:
    """Add one use of a swap entry; 1 = done, 0 = not in use.  At SWAP_MAP_MAX the count sticks for good."""
    type_ = swp_type(entry)
    if entry == 0 or type_ >= k.vm[0].nr_swapfiles:
        return 0
    si = k.swap_info[type_]
    offset = swp_offset(entry)
    if offset >= si.max:
        return 0
    spin_for(k, sdev_lock(type_), k.costs[0].swap_lock_ns)
    uses = k.swap_map[si.map_start + offset]
    if uses == 0 or uses > SWAP_MAP_MAX:
        return 0
    k.swap_map[si.map_start + offset] = uses + 1 if uses < SWAP_MAP_MAX - 1 else SWAP_MAP_MAX
    return 1


@rule
def valid_swaphandles(k: Kernel, entry: int) -> tuple[int, int]:
    """Slots to read ahead around `entry`: (first, how many) of its aligned block of ``2**vm.page_cluster``.

    The run starts at the block's first slot (1 in block 0: slot 0 is the header) and ends before the first free or
    bad slot and at the end of the area.  With page_cluster 0 nothing is read ahead: (0, 0).

    @2.4.0 block 0 starts with its bad slot 0, so that nothing is read ahead in it; each slot of the run gets one more
    use (which can make a count of 32767 that of a bad slot, spec G-5), and the caller drops them.
    """
    shift = k.vm[0].page_cluster
    hold = k.vm[0].profile == KERNEL_2_4_0
    if shift == 0 and not hold:
        return 0, 0
    si = k.swap_info[swp_type(entry)]
    block = swp_offset(entry) >> shift << shift
    first = block if hold else max(block, 1)
    stop = min(block + (1 << shift), si.max)
    offset = first
    while offset < stop:
        uses = k.swap_map[si.map_start + offset]
        if uses == 0 or uses == SWAP_MAP_BAD:
            break
        if hold:
            k.swap_map[si.map_start + offset] = uses + 1
        offset += 1
    return first, offset - first


@rule
def insert_swap(k: Kernel, type_: int) -> None:
    """Put an area on the list by priority, the newest of equals first; a new head is also tried next."""
    vm = k.vm[0]
    si = k.swap_info[type_]
    before = NIL
    after = vm.swap_list_head
    while after >= 0 and k.swap_info[after].prio > si.prio:
        before = after
        after = k.swap_info[after].next
    si.next = after
    if before == NIL:
        vm.swap_list_head = type_
        vm.swap_list_next = type_
    else:
        k.swap_info[before].next = type_
    si.flags = SWP_WRITEOK
    vm.nr_swap_pages += si.pages
    vm.total_swap_pages += si.pages


@rule
def swapoff_begin(k: Kernel, type_: int) -> None:
    """First part of sys_swapoff: no new slots from area `type_`; its slots in use stay readable.

    Its free slots count no longer; @2.2 they do until the end.
    """
    vm = k.vm[0]
    si = k.swap_info[type_]
    if vm.swap_list_head == type_:
        vm.swap_list_head = si.next
    else:
        before = vm.swap_list_head
        while k.swap_info[before].next != type_:
            before = k.swap_info[before].next
        k.swap_info[before].next = si.next
    if vm.swap_list_next == type_:
        vm.swap_list_next = vm.swap_list_head
    if vm.profile != KERNEL_2_2:
        vm.nr_swap_pages -= si.pages
    vm.total_swap_pages -= si.pages
    si.flags = SWP_USED


@rule
def swapoff_fail(k: Kernel, type_: int) -> None:
    """Sys_swapoff could not empty area `type_`: it goes back on the list, first of its equals."""
    if k.vm[0].profile == KERNEL_2_2:
        k.vm[0].nr_swap_pages -= k.swap_info[type_].pages
    insert_swap(k, type_)


@rule
def swapoff_end(k: Kernel, type_: int) -> None:
    """Last part of sys_swapoff: every slot is free, area `type_` is gone."""
    if k.vm[0].profile == KERNEL_2_2:
        k.vm[0].nr_swap_pages -= k.swap_info[type_].pages
    k.swap_info[type_].flags = 0
    k.swap_info[type_].max = 0
