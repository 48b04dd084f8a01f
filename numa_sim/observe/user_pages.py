"""What an address space has mapped, read off its areas and page tables as whole columns; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numa_sim.state.constants import NIL, NR_ZONES, PAGE_SHIFT, PTE_PRESENT, PTE_PROTNONE, SWAP_MAP_MAX, PG_reserved
from numa_sim.state.kernel import Kernel

__all__ = ["MappedPages", "areas", "entries", "leaf_tables", "mapcounts", "mapped_pages", "node_of_frames"]


class MappedPages(NamedTuple):
    """The pages of an area, in the order of their addresses (int64 columns of one length each, but `swap_entries`).

    ZERO_PAGE and reserved frames are left out, as `vm_normal_page` leaves them out.
    """

    vpns: Any
    ptes: Any
    pfns: Any
    mapcounts: Any
    swap_entries: Any


def areas(k: Kernel, mm: int) -> list[int]:
    """The areas of an address space, in the order of their addresses."""
    found, vma = [], int(k.mms[mm].mmap)
    while vma != NIL:
        found.append(vma)
        vma = int(k.vmas[vma].vm_next)
    return found


def leaf_tables(k: Kernel, mm: int, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """(first virtual page, row) of each leaf table that maps something of [start, end), in order.

    `end` is the end of user space if not given.
    """
    vm = k.vm[0]
    bits, stop = int(vm.entry_bits), int(vm.task_size_vpn) if end is None else end

    def descend(row: int, level: int, first: int) -> Iterator[tuple[int, int]]:
        if level == 0:
            yield first, row
            return
        span = 1 << bits * level
        low, high = max(0, (start - first) // span), min(1 << bits, -(-(stop - first) // span))
        for index in (np.flatnonzero(k.tables[row, low:high]) + low).tolist():
            yield from descend(int(k.tables[row, index]) >> PAGE_SHIFT, level - 1, first + index * span)

    if k.mms[mm].pgd != NIL:
        yield from descend(int(k.mms[mm].pgd), int(vm.levels) - 1, 0)


def entries(k: Kernel, mm: int, start: int, end: int) -> tuple[Any, Any]:
    """Virtual pages and PTEs of what is not empty in [start, end): two int64 columns."""
    vpns, ptes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, row in leaf_tables(k, mm, start, end):
        low, high = max(start - first, 0), min(end - first, k.tables.shape[1])
        part = np.asarray(k.tables[row, low:high])
        used = np.flatnonzero(part)
        vpns.append(used + (first + low))
        ptes.append(part[used])
    return np.concatenate(vpns), np.concatenate(ptes)


def is_present(ptes: Any) -> Any:
    """Which entries map a frame (a PROT_NONE one does, too)."""
    return ptes & (PTE_PRESENT | PTE_PROTNONE) != 0


def mapcounts(k: Kernel, pfns: Any) -> Any:
    """How many PTEs of all address spaces map each of these frames, found by reading all page tables."""
    wanted, places = np.unique(pfns, return_inverse=True)
    counts = np.zeros(len(wanted), np.int64)
    for mm in np.flatnonzero(k.mms["used"][1:]).tolist() if len(wanted) else ():
        for _, row in leaf_tables(k, mm + 1):
            ptes = np.asarray(k.tables[row])
            mapped = ptes[is_present(ptes)] >> PAGE_SHIFT
            at = np.searchsorted(wanted, mapped).clip(max=len(wanted) - 1)
            np.add.at(counts, at[wanted[at] == mapped], 1)
    return counts[places]


def mapped_pages(k: Kernel, vma: int) -> MappedPages:
    """What an area has mapped, and what of it is in swap."""
    area = k.vmas[vma]
    vpns, ptes = entries(k, int(area.vm_mm), int(area.vm_start), int(area.vm_end))
    present = is_present(ptes)
    swapped = ptes[~present]
    vpns, ptes = vpns[present], ptes[present]
    pfns = ptes >> PAGE_SHIFT
    normal = (pfns != int(k.vm[0].zero_pfn)) & (k.pages["flags"][pfns] & PG_reserved == 0)
    pfns = pfns[normal]
    return MappedPages(vpns[normal], ptes[normal], pfns, mapcounts(k, pfns), swapped)


def node_of_frames(k: Kernel, pfns: Any) -> Any:
    """Node of each frame."""
    return k.section_zone[pfns >> int(k.vm[0].section_shift)].astype(np.int64) // NR_ZONES


def swap_uses(k: Kernel, swap_entries: Any) -> Any:
    """How many PTEs name each swap entry; the swap cache's own use does not count (swp_swapcount)."""
    types, offsets = swap_entries >> 1 & 0x3F, swap_entries >> 8
    slots = k.swap_info["map_start"][types] + offsets
    return (k.swap_map[slots] & SWAP_MAP_MAX) - (k.swap_cache[slots] != 0)
