"""The kernel's own page tables, made at boot: arch/i386/mm/init.c:paging_init, pagetable_init @2.4 (spec 7.3, 1.1).

On i386 the top quarter of every address space is the kernel's: low memory, mapped one to one from PAGE_OFFSET on, by
entries of the directory that map 4 MB each (2 MB with PAE), global and for the supervisor only.  They stand in
swapper_pg_dir, the directory of init_mm, and each new directory gets a copy; vmalloc adds tables of its own there.
A program that goes there has no area and, were there one, no right: it faults.

Simplified: a CPU without large pages would map low memory by tables; the other geometries have no kernel entries in
their tables (x86-64's kernel half is known to `numa_sim.convert` only); fixmap is left out.
"""

from __future__ import annotations

from typing import Final

from numa_sim.kernel.geometry import geometry_of
from numa_sim.state.constants import NIL, PAGE_SHIFT, PROT_KERNEL, PTE_GLOBAL, PTE_KERNEL_TABLE, PTE_PSE
from numa_sim.state.kernel import Kernel

SWAPPER_OFFSET_PAGES: Final = 1
"""arch/i386/kernel/head.S: swapper_pg_dir is the second page of the kernel image, at 0x101000."""
LARGE_PAGE: Final = PROT_KERNEL | PTE_PSE | PTE_GLOBAL


def _static_table(k: Kernel, pfn: int, level: int) -> int:
    """A table in a frame of the kernel image; its row."""
    row = int(k.vm[0].table_used)
    k.vm[0].table_used += 1
    k.table_info[row].pfn, k.table_info[row].level, k.table_info[row].next = pfn, level, NIL
    return row


def paging_init(k: Kernel, image_pfn: int) -> None:
    """Make swapper_pg_dir, whose image starts at frame `image_pfn`, if this machine's tables map the kernel.

    ``table_info.used`` counts tables, not large pages.
    """
    geometry = geometry_of(k)
    if not geometry.kernel_quarter:
        return
    top = int(k.vm[0].levels) - 1
    row = _static_table(k, image_pfn + SWAPPER_OFFSET_PAGES, top)
    k.mms[0].pgd = row
    first = geometry.kernel_entries.start
    if top == 2:  # PAE: the last of four entries, and the middle table it names
        middle = _static_table(k, image_pfn + SWAPPER_OFFSET_PAGES + 1, 1)
        k.tables[row, first] = middle << PAGE_SHIFT | PTE_KERNEL_TABLE
        k.table_info[row].used = 1
        row, first = middle, 0
    span = 1 << geometry.entry_bits
    low_pages = min(int(k.vm[0].nr_frames), geometry.low_memory >> PAGE_SHIFT)
    for number in range(-(-low_pages // span)):
        k.tables[row, first + number] = number * span << PAGE_SHIFT | LARGE_PAGE
