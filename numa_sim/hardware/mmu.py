"""The MMU: the walk through page tables, what it lets pass, and what it writes into entries (spec 11.3).

An access that the TLB cannot answer comes here.  The walker sets ACCESSED and DIRTY by itself; whatever it cannot
translate, or must not, is a page fault, and the kernel's.
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import part, rule
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.state.constants import (
    NIL,
    PROT_READONLY,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PCD,
    PTE_PRESENT,
    PTE_PWT,
    PTE_RW,
    PTE_USER,
)
from numa_sim.state.hardware_layout import WALK_ENTRIES
from numa_sim.state.kernel import Kernel


@rule
def walk_to_leaf(k: Kernel, cpu: int, vpn: int) -> int:
    """Row of the leaf table of `vpn`, NIL if there is none; remembered in the CPU's page-walk cache.

    (A direct-mapped cache; what a walk costs does not depend on it.)
    """
    upper = vpn >> k.vm[0].entry_bits
    known = k.walks[cpu, upper % WALK_ENTRIES]
    if known.upper != upper + 1:
        row = leaf_row(k, k.cpus[cpu].mm, vpn)
        if row == NIL:
            return NIL
        known.upper = upper + 1
        known.row = row
    return known.row


@part
def needs_of(k: Kernel, kernel_mode: int) -> tuple[int, int]:
    """Bits of a PTE without which a read or a write must fault.

    A program may use the user's pages only, and write to those of RW; so may the kernel, which may use its own too,
    unless the CPU is a 386, which lets the kernel write anywhere (no CR0.WP).
    """
    if kernel_mode == 0:
        return PTE_PRESENT | PTE_USER, PTE_PRESENT | PTE_USER | PTE_RW
    return PTE_PRESENT, PTE_PRESENT if k.vm[0].no_wp != 0 else PTE_PRESENT | PTE_RW


@part
def access_pte(tables: np.ndarray, row: int, index: int, write: int, read_needs: int, write_needs: int) -> int:
    """Use one PTE as the hardware walker does: set ACCESSED (and DIRTY) in it; 0 if the access must fault.

    It must if the entry lacks a bit that is needed (see `needs_of`); one of PROTNONE is not present.
    """
    pte = tables[row, index]
    if write == 0:
        if pte & read_needs != read_needs:
            return 0
        wanted = pte | PTE_ACCESSED
    else:
        if pte & write_needs != write_needs:
            return 0
        wanted = pte | PTE_ACCESSED | PTE_DIRTY
    if wanted != pte:
        tables[row, index] = wanted
    return wanted


@part
def past_caches(pte: int, write: int) -> bool:
    """Whether an access goes to memory whatever the CPU's caches hold: PCD always, PWT if it is a store."""
    return pte & (PTE_PCD if write == 0 else PTE_PCD | PTE_PWT) != 0


@rule
def write_protect_works(k: Kernel) -> bool:
    """test_wp_bit, arch/i386/mm/init.c @2.2, @2.4: at boot the kernel writes to a page it has mapped read-only.

    If that faults, do_page_fault recognises the test, and the CPU is known to check the kernel's writes, too.
    """
    _, needs = needs_of(k, 1)
    return PROT_READONLY & needs != needs
