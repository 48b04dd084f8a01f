"""Page ageing and the LRU lists: mm/swap.c and include/linux/swap.h @2.4.0 (spec 4.2, 4.3).

A page is on at most one of the machine's active list, the machine's inactive_dirty list, and its zone's inactive_clean
list.  Its age rises by 3 with every use seen (to 64) and is halved with every scan that sees none; at age 0 it is
deactivated.  An anonymous page is on no list until it enters the swap cache.

Off with ``vm.page_aging = 0``: one scan that sees no use takes the whole age away.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.lru_counters import delta_nr_active_pages, delta_nr_inactive_pages
from numa_sim.kernel.v2_4_0.pressure import kswapd_is_due, wakeup_kswapd
from numa_sim.state.constants import (
    BUFFERS_NONE,
    PAGE_AGE_ADV,
    PAGE_AGE_MAX,
    PAGE_AGE_START,
    PG_active,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_locked,
    PG_ramdisk,
    PG_referenced,
)
from numa_sim.state.counters import PGACTIVATE, PGAGE_DOWN, PGAGE_UP, PGDEACTIVATE
from numa_sim.state.event_codes import EV_BAD_PAGE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel
from numa_sim.state.lists import (
    active_add,
    active_del,
    inactive_clean_add,
    inactive_clean_del,
    inactive_dirty_add,
    inactive_dirty_del,
)

ON_A_LIST: Final = PG_active | PG_inactive_dirty | PG_inactive_clean
BUG_ON_A_LIST: Final = 6
BUG_NO_REFERENCE: Final = 7
BUG_NOT_LOCKED: Final = 8
BUG_IN_A_CACHE: Final = 9
"""Values of ``vm.bug`` (see `numa_sim.kernel.buddy.BUGS`)."""


@part
def page_node(k: Kernel, pfn: int) -> int:
    """The node a page belongs to."""
    node: int = k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].node
    return node


@rule
def report_bug(k: Kernel, pfn: int, kind: int) -> None:
    """Something the kernel would call BUG() for is about to be done to a page; the first stays in ``vm.bug``."""
    if k.vm[0].bug == 0:
        k.vm[0].bug = kind
        k.vm[0].bug_pfn = pfn
    log_event(k, EV_BAD_PAGE, pfn, kind)


@rule
def _may_enter(k: Kernel, pfn: int) -> bool:
    """Whether a page may go on a list now (DEBUG_ADD_PAGE)."""
    page = k.pages[pfn]
    if page.flags & ON_A_LIST != 0:
        report_bug(k, pfn, BUG_ON_A_LIST)
        return False
    if page.count == 0:
        report_bug(k, pfn, BUG_NO_REFERENCE)
        return False
    return True


@rule
def add_page_to_active_list(k: Kernel, pfn: int) -> None:
    """Put a page that is on no list at the head of the active list."""
    if _may_enter(k, pfn):
        k.pages[pfn].flags |= PG_active
        active_add(k, pfn)
        k.vm[0].nr_active_pages += 1
        delta_nr_active_pages(k, pfn, 1)


@rule
def add_page_to_inactive_dirty_list(k: Kernel, pfn: int) -> None:
    """Put a page that is on no list at the head of the inactive_dirty list."""
    if _may_enter(k, pfn):
        k.pages[pfn].flags |= PG_inactive_dirty
        inactive_dirty_add(k, pfn)
        k.vm[0].nr_inactive_dirty_pages += 1
        k.zones[k.section_zone[pfn >> k.vm[0].section_shift]].inactive_dirty_pages += 1
        delta_nr_inactive_pages(k, pfn, 1)


@rule
def add_page_to_inactive_clean_list(k: Kernel, pfn: int) -> None:
    """Put a page that is on no list at the head of its zone's inactive_clean list."""
    if _may_enter(k, pfn):
        zone_id = k.section_zone[pfn >> k.vm[0].section_shift]
        k.pages[pfn].flags |= PG_inactive_clean
        inactive_clean_add(k, zone_id, pfn)
        k.zones[zone_id].inactive_clean_pages += 1
        delta_nr_inactive_pages(k, pfn, 1)


@rule
def lru_cache_del(k: Kernel, pfn: int) -> None:
    """Take a page off whichever list it is on; nothing happens to a page on none."""
    page = k.pages[pfn]
    vm = k.vm[0]
    zone_id = k.section_zone[pfn >> vm.section_shift]
    if page.flags & PG_active != 0:
        active_del(k, pfn)
        vm.nr_active_pages -= 1
        delta_nr_active_pages(k, pfn, -1)
    elif page.flags & PG_inactive_dirty != 0:
        inactive_dirty_del(k, pfn)
        vm.nr_inactive_dirty_pages -= 1
        k.zones[zone_id].inactive_dirty_pages -= 1
        delta_nr_inactive_pages(k, pfn, -1)
    elif page.flags & PG_inactive_clean != 0:
        inactive_clean_del(k, zone_id, pfn)
        k.zones[zone_id].inactive_clean_pages -= 1
        delta_nr_inactive_pages(k, pfn, -1)
    page.flags &= ~ON_A_LIST


@rule
def move_to_active(k: Kernel, pfn: int) -> None:
    """Move a page from its list to the head of the active list."""
    if k.pages[pfn].flags & PG_active == 0:
        count(k, page_node(k, pfn), PGACTIVATE, 1)
    lru_cache_del(k, pfn)
    add_page_to_active_list(k, pfn)


@rule
def move_to_inactive_dirty(k: Kernel, pfn: int) -> None:
    """Move a page from its list to the head of the inactive_dirty list."""
    lru_cache_del(k, pfn)
    add_page_to_inactive_dirty_list(k, pfn)


@rule
def move_to_inactive_clean(k: Kernel, pfn: int) -> None:
    """Move a page from its list to the head of its zone's inactive_clean list."""
    lru_cache_del(k, pfn)
    add_page_to_inactive_clean_list(k, pfn)


@part
def page_ramdisk(k: Kernel, pfn: int) -> bool:
    """Whether the page's buffers are a ram disk's: it must stay in memory."""
    return k.pages[pfn].flags & PG_ramdisk != 0


@rule
def deactivate_page(k: Kernel, pfn: int) -> None:
    """Age 0; an active page nobody else uses moves to inactive_dirty.

    One reference is the cache's, one the caller's, one the buffers'.
    """
    page = k.pages[pfn]
    page.age = 0
    page.flags &= ~PG_referenced
    most = 2 if page.buffers == BUFFERS_NONE else 3
    if page.flags & PG_active != 0 and page.count <= most and not page_ramdisk(k, pfn):
        move_to_inactive_dirty(k, pfn)
        count(k, page_node(k, pfn), PGDEACTIVATE, 1)


@rule
def activate_page(k: Kernel, pfn: int) -> None:
    """An inactive page moves to the active list; the age of any page is at least PAGE_AGE_START then."""
    page = k.pages[pfn]
    if page.flags & (PG_inactive_dirty | PG_inactive_clean) != 0:
        move_to_active(k, pfn)
    if page.age < PAGE_AGE_START:
        page.age = PAGE_AGE_START


@rule
def age_page_up(k: Kernel, pfn: int) -> None:
    """A use was seen: 3 years older, at most 64; a page of age 0 is activated first."""
    page = k.pages[pfn]
    if page.age == 0:
        activate_page(k, pfn)
    page.age = min(page.age + PAGE_AGE_ADV, PAGE_AGE_MAX)
    count(k, page_node(k, pfn), PGAGE_UP, 1)


@rule
def age_page_down_ageonly(k: Kernel, pfn: int) -> None:
    """No use was seen: half the age; the page stays where it is."""
    page = k.pages[pfn]
    page.age = page.age >> 1 if k.vm[0].page_aging != 0 else 0
    count(k, page_node(k, pfn), PGAGE_DOWN, 1)


@rule
def age_page_down(k: Kernel, pfn: int) -> None:
    """No use was seen: half the age, and deactivation at age 0."""
    age_page_down_ageonly(k, pfn)
    if k.pages[pfn].age == 0:
        deactivate_page(k, pfn)


@rule
def lru_cache_add(k: Kernel, pfn: int) -> None:
    """A locked page enters the active list; one of age 0 is deactivated at once."""
    if k.pages[pfn].flags & PG_locked == 0:
        report_bug(k, pfn, BUG_NOT_LOCKED)
        return
    add_page_to_active_list(k, pfn)
    if k.pages[pfn].age == 0:
        deactivate_page(k, pfn)


@rule
def touch_found_page(k: Kernel, pfn: int) -> None:
    """What a look-up in a cache does to the page it finds (`__find_page_nolock`, mm/filemap.c): a use, seen.

    That may leave too few inactive pages, and then kswapd is woken.
    """
    age_page_up(k, pfn)
    if kswapd_is_due(k):
        wakeup_kswapd(k, 0)
