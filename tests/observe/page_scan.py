"""All page tables of all address spaces, gone through one by one: what others say of them is compared with this."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from numa_sim.compiled import entry
from numa_sim.kernel.buddy import is_reserved
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_PRESENT, PTE_PROTNONE
from numa_sim.state.kernel import Kernel

reserved = entry(is_reserved)


def scanned(k: Kernel) -> dict[int, set[tuple[int, int]]]:
    """Every frame that some page table maps, with its (mm, vpn): all tables gone through, level by level."""
    found: dict[int, set[tuple[int, int]]] = defaultdict(set)
    bits = int(k.vm[0].entry_bits)

    def descend(mm: int, row: int, level: int, vpn: int) -> None:
        for index in np.flatnonzero(k.tables[row] & (PTE_PRESENT | PTE_PROTNONE)).tolist():
            pte, here = int(k.tables[row, index]), vpn << bits | index
            if level:
                descend(mm, pte >> PAGE_SHIFT, level - 1, here)
            elif pte >> PAGE_SHIFT != k.vm[0].zero_pfn and not reserved(k, pte >> PAGE_SHIFT):
                found[pte >> PAGE_SHIFT].add((mm, here))

    for mm in range(1, len(k.mms)):
        if k.mms[mm].used and k.mms[mm].pgd != NIL:
            descend(mm, int(k.mms[mm].pgd), int(k.vm[0].levels) - 1, 0)
    return found
