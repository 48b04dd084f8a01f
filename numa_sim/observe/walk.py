"""How one address is translated, step by step: logical, linear, physical (spec 10.6, 11.1).

`walk` goes down the page tables as kernel code does, through Linux's five levels; one that the hardware does not have
is folded, and stands for the entry of the level above.  `translate` begins one step earlier, with a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numa_sim.hardware.segments import DescriptorTables, SegmentFault, Selector
from numa_sim.kernel.geometry import Geometry, geometry_of
from numa_sim.kernel.pte import Protection, hardware_present, pte_present
from numa_sim.state.constants import NIL, PAGE_SHIFT, PAGE_SIZE, PTE_KERNEL_TABLE, PTE_PSE, PTE_USER
from numa_sim.state.kernel import Kernel

__all__ = ["Step", "Translation", "Walk", "translate", "walk"]

_FLAGS = PAGE_SIZE - 1
_OFFSET = PAGE_SIZE - 1


@dataclass(frozen=True)
class Step:
    """One level of a walk.

    Parameters
    ----------
    level : str
        pgd, p4d, pud, pmd or pte.
    index : int
        Which entry of its table; 0 in a folded level.
    entry_paddr : int
        Physical address of the entry.
    entry : int
        The entry as the hardware reads it: physical address of the next table or page, and flags.
    folded : bool
        Whether the hardware lacks this level: then address and entry are those of the level above.
    """

    level: str
    index: int
    entry_paddr: int
    entry: int
    folded: bool

    def __str__(self) -> str:
        if self.folded:
            return f"{self.level} folded"
        what = Protection(self.entry & _FLAGS) if self.entry else "none"
        return f"{self.level}[{self.index}] at {self.entry_paddr:#x}: {self.entry & ~_FLAGS:#x} {what}"


@dataclass(frozen=True)
class Walk:
    """A walk through page tables.

    Parameters
    ----------
    address : int
        The linear address.
    steps : tuple of Step
        As far as it came.
    paddr : int or None
        The physical address; None if the walk stopped.
    stopped : str
        Where and why, if it did.
    """

    address: int
    steps: tuple[Step, ...]
    paddr: int | None
    stopped: str = ""

    def __str__(self) -> str:
        end = f"physical {self.paddr:#x}" if self.paddr is not None else f"stops: {self.stopped}"
        return "\n".join([f"linear {self.address:#x}", *(f"  {step}" for step in self.steps), end])


@dataclass(frozen=True)
class Translation:
    """All three addresses of an access: logical, linear, physical.

    Parameters
    ----------
    selector, offset : int
        The logical address.
    segment_fault : str
        Why the segment forbids it; then paging was never asked and `walk` is None.
    walk : Walk or None
        From the linear address on.
    """

    selector: int
    offset: int
    segment_fault: str
    walk: Walk | None

    def __str__(self) -> str:
        logical = f"logical {self.selector:#06x}:{self.offset:#x}"
        return f"{logical}\n{self.walk if self.walk is not None else 'stops: ' + self.segment_fault}"


def _hardware_entry(k: Kernel, entry: int) -> int:
    """An entry that points to a table, with the frame of that table instead of its row."""
    if entry & _FLAGS & ~PTE_USER != PTE_KERNEL_TABLE:
        return entry
    return int(k.table_info[entry >> PAGE_SHIFT].pfn) << PAGE_SHIFT | entry & _FLAGS


def walk(k: Kernel, mm: int, address: int) -> Walk:
    """Translate linear `address` (bytes) in address space `mm`, as pgd_offset to pte_offset would, changing nothing."""
    geometry = geometry_of(k)
    entry_bytes = PAGE_SIZE >> geometry.entry_bits  # a table is one page
    steps: list[Step] = []

    def stop(why: str) -> Walk:
        return Walk(address, tuple(steps), None, why)

    row = int(k.mms[mm].pgd)
    if row == NIL:
        return stop("there are no page tables")
    entry = paddr = 0
    for level in geometry.levels:
        if level.folded:
            steps.append(Step(level.name, 0, paddr, _hardware_entry(k, entry), True))
            continue
        if steps:
            row = entry >> PAGE_SHIFT
        index = geometry.index(level.name, address)
        entry = int(k.tables[row, index])
        paddr = (int(k.table_info[row].pfn) << PAGE_SHIFT) + index * entry_bytes
        is_leaf = level.name == "pte"
        steps.append(Step(level.name, index, paddr, entry if is_leaf else _hardware_entry(k, entry), False))
        if entry == 0:
            return stop(f"{level.name} is none: not mapped")
        if is_leaf:
            return _leaf(geometry, address, tuple(steps), entry)
        if entry & PTE_PSE and hardware_present(entry):
            frame = entry & ~_FLAGS
            return Walk(address, tuple(steps), frame + (address & ((1 << level.shift) - 1)))
        if entry & _FLAGS & ~PTE_USER != PTE_KERNEL_TABLE:
            return stop(f"{level.name} is bad: {entry:#x}")
    raise AssertionError("every geometry has a pte level")


def _leaf(geometry: Geometry, address: int, steps: tuple[Step, ...], pte: int) -> Walk:
    """The end of a walk that came to a PTE."""
    if hardware_present(pte):
        return Walk(address, steps, (geometry.codec.pte_pfn(pte) << PAGE_SHIFT) + (address & _OFFSET))
    if pte_present(pte):
        return Walk(address, steps, None, "pte allows no access (PROTNONE)")
    slot = geometry.codec.pte_to_swp_entry(pte)
    return Walk(address, steps, None, f"pte names slot {slot.offset} of swap area {slot.type}")


def translate(
    k: Kernel, mm: int, selector: int, offset: int, ldt: Sequence[int] = (), *, write: bool = False
) -> Translation:
    """Translate a logical address of a program: through the segment `selector` names, then through page tables.

    Parameters
    ----------
    selector, offset : int
        The logical address; ``0x23`` and ``0x2b`` are the flat user segments.
    ldt : sequence of int
        Raw descriptors of the task's LDT.
    write : bool
        Whether the access stores.
    """
    try:
        linear = DescriptorTables(ldt).linear(selector, offset, write)
    except SegmentFault as fault:
        table = "LDT" if Selector.decode(selector).in_ldt else "GDT"
        return Translation(selector, offset, f"{fault.why} ({table})", None)
    return Translation(selector, offset, "", walk(k, mm, linear))
