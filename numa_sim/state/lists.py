"""Index-linked LRU lists, threaded through the page records as in the kernel.

"Head" is where pages enter, "tail" where scanners look (spec 0.2).  What links and unlinks is said once (`_link`,
`_unlink`); which record holds a list's ends, by each list's own pair of rules.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@part
def _link(k: Kernel, pfn: int, head: int) -> None:
    """Put `pfn` in front of the list's first page `head` (NIL: the list is empty)."""
    page = k.pages[pfn]
    page.lru_prev = NIL
    page.lru_next = head
    if head != NIL:
        k.pages[head].lru_prev = pfn


@part
def _unlink(k: Kernel, before: int, after: int) -> None:
    """Make two neighbours of a page (NIL: it is at that end) neighbours of each other."""
    if before != NIL:
        k.pages[before].lru_next = after
    if after != NIL:
        k.pages[after].lru_prev = before


@rule
def active_add(k: Kernel, pfn: int) -> None:
    """Insert `pfn` at the head of the active list."""
    vm = k.vm[0]
    _link(k, pfn, vm.active_head)
    if vm.active_head == NIL:
        vm.active_tail = pfn
    vm.active_head = pfn


@rule
def active_del(k: Kernel, pfn: int) -> None:
    """Unlink `pfn` from the active list."""
    vm = k.vm[0]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    _unlink(k, before, after)
    if before == NIL:
        vm.active_head = after
    if after == NIL:
        vm.active_tail = before


@rule
def inactive_add(k: Kernel, pfn: int) -> None:
    """Insert `pfn` at the head of the inactive list."""
    vm = k.vm[0]
    _link(k, pfn, vm.inactive_head)
    if vm.inactive_head == NIL:
        vm.inactive_tail = pfn
    vm.inactive_head = pfn


@rule
def inactive_del(k: Kernel, pfn: int) -> None:
    """Unlink `pfn` from the inactive list."""
    vm = k.vm[0]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    _unlink(k, before, after)
    if before == NIL:
        vm.inactive_head = after
    if after == NIL:
        vm.inactive_tail = before


@rule
def inactive_dirty_add(k: Kernel, pfn: int) -> None:
    """Insert `pfn` at the head of the inactive_dirty list (2.4.0)."""
    vm = k.vm[0]
    _link(k, pfn, vm.inactive_dirty_head)
    if vm.inactive_dirty_head == NIL:
        vm.inactive_dirty_tail = pfn
    vm.inactive_dirty_head = pfn


@rule
def inactive_dirty_del(k: Kernel, pfn: int) -> None:
    """Unlink `pfn` from the inactive_dirty list (2.4.0)."""
    vm = k.vm[0]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    _unlink(k, before, after)
    if before == NIL:
        vm.inactive_dirty_head = after
    if after == NIL:
        vm.inactive_dirty_tail = before


@rule
def inactive_clean_add(k: Kernel, zone_id: int, pfn: int) -> None:
    """Insert `pfn` at the head of its zone's inactive_clean list (2.4.0)."""
    zone = k.zones[zone_id]
    _link(k, pfn, zone.inactive_clean_head)
    if zone.inactive_clean_head == NIL:
        zone.inactive_clean_tail = pfn
    zone.inactive_clean_head = pfn


@rule
def inactive_clean_del(k: Kernel, zone_id: int, pfn: int) -> None:
    """Unlink `pfn` from its zone's inactive_clean list (2.4.0)."""
    zone = k.zones[zone_id]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    _unlink(k, before, after)
    if before == NIL:
        zone.inactive_clean_head = after
    if after == NIL:
        zone.inactive_clean_tail = before
