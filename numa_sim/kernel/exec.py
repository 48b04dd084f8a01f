"""A new program in an old task: fs/exec.c and the ELF part of fs/binfmt_elf.c, every kernel (spec 7.8, 8.5).

The layout is ELF's on i386 or x86-64: code low, data and bss behind it, the heap from the end of the bss on, mappings
from a third of user space, the stack at its top.

Simplified: one program header for code and one for data, no interpreter, no address randomisation; the program's file
is read by faults only (its header is not looked at).
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import entry, rule
from numa_sim.kernel.copy_on_write import add_anonymous_page
from numa_sim.kernel.mmap import do_mmap
from numa_sim.kernel.pgtable import alloc_page_vma, pte_alloc, set_pte
from numa_sim.kernel.rmap import page_add_rmap
from numa_sim.kernel.user_space import elf_base
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import GFP_HIGHUSER, PAGE_SHIFT, PAGE_SIZE, PTE_DIRTY, PTE_RW, VM_EXEC, VM_READ, VM_WRITE
from numa_sim.state.event_codes import EV_EXEC
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

MAX_ARG_PAGES: Final = 32
"""include/linux/binfmts.h."""

_log_event = entry(log_event)
_elf_base = entry(elf_base)


@rule
def put_dirty_page(k: Kernel, t: int, vpn: int) -> int:
    """Map a new page with arguments, dirty, at `vpn` of task `t`'s stack; 0, ALLOC_RECLAIM (call again), ALLOC_FAIL."""
    mm = k.tasks[t].mm
    row = pte_alloc(k, t, mm, vpn)
    if row < 0:
        return ALLOC_RECLAIM if row == ALLOC_RECLAIM else ALLOC_FAIL
    vma = find_vma(k, mm, vpn)
    pfn = alloc_page_vma(k, t, GFP_HIGHUSER, vma, vpn)
    if pfn < 0:
        return pfn
    k.tags[pfn] = 0
    add_anonymous_page(k, pfn)
    prot = k.vmas[vma].vm_page_prot
    set_pte(k, row, vpn & ((1 << k.vm[0].entry_bits) - 1), pfn << PAGE_SHIFT | prot | PTE_RW | PTE_DIRTY)
    page_add_rmap(k, vma, vpn, pfn, 1)
    k.mms[mm].rss += 1
    k.tasks[t].cost_ns += k.costs[0].copy_page_ns
    return 0


def map_image(k: Kernel, t: int, file: int, text_bytes: int, data_bytes: int, bss_bytes: int) -> tuple[int, int, int]:
    """Map a program (load_elf_binary): first pages of its text, data and bss; the heap starts behind.

    Parameters
    ----------
    file : int
        Open file: its first `text_bytes` are code, mapped for reading and executing; the `data_bytes` from the next
        page on are mapped privately for writing.  `bss_bytes` of zeros follow.

    Returns
    -------
    tuple of int
        Virtual page numbers.  A part of no bytes has none of its own: it lies where the next one begins.
    """
    text = int(_elf_base(k)) >> PAGE_SHIFT
    text_pages, data_pages, bss_pages = (-(-size // PAGE_SIZE) for size in (text_bytes, data_bytes, bss_bytes))
    data = text + text_pages
    bss = data + data_pages
    do_mmap(k, t, text_pages, text, VM_READ | VM_EXEC, file, 0)
    if data_pages:
        do_mmap(k, t, data_pages, data, VM_READ | VM_WRITE, file, text_pages)
    if bss_pages:
        do_mmap(k, t, bss_pages, bss, VM_READ | VM_WRITE)
    mm = k.mms[int(k.tasks[t].mm)]
    mm.start_code, mm.end_code = text << PAGE_SHIFT, (text << PAGE_SHIFT) + text_bytes
    mm.start_data, mm.end_data = data << PAGE_SHIFT, (data << PAGE_SHIFT) + data_bytes
    mm.start_brk = mm.brk = (bss + bss_pages) << PAGE_SHIFT
    return text, data, bss


def execed(k: Kernel, t: int) -> None:
    """Log that task `t` runs another program now."""
    k.tasks[t].cost_ns += k.costs[0].exec_ns
    _log_event(k, EV_EXEC, t, int(k.tasks[t].mm))
