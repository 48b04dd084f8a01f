"""What kernel and hardware work costs a CPU.

The defaults are calibrated guesses for the rules of a 2.4 kernel on a CPU of about 2020: each is of the order that
public measurements of such work show (see the description of each entry), none is a measurement of that pair.
Times that depend on them are *ordinal*: they say which of two runs is slower, not by how much to the percent.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from numa_sim.config.quantities import Section, ShortTime


def _cost(default_ns: int, description: str) -> Any:
    return Field(default_ns, description=description)


class Costs(Section):
    """Table ``[costs]``: CPU time of each piece of work; one entry per time in ``state.hardware_layout.COSTS``."""

    tlb_walk_level: ShortTime = _cost(5, "one level of a page walk, upper levels mostly in the walk caches")
    cache_hit: ShortTime = _cost(10, "an access that hits the CPU's caches (between the L2 and L3 latency)")
    line: ShortTime = _cost(5, "each further line of one access: a core streams about 12 GB/s")
    minor_fault: ShortTime = _cost(350, "trap, do_anonymous_page and return, without clearing the page")
    zero_page_fault: ShortTime = _cost(300, "read fault that maps ZERO_PAGE")
    clear_page: ShortTime = _cost(150, "clear 4 KiB at about 27 GB/s")
    copy_page: ShortTime = _cost(250, "copy 4 KiB, both pages out of cache")
    swap_fault: ShortTime = _cost(800, "do_swap_page without its I/O: lookup, map, free the slot")
    table_alloc: ShortTime = _cost(300, "take and clear a page for a page table")
    alloc_slow: ShortTime = _cost(200, "__alloc_pages beyond its first pass")
    scan_page: ShortTime = _cost(60, "look at one page of an LRU list: a cache miss on its struct page")
    scan_pte: ShortTime = _cost(15, "look at one page-table entry in swap_out")
    unmap_pte: ShortTime = _cost(120, "replace one page-table entry in try_to_swap_out")
    free_page: ShortTime = _cost(50, "__free_pages_ok of one page")
    submit_io: ShortTime = _cost(1000, "build and queue one page's request")
    end_io: ShortTime = _cost(800, "interrupt and completion of one page's request")
    context_switch: ShortTime = _cost(1500, "schedule and switch, caches warm")
    tlb_flush: ShortTime = _cost(200, "reload cr3 and refill the first entries")
    invlpg: ShortTime = _cost(100, "invalidate one TLB entry")
    ipi: ShortTime = _cost(1000, "shoot-down: sender's wait per 10 of SLIT distance")
    ipi_handler: ShortTime = _cost(400, "shoot-down: work of the interrupted CPU")
    syscall: ShortTime = _cost(200, "entry and exit of a system call")
    zone_lock: ShortTime = _cost(60, "zone->lock: how long rmqueue or __free_pages_ok holds it, its line transferred")
    lru_lock: ShortTime = _cost(40, "pagemap_lru_lock: to put one page on or take it off a list")
    pagecache_lock: ShortTime = _cost(40, "pagecache_lock: to put one page into the cache or take it out")
    page_table_lock: ShortTime = _cost(120, "page_table_lock: held in a page fault")
    segment_check: ShortTime = _cost(0, "check of one access before paging: 0 in hardware, else as if in software")
    swap_lock: ShortTime = _cost(60, "swap_list_lock and sdev_lock: to take or free one slot")
    find_vma_step: ShortTime = _cost(10, "find_vma: look at one area of the list or tree, mostly in the CPU's caches")

    fork: ShortTime = _cost(20_000, "fork, vfork or clone without its page tables: task, kernel stack, areas")
    copy_pte: ShortTime = _cost(25, "fork: copy one page-table entry and count its page once more")
    exec: ShortTime = _cost(50_000, "exec without reading and mapping: open, check the header, set up the stack")

    def entries(self) -> dict[str, int]:
        """Every cost in ns under its name in the state's cost record (``minor_fault_ns`` and so on)."""
        return {f"{name}_ns": getattr(self, name) for name in type(self).model_fields}
