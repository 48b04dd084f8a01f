"""Address spaces as far as anonymous memory and mapped files need them: mm/mmap.c @2.4.37 (spec 8.2 to 8.4).

Plain functions, called rarely.  Addresses are virtual page numbers.  An area that maps a file keeps it open and is on
the file's list of private or of shared areas (i_mmap, i_mmap_shared), where truncate finds it.  Simplified: merging,
protection changes, limits and the tree indexes come with the address-space work.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.anon_vma import NO_ANON_VMA, anon_vma_clone, unlink_anon_vmas
from numa_sim.kernel.file_table import fput, get_file
from numa_sim.kernel.memory import unmap_range
from numa_sim.kernel.pgtable import free_table
from numa_sim.kernel.pte import PROTECTION_MAP
from numa_sim.kernel.swap_out import mmlist_add, mmlist_del
from numa_sim.state.constants import (
    EV_MMAP,
    EV_MUNMAP,
    NIL,
    VM_RAND_READ,
    VM_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_WRITE,
)
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

_unmap_range = entry(unmap_range)
_free_table = entry(free_table)
_mmlist_add = entry(mmlist_add)
_mmlist_del = entry(mmlist_del)
_log_event = entry(log_event)
_anon_vma_clone = entry(anon_vma_clone)
_unlink_anon_vmas = entry(unlink_anon_vmas)


STACK_PAGES: Final = 2
"""What arguments and environment of an ordinary program take."""


def mmap_base_vpn(k: Kernel) -> int:
    """TASK_UNMAPPED_BASE: a third of user space, where the search for a free range starts."""
    return int(k.vm[0].task_size_vpn) // 3


def mm_alloc(k: Kernel, t: int, after: int = 0) -> int:
    """A fresh, empty address space for task `t`, linked into the mm list right after `after` (0 = init_mm: exec).

    Raises
    ------
    SimulationError
        All records are in use.
    """
    for mm in range(1, len(k.mms)):
        if k.mms[mm].used == 0:
            break
    else:
        raise SimulationError(f"more than {len(k.mms) - 1} address spaces at a time")
    this = k.mms[mm]
    this.used, this.owner = 1, t
    this.mm_users = this.mm_count = 1
    this.pgd = this.mmap = this.mmap_cache = NIL
    this.map_count = this.rss = this.total_vm = this.swap_address = 0
    this.start_code = this.end_code = this.start_data = this.end_data = this.start_brk = this.brk = 0
    this.cpu_vm_mask[:] = 0
    this.dumpable = 1
    _mmlist_add(k, mm, after)
    k.tasks[t].mm = mm
    return mm


def setup_arg_pages(k: Kernel, t: int, pages: int = STACK_PAGES) -> None:
    """Map the stack at the top of user space, as exec does (fs/exec.c); its pages are not touched here.

    Not for its memory: a quota of `swap_out` that ends in the *last* area lets the next one start from the first
    (spec G-8).  In every real process the last area is the stack, so that the heap below it is gone through to its end.
    """
    mm, top = int(k.tasks[t].mm), int(k.vm[0].task_size_vpn)
    _insert_vma(k, mm, _new_vma(k, mm, top - pages, top, VM_READ | VM_WRITE))


def mmput(k: Kernel, t: int) -> int:
    """Task `t` leaves its address space; with the last user everything in it goes (exit_mmap); return PTEs dropped."""
    mm = int(k.tasks[t].mm)
    k.mms[mm].mm_users -= 1
    if k.mms[mm].mm_users > 0:
        k.tasks[t].mm = NIL
        k.mms[mm].owner = int(np.flatnonzero(k.tasks["mm"] == mm)[0])
        return 0
    dropped = 0
    while k.mms[mm].mmap != NIL:
        vma = int(k.mms[mm].mmap)
        dropped += do_munmap(k, t, int(k.vmas[vma].vm_start), int(k.vmas[vma].vm_end - k.vmas[vma].vm_start))
    if k.mms[mm].pgd != NIL:
        _free_table(k, mm, int(k.mms[mm].pgd))
        k.mms[mm].pgd = NIL
    _mmlist_del(k, mm)
    k.mms[mm].used = k.mms[mm].mm_count = 0
    k.mms[mm].owner = NIL
    for cpu in k.cpus:
        if cpu.mm == mm:
            cpu.mm = NIL
    k.tasks[t].mm = NIL
    return dropped


def _areas(k: Kernel, mm: int) -> list[int]:
    areas = []
    vma = int(k.mms[mm].mmap)
    while vma != NIL:
        areas.append(vma)
        vma = int(k.vmas[vma].vm_next)
    return areas


def get_unmapped_area(k: Kernel, mm: int, pages: int) -> int:
    """First fit at or above TASK_UNMAPPED_BASE (spec 8.2); NIL if user space is full."""
    start = mmap_base_vpn(k)
    for vma in _areas(k, mm):
        if k.vmas[vma].vm_end <= start:
            continue
        if start + pages <= k.vmas[vma].vm_start:
            break
        start = int(k.vmas[vma].vm_end)
    return start if start + pages <= k.vm[0].task_size_vpn else NIL


def _share_list(flags: int) -> str:
    """The list of its file an area of these flags is on."""
    return "i_mmap_shared" if flags & VM_SHARED else "i_mmap"


def _link_file(k: Kernel, vma: int) -> None:
    """Put an area at the front of its file's list (__vma_link_file)."""
    area = k.vmas[vma]
    if area.vm_file == 0:
        return
    get_file(k, int(area.vm_file))
    space, list_ = k.mappings[k.files[area.vm_file].f_mapping], _share_list(int(area.vm_flags))
    area.vm_prev_share, area.vm_next_share = NIL, space[list_]
    if space[list_] != NIL:
        k.vmas[space[list_]].vm_prev_share = vma
    space[list_] = vma


def _unlink_file(k: Kernel, vma: int) -> None:
    """Take an area off its file's list (__remove_shared_vm_struct); the file may be closed with it."""
    area = k.vmas[vma]
    if area.vm_file == 0:
        return
    before, after = int(area.vm_prev_share), int(area.vm_next_share)
    if before == NIL:
        k.mappings[k.files[area.vm_file].f_mapping][_share_list(int(area.vm_flags))] = after
    else:
        k.vmas[before].vm_next_share = after
    if after != NIL:
        k.vmas[after].vm_prev_share = before
    fput(k, int(area.vm_file))
    area.vm_file = 0


def _new_vma(k: Kernel, mm: int, start: int, end: int, flags: int, file: int = 0, pgoff: int = 0) -> int:
    vma = int(k.vm[0].free_vma)
    if vma == NIL:
        raise SimulationError(f"more than {len(k.vmas)} memory areas at a time")
    k.vm[0].free_vma = k.vmas[vma].vm_next
    area = k.vmas[vma]
    area.vm_start, area.vm_end, area.vm_flags, area.vm_mm = start, end, flags, mm
    area.vm_page_prot = PROTECTION_MAP[flags & 15]
    area.vm_file, area.vm_pgoff, area.vm_raend = file, pgoff, 0
    area.anon_vma, area.anon_vma_chain, area.anon_shift = NO_ANON_VMA, NIL, 0
    return vma


def _insert_vma(k: Kernel, mm: int, vma: int) -> None:
    before = NIL
    for other in _areas(k, mm):
        if k.vmas[other].vm_start > k.vmas[vma].vm_start:
            break
        before = other
    if before == NIL:
        k.vmas[vma].vm_next = k.mms[mm].mmap
        k.mms[mm].mmap = vma
    else:
        k.vmas[vma].vm_next = k.vmas[before].vm_next
        k.vmas[before].vm_next = vma
    _link_file(k, vma)
    k.mms[mm].map_count += 1
    k.mms[mm].total_vm += k.vmas[vma].vm_end - k.vmas[vma].vm_start


def _remove_vma(k: Kernel, mm: int, vma: int) -> None:
    after = k.vmas[vma].vm_next
    if k.mms[mm].mmap == vma:
        k.mms[mm].mmap = after
    else:
        for other in _areas(k, mm):
            if k.vmas[other].vm_next == vma:
                k.vmas[other].vm_next = after
                break
    k.mms[mm].map_count -= 1
    k.mms[mm].total_vm -= k.vmas[vma].vm_end - k.vmas[vma].vm_start
    k.mms[mm].mmap_cache = NIL
    _unlink_file(k, vma)


def _free_vma(k: Kernel, vma: int) -> None:
    """Give back the record of an area that is in no list any more."""
    _unlink_anon_vmas(k, vma)
    k.vmas[vma].vm_next = k.vm[0].free_vma
    k.vm[0].free_vma = vma


def _insert_part(k: Kernel, mm: int, vma: int, part: int) -> None:
    """Insert what is left of an area at one of its ends; the part's pages are found where they were."""
    _anon_vma_clone(k, part, vma, 0)
    _insert_vma(k, mm, part)


def do_mmap(
    k: Kernel, t: int, pages: int, at_vpn: int = NIL, flags: int = VM_READ | VM_WRITE, file: int = 0, pgoff: int = 0
) -> int:
    """Map `pages` pages for task `t`, anonymous or of a file; first virtual page, or NIL for no room (ENOMEM).

    Parameters
    ----------
    flags : int
        VM_READ, VM_WRITE, VM_SHARED (stores reach the file), VM_SEQ_READ, VM_RAND_READ.
    file, pgoff : int
        Open file (0: anonymous) and its first page to map.
    at_vpn : int
        Fixed place (MAP_FIXED: what lies there is unmapped first); NIL lets the kernel choose.
    """
    mm = int(k.tasks[t].mm)
    if at_vpn == NIL:
        at_vpn = get_unmapped_area(k, mm, pages)
        if at_vpn == NIL:
            return NIL
    elif at_vpn < 0 or at_vpn + pages > k.vm[0].task_size_vpn:
        return NIL
    else:
        do_munmap(k, t, at_vpn, pages)
    _insert_vma(k, mm, _new_vma(k, mm, at_vpn, at_vpn + pages, flags, file, pgoff))
    _log_event(k, EV_MMAP, at_vpn, pages)
    return at_vpn


def do_munmap(k: Kernel, t: int, start: int, pages: int) -> int:
    """Unmap what is mapped in [start, start + pages); return PTEs dropped (nothing mapped is success: 0)."""
    mm = int(k.tasks[t].mm)
    end = start + pages
    dropped = 0
    for vma in _areas(k, mm):
        area = k.vmas[vma]
        low, high, flags = int(area.vm_start), int(area.vm_end), int(area.vm_flags)
        if high <= start or low >= end:
            continue
        file, pgoff = int(area.vm_file), int(area.vm_pgoff)
        if file:
            get_file(k, file)
        _remove_vma(k, mm, vma)
        # The four fix-ups of unmap_fixup: whole, tail, head, middle.
        if low < start:
            _insert_part(k, mm, vma, _new_vma(k, mm, low, start, flags, file, pgoff))
        if high > end:
            _insert_part(k, mm, vma, _new_vma(k, mm, end, high, flags, file, pgoff + end - low))
        dropped += int(_unmap_range(k, t, mm, max(low, start), min(high, end)))
        _free_vma(k, vma)
        if file:
            fput(k, file)
        _log_event(k, EV_MUNMAP, max(low, start), min(high, end) - max(low, start))
    return dropped


def madvise(k: Kernel, t: int, start: int, pages: int, hint: int) -> None:
    """Give the areas within [start, start + pages) a read-ahead hint: VM_SEQ_READ, VM_RAND_READ, or 0 (madvise(2)).

    Simplified: an area of which only a part lies there is left alone (the kernel splits it).
    """
    for vma in _areas(k, int(k.tasks[t].mm)):
        area = k.vmas[vma]
        if start <= area.vm_start and area.vm_end <= start + pages:
            area.vm_flags = (int(area.vm_flags) & ~(VM_SEQ_READ | VM_RAND_READ)) | hint
            area.vm_raend = 0
