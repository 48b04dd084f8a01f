"""Where user space ends, and sizes as the kernel's unsigned long holds them (include/asm-i386/page.h, processor.h)."""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.state.constants import PAGE_SHIFT, PAGE_SIZE
from numa_sim.state.kernel import Kernel

_PAGES_OF_32_BITS = 1 << 20
ELF_BASE_32: Final = 0x0804_8000
ELF_BASE_64: Final = 0x0040_0000
"""Where code begins on i386, and on machines of 64 bits (x86-64's place)."""


@part
def task_size(k: Kernel) -> int:
    """TASK_SIZE: first address beyond user space."""
    return k.vm[0].task_size_vpn << PAGE_SHIFT


@part
def unmapped_base(k: Kernel) -> int:
    """TASK_UNMAPPED_BASE: a third of user space, where the search for room starts."""
    return k.vm[0].task_size_vpn // 3 << PAGE_SHIFT


@rule
def page_align(k: Kernel, length: int) -> int:
    """PAGE_ALIGN: `length` bytes rounded up to whole pages; in 32 bits the last page wraps round to 0."""
    aligned = (length + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
    if k.vm[0].task_size_vpn <= _PAGES_OF_32_BITS:
        aligned &= (1 << 32) - 1
    return aligned


@part
def elf_base(k: Kernel) -> int:
    """First address of a program's code."""
    return ELF_BASE_32 if k.vm[0].task_size_vpn <= _PAGES_OF_32_BITS else ELF_BASE_64
