"""do_munmap, unmap_fixup, free_pgtables and exit_mmap: mm/mmap.c of 2.2, 2.4.0 and 2.4.37 (spec 8.4, G-9)."""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.hiwater import update_hiwater_vm
from numa_sim.kernel.pgtable import clear_page_tables, free_table
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.kernel.user_space import page_align, task_size
from numa_sim.kernel.vma import close_vma, cut_off, insert_vma, new_vma, unlink_file, wrap_pgoff
from numa_sim.kernel.vma_index.areas import find_vma_prev, unlink_area
from numa_sim.kernel.zap import zap_page_range
from numa_sim.state.answers import EINVAL, ENOMEM
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0, KERNEL_2_4_37, NIL, PAGE_SHIFT, PAGE_SIZE, VM_LOCKED
from numa_sim.state.event_codes import EV_CLEAR_PAGE_TABLES, EV_MUNMAP
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel


@rule
def sys_munmap(k: Kernel, t: int, addr: int, length: int) -> int:
    """Unmap whatever is mapped in [addr, addr + length), bytes (do_munmap).  0 (nothing mapped, too), -EINVAL, -ENOMEM.

    ENOMEM: to unmap the middle of an area makes two of it, and there are MAX_MAP_COUNT areas already.
    """
    early = k.vm[0].vma_rules <= KERNEL_2_4_0
    limit = task_size(k)
    if addr & (PAGE_SIZE - 1) != 0 or addr > limit or (addr == limit and not early) or length > limit - addr:
        return -EINVAL
    size = page_align(k, length)
    if size == 0:
        return 0 if k.vm[0].vma_rules == KERNEL_2_2 else -EINVAL
    start, end = addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT
    mm = k.tasks[t].mm + 0
    first, before = find_vma_prev(k, mm, start)
    if first == NIL or k.vmas[first].vm_start >= end:
        return 0
    spare = NIL
    if k.vmas[first].vm_start < start and k.vmas[first].vm_end > end:
        if k.mms[mm].map_count < k.vm[0].max_map_count:
            spare = new_vma(k, mm, 0, 0, 0, 0, 0)
        if spare == NIL:
            return -ENOMEM
    area = _unlink_overlapping(k, mm, first, before, end)
    while area != NIL:
        behind = k.vmas[area].vm_next + 0
        low, high = max(start, k.vmas[area].vm_start + 0), min(end, k.vmas[area].vm_end + 0)
        _zap(k, t, mm, area, low, high)
        _unmap_fixup(k, mm, area, low, high, spare)
        area = behind
    _free_pgtables(k, mm, before, start, end)
    return 0


@part
def _unlink_overlapping(k: Kernel, mm: int, first: int, before: int, end: int) -> int:
    """Take the areas from `first` on that begin below `end` off list and index; they come chained, the last first."""
    chain = NIL
    area = first
    while area != NIL and k.vmas[area].vm_start < end:
        behind = k.vmas[area].vm_next + 0
        unlink_area(k, mm, area, before)
        k.vmas[area].vm_next = chain
        chain = area
        area = behind
    k.mms[mm].mmap_cache = NIL
    return chain


@rule
def _zap(k: Kernel, t: int, mm: int, area: int, low: int, high: int) -> int:
    """Drop the pages [low, high) of an area that is off its list; return how many PTEs."""
    unlink_file(k, area)
    k.mms[mm].map_count -= 1
    # Flushed before the frames are freed, as late 2.4 does on SMP: no CPU may use a frame that has a new owner.
    flush_tlb_mm(k, mm)
    dropped = zap_page_range(k, mm, low, high)
    k.tasks[t].cost_ns += dropped * k.costs[0].unmap_pte_ns
    log_event(k, EV_MUNMAP, low, high - low)
    return dropped


@rule
def _unmap_fixup(k: Kernel, mm: int, area: int, low: int, high: int, spare: int) -> None:
    """What remains of an area without [low, high): nothing, its lower part, its upper part, or both."""
    vma = k.vmas[area]
    update_hiwater_vm(k, mm)
    k.mms[mm].total_vm -= high - low
    if vma.vm_flags & VM_LOCKED != 0:
        k.mms[mm].locked_vm -= high - low
    if low == vma.vm_start and high == vma.vm_end:
        close_vma(k, area)
        return
    if high == vma.vm_end:
        vma.vm_end = low
    elif low == vma.vm_start:
        vma.vm_pgoff = wrap_pgoff(k, vma.vm_pgoff + high - low)
        vma.vm_start = high
    else:
        cut_off(k, area, spare, low, high)
        insert_vma(k, mm, spare)
    insert_vma(k, mm, area)


@rule
def _free_pgtables(k: Kernel, mm: int, before: int, start: int, end: int) -> None:
    """Free the page tables of those slots of [start, end) that lie outside every area.

    A slot is what one leaf table maps: 4 MiB on i386, as in 2.4.  With more levels the upper tables go when they are
    empty.  `before` is the area before the range (NIL: none); the slots go up to the one with the next area.
    """
    bits = k.vm[0].entry_bits
    slot = 1 << bits
    first, last = start >> bits << bits, end + slot - 1
    if k.vm[0].vma_rules == KERNEL_2_2:
        last = last >> bits << bits
    area = before if before != NIL else k.mms[mm].mmap + 0
    if area != NIL and before == NIL and k.vmas[area].vm_end > start:
        edge = k.vmas[area].vm_end if k.vm[0].vma_rules == KERNEL_2_2 else k.vmas[area].vm_start
        last = min(last, edge + 0)
    elif area != NIL:
        behind = k.vmas[area].vm_next + 0
        while behind != NIL and k.vmas[behind].vm_start < start:
            area = behind
            behind = k.vmas[area].vm_next + 0
        if behind != NIL:
            last = min(last, k.vmas[behind].vm_start + 0)
        if k.vmas[area].vm_end > first:
            first = k.vmas[area].vm_end + slot - 1
    if k.vm[0].vma_rules >= KERNEL_2_4_37 and last < first:
        return
    first_slot, last_slot = first >> bits, last >> bits
    if last_slot > first_slot:
        log_event(k, EV_CLEAR_PAGE_TABLES, first_slot, last_slot - first_slot)
        if k.mms[mm].pgd != NIL:
            clear_page_tables(k, mm, first_slot << bits, last_slot << bits)


@rule
def exit_mmap(k: Kernel, t: int, mm: int) -> int:
    """Drop all areas of a dying address space, their pages, and every page table; return how many PTEs."""
    dropped = 0
    area = k.mms[mm].mmap + 0
    k.mms[mm].mmap = NIL
    k.mms[mm].mm_rb = NIL
    k.mms[mm].mmap_cache = NIL
    k.mms[mm].vmacache_seqnum += 1
    while area != NIL:
        behind = k.vmas[area].vm_next + 0
        dropped += _zap(k, t, mm, area, k.vmas[area].vm_start, k.vmas[area].vm_end)
        close_vma(k, area)
        area = behind
    if k.mms[mm].pgd != NIL:
        clear_page_tables(k, mm, 0, k.vm[0].task_size_vpn)
        free_table(k, mm, k.mms[mm].pgd)
        k.mms[mm].pgd = NIL
    k.mms[mm].total_vm = 0
    k.mms[mm].locked_vm = 0
    return dropped
