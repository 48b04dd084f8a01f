"""MMU geometries: how many levels of page tables, and how an address is split (spec 10.6).

Linux names five levels, pgd, p4d, pud, pmd and pte; a level the hardware does not have is *folded*: it has one entry,
so that its offset function gives back the entry it was given, and one generic walk serves every machine.  (2.4 itself
knew three: pgd, pmd, pte.)

The compiled walks of `numa_sim.kernel.pgtable` need two numbers only, ``vm.levels`` and ``vm.entry_bits``: all real
levels below the top are equally wide, and the top one, narrower in PAE, sees no address bits it has no entries for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from numa_sim.kernel.pte import CODECS, PteCodec
from numa_sim.state.constants import PAGE_SHIFT
from numa_sim.state.kernel import Kernel

LEVELS: Final = ("pgd", "p4d", "pud", "pmd", "pte")
"""Linux's names of the levels, from the top."""


class Level(NamedTuple):
    """One of the five levels: its name, where its index lies in an address, and how wide it is (0 = folded)."""

    name: str
    shift: int
    bits: int

    @property
    def folded(self) -> bool:
        """Whether the hardware lacks this level."""
        return self.bits == 0

    @property
    def entries(self) -> int:
        """PTRS_PER_PGD and so on; 1 of a folded level."""
        return 1 << self.bits


@dataclass(frozen=True)
class Geometry:
    """One MMU's page tables.

    Parameters
    ----------
    name : str
        What a configuration calls it (``machine.mmu``).
    widths : tuple of int
        Index bits of pgd, p4d, pud, pmd and pte; 0 = folded.
    task_size : int
        First address beyond user space.
    page_offset : int
        Kernel address of physical address 0: the linear mapping.
    low_memory : int
        Bytes of physical memory the kernel maps there; what lies beyond has no fixed kernel address.
    codec : PteCodec
        Its entries.
    """

    name: str
    widths: tuple[int, int, int, int, int]
    task_size: int
    page_offset: int
    low_memory: int
    codec: PteCodec

    @property
    def levels(self) -> tuple[Level, ...]:
        """All five levels from the top, folded ones included."""
        shift = PAGE_SHIFT + sum(self.widths)
        result = []
        for name, bits in zip(LEVELS, self.widths, strict=True):
            shift -= bits
            result.append(Level(name, shift, bits))
        return tuple(result)

    @property
    def tables(self) -> int:
        """Levels the hardware walks (``vm.levels``)."""
        return sum(bits > 0 for bits in self.widths)

    @property
    def entry_bits(self) -> int:
        """Index bits of a leaf table (``vm.entry_bits``)."""
        return self.widths[-1]

    @property
    def address_bits(self) -> int:
        """Bits of a virtual address that are translated."""
        return PAGE_SHIFT + sum(self.widths)

    @property
    def max_pfn(self) -> int:
        """First frame number that does not fit in an entry."""
        return 1 << self.codec.frame_bits

    @property
    def kernel_quarter(self) -> bool:
        """Whether top tables have entries for the kernel: on i386; elsewhere it is not modelled (see below)."""
        return self.task_size == self.page_offset

    @property
    def kernel_entries(self) -> range:
        """Entries of the top table that map kernel addresses: 768 to 1023 on i386."""
        top = self.levels[0]
        return range(self.index("pgd", self.page_offset), top.entries)

    def index(self, level: str, address: int) -> int:
        """Index of `address` in a table of this level: what pgd_offset, ..., pte_offset add to the table's address.

        0 in a folded level.  Kernel addresses of 64 bits are taken with their sign bits cut off, as the MMU does.
        """
        _, shift, bits = self.levels[LEVELS.index(level)]
        return (address >> shift) & ((1 << bits) - 1)

    def split(self, address: int) -> dict[str, int]:
        """Index of `address` at each level the hardware has, and its offset in the page.

        Examples
        --------
        >>> GEOMETRIES["i386"].split(0x08048000)
        {'pgd': 32, 'pte': 72, 'offset': 0}
        """
        parts = {level.name: self.index(level.name, address) for level in self.levels if not level.folded}
        return parts | {"offset": address & ((1 << PAGE_SHIFT) - 1)}


_MIB = 1 << 20
GEOMETRIES: Final = {
    geometry.name: geometry
    for geometry in (
        Geometry("i386", (10, 0, 0, 0, 10), 0xC0000000, 0xC0000000, 896 * _MIB, CODECS["i386"]),
        Geometry("i386-pae", (2, 0, 0, 9, 9), 0xC0000000, 0xC0000000, 896 * _MIB, CODECS["i386-pae"]),
        # Three levels of 1024 entries as on Alpha, whose pages of 8 KB and entries of 8 bytes are both taken as half
        # as large here, so that a table still is one page.  Kernel addresses are KSEG: not translated by tables.
        Geometry("alpha", (10, 0, 0, 10, 10), 1 << 41, 0xFFFFFC00 << 32, 1 << 41, CODECS["x86-64"]),
        Geometry("x86-64", (9, 0, 9, 9, 9), 1 << 47, 0xFFFF8880 << 32, 1 << 46, CODECS["x86-64"]),
        Geometry("x86-64-la57", (9, 9, 9, 9, 9), 1 << 56, 0xFF110000 << 32, 1 << 55, CODECS["x86-64"]),
    )
}
"""Geometries by name; ``vm.mmu`` is the position here."""


def use_geometry(k: Kernel, name: str) -> None:
    """Set up the walks of a machine that has not booted for this MMU; its tables must have room for the entries."""
    vm, geometry = k.vm[0], GEOMETRIES[name]
    vm.mmu = tuple(GEOMETRIES).index(name)
    vm.levels, vm.entry_bits = geometry.tables, geometry.entry_bits
    vm.task_size_vpn = geometry.task_size >> PAGE_SHIFT


def geometry_of(k: Kernel) -> Geometry:
    """The MMU of a machine."""
    return tuple(GEOMETRIES.values())[int(k.vm[0].mmu)]
