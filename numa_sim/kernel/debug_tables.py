"""Checks of page tables: what they refer to, and the spare ones (see `numa_sim.kernel.debug_vm`)."""

from __future__ import annotations

from typing import Final

import numpy as np

from numa_sim.compiled import rule
from numa_sim.kernel.pgalloc import user_ptrs_per_pgd
from numa_sim.kernel.pgtable import table_below
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_MAPPED, PTE_PSE, PTE_RW
from numa_sim.state.kernel import Kernel

BROKEN: Final = -1
"""A table's count of entries is wrong, or an entry of an upper level is none."""
WRONG_RSS: Final = -2
"""An address space has more or fewer pages than it counts."""
WRITABLE_ONCE: Final = 1 << 32
"""Added to a frame's number of entries for each that allows writing."""


@rule
def _count_tables(
    k: Kernel, row: int, level: int, owners: np.ndarray, slots: np.ndarray, mapped: np.ndarray
) -> tuple[int, int]:
    """Count what the tables below `row` refer to; (rss, 0), or (BROKEN, row).

    `mapped` gets the entries that map a frame, and WRITABLE_ONCE for each of them that allows writing.
    """
    owners[k.table_info[row].pfn] += 1
    used = 0
    rss = 0
    entries = k.tables.shape[1]
    if level == k.vm[0].levels - 1 and row != k.mms[0].pgd:
        entries = user_ptrs_per_pgd(k)  # the rest is init_mm's
    for index in range(entries):
        pte = k.tables[row, index]
        if pte == 0 or (level > 0 and pte & PTE_PSE != 0):
            continue
        used += 1
        if level > 0 and table_below(pte) == NIL:
            return BROKEN, row
        if level > 0:
            below, where = _count_tables(k, pte >> PAGE_SHIFT, level - 1, owners, slots, mapped)
            if below < 0:
                return below, where
            rss += below
        elif pte & PTE_MAPPED != 0:
            if pte >> PAGE_SHIFT != k.vm[0].zero_pfn:
                owners[pte >> PAGE_SHIFT] += 1
                mapped[pte >> PAGE_SHIFT] += 1 if pte & PTE_RW == 0 else 1 + WRITABLE_ONCE
                rss += 1
        else:
            slots[k.swap_info[(pte >> 1) & 0x3F].map_start + (pte >> 8)] += 1
    if used != k.table_info[row].used:
        return BROKEN, row
    return rss, 0


@rule
def _count_spare_tables(k: Kernel, owners: np.ndarray) -> tuple[int, int]:
    """The page tables CPUs keep: empty, and as many as counted; (0, 0), or (BROKEN, row)."""
    for cpu in range(k.cpus.shape[0]):
        spare = 0
        for which in range(k.cpus[cpu].quicklist.shape[0]):
            row = k.cpus[cpu].quicklist[which] + 0
            while row != NIL:
                owners[k.table_info[row].pfn] += 1
                spare += 1
                for index in range(user_ptrs_per_pgd(k)):
                    if k.tables[row, index] != 0:
                        return BROKEN, row
                row = k.table_info[row].next + 0
        if spare != k.cpus[cpu].pgtable_cache_size:
            return BROKEN, spare
    return 0, 0


@rule
def check_tables(k: Kernel, owners: np.ndarray, slots: np.ndarray, mapped: np.ndarray) -> tuple[int, int]:
    """Count what all page tables refer to; (0, 0), (BROKEN, row) or (WRONG_RSS, mm)."""
    for mm in range(k.mms.shape[0]):
        if k.mms[mm].used != 0 and k.mms[mm].pgd != NIL:
            rss, where = _count_tables(k, k.mms[mm].pgd, k.vm[0].levels - 1, owners, slots, mapped)
            if rss < 0:
                return rss, where
            if mm != 0 and rss != k.mms[mm].rss:
                return WRONG_RSS, mm
    return _count_spare_tables(k, owners)


@rule
def wrong_mapcount(k: Kernel, mapped: np.ndarray) -> int:
    """A frame whose mappings the reverse map has counted wrongly; the number of frames if it misses some; else NIL."""
    if k.vm[0].rmap == 0:
        return NIL
    missing = 0
    for mm in range(1, k.mms.shape[0]):
        if k.mms[mm].used != 0:
            missing += k.mms[mm].rss
    for pfn in range(k.rmap.shape[0]):
        mapcount = k.rmap[pfn].mapcount
        if mapcount != 0 and mapcount != mapped[pfn] & (WRITABLE_ONCE - 1):
            return pfn
        missing -= mapcount
    return NIL if missing == 0 else k.rmap.shape[0]
