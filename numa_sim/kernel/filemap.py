"""The page cache: mm/filemap.c @2.4.37 (spec 9.1, 9.2).

A page of a file (KIND_INODE) is in three places: on one of its mapping's lists (clean, dirty, locked), in the page
hash, and on the LRU lists.  It holds one reference for all of that; buffers hold one more.  The swap cache is found by
slot (``k.swap_cache``) instead, and its pages are on no list of their mapping.

Simplified: a page's place on the locked list only says that `fdatasync` sent it off; one buffer covers a whole page.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.locks import PAGECACHE_LOCK, spin_for
from numa_sim.kernel.lru_counters import delta_nr_cache_pages
from numa_sim.kernel.swap import lru_cache_add, mark_page_accessed
from numa_sim.kernel.v2_4_0.swap import touch_found_page
from numa_sim.state.constants import (
    BUFFERS_NONE,
    CLEAN_PAGES,
    DIRTY_PAGES,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KIND_INODE,
    KIND_SWAP,
    MAPPING_NONE,
    NIL,
    NR_PAGE_LISTS,
    TRACK_NOTHING,
    PG_arch_1,
    PG_checked,
    PG_dirty,
    PG_error,
    PG_launder,
    PG_locked,
    PG_referenced,
    PG_uptodate,
)
from numa_sim.state.counters import NR_DIRTY, NR_FILE_PAGES
from numa_sim.state.event_codes import EV_FREED, EV_SET_PAGE_DIRTY
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

_INODE_STEP = 15
"""What an inode adds to the hash: 480 bytes over their lowest set bit, 32 (inodes lie side by side in their slab)."""


@part
def node_of(k: Kernel, pfn: int) -> int:
    """Node of a frame."""
    node: int = k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node
    return node


@part
def in_swap_cache(k: Kernel, pfn: int) -> bool:
    """Whether the page's mapping is swapper_space (PageSwapCache)."""
    mapping = k.pages[pfn].mapping
    return mapping != MAPPING_NONE and k.mappings[mapping].kind == KIND_SWAP


@part
def in_page_cache(k: Kernel, pfn: int) -> bool:
    """Whether the page belongs to a file of `numa_sim.kernel.inode`."""
    mapping = k.pages[pfn].mapping
    return mapping != MAPPING_NONE and k.mappings[mapping].kind == KIND_INODE


@part
def users(k: Kernel, pfn: int) -> int:
    """References of a page, its buffers' own left out."""
    page = k.pages[pfn]
    return page.count - 1 if page.buffers != BUFFERS_NONE else page.count + 0


@part
def try_lock_page(k: Kernel, pfn: int) -> bool:
    """Lock the page; False if it was locked already."""
    page = k.pages[pfn]
    if page.flags & PG_locked != 0:
        return False
    page.flags |= PG_locked
    return True


@part
def unlock_page(k: Kernel, pfn: int) -> None:
    """Unlock the page; LAUNDER goes too, always (spec G-7).  Waking who waits for it is the processes' work."""
    k.pages[pfn].flags &= ~(PG_locked | PG_launder)


@rule
def page_cache_release(k: Kernel, pfn: int) -> None:
    """Drop one reference and say so (EV_FREED) if it was the last."""
    if k.pages[pfn].count == 1:
        log_event(k, EV_FREED, pfn, 0)
    free_pages(k, pfn, 0)


# The page hash -------------------------------------------------------------------------------------------------------


@part
def page_hash_bucket(k: Kernel, mapping: int, index: int) -> int:
    """Bucket of a page in ``k.page_hash`` (_page_hashfn, include/linux/pagemap.h)."""
    place = mapping * _INODE_STEP + index
    return (place + (place >> k.vm[0].page_hash_bits)) & (k.page_hash.shape[0] - 1)


@rule
def find_page(k: Kernel, mapping: int, index: int) -> int:
    """The cached page `index` of a file, NIL if none; takes no reference (`__find_page_nolock`)."""
    pfn = k.page_hash[page_hash_bucket(k, mapping, index)] - 1
    while pfn != NIL and (k.pages[pfn].mapping != mapping or k.pages[pfn].index != index):
        pfn = k.pages[pfn].next_hash
    return pfn


@part
def _add_page_to_hash(k: Kernel, pfn: int, mapping: int, index: int) -> None:
    """Put the page at the front of its chain."""
    bucket = page_hash_bucket(k, mapping, index)
    k.pages[pfn].next_hash = k.page_hash[bucket] - 1
    k.page_hash[bucket] = pfn + 1


@part
def _remove_page_from_hash(k: Kernel, pfn: int) -> None:
    """Take the page out of its chain."""
    page = k.pages[pfn]
    bucket = page_hash_bucket(k, page.mapping, page.index)
    at = k.page_hash[bucket] - 1
    if at == pfn:
        k.page_hash[bucket] = page.next_hash + 1
        return
    while k.pages[at].next_hash != pfn:
        at = k.pages[at].next_hash
    k.pages[at].next_hash = page.next_hash


@part
def note_use(k: Kernel, pfn: int) -> None:
    """Number a use of a frame that the kernel sees itself, for replacement policies (`Kernel.last_use`)."""
    vm = k.vm[0]
    if vm.track_use != TRACK_NOTHING:
        vm.use_order += 1
        k.last_use[pfn] = vm.use_order


@part
def page_was_found(k: Kernel, pfn: int) -> None:
    """A look-up on behalf of a user found the page: that is a use @2.4.0, and sets REFERENCED @2.2.

    Later kernels wait for `page_was_used`.
    """
    if k.vm[0].profile == KERNEL_2_4_0:
        touch_found_page(k, pfn)
    elif k.vm[0].profile == KERNEL_2_2:
        k.pages[pfn].flags |= PG_referenced


@part
def page_was_used(k: Kernel, pfn: int) -> None:
    """A page has been read, or mapped by a fault: its first use sets REFERENCED, its second activates it."""
    note_use(k, pfn)
    if k.vm[0].profile > KERNEL_2_4_0:
        mark_page_accessed(k, pfn)


# The mapping's lists -------------------------------------------------------------------------------------------------


@part
def _list_add(k: Kernel, pfn: int, list_: int) -> None:
    """Put the page at the head of one of its mapping's lists."""
    space = k.mappings[k.pages[pfn].mapping]
    page = k.pages[pfn]
    first = space.pages_head[list_] + 0
    page.list_prev = NIL
    page.list_next = first
    if first == NIL:
        space.pages_tail[list_] = pfn
    else:
        k.pages[first].list_prev = pfn
    space.pages_head[list_] = pfn


@part
def _list_del(k: Kernel, pfn: int) -> None:
    """Take the page off whichever of its mapping's lists it is on."""
    space = k.mappings[k.pages[pfn].mapping]
    before = k.pages[pfn].list_prev + 0
    after = k.pages[pfn].list_next + 0
    if before != NIL:
        k.pages[before].list_next = after
    if after != NIL:
        k.pages[after].list_prev = before
    for list_ in range(NR_PAGE_LISTS):
        if space.pages_head[list_] == pfn:
            space.pages_head[list_] = after
        if space.pages_tail[list_] == pfn:
            space.pages_tail[list_] = before


@rule
def move_to_page_list(k: Kernel, pfn: int, list_: int) -> None:
    """Move a file's page to the head of its mapping's CLEAN_PAGES, DIRTY_PAGES or LOCKED_PAGES."""
    _list_del(k, pfn)
    _list_add(k, pfn, list_)


@rule
def set_page_dirty(k: Kernel, pfn: int) -> None:
    """Mark the page DIRTY; a file's page goes to its mapping's dirty list (set_page_dirty, mm/filemap.c)."""
    page = k.pages[pfn]
    if page.flags & PG_dirty != 0:
        return
    page.flags |= PG_dirty
    if in_page_cache(k, pfn):
        move_to_page_list(k, pfn, DIRTY_PAGES)
        count(k, node_of(k, pfn), NR_DIRTY, 1)
        log_event(k, EV_SET_PAGE_DIRTY, pfn, page.index)


@rule
def clear_page_dirty(k: Kernel, pfn: int) -> None:
    """Take the DIRTY flag away; the page stays on the list it is on (ClearPageDirty)."""
    page = k.pages[pfn]
    if page.flags & PG_dirty != 0:
        page.flags &= ~PG_dirty
        if in_page_cache(k, pfn):
            count(k, node_of(k, pfn), NR_DIRTY, -1)


# Membership ----------------------------------------------------------------------------------------------------------


@rule
def add_to_page_cache(k: Kernel, pfn: int, mapping: int, index: int) -> None:
    """Give a page to a mapping that has none there: locked, one more reference, at the head of the inactive list.

    Clears UPTODATE, ERROR, DIRTY, REFERENCED, CHECKED and arch_1 (`__add_to_page_cache`, spec G-7).
    """
    page = k.pages[pfn]
    page.flags &= ~(PG_uptodate | PG_error | PG_dirty | PG_referenced | PG_checked | PG_arch_1)
    page.flags |= PG_locked
    add_to_page_cache_locked(k, pfn, mapping, index)


@rule
def add_to_page_cache_locked(k: Kernel, pfn: int, mapping: int, index: int) -> None:
    """Give a locked page to a mapping as it is: one more reference, and on the LRU lists."""
    spin_for(k, PAGECACHE_LOCK, k.costs[0].pagecache_lock_ns)
    page = k.pages[pfn]
    page.count += 1
    page.mapping = mapping
    page.index = index
    k.mappings[mapping].nrpages += 1
    k.vm[0].page_cache_size += 1
    if k.mappings[mapping].kind == KIND_INODE:
        _list_add(k, pfn, CLEAN_PAGES)
        _add_page_to_hash(k, pfn, mapping, index)
        note_use(k, pfn)
        count(k, node_of(k, pfn), NR_FILE_PAGES, 1)
    delta_nr_cache_pages(k, pfn, 1)
    lru_cache_add(k, pfn)


@rule
def add_to_page_cache_unique(k: Kernel, pfn: int, mapping: int, index: int) -> int:
    """`add_to_page_cache` unless the file has that page already: 1 = added, 0 = it has."""
    if find_page(k, mapping, index) != NIL:
        return 0
    add_to_page_cache(k, pfn, mapping, index)
    return 1


@rule
def remove_inode_page(k: Kernel, pfn: int) -> None:
    """Take a page out of its mapping; the caller drops the mapping's reference (`__remove_inode_page`)."""
    spin_for(k, PAGECACHE_LOCK, k.costs[0].pagecache_lock_ns)
    page = k.pages[pfn]
    clear_page_dirty(k, pfn)
    k.mappings[page.mapping].nrpages -= 1
    if in_page_cache(k, pfn):
        _list_del(k, pfn)
        _remove_page_from_hash(k, pfn)
        count(k, node_of(k, pfn), NR_FILE_PAGES, -1)
    page.mapping = MAPPING_NONE
    k.vm[0].page_cache_size -= 1
    delta_nr_cache_pages(k, pfn, -1)


def page_hash_chains(k: Kernel) -> list[int]:
    """Lengths of the page hash's chains that are not empty (reads only)."""
    lengths = []
    for first in k.page_hash[k.page_hash != 0].tolist():
        length, pfn = 0, first - 1
        while pfn != NIL:
            length += 1
            pfn = int(k.pages[pfn].next_hash)
        lengths.append(length)
    return lengths
