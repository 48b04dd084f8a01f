"""Page-table entries bit by bit: include/asm-i386/pgtable.h @2.4, its PAE variant, and x86-64 (spec 11.3, 6.1).

Every geometry of the simulator keeps its entries in these bits; what differs is how wide the frame number may be and
whether there is a no-execute bit.  An entry with neither PRESENT nor PROTNONE is empty (0) or names a swap slot.

Simplified: PAT, large-page frame bits and protection keys are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from numa_sim.compiled import rule
from numa_sim.errors import SimulationError
from numa_sim.state.constants import (
    PAGE_SHIFT,
    PROT_COPY,
    PROT_NONE,
    PROT_READONLY,
    PROT_SHARED,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_GLOBAL,
    PTE_MAPPED,
    PTE_PCD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_PSE,
    PTE_PWT,
    PTE_RW,
    PTE_USER,
)

_NONE, _READ, _COPY, _SHARED = PROT_NONE, PROT_READONLY, PROT_COPY, PROT_SHARED
PROTECTION_MAP: Final = (
    _NONE, _READ, _COPY, _COPY, _READ, _READ, _COPY, _COPY,
    _NONE, _READ, _SHARED, _SHARED, _READ, _READ, _SHARED, _SHARED,
)  # fmt: skip
"""protection_map @2.4 i386, indexed by vm_flags & 15 (shared, execute, write, read).

The hardware cannot forbid reading what may be written, nor executing what may be read.  A private writable area is
PAGE_COPY: its pages come write-protected, and the fault path adds RW to a page that is the task's own.
"""

FLAG_NAMES: Final = (
    (PTE_PRESENT, "PRESENT"),
    (PTE_RW, "RW"),
    (PTE_USER, "USER"),
    (PTE_PWT, "PWT"),
    (PTE_PCD, "PCD"),
    (PTE_ACCESSED, "ACCESSED"),
    (PTE_DIRTY, "DIRTY"),
    (PTE_PSE, "PSE"),
    (PTE_GLOBAL, "GLOBAL"),
)
"""Bits of a present entry by name; 2.2 called PWT and PSE WT and 4M."""
FLAGS_MASK: Final = (1 << PAGE_SHIFT) - 1
MAX_SWAP_TYPE: Final = 0x3F
_SWAP_OFFSET_SHIFT = 8


@rule
def protection(vm_flags: int) -> int:
    """vm_page_prot of an area: `PROTECTION_MAP` of its four protection flags."""
    return PROTECTION_MAP[vm_flags & 15]


@dataclass(frozen=True)
class Protection:
    """The bits of an entry below its frame number, by name (pgprot_t)."""

    value: int

    def __str__(self) -> str:
        if not self.value & PTE_PRESENT:
            rest = " ".join(name for bit, name in FLAG_NAMES if self.value & bit & ~PTE_PROTNONE)
            return f"PROTNONE {rest}".rstrip() if self.value & PTE_PROTNONE else "not present"
        return " ".join(name for bit, name in FLAG_NAMES if self.value & bit)


@dataclass(frozen=True)
class SwapSlot:
    """swp_entry_t: which swap area, and which slot of it."""

    type: int
    offset: int


@dataclass(frozen=True)
class PteCodec:
    """How one MMU writes its entries.

    Parameters
    ----------
    name : str
        As in `numa_sim.kernel.geometry`.
    entry_bytes : int
        Size of an entry in memory.
    frame_bits : int
        Width of the frame number, which starts at bit 12: 20 on i386, 24 with PAE, 40 on x86-64.
    no_execute : bool
        Whether bit 63 forbids execution.

    Examples
    --------
    >>> hex(CODECS["i386"].mk_pte(0x1234, 0x27))
    '0x1234027'
    """

    name: str
    entry_bytes: int
    frame_bits: int
    no_execute: bool = False

    NX: Final = 1 << 63

    @property
    def frame_mask(self) -> int:
        """Bits of an entry that hold the frame number."""
        return ((1 << self.frame_bits) - 1) << PAGE_SHIFT

    def mk_pte(self, pfn: int, protection: int) -> int:
        """The entry that maps frame `pfn` with these protection bits.

        Raises
        ------
        SimulationError
            If the frame number or the bits do not fit: neither may disturb the other.
        """
        allowed = FLAGS_MASK | (self.NX if self.no_execute else 0)
        if pfn < 0 or pfn >> self.frame_bits or protection & ~allowed:
            raise SimulationError(f"{self.name}: no entry for frame {pfn:#x} with protection {protection:#x}")
        return pfn << PAGE_SHIFT | protection

    def pte_pfn(self, pte: int) -> int:
        """Frame number of an entry, high attribute bits masked off."""
        return (pte & self.frame_mask) >> PAGE_SHIFT

    def pte_protection(self, pte: int) -> Protection:
        """The bits beside the frame number."""
        return Protection(pte & ~self.frame_mask)

    def executable(self, pte: int) -> bool:
        """Whether code may be fetched from the page: always, where there is no no-execute bit."""
        return not (self.no_execute and pte & self.NX)

    def swp_entry_to_pte(self, slot: SwapSlot) -> int:
        """The entry that names a swap slot: type in bits 1 to 6, offset from bit 8 (PRESENT and PROTNONE stay 0).

        Raises
        ------
        SimulationError
            If the slot does not fit.
        """
        offset_bits = min(self.entry_bytes * 8, 32) - _SWAP_OFFSET_SHIFT
        if not (0 <= slot.type <= MAX_SWAP_TYPE and 0 <= slot.offset < 1 << offset_bits):
            raise SimulationError(f"{self.name}: no entry for slot {slot.offset} of swap area {slot.type}")
        return slot.type << 1 | slot.offset << _SWAP_OFFSET_SHIFT

    def pte_to_swp_entry(self, pte: int) -> SwapSlot:
        """The slot that a not-present entry names."""
        return SwapSlot(pte >> 1 & MAX_SWAP_TYPE, pte >> _SWAP_OFFSET_SHIFT)


def pte_none(pte: int) -> bool:
    """Whether the entry is empty."""
    return pte == 0


def pte_present(pte: int) -> bool:
    """Whether the entry has a page, for the kernel at least: PRESENT, or PROTNONE for an area of no access."""
    return pte & PTE_MAPPED != 0


def hardware_present(pte: int) -> bool:
    """Whether the MMU can use the entry; one of PROTNONE faults."""
    return pte & PTE_PRESENT != 0


CODECS: Final = {
    codec.name: codec
    for codec in (
        PteCodec("i386", 4, 20),
        PteCodec("i386-pae", 8, 24),
        PteCodec("x86-64", 8, 40, no_execute=True),
    )
}
"""Codecs by name."""
