"""The two LRU lists and who is on them: mm/swap.c @2.4.37 (`mark_page_accessed` is mm/filemap.c's).

The lists are global; the counters are per zone and cumulative per class: a page of zone z counts in z and in every
higher zone slot of its node, so that ``zones[class].nr_inactive_pages`` is what an allocation of that class may use.

2.4.0 has other lists, in `numa_sim.kernel.v2_4_0.swap`, and 2.2 has none; `lru_cache_add` and `lru_cache_del` serve
all.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.locks import PAGEMAP_LRU_LOCK, spin_for
from numa_sim.kernel.lru_counters import delta_nr_active_pages, delta_nr_inactive_pages
from numa_sim.kernel.v2_4_0.swap import lru_cache_add as lru_cache_add_2_4_0
from numa_sim.kernel.v2_4_0.swap import lru_cache_del as lru_cache_del_2_4_0
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0, PG_active, PG_lru, PG_referenced
from numa_sim.state.counters import PGACTIVATE
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel
from numa_sim.state.lists import active_add, active_del, inactive_add, inactive_del


@rule
def add_page_to_active_list(k: Kernel, pfn: int) -> None:
    """Put a page that is on no list at the head of the active list (include/linux/swap.h)."""
    k.pages[pfn].flags |= PG_active
    active_add(k, pfn)
    k.vm[0].nr_active_pages += 1
    delta_nr_active_pages(k, pfn, 1)


@rule
def add_page_to_inactive_list(k: Kernel, pfn: int) -> None:
    """Put a page that is on no list at the head of the inactive list (include/linux/swap.h)."""
    inactive_add(k, pfn)
    k.vm[0].nr_inactive_pages += 1
    delta_nr_inactive_pages(k, pfn, 1)


@rule
def del_page_from_active_list(k: Kernel, pfn: int) -> None:
    """Unlink a page of the active list and clear its ACTIVE flag (include/linux/swap.h)."""
    active_del(k, pfn)
    k.pages[pfn].flags &= ~PG_active
    k.vm[0].nr_active_pages -= 1
    delta_nr_active_pages(k, pfn, -1)


@rule
def del_page_from_inactive_list(k: Kernel, pfn: int) -> None:
    """Unlink a page of the inactive list (include/linux/swap.h)."""
    inactive_del(k, pfn)
    k.vm[0].nr_inactive_pages -= 1
    delta_nr_inactive_pages(k, pfn, -1)


@rule
def lru_cache_add(k: Kernel, pfn: int) -> None:
    """Put `pfn` at the head of the inactive list, unless it is on a list already (@2.4.0: the active list).

    Nothing happens @2.2.
    """
    if k.vm[0].profile == KERNEL_2_2:
        return
    if k.vm[0].profile == KERNEL_2_4_0:
        spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].lru_lock_ns)
        lru_cache_add_2_4_0(k, pfn)
        return
    page = k.pages[pfn]
    if page.flags & PG_lru == 0:
        spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].lru_lock_ns)
        page.flags |= PG_lru
        add_page_to_inactive_list(k, pfn)


@rule
def lru_cache_del(k: Kernel, pfn: int) -> None:
    """Take `pfn` off whichever list it is on; nothing happens to a page on none."""
    if k.vm[0].profile == KERNEL_2_4_0:
        spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].lru_lock_ns)
        lru_cache_del_2_4_0(k, pfn)
        return
    page = k.pages[pfn]
    if page.flags & PG_lru != 0:
        spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].lru_lock_ns)
        page.flags &= ~PG_lru
        if page.flags & PG_active != 0:
            del_page_from_active_list(k, pfn)
        else:
            del_page_from_inactive_list(k, pfn)


@rule
def activate_page(k: Kernel, pfn: int) -> None:
    """Move an inactive page to the head of the active list; other pages stay where they are."""
    spin_for(k, PAGEMAP_LRU_LOCK, k.costs[0].lru_lock_ns)
    flags = k.pages[pfn].flags
    if flags & PG_lru != 0 and flags & PG_active == 0:
        del_page_from_inactive_list(k, pfn)
        add_page_to_active_list(k, pfn)
        count(k, k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node, PGACTIVATE, 1)


@rule
def mark_page_accessed(k: Kernel, pfn: int) -> None:
    """Note a use of `pfn`: the first sets REFERENCED, the second activates an inactive page and clears it again."""
    page = k.pages[pfn]
    if page.flags & PG_active == 0 and page.flags & PG_referenced != 0:
        activate_page(k, pfn)
        page.flags &= ~PG_referenced
    else:
        page.flags |= PG_referenced
