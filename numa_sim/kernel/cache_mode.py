"""How the CPU's caches treat an area: the PWT and PCD bits of its pages (spec 11.3).

What a driver of 2.4 does in its mmap method (drivers/char/mem.c:pgprot_noncached): the bits go into vm_page_prot and
from there into every entry a fault makes; entries that exist are changed too.  The area becomes VM_IO, so that it is
not merged with others.  Plain functions, called rarely.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import entry
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.state.constants import NIL, PTE_MAPPED, PTE_PCD, PTE_PWT, VM_IO
from numa_sim.state.kernel import Kernel

CACHE_MODES: Final = {"write-back": 0, "write-through": PTE_PWT, "uncached": PTE_PCD | PTE_PWT}
"""Bits of each mode.  Write-through: stores go to memory at once; uncached: every access does."""
_BITS = PTE_PCD | PTE_PWT

_leaf_row = entry(leaf_row)
_flush_tlb_mm = entry(flush_tlb_mm)


def set_cache_mode(k: Kernel, t: int, start: int, pages: int, mode: str) -> int:
    """Set the mode of task `t`'s areas within pages [start, start + pages); how many there are.

    Simplified: an area of which only a part lies there is left alone.
    """
    mm, bits, changed = int(k.tasks[t].mm), CACHE_MODES[mode], 0
    vma = int(k.mms[mm].mmap)
    while vma != NIL:
        area = k.vmas[vma]
        if start <= area.vm_start and area.vm_end <= start + pages:
            area.vm_page_prot = int(area.vm_page_prot) & ~_BITS | bits
            area.vm_flags = int(area.vm_flags) | VM_IO if bits else int(area.vm_flags) & ~VM_IO
            for vpn in range(int(area.vm_start), int(area.vm_end)):
                _set_bits(k, mm, vpn, bits)
            changed += 1
        vma = int(area.vm_next)
    if changed:
        _flush_tlb_mm(k, mm)
    return changed


def _set_bits(k: Kernel, mm: int, vpn: int, bits: int) -> None:
    """Change the entry of a page, if it has one."""
    row = int(_leaf_row(k, mm, vpn)) if k.mms[mm].pgd != NIL else NIL
    index = vpn & ((1 << int(k.vm[0].entry_bits)) - 1)
    if row != NIL and int(k.tables[row, index]) & PTE_MAPPED:
        k.tables[row, index] = int(k.tables[row, index]) & ~_BITS | bits
