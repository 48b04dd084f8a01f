"""Index-linked LRU lists, threaded through the page records as in the kernel.

"Head" is where pages enter, "tail" where scanners look (spec 0.2).
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@rule
def active_add(k: Kernel, pfn: int) -> None:
    """Insert `pfn` at the head of the active list."""
    vm = k.vm[0]
    page = k.pages[pfn]
    old = vm.active_head
    page.lru_prev = NIL
    page.lru_next = old
    if old == NIL:
        vm.active_tail = pfn
    else:
        k.pages[old].lru_prev = pfn
    vm.active_head = pfn


@rule
def active_del(k: Kernel, pfn: int) -> None:
    """Unlink `pfn` from the active list."""
    vm = k.vm[0]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    if before == NIL:
        vm.active_head = after
    else:
        k.pages[before].lru_next = after
    if after == NIL:
        vm.active_tail = before
    else:
        k.pages[after].lru_prev = before


@rule
def inactive_add(k: Kernel, pfn: int) -> None:
    """Insert `pfn` at the head of the inactive list."""
    vm = k.vm[0]
    page = k.pages[pfn]
    old = vm.inactive_head
    page.lru_prev = NIL
    page.lru_next = old
    if old == NIL:
        vm.inactive_tail = pfn
    else:
        k.pages[old].lru_prev = pfn
    vm.inactive_head = pfn


@rule
def inactive_del(k: Kernel, pfn: int) -> None:
    """Unlink `pfn` from the inactive list."""
    vm = k.vm[0]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    if before == NIL:
        vm.inactive_head = after
    else:
        k.pages[before].lru_next = after
    if after == NIL:
        vm.inactive_tail = before
    else:
        k.pages[after].lru_prev = before


@rule
def inactive_dirty_add(k: Kernel, pfn: int) -> None:
    """Insert `pfn` at the head of the inactive_dirty list (2.4.0)."""
    vm = k.vm[0]
    page = k.pages[pfn]
    old = vm.inactive_dirty_head
    page.lru_prev = NIL
    page.lru_next = old
    if old == NIL:
        vm.inactive_dirty_tail = pfn
    else:
        k.pages[old].lru_prev = pfn
    vm.inactive_dirty_head = pfn


@rule
def inactive_dirty_del(k: Kernel, pfn: int) -> None:
    """Unlink `pfn` from the inactive_dirty list (2.4.0)."""
    vm = k.vm[0]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    if before == NIL:
        vm.inactive_dirty_head = after
    else:
        k.pages[before].lru_next = after
    if after == NIL:
        vm.inactive_dirty_tail = before
    else:
        k.pages[after].lru_prev = before


@rule
def inactive_clean_add(k: Kernel, zone_id: int, pfn: int) -> None:
    """Insert `pfn` at the head of its zone's inactive_clean list (2.4.0)."""
    zone = k.zones[zone_id]
    page = k.pages[pfn]
    old = zone.inactive_clean_head
    page.lru_prev = NIL
    page.lru_next = old
    if old == NIL:
        zone.inactive_clean_tail = pfn
    else:
        k.pages[old].lru_prev = pfn
    zone.inactive_clean_head = pfn


@rule
def inactive_clean_del(k: Kernel, zone_id: int, pfn: int) -> None:
    """Unlink `pfn` from its zone's inactive_clean list (2.4.0)."""
    zone = k.zones[zone_id]
    before = k.pages[pfn].lru_prev
    after = k.pages[pfn].lru_next
    if before == NIL:
        zone.inactive_clean_head = after
    else:
        k.pages[before].lru_next = after
    if after == NIL:
        zone.inactive_clean_tail = before
    else:
        k.pages[after].lru_prev = before
