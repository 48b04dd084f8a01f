"""Shared memory without a file in swap: mm/shmem.c @2.4.0 and @2.4.37 (shmem_writepage, shmem_getpage, shmem_unuse).

A dirty page that nobody maps any more gets a swap slot and *moves* from the page cache to the swap cache, which writes
it like any other.  One use of the slot is the object's, one the cache's.  The next fault on it, by whichever process,
moves the page back, from the cache or read from the disk, and the slot is free.

Where the kernel keeps a vector of entries in each inode, here one hash of all slots says which page each holds.

Simplified: 2.4.0 reads the wanted page only, nothing ahead.  2.2 has no such memory (its SysV shm is not modelled).
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buffer import block_flushpage
from numa_sim.kernel.filemap import (
    add_to_page_cache,
    find_page,
    node_of,
    page_cache_release,
    remove_inode_page,
    set_page_dirty,
    try_lock_page,
    unlock_page,
)
from numa_sim.kernel.swap import activate_page, lru_cache_del
from numa_sim.kernel.swap_state import free_swap_and_cache, read_swap_cache_async
from numa_sim.kernel.swapfile import get_swap_page, slot_index, swap_duplicate, swap_free
from numa_sim.kernel.swapin import READ_AHEAD_GIVEN_UP, swapin_readahead
from numa_sim.kernel.swapper_space import add_to_swap_cache, find_swap_cache, leave_swap_cache
from numa_sim.kernel.v2_4_0.memory import read_swap_cache
from numa_sim.kernel.v2_4_0.swap import move_to_active
from numa_sim.state.answers import ALLOC_RECLAIM, FAULT_OOM, FAULT_RECLAIM, FAULT_WAIT
from numa_sim.state.constants import KERNEL_2_4_0, NIL, PG_dirty, PG_referenced, PG_uptodate
from numa_sim.state.counters import SHMEM_SWAPIN, SHMEM_SWAPOUT
from numa_sim.state.event_codes import EV_MOVE_FROM_SWAP_CACHE, EV_MOVE_TO_SWAP_CACHE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

_OBJECT_STEP = 15
"""How far apart neighbouring objects' pages are in the hash."""


# Which page has which slot -------------------------------------------------------------------------------------------


@part
def _bucket(k: Kernel, mapping: int, index: int) -> int:
    return (mapping * _OBJECT_STEP + index) & (k.shmem_hash.shape[0] - 1)


@rule
def _find_slot(k: Kernel, mapping: int, index: int) -> int:
    """The slot that holds a page of an object, NIL if none does."""
    slot = k.shmem_hash[_bucket(k, mapping, index)] - 1
    while slot != NIL and (k.shmem_slots[slot].mapping != mapping or k.shmem_slots[slot].index != index):
        slot = k.shmem_slots[slot].next - 1
    return slot


@rule
def shmem_swp_entry(k: Kernel, mapping: int, index: int) -> int:
    """The swap entry of a page of an object, 0 if it is not in swap."""
    slot = _find_slot(k, mapping, index)
    return 0 if slot == NIL else k.shmem_slots[slot].entry + 0


@rule
def _note_entry(k: Kernel, mapping: int, index: int, entry: int) -> None:
    """The page is in swap from now on."""
    slot = slot_index(k, entry)
    bucket = _bucket(k, mapping, index)
    held = k.shmem_slots[slot]
    held.mapping = mapping
    held.index = index
    held.entry = entry
    held.next = k.shmem_hash[bucket]
    k.shmem_hash[bucket] = slot + 1
    k.mappings[mapping].swapped += 1


@rule
def _forget_entry(k: Kernel, slot: int) -> None:
    """The page of a slot is not in swap any more."""
    held = k.shmem_slots[slot]
    bucket = _bucket(k, held.mapping, held.index)
    if k.shmem_hash[bucket] == slot + 1:
        k.shmem_hash[bucket] = held.next
    else:
        at = k.shmem_hash[bucket] - 1
        while k.shmem_slots[at].next != slot + 1:
            at = k.shmem_slots[at].next - 1
        k.shmem_slots[at].next = held.next
    k.mappings[held.mapping].swapped -= 1
    held.mapping = 0
    held.index = 0
    held.entry = 0
    held.next = 0


# Out -----------------------------------------------------------------------------------------------------------------


@part
def _new_slot(k: Kernel) -> int:
    """The entry of a free slot that no read-ahead has cached a page for; 0 if there is none."""
    while True:
        entry = get_swap_page(k)
        if entry == 0 or find_swap_cache(k, entry) == NIL:
            return entry
        swap_free(k, entry)


@rule
def shmem_writepage(k: Kernel, pfn: int) -> None:
    """Move a locked page that nobody maps into the swap cache, dirty, and unlock it.

    Without a free slot (or with ``vm.shmem_swap`` off) it stays as it is, and becomes active: fail_writepage.
    """
    page = k.pages[pfn]
    entry = _new_slot(k) if k.vm[0].shmem_swap != 0 else 0
    if entry == 0:
        if k.vm[0].profile <= KERNEL_2_4_0:
            move_to_active(k, pfn)
        else:
            page.flags |= PG_referenced
            activate_page(k, pfn)
        set_page_dirty(k, pfn)
        unlock_page(k, pfn)
        return
    mapping, index = page.mapping + 0, page.index + 0
    if k.vm[0].profile <= KERNEL_2_4_0:
        swap_duplicate(k, entry)  # the cache's use, which later kernels add there
        lru_cache_del(k, pfn)
    remove_inode_page(k, pfn)
    add_to_swap_cache(k, pfn, entry)
    page_cache_release(k, pfn)
    page.flags |= PG_uptodate | PG_dirty
    _note_entry(k, mapping, index, entry)
    count(k, node_of(k, pfn), SHMEM_SWAPOUT, 1)
    log_event(k, EV_MOVE_TO_SWAP_CACHE, pfn, entry)
    unlock_page(k, pfn)


# Back ----------------------------------------------------------------------------------------------------------------


@rule
def move_from_swap_cache(k: Kernel, pfn: int) -> None:
    """Move a locked page with contents from the swap cache back to the object it is of, dirty; its slot is free."""
    block_flushpage(k, pfn)
    entry = leave_swap_cache(k, pfn)
    swap_free(k, entry)
    slot = slot_index(k, entry)
    mapping, index = k.shmem_slots[slot].mapping + 0, k.shmem_slots[slot].index + 0
    if k.vm[0].profile <= KERNEL_2_4_0:
        lru_cache_del(k, pfn)
    add_to_page_cache(k, pfn, mapping, index)
    page_cache_release(k, pfn)
    k.pages[pfn].flags |= PG_uptodate
    set_page_dirty(k, pfn)
    _forget_entry(k, slot)
    swap_free(k, entry)
    count(k, node_of(k, pfn), SHMEM_SWAPIN, 1)
    log_event(k, EV_MOVE_FROM_SWAP_CACHE, pfn, entry)


@rule
def shmem_swap_in(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """Bring back the page of a swap entry for a fault: pfn without a reference, or a negative FAULT_*; restartable."""
    task = k.tasks[t]
    pfn = find_swap_cache(k, entry)
    if pfn == NIL:
        pfn = _read(k, t, entry, vma, vpn)
        if pfn < 0:
            return -FAULT_RECLAIM if pfn == ALLOC_RECLAIM else -FAULT_OOM
        page_cache_release(k, pfn)
    if not try_lock_page(k, pfn):
        k.pages[pfn].count += 1
        task.wait_pfn = pfn
        return -FAULT_WAIT
    move_from_swap_cache(k, pfn)
    unlock_page(k, pfn)
    return pfn


@part
def _read(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """Start reading a slot, with its neighbours: its page, referenced, or an ALLOC_* answer."""
    task = k.tasks[t]
    if task.fault_major != READ_AHEAD_GIVEN_UP:
        task.fault_major = 1
    if k.vm[0].profile <= KERNEL_2_4_0:
        return read_swap_cache(k, t, entry, vma, vpn)
    if task.fault_major != READ_AHEAD_GIVEN_UP and swapin_readahead(k, t, entry, vma, vpn) == FAULT_RECLAIM:
        return ALLOC_RECLAIM
    return read_swap_cache_async(k, t, entry, vma, vpn)


@part
def holds_shmem(k: Kernel, entry: int) -> bool:
    """Whether a slot holds a page of shared memory (what shmem_unuse finds out by searching every object)."""
    mapping = k.shmem_slots[slot_index(k, entry)].mapping
    return mapping != 0


@rule
def shmem_truncate(k: Kernel, mapping: int, pages: int) -> None:
    """Give back the slots of an object of `pages` pages, with what is cached of them."""
    for index in range(pages):
        if k.mappings[mapping].swapped == 0:
            return
        slot = _find_slot(k, mapping, index)
        if slot != NIL:
            entry = k.shmem_slots[slot].entry + 0
            _forget_entry(k, slot)
            free_swap_and_cache(k, entry)


# Looking, from outside -----------------------------------------------------------------------------------------------


@rule
def shmem_contents(k: Kernel, mapping: int, index: int) -> int:
    """Contents tag of a page of an object, wherever it is; NIL if it was never touched."""
    pfn = find_page(k, mapping, index)
    entry = shmem_swp_entry(k, mapping, index) if pfn == NIL else 0
    if entry != 0:
        pfn = find_swap_cache(k, entry)
        if pfn == NIL or k.pages[pfn].flags & PG_uptodate == 0:
            return k.swap_tags[slot_index(k, entry)] + 0
    return NIL if pfn == NIL else k.tags[pfn] + 0
