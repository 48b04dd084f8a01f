"""How many pages of each class are on the LRU lists: include/linux/swap.h and mm/swap.c @2.4.37.

The counters are cumulative: a page counts in its zone and in every higher zone slot of its node.  2.4.0 counts its
active list for the whole machine only; these counters are kept for it, too, for who watches (no rule of it reads them;
its inactive pages are the dirty and the clean ones).
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.constants import NR_ZONES
from numa_sim.state.kernel import Kernel


@rule
def delta_nr_active_pages(k: Kernel, pfn: int, delta: int) -> None:
    """Add `delta` to nr_active_pages of the page's zone and every higher zone of its node."""
    z = k.section_zone[pfn >> k.vm[0].section_shift]
    for slot in range(z, z + NR_ZONES - k.zones[z].index):
        k.zones[slot].nr_active_pages += delta


@rule
def delta_nr_inactive_pages(k: Kernel, pfn: int, delta: int) -> None:
    """Add `delta` to nr_inactive_pages of the page's zone and every higher zone of its node."""
    z = k.section_zone[pfn >> k.vm[0].section_shift]
    for slot in range(z, z + NR_ZONES - k.zones[z].index):
        k.zones[slot].nr_inactive_pages += delta


@rule
def delta_nr_cache_pages(k: Kernel, pfn: int, delta: int) -> None:
    """Add `delta` to nr_cache_pages of the page's zone and every higher zone of its node."""
    z = k.section_zone[pfn >> k.vm[0].section_shift]
    for slot in range(z, z + NR_ZONES - k.zones[z].index):
        k.zones[slot].nr_cache_pages += delta
