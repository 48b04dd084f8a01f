"""Unmapping pages and writing them: the swap_out half of mm/vmscan.c @2.2.1 (spec 5.1 to 5.3).

Each task has a quota of looks (``task.swap_cnt``, refreshed to the pages it has) and a cursor (``task.swap_address``);
the task with the largest quota is searched until the write of one page has been started.  Threads that share an address
space are searched as tasks of their own.  A page used since the last look keeps its PTE and becomes REFERENCED, which
`shrink_mmap` respects.

Kept quirks: the accessed bit is cleared without a TLB flush (C-8); with no swap slot left the PTE stays as it is.

Simplified: System V shared memory is not modelled, so VM_SHM areas do not occur; ``nr_tasks`` counts tasks with an
address space and four threads of the kernel.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import is_reserved
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import clear_page_dirty, in_page_cache, in_swap_cache, node_of, page_cache_release
from numa_sim.kernel.hiwater import update_hiwater_rss
from numa_sim.kernel.pageout import writepage
from numa_sim.kernel.pgtable import leaf_row, set_pte
from numa_sim.kernel.rmap import page_remove_rmap
from numa_sim.kernel.swapfile import get_swap_page, swap_duplicate
from numa_sim.kernel.swapper_space import add_to_swap_cache
from numa_sim.kernel.tlb import flush_tlb_page
from numa_sim.kernel.v2_2.buddy import can_dma
from numa_sim.kernel.v2_2.page_io import rw_swap_page
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_IO_BIT,
    IO_WRITE,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_PROTNONE,
    TASK_DEAD,
    TASK_UNUSED,
    VM_LOCKED,
    PG_locked,
    PG_referenced,
)
from numa_sim.state.counters import SWAP_OUT_PTES
from numa_sim.state.event_codes import EV_TRY_TO_SWAP_OUT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

KERNEL_THREADS: Final = 4
"""swapper, kswapd, bdflush and kupdate: tasks that are counted, but have nothing to give."""


@part
def _drop_pte(k: Kernel, mm: int, vpn: int, row: int, index: int, entry: int) -> int:
    """Put `entry` (0 = nothing) where a page was mapped, and flush; the PTE's reference is the caller's: its pfn."""
    pfn = k.tables[row, index] >> PAGE_SHIFT
    set_pte(k, row, index, entry)
    page_remove_rmap(k, pfn)
    update_hiwater_rss(k, mm)
    k.mms[mm].rss -= 1
    flush_tlb_page(k, mm, vpn)
    charge(k, k.costs[0].unmap_pte_ns)
    log_event(k, EV_TRY_TO_SWAP_OUT, vpn, pfn)
    count(k, node_of(k, pfn), SWAP_OUT_PTES, 1)
    return pfn


@part
def _write_to_file(k: Kernel, mm: int, vpn: int, row: int, index: int) -> None:
    """The area's swapout method: the shared page of a file is written there (filemap_swapout)."""
    pfn = _drop_pte(k, mm, vpn, row, index, 0)
    k.pages[pfn].flags |= PG_locked
    clear_page_dirty(k, pfn)
    writepage(k, pfn)
    page_cache_release(k, pfn)


@part
def _write_to_swap(k: Kernel, t: int, mm: int, vpn: int, row: int, index: int, entry: int) -> None:
    """Put a page into the swap cache and start its write; ``wait_pfn`` is the page if its writer must wait for it."""
    pfn = _drop_pte(k, mm, vpn, row, index, entry)
    # The slot's first use is the PTE's, the cache adds its own.
    swap_duplicate(k, entry)
    add_to_swap_cache(k, pfn, entry)
    k.pages[pfn].flags |= PG_locked
    if rw_swap_page(k, IO_WRITE, pfn, 0) != 0:
        k.pages[pfn].count += 1
        k.tasks[t].wait_pfn = pfn
    page_cache_release(k, pfn)


@rule
def try_to_swap_out(k: Kernel, t: int, mm: int, vpn: int, row: int, index: int, gfp: int) -> int:
    """Task `t` looks at one present PTE; a page not used since the last look is unmapped, and written if dirty.

    Returns
    -------
    int
        1 = a write was started (``tasks[t].wait_pfn`` says whether `t` must wait for it), 0 = go on.
    """
    pte = k.tables[row, index]
    pfn = pte >> PAGE_SHIFT
    page = k.pages[pfn]
    charge(k, k.costs[0].scan_pte_ns)
    if page.flags & PG_locked != 0 or (gfp & GFP_DMA_BIT != 0 and not can_dma(k, pfn)):
        return 0
    if pte & PTE_ACCESSED != 0:
        k.tables[row, index] = pte & ~PTE_ACCESSED
        page.flags |= PG_referenced
        return 0
    if in_swap_cache(k, pfn):
        entry = page.index + 0
        swap_duplicate(k, entry)
        page_cache_release(k, _drop_pte(k, mm, vpn, row, index, entry))
        return 0
    if pte & PTE_DIRTY == 0:
        page_cache_release(k, _drop_pte(k, mm, vpn, row, index, 0))
        return 0
    if gfp & GFP_IO_BIT == 0:
        return 0
    if in_page_cache(k, pfn):
        _write_to_file(k, mm, vpn, row, index)
        return 1
    entry = get_swap_page(k)
    if entry == 0:
        return 0
    _write_to_swap(k, t, mm, vpn, row, index, entry)
    return 1


@part
def _holds_a_page(k: Kernel, pte: int) -> bool:
    """Whether a PTE maps a page that may be unmapped: present, and not of the kernel's own."""
    if pte & (PTE_PRESENT | PTE_PROTNONE) == 0:
        return False
    pfn = pte >> PAGE_SHIFT
    return pfn != k.vm[0].zero_pfn and is_reserved(k, pfn) == 0


@part
def _swap_out_table(k: Kernel, t: int, victim: int, row: int, vpn: int, end: int, gfp: int) -> int:
    """Look at the PTEs of [vpn, end), all in one leaf table; 1 = a write was started (swap_out_pmd)."""
    mask = (1 << k.vm[0].entry_bits) - 1
    mm = k.tasks[victim].mm + 0
    while vpn < end:
        k.tasks[victim].swap_address = vpn + 1
        if _holds_a_page(k, k.tables[row, vpn & mask]) and try_to_swap_out(k, t, mm, vpn, row, vpn & mask, gfp) != 0:
            return 1
        vpn += 1
    return 0


@part
def _swap_out_vma(k: Kernel, t: int, victim: int, vma: int, vpn: int, gfp: int) -> int:
    """Look at one area from page `vpn` on, leaf table by leaf table; 1 = a write was started."""
    area = k.vmas[vma]
    if area.vm_flags & VM_LOCKED != 0:
        return 0
    span = 1 << k.vm[0].entry_bits
    while vpn < area.vm_end:
        stop = min((vpn // span + 1) * span, area.vm_end)
        row = leaf_row(k, k.tasks[victim].mm, vpn)
        if row != NIL and _swap_out_table(k, t, victim, row, vpn, stop, gfp) != 0:
            return 1
        vpn = stop
    return 0


@part
def _swap_out_process(k: Kernel, t: int, victim: int, gfp: int) -> int:
    """Search a task from its cursor on; at its end the cursor goes back to 0, and others come first."""
    vpn = k.tasks[victim].swap_address + 0
    vma = find_vma(k, k.tasks[victim].mm, vpn)
    while vma != NIL:
        if _swap_out_vma(k, t, victim, vma, max(vpn, k.vmas[vma].vm_start), gfp) != 0:
            return 1
        vma = k.vmas[vma].vm_next
    k.tasks[victim].swap_cnt = 0
    k.tasks[victim].swap_address = 0
    return 0


@part
def _is_swappable(k: Kernel, t: int) -> bool:
    """Whether a task has pages that could be taken from it."""
    task = k.tasks[t]
    return task.state != TASK_UNUSED and task.state != TASK_DEAD and task.mm != NIL and k.mms[task.mm].rss > 0


@part
def _largest_quota(k: Kernel, refresh: int) -> int:
    """The task with the most of its quota left, the first of equals; NIL if none has any.

    With `refresh` every task's quota is first made the number of its pages.
    """
    best = NIL
    most = 0
    for t in range(k.tasks.shape[0]):
        if not _is_swappable(k, t):
            continue
        if refresh != 0:
            k.tasks[t].swap_cnt = k.mms[k.tasks[t].mm].rss
        if k.tasks[t].swap_cnt > most:
            most = k.tasks[t].swap_cnt + 0
            best = t
    return best


@part
def _nr_tasks(k: Kernel) -> int:
    """Tasks there are, the kernel's included."""
    tasks = KERNEL_THREADS
    for t in range(k.tasks.shape[0]):
        if k.tasks[t].state != TASK_UNUSED and k.tasks[t].state != TASK_DEAD and k.tasks[t].mm != NIL:
            tasks += 1
    return tasks


@rule
def swap_out(k: Kernel, t: int, priority: int, gfp: int) -> int:
    """Task `t` unmaps pages of other tasks, or its own, until the write of one is started.

    The lower `priority`, the more tasks are searched.  Off with ``vm.pageout = 0``.

    Returns
    -------
    int
        1 = a write was started, 0 = not.
    """
    if k.vm[0].pageout == 0:
        return 0
    tasks = _nr_tasks(k)
    for _ in range(min(max(tasks // (priority + 1), 1), tasks) + 1):
        victim = _largest_quota(k, 0)
        if victim == NIL:
            victim = _largest_quota(k, 1)
        if victim == NIL:
            return 0
        if _swap_out_process(k, t, victim, gfp) != 0:
            return 1
    return 0
