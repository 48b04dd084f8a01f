"""What must be true, always: the CONFIG_DEBUG_VM of the simulator (used under ``check = "full"``).

Written from the other side than the rules: every count is taken again from what it counts.
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import rule
from numa_sim.kernel.debug_files import check_files
from numa_sim.kernel.debug_kmem import PART_OF_BLOCK, SOUND, check_slabs, mark_blocks
from numa_sim.kernel.debug_problems import (
    BUDDIES,
    CACHE,
    COUNT,
    FREE_BLOCK,
    FREE_IN_USE,
    FREE_PAGES,
    FREE_SLOTS,
    LIST_LENGTH,
    LRU,
    LRU_COUNTERS,
    OWNER,
    RMAP,
    RSS,
    SHMEM,
    SLABS,
    SLOT,
    TABLE,
    USERS,
    WRITABLE,
)
from numa_sim.kernel.debug_tables import BROKEN, WRITABLE_ONCE, check_tables, wrong_mapcount
from numa_sim.kernel.filemap import find_page
from numa_sim.kernel.shmem_swap import shmem_swp_entry
from numa_sim.kernel.swapfile import slot_index
from numa_sim.kernel.v2_2.debug_vm import free_lists_agree, mark_free, unlocked_slot_page
from numa_sim.state.constants import (
    BUFFERS_NONE,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KIND_INODE,
    MAPPING_SWAP,
    MAX_ORDER,
    NIL,
    SWAP_MAP_BAD,
    SWP_USED,
    SWP_WRITEOK,
    PG_active,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_lru,
    PG_packet,
    PG_reserved,
    PG_table,
)
from numa_sim.state.kernel import Kernel


@rule
def check_zones(k: Kernel) -> tuple[int, int]:
    """Cheap checks: (0, 0), or (problem, zone)."""
    old = k.vm[0].profile == KERNEL_2_2
    if old and not free_lists_agree(k):
        return FREE_PAGES, 0
    for z in range(0 if old else k.zones.shape[0]):
        zone = k.zones[z]
        free = 0
        for order in range(MAX_ORDER):
            free += zone.nr_free[order] << order
        if free != zone.free_pages:
            return FREE_PAGES, z
    free_slots = 0
    for area in k.swap_info:
        if area.flags == SWP_WRITEOK:
            free_slots += area.pages - area.inuse_pages
        elif area.flags == SWP_USED:
            # Being swapped off: its free slots do not count any more, each slot that gets free does (@2.2 all count).
            free_slots += (area.pages if old else 0) - area.inuse_pages
    if free_slots != k.vm[0].nr_swap_pages:
        return FREE_SLOTS, free_slots
    return 0, 0


@rule
def _mark_free(k: Kernel, owners: np.ndarray) -> tuple[int, int]:
    """Mark frames of free blocks with -1."""
    if k.vm[0].profile == KERNEL_2_2:
        wrong = mark_free(k, owners)
        return (0, 0) if wrong == NIL else (FREE_BLOCK, wrong)
    for z in range(k.zones.shape[0]):
        zone = k.zones[z]
        for order in range(MAX_ORDER):
            length = 0
            block = zone.free_head[order]
            while block != NIL:
                index = block - zone.start_pfn
                if index & ((1 << order) - 1) != 0 or length > zone.size:
                    return FREE_BLOCK, block
                for pfn in range(block, block + (1 << order)):
                    if owners[pfn] != 0:
                        return FREE_BLOCK, pfn
                    owners[pfn] = -1
                if order < MAX_ORDER - 1:
                    buddy = zone.start_pfn + (index ^ (1 << order))
                    other = zone.free_head[order]
                    while other != NIL:
                        if other == buddy:
                            return BUDDIES, block
                        other = k.pages[other].list_next
                length += 1
                block = k.pages[block].list_next
            if order == MAX_ORDER - 1:
                for run in range(zone.nr_virgin):
                    length += (zone.virgin_end[run] - zone.virgin_start[run]) >> order
                    owners[zone.virgin_start[run] : zone.virgin_end[run]] = -1
            if length != zone.nr_free[order]:
                return LIST_LENGTH, z * MAX_ORDER + order
    return 0, 0


@rule
def _walk_lru(k: Kernel, head: int, on_list: int, lists: int, seen: np.ndarray) -> int:
    """Length of the list that starts at `head`, whose pages have just `on_list` of the flags `lists`; -1 - pfn if not.

    Marks its pages in `seen`.
    """
    length = 0
    pfn = head
    while pfn != NIL:
        if seen[pfn] != 0 or k.pages[pfn].flags & lists != on_list:
            return -1 - pfn
        seen[pfn] = 1
        length += 1
        pfn = k.pages[pfn].lru_next
    return length


@rule
def _check_lru(k: Kernel) -> tuple[int, int]:
    """The active and inactive lists; the three kinds of lists of 2.4.0."""
    vm = k.vm[0]
    seen = np.zeros(k.pages.shape[0], np.int8)
    lists = PG_lru | PG_active
    if vm.profile == KERNEL_2_4_0:
        lists = PG_active | PG_inactive_dirty | PG_inactive_clean
        lengths = (
            _walk_lru(k, vm.active_head, PG_active, lists, seen),
            _walk_lru(k, vm.inactive_dirty_head, PG_inactive_dirty, lists, seen),
        )
        wanted = (int(vm.nr_active_pages), int(vm.nr_inactive_dirty_pages))
    else:
        lengths = (
            _walk_lru(k, vm.active_head, PG_lru | PG_active, lists, seen),
            _walk_lru(k, vm.inactive_head, PG_lru, lists, seen),
        )
        wanted = (int(vm.nr_active_pages), int(vm.nr_inactive_pages))
    for which in range(2):
        if lengths[which] < 0:
            return LRU, -1 - lengths[which]
        if lengths[which] != wanted[which]:
            return LRU_COUNTERS, lengths[which]
    if vm.profile == KERNEL_2_4_0:
        problem, where = _check_zone_lists(k, lists, seen)
        if problem != 0:
            return problem, where
    for pfn in range(k.pages.shape[0]):
        if seen[pfn] == 0 and k.pages[pfn].flags & lists != 0:
            return LRU, pfn
    return 0, 0


@rule
def _check_zone_lists(k: Kernel, lists: int, seen: np.ndarray) -> tuple[int, int]:
    """2.4.0: every zone's inactive_clean list, and its share of the inactive_dirty list."""
    dirty = np.zeros(k.zones.shape[0], np.int64)
    for pfn in range(k.pages.shape[0]):
        if k.pages[pfn].flags & PG_inactive_dirty != 0:
            dirty[k.section_zone[pfn >> k.vm[0].section_shift]] += 1
    for z in range(k.zones.shape[0]):
        zone = k.zones[z]
        length = _walk_lru(k, zone.inactive_clean_head, PG_inactive_clean, lists, seen)
        if length < 0:
            return LRU, -1 - length
        if length != zone.inactive_clean_pages or dirty[z] != zone.inactive_dirty_pages:
            return LRU_COUNTERS, z
        pfn = zone.inactive_clean_head
        while pfn != NIL:
            if k.section_zone[pfn >> k.vm[0].section_shift] != z:
                return LRU, pfn
            pfn = k.pages[pfn].lru_next
    return 0, 0


@rule
def _count_holders(k: Kernel, owners: np.ndarray, slots: np.ndarray) -> tuple[int, int]:
    """Count the references of tasks, the swap cache and buffers."""
    for t in range(k.tasks.shape[0]):
        task = k.tasks[t]
        if task.wait_pfn != NIL:
            owners[task.wait_pfn] += 1
        if task.got_pfn != NIL:
            owners[task.got_pfn] += 1
            for pfn in range(task.got_pfn + 1, task.got_pfn + (1 << k.pages[task.got_pfn].order)):
                owners[pfn] = PART_OF_BLOCK
        if task.file_pfn != NIL:
            owners[task.file_pfn] += 1
        if task.readahead_left > 0:
            # Slots a read-ahead of 2.4.0 has not come to yet.
            area = k.swap_info[(task.readahead_entry >> 1) & 0x3F]
            first = area.map_start + (task.readahead_entry >> 8)
            slots[first : first + task.readahead_left] += 1
    for a in range(k.swap_info.shape[0]):
        area = k.swap_info[a]
        if area.flags == 0:
            continue
        for offset in range(area.max):
            if k.shmem_slots[area.map_start + offset].mapping != 0:
                slots[area.map_start + offset] += 1
            cached = k.swap_cache[area.map_start + offset]
            if cached == 0:
                continue
            page = k.pages[cached - 1]
            if page.mapping != MAPPING_SWAP or page.index != (a << 1 | offset << 8):
                return CACHE, cached - 1
            owners[cached - 1] += 1
            slots[area.map_start + offset] += 1
    for pfn in range(k.pages.shape[0]):
        if k.pages[pfn].buffers != BUFFERS_NONE or k.pages[pfn].flags & PG_packet != 0:
            owners[pfn] += 1
        if k.pages[pfn].mapping != 0 and k.mappings[k.pages[pfn].mapping].kind == KIND_INODE:
            owners[pfn] += 1
    return 0, 0


@rule
def _check_sharing(k: Kernel, slots: np.ndarray, mapped: np.ndarray) -> tuple[int, int]:
    """Who may write to an anonymous page without a fault is alone with it: no other entry names it or its slot."""
    for pfn in range(k.pages.shape[0]):
        page = k.pages[pfn]
        if mapped[pfn] < WRITABLE_ONCE or (page.mapping != 0 and page.mapping != MAPPING_SWAP):
            continue
        if mapped[pfn] != 1 + WRITABLE_ONCE:
            return WRITABLE, pfn
        if page.mapping == MAPPING_SWAP:
            area = k.swap_info[(page.index >> 1) & 0x3F]
            if slots[area.map_start + (page.index >> 8)] != 0:
                return WRITABLE, pfn
    users = np.zeros(k.mms.shape[0], np.int64)
    for t in range(k.tasks.shape[0]):
        if k.tasks[t].mm != NIL:
            users[k.tasks[t].mm] += 1
    for mm in range(1, k.mms.shape[0]):
        if k.mms[mm].used != 0 and k.mms[mm].mm_users != users[mm]:
            return USERS, mm
    return 0, 0


@rule
def _misplaced_shmem(k: Kernel) -> int:
    """A slot of shared memory that is not found by its page, or whose page is in memory as well; or NIL."""
    swapped = np.zeros(k.mappings.shape[0], np.int64)
    for slot in range(k.shmem_slots.shape[0]):
        held = k.shmem_slots[slot]
        if held.mapping == 0:
            continue
        swapped[held.mapping] += 1
        if shmem_swp_entry(k, held.mapping, held.index) != held.entry or slot_index(k, held.entry) != slot:
            return slot
        if find_page(k, held.mapping, held.index) != NIL:
            return slot
    for mapping in range(k.mappings.shape[0]):
        if k.mappings[mapping].swapped != swapped[mapping]:
            return mapping
    return NIL


@rule
def check_frames(k: Kernel) -> tuple[int, int]:
    """Every frame, page table, list and swap slot: (0, 0), or (problem, where).  O(frames): small machines only."""
    owners = np.zeros(k.pages.shape[0], np.int64)
    slots = np.zeros(k.swap_map.shape[0], np.int64)
    mapped = np.zeros(k.pages.shape[0], np.int64)
    problem, where = _mark_free(k, owners)
    if problem != 0:
        return problem, where
    for t in range(k.tasks.shape[0]):
        # The page a reclaimer keeps for itself: on no list and with no reference, but not free.
        if k.tasks[t].local_pfn != NIL:
            if owners[k.tasks[t].local_pfn] != 0:
                return FREE_IN_USE, k.tasks[t].local_pfn
            owners[k.tasks[t].local_pfn] = -1
    for pfn in range(k.pages.shape[0]):
        if owners[pfn] == -1 and (k.pages[pfn].count != 0 or k.pages[pfn].mapping != 0):
            return FREE_IN_USE, pfn
    problem, where = check_tables(k, owners, slots, mapped)
    if problem != 0:
        return TABLE if problem == BROKEN else RSS, where
    where = wrong_mapcount(k, mapped)
    if where != NIL:
        return RMAP, where
    problem, where = _check_sharing(k, slots, mapped)
    if problem != 0:
        return problem, where
    problem, where = _count_holders(k, owners, slots)
    if problem != 0:
        return problem, where
    problem, where = check_slabs(k)
    if problem != SOUND:
        return SLABS, where
    where = mark_blocks(k, owners)
    if where != NIL:
        return FREE_IN_USE, where
    for pfn in range(k.pages.shape[0]):
        z = k.section_zone[pfn >> k.vm[0].section_shift]
        page = k.pages[pfn]
        if z == NIL or page.flags & PG_reserved != 0:
            continue
        node = k.nodes[k.zones[z].node]
        if node.mem_map_start <= pfn < node.mem_map_end or pfn >= k.zones[z].start_pfn + k.zones[z].size:
            continue
        if owners[pfn] == 0 and page.count == 0:
            return OWNER, pfn
        if owners[pfn] >= 0 and page.count != owners[pfn]:
            return COUNT, pfn
        if page.flags & PG_table != 0 and k.table_info[page.index].pfn != pfn:
            return TABLE, pfn
    for slot in range(k.swap_map.shape[0]):
        if k.swap_map[slot] != SWAP_MAP_BAD and k.swap_map[slot] != slots[slot]:
            return SLOT, slot
    where = _misplaced_shmem(k)
    if where != NIL:
        return SHMEM, where
    where = unlocked_slot_page(k)
    if where != NIL:
        return CACHE, where
    problem, where = check_files(k)
    if problem != 0:
        return problem, where
    return _check_lru(k)
