"""Areas as such: their records, their protection, and the lists of the files they map (mm/mmap.c @2.4, spec 8).

An area that maps a file keeps it open and is on its list of private or of shared areas (i_mmap, i_mmap_shared), where
truncate finds it; one with DENYWRITE keeps others from opening the file for writing (``i_writecount``).
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.anon_vma import NO_ANON_VMA, anon_vma_clone, unlink_anon_vmas
from numa_sim.kernel.file_table import fput, get_file
from numa_sim.kernel.locks import i_shared_lock, spin_for
from numa_sim.kernel.pte import protection
from numa_sim.kernel.vma_index.areas import link_area
from numa_sim.state.constants import KERNEL_2_2, NIL, VM_DENYWRITE, VM_SHARED
from numa_sim.state.counters import VMA_SPLITS
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

_LONG_PAGES = 1 << 32
_LONG_64_PAGES = 1 << 52
_OFFSET_2_2_PAGES = 1 << 20


@rule
def wrap_pgoff(k: Kernel, pgoff: int) -> int:
    """A file offset in pages as an unsigned long holds it, of 32 or 64 bits; 2.2 counts bytes in 32 (spec G-12)."""
    if k.vm[0].vma_rules == KERNEL_2_2:
        return pgoff % _OFFSET_2_2_PAGES
    return pgoff % (_LONG_PAGES if k.vm[0].task_size_vpn <= _OFFSET_2_2_PAGES else _LONG_64_PAGES)


@rule
def new_vma(k: Kernel, mm: int, start: int, end: int, flags: int, file: int, pgoff: int) -> int:
    """A record for an area of pages [start, end), on no list yet; NIL if all are in use."""
    vm = k.vm[0]
    vma = vm.free_vma + 0
    if vma != NIL:
        vm.free_vma = k.vmas[vma].vm_next
    elif vm.vma_used < k.vmas.shape[0]:
        vma = vm.vma_used + 0
        vm.vma_used += 1
    else:
        return NIL
    area = k.vmas[vma]
    area.vm_start = start
    area.vm_end = end
    area.vm_flags = flags
    area.vm_page_prot = protection(flags)
    area.vm_mm = mm
    area.vm_file = file
    area.vm_pgoff = pgoff
    area.vm_raend = 0
    area.vm_next = NIL
    area.anon_vma = NO_ANON_VMA
    area.anon_vma_chain = NIL
    area.anon_shift = 0
    area.vm_policy = 0
    return vma


@rule
def free_vma(k: Kernel, vma: int) -> None:
    """Give back the record of an area that is on no list."""
    unlink_anon_vmas(k, vma)
    k.vmas[vma].vm_mm = NIL
    k.vmas[vma].vm_next = k.vm[0].free_vma
    k.vm[0].free_vma = vma


@part
def _lock_areas_of_file(k: Kernel, vma: int) -> None:
    """Take i_shared_lock of the file an area maps (lock_vma_mappings), for as long as a list is changed."""
    spin_for(k, i_shared_lock(k, k.files[k.vmas[vma].vm_file].f_mapping), k.costs[0].page_table_lock_ns)


@rule
def link_file(k: Kernel, vma: int) -> None:
    """Put an area at the front of its file's list (__vma_link_file)."""
    area = k.vmas[vma]
    if area.vm_file == 0:
        return
    space = k.mappings[k.files[area.vm_file].f_mapping]
    _lock_areas_of_file(k, vma)
    if area.vm_flags & VM_DENYWRITE != 0:
        space.i_writecount -= 1
    area.vm_prev_share = NIL
    if area.vm_flags & VM_SHARED != 0:
        area.vm_next_share = space.i_mmap_shared
        space.i_mmap_shared = vma
    else:
        area.vm_next_share = space.i_mmap
        space.i_mmap = vma
    if area.vm_next_share != NIL:
        k.vmas[area.vm_next_share].vm_prev_share = vma


@rule
def link_file_behind(k: Kernel, vma: int, other: int) -> None:
    """Put an area into its file's list right behind `other`, an area of the same flags (dup_mmap)."""
    area = k.vmas[vma]
    _lock_areas_of_file(k, vma)
    if area.vm_flags & VM_DENYWRITE != 0:
        k.mappings[k.files[area.vm_file].f_mapping].i_writecount -= 1
    area.vm_prev_share = other
    area.vm_next_share = k.vmas[other].vm_next_share
    k.vmas[other].vm_next_share = vma
    if area.vm_next_share != NIL:
        k.vmas[area.vm_next_share].vm_prev_share = vma


@rule
def unlink_file(k: Kernel, vma: int) -> None:
    """Take an area off its file's list (__remove_shared_vm_struct); it stays open."""
    area = k.vmas[vma]
    if area.vm_file == 0:
        return
    space = k.mappings[k.files[area.vm_file].f_mapping]
    _lock_areas_of_file(k, vma)
    if area.vm_flags & VM_DENYWRITE != 0:
        space.i_writecount += 1
    before, after = area.vm_prev_share + 0, area.vm_next_share + 0
    if before != NIL:
        k.vmas[before].vm_next_share = after
    elif area.vm_flags & VM_SHARED != 0:
        space.i_mmap_shared = after
    else:
        space.i_mmap = after
    if after != NIL:
        k.vmas[after].vm_prev_share = before


@part
def open_vma(k: Kernel, vma: int) -> None:
    """The area maps its file once more (vm_ops->open and get_file)."""
    if k.vmas[vma].vm_file != 0:
        get_file(k, k.vmas[vma].vm_file)


@rule
def close_vma(k: Kernel, vma: int) -> None:
    """Give up an area that is on no list: its file (vm_ops->close, fput) and its record."""
    if k.vmas[vma].vm_file != 0:
        fput(k, k.vmas[vma].vm_file)
    free_vma(k, vma)


@rule
def insert_vma(k: Kernel, mm: int, vma: int) -> None:
    """Put an area into its address space: list, index, its file's list; the file is open for it already."""
    link_file(k, vma)
    link_area(k, mm, vma)


@rule
def cut_off(k: Kernel, area: int, spare: int, low: int, high: int) -> None:
    """Make `spare`, which is on no list, the part of `area` from page `high` on, and end `area` at `low`."""
    vma, upper = k.vmas[area], k.vmas[spare]
    upper.vm_start = high
    upper.vm_end = vma.vm_end
    upper.vm_flags = vma.vm_flags
    upper.vm_page_prot = vma.vm_page_prot
    upper.vm_file = vma.vm_file
    upper.vm_pgoff = wrap_pgoff(k, vma.vm_pgoff + high - vma.vm_start)
    upper.vm_raend = 0
    upper.vm_policy = vma.vm_policy
    vma.vm_end = low
    open_vma(k, spare)
    anon_vma_clone(k, spare, area, 0)
    count(k, k.cpus[k.vm[0].current_cpu].node, VMA_SPLITS, 1)


@rule
def split_vma(k: Kernel, mm: int, area: int, vpn: int) -> int:
    """Make two areas of one: the upper, from page `vpn` on, is new; return it, or NIL if there is no record left."""
    upper = new_vma(k, mm, 0, 0, 0, 0, 0)
    if upper != NIL:
        cut_off(k, area, upper, vpn, vpn)
        insert_vma(k, mm, upper)
    return upper


@rule
def carve_out(k: Kernel, mm: int, area: int, start: int, end: int) -> int:
    """Split an area so that the part of it within [start, end) is one of its own; return that, or NIL."""
    if k.vmas[area].vm_start < start:
        area = split_vma(k, mm, area, start)
        if area == NIL:
            return NIL
    if k.vmas[area].vm_end > end and split_vma(k, mm, area, end) == NIL:
        return NIL
    return area
