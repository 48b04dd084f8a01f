"""Faults on pages that were swapped out, and what becomes of their slots; how far reclaim of 2.4.22 looks."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.file_machine import TASK, FileMachine

from numa_sim.compiled import entry
from numa_sim.kernel import swapoff
from numa_sim.kernel.mmap import do_mmap, mm_alloc
from numa_sim.state.constants import NIL, PTE_PRESENT, VM_READ, VM_WRITE

_unuse_everywhere = entry(swapoff._unuse_everywhere)


def filled(pages: int, swap_pages: int, profile: str = "linux-2.4.37") -> tuple[FileMachine, int]:
    """A machine of 4 MiB on which an area of `pages` pages has been written once; its first page."""
    m = FileMachine(swap_pages=swap_pages, profile=profile, disk_blocks=4096)
    start = do_mmap(m.k, TASK, pages, NIL, VM_READ | VM_WRITE, 0)
    for page in range(pages):
        m.fault(start + page, 1)
    return m, start


@pytest.mark.parametrize(("swap_pages", "uses"), [(3000, 1), (1400, 0)])
def test_a_page_read_back_keeps_its_slot_unless_swap_is_half_full(swap_pages: int, uses: int) -> None:
    """vm_swap_full: slots in use only as a copy are given up, the page alone holds the contents."""
    m, start = filled(1200, swap_pages)
    assert bool(2 * m.k.vm[0].nr_swap_pages < m.k.vm[0].total_swap_pages) is (uses == 0)
    m.finish_io()
    out = next(vpn for vpn in range(start, start + 1200) if m.pte(vpn) and not m.pte(vpn) & PTE_PRESENT)
    slot = m.pte(out) >> 8
    m.fault(out, 0)
    assert m.pte(out) & PTE_PRESENT
    pfn = m.pte(out) >> 12
    assert m.k.swap_map[slot] == uses
    assert bool(m.k.swap_cache[slot] - 1 == pfn) is (uses == 1)
    m.check()


def test_2_4_22_looks_at_a_tenth_of_its_scan_in_mapped_pages_before_it_searches_page_tables() -> None:
    m, _ = filled(300, 0, "linux-2.4.22")
    inactive = int(m.k.vm[0].nr_inactive_pages + m.k.vm[0].nr_active_pages)
    m.take(1)
    bound = sum(inactive // (10 * priority) + 1 for priority in range(1, 7))
    assert 0 < m.counter("pgscan_direct") <= bound


def test_swapoff_begins_its_next_search_with_the_address_space_that_had_the_last_slot() -> None:
    """It is likely to have the next one, too; one that had nothing is not remembered."""
    m, start = filled(1200, 3000)
    k: Any = m.k
    owner, other = int(k.tasks[TASK].mm), int(mm_alloc(k, TASK + 1))
    assert k.mms[0].mmlist_next == other, "it is searched first"
    entries = [m.pte(vpn) for vpn in range(start, start + 1200) if not m.pte(vpn) & PTE_PRESENT]
    cached = [swap_entry for swap_entry in entries if swap_entry and k.swap_cache[swap_entry >> 8]]
    assert k.tasks[TASK].swapoff_mm == 0
    for swap_entry in cached[:2]:
        _unuse_everywhere(k, TASK, swap_entry, int(k.swap_cache[swap_entry >> 8]) - 1)
        assert k.swap_map[swap_entry >> 8] == 1, "only the cache has it"
        assert k.tasks[TASK].swapoff_mm == owner
