"""The kernel's descriptor tables: include/asm-i386/{segment,desc}.h @2.2, @2.4 (spec 11.1).

Linux uses as little of segmentation as the CPU allows: four flat segments from 0 to 4 GB, so that a logical address is
the linear one and all protection is left to paging; and for each task (2.2) or CPU (2.4) a TSS and an LDT, since the
hardware wants them.  Code that does not depend on the architecture knows nothing of segments.

Simplified: the contents of a TSS and the APM segments are not modelled, their entries in the table are.
"""

from __future__ import annotations

from typing import Final

from numa_sim.state.constants import KERNEL_2_4_0

KERNEL_CS: Final = 0x10
KERNEL_DS: Final = 0x18
USER_CS: Final = 0x23
USER_DS: Final = 0x2B
"""Selectors: entries 2 to 5 of the GDT, for user mode with privilege 3."""
LDT_USER_CS: Final = 0x07
LDT_USER_DS: Final = 0x0F
"""The user segments again, as entries 0 and 1 of a task's own LDT (default_ldt holds just these)."""

FLAT_KERNEL_CODE: Final = 0x00CF9A000000FFFF
FLAT_KERNEL_DATA: Final = 0x00CF92000000FFFF
FLAT_USER_CODE: Final = 0x00CFFA000000FFFF
FLAT_USER_DATA: Final = 0x00CFF2000000FFFF
"""Descriptors of base 0 and 4 GB: code readable, data writable."""

GDT_ENTRIES: Final = 8192
FIRST_TSS_ENTRY: Final = 12
"""Entries before: null, unused, kernel code and data, user code and data, two unused, four of APM."""
_LATE_ENTRIES_OF_A_CPU: Final = 4


def gdt() -> tuple[int, ...]:
    """The part of the GDT that all tasks share: entries 0 to 11 as raw descriptors, 0 = not present."""
    return (0, 0, FLAT_KERNEL_CODE, FLAT_KERNEL_DATA, FLAT_USER_CODE, FLAT_USER_DATA, 0, 0, 0, 0, 0, 0)


def default_ldt() -> tuple[int, ...]:
    """The LDT of a task that asked for none of its own."""
    return (FLAT_USER_CODE, FLAT_USER_DATA)


def tss_entry(profile: int, number: int) -> int:
    """GDT entry of the TSS of task `number` (2.2) or CPU `number` (2.4).

    Parameters
    ----------
    profile : int
        KERNEL_*: which kernel.
    """
    return FIRST_TSS_ENTRY + number * (2 if profile < KERNEL_2_4_0 else _LATE_ENTRIES_OF_A_CPU)


def ldt_entry(profile: int, number: int) -> int:
    """GDT entry of the LDT that goes with `tss_entry`."""
    return tss_entry(profile, number) + 1


def max_tasks(profile: int) -> int | None:
    """How many tasks the GDT has room for: 4090 with 2.2, no limit from 2.4 on (None)."""
    return (GDT_ENTRIES - FIRST_TSS_ENTRY) // 2 if profile < KERNEL_2_4_0 else None


def gdt_room(profile: int, nr_tasks: int, nr_cpus: int) -> bool:
    """Whether the GDT has room for one more task beside `nr_tasks` others; fork fails with EAGAIN if not.

    From 2.4 on the table grows with the CPUs instead, and each of `nr_cpus` has its entries already.
    """
    limit = max_tasks(profile)
    if limit is not None:
        return nr_tasks < limit
    return ldt_entry(profile, nr_cpus - 1) < GDT_ENTRIES
