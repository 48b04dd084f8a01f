"""Segmentation of the i386, the stage before paging: selectors, descriptors, limits, privilege (spec 11.1).

A *logical* address is a selector and an offset.  The segment's descriptor says where it starts and ends, and the
hardware adds the offset to the base: that is the *linear* address, which paging turns into a *physical* one.  What a
segment forbids is reported before any page table is looked at.

Simplified: no call gates, conforming code or expand-down data; a segment that is not present is a protection fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from numa_sim.errors import SimulationError
from numa_sim.kernel.desc import gdt

_LINEAR_MASK: Final = (1 << 32) - 1
USER_MODE: Final = 3
"""CPL of a program; the kernel runs at 0."""


class SegmentFault(Exception):  # noqa: N818  (what the hardware calls it)
    """General protection (trap 13): the segment does not allow the access."""

    def __init__(self, selector: int, offset: int, why: str) -> None:
        super().__init__(selector, offset, why)
        self.selector, self.offset, self.why = selector, offset, why

    def __str__(self) -> str:
        return f"segment fault at {self.selector:#06x}:{self.offset:#x}: {self.why}"


@dataclass(frozen=True)
class Selector:
    """What a segment register holds: which entry of which table, and the privilege asked for."""

    index: int
    in_ldt: bool
    rpl: int

    @classmethod
    def decode(cls, value: int) -> Selector:
        """From its 16 bits: index, table indicator (bit 2), requested privilege level.

        Examples
        --------
        >>> Selector.decode(0x23)
        Selector(index=4, in_ldt=False, rpl=3)
        """
        if not 0 <= value <= 0xFFFF:
            raise SimulationError(f"a selector has 16 bits, not {value:#x}")
        return cls(value >> 3, bool(value & 4), value & 3)

    def encode(self) -> int:
        """Its 16 bits."""
        return self.index << 3 | self.in_ldt << 2 | self.rpl


@dataclass(frozen=True)
class Descriptor:
    """A segment: where it starts, its last offset, and what may be done with it.

    Parameters
    ----------
    base : int
        Linear address of offset 0.
    limit : int
        Last valid offset, bytes.
    dpl : int
        Least privileged level that may use it.
    code : bool
        Code, not data.
    writable : bool
        Of data: may be written.  (Code is never written.)
    readable : bool
        Of code: may be read.  (Data can always be read.)
    present : bool
        Whether there is such a segment.
    """

    base: int
    limit: int
    dpl: int
    code: bool
    writable: bool
    readable: bool = True
    present: bool = True

    @classmethod
    def decode(cls, raw: int) -> Descriptor:
        """From its 8 bytes.

        Examples
        --------
        >>> flat = Descriptor.decode(0x00CFFA000000FFFF)
        >>> flat.base, flat.limit + 1 == 4 << 30, flat.dpl, flat.code
        (0, True, 3, True)
        """
        base = (raw >> 16 & 0xFFFFFF) | (raw >> 56 & 0xFF) << 24
        limit = (raw & 0xFFFF) | (raw >> 48 & 0xF) << 16
        if raw >> 55 & 1:  # granularity: in pages
            limit = limit << 12 | 0xFFF
        code = bool(raw >> 43 & 1)
        permission = bool(raw >> 41 & 1)
        return cls(
            base=base,
            limit=limit,
            dpl=raw >> 45 & 3,
            code=code,
            writable=permission and not code,
            readable=permission or not code,
            present=bool(raw >> 47 & 1),
        )

    def encode(self) -> int:
        """Its 8 bytes; in pages if the limit does not fit in 20 bits.

        Raises
        ------
        SimulationError
            If the limit then is not the last byte of a page.
        """
        limit, in_pages = self.limit, self.limit >> 20 != 0
        if in_pages:
            if limit & 0xFFF != 0xFFF:
                raise SimulationError(f"a limit above 1 MB ends with a page, not at {limit:#x}")
            limit >>= 12
        permission = self.readable if self.code else self.writable
        access = self.present << 7 | self.dpl << 5 | 1 << 4 | self.code << 3 | permission << 1
        raw = (limit & 0xFFFF) | (self.base & 0xFFFFFF) << 16 | access << 40
        return raw | (limit >> 16) << 48 | (0b1000 * in_pages | 0b0100) << 52 | (self.base >> 24) << 56


class DescriptorTables:
    """The GDT and one task's LDT, as raw descriptors.

    Parameters
    ----------
    ldt : sequence of int
        The task's own entries.
    """

    def __init__(self, ldt: Sequence[int] = ()) -> None:
        self.gdt = gdt()
        self.ldt = tuple(ldt)

    def descriptor(self, selector: int, offset: int = 0) -> Descriptor:
        """The segment a selector names.

        Raises
        ------
        SegmentFault
            The null selector, an entry beyond the table, or one that is not present.
        """
        chosen = Selector.decode(selector)
        table, name = (self.ldt, "LDT") if chosen.in_ldt else (self.gdt, "GDT")
        if chosen.index == 0 and not chosen.in_ldt:
            raise SegmentFault(selector, offset, "null selector")
        found = Descriptor.decode(table[chosen.index]) if chosen.index < len(table) else None
        if found is None or not found.present:
            raise SegmentFault(selector, offset, f"no entry {chosen.index} in the {name}")
        return found

    def linear(self, selector: int, offset: int, write: bool = False, cpl: int = USER_MODE, size: int = 1) -> int:
        """Linear address of a logical one: all that is checked before paging.

        Parameters
        ----------
        selector, offset : int
            The logical address.
        write : bool
            Whether the access stores.
        cpl : int
            Privilege of the running code: 3 user, 0 kernel.
        size : int
            Bytes accessed; all must lie within the limit.

        Raises
        ------
        SegmentFault
            The segment does not exist, is more privileged, is too short, or is not to be written or read.
        """
        segment = self.descriptor(selector, offset)
        if max(cpl, Selector.decode(selector).rpl) > segment.dpl:
            raise SegmentFault(selector, offset, f"privilege {segment.dpl} is asked for")
        if offset < 0 or offset + size - 1 > segment.limit:
            raise SegmentFault(selector, offset, f"beyond the limit {segment.limit:#x}")
        if write and not segment.writable:
            raise SegmentFault(selector, offset, "not writable")
        if not write and not segment.readable:
            raise SegmentFault(selector, offset, "not readable")
        return (segment.base + offset) & _LINEAR_MASK
