"""Virtually contiguous kernel memory: mm/vmalloc.c @2.4, @2.2 (spec 8.7), and the vmalloc fault (spec 7.1, step 1).

An area is a range of kernel addresses above user space, one page longer than asked for: the last page is never mapped,
so that whoever runs over the end hits it (an oops).  Its pages come one by one, from wherever there are some, and are
entered into the page tables of init_mm.  The page directories of processes do not have the entries yet: 2.4 copies an
entry when its first use there faults, 2.2 at once into every directory.  Page tables of areas are never freed.

Addresses are virtual page numbers, with the upper bits that a 64-bit address repeats cut off.

Simplified: ``struct vm_struct`` is not allocated; user space's own entries are never in the way of kernel addresses.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages, page_zone
from numa_sim.kernel.costs import charge
from numa_sim.kernel.geometry import geometry_of
from numa_sim.kernel.pgtable import alloc_for_task, get_pte, leaf_row, new_table, pte_alloc, set_pte
from numa_sim.kernel.tlb import flush_tlb_all
from numa_sim.state.answers import ALLOC_RECLAIM, FAULT_MINOR, FAULT_OOM, FAULT_RECLAIM, FAULT_SEGV
from numa_sim.state.constants import (
    GFP_HIGHMEM_BIT,
    GFP_KERNEL,
    KERNEL_2_2,
    KERNEL_2_4_0,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PAGE_SIZE,
    PGD_QUICKLIST,
    PLACE_BEST,
    PLACE_FIRST,
    PLACE_WORST,
    PROT_KERNEL,
    PTE_GLOBAL,
    ZONE_HIGHMEM,
)
from numa_sim.state.counters import NR_VMALLOC, VMALLOC_FAIL, VMALLOC_FAULTS
from numa_sim.state.event_codes import EV_VFREE, EV_VMALLOC, EV_VMALLOC_FAULT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

INIT_MM: Final = 0
VMALLOC_OFFSET: Final = 8 << 20
"""What lies between the end of the linear mapping and the first area, at least: an overrun hits nothing."""
FIXADDR_START: Final = 0xFFFFD000
PKMAP_BASE: Final = 0xFE000000
"""kmap's window (`numa_sim.kernel.highmem`); on machines with high memory the areas end two pages below."""
VMALLOC_64: Final = (0xFFFFFF00 << 32, 0xFFFFFF80 << 32)
"""VMALLOC_START and VMALLOC_END of x86-64 @2.4.37; taken for every 64-bit MMU."""
VMALLOC_ALPHA: Final = (0xFFFFFE00 << 32, 0xFFFFFF00 << 32)

VFREE_UNALIGNED: Final = -1
"""Trying to vfree() bad address."""
VFREE_NONEXISTENT: Final = -2
"""Trying to vfree() nonexistent vm area."""


def vmalloc_init(k: Kernel) -> None:
    """Set VMALLOC_START and VMALLOC_END of a booted machine, by its MMU and its memory."""
    vm, geometry = k.vm[0], geometry_of(k)
    if geometry.address_bits == 32:
        high_memory = geometry.page_offset + min(len(k.pages) << PAGE_SHIFT, geometry.low_memory)
        if vm.profile == KERNEL_2_2:
            start = (high_memory + VMALLOC_OFFSET) & -VMALLOC_OFFSET
        else:
            start = (high_memory + 2 * VMALLOC_OFFSET - 1) & -VMALLOC_OFFSET
        end = PKMAP_BASE - 2 * PAGE_SIZE if vm.highest_zone == ZONE_HIGHMEM else FIXADDR_START
    else:
        start, end = VMALLOC_ALPHA if geometry.address_bits < 48 else VMALLOC_64
    mask = (1 << (geometry.address_bits - PAGE_SHIFT)) - 1
    vm.vmalloc_start, vm.vmalloc_end = (start >> PAGE_SHIFT) & mask, (((end - 1) >> PAGE_SHIFT) & mask) + 1


# Areas ---------------------------------------------------------------------------------------------------------------


@rule
def _room_wanted(k: Kernel, pages: int) -> int:
    """How long a gap before another area must be: the guard page, and @2.4.0 one page more (a strict comparison)."""
    return pages + 2 if k.vm[0].profile == KERNEL_2_4_0 else pages + 1


@rule
def _room_at_end(k: Kernel, pages: int) -> int:
    """How long the gap behind the last area must be: @2.2 the guard page may lie behind VMALLOC_END."""
    return pages if k.vm[0].profile == KERNEL_2_2 else pages + 1


@rule
def _better(k: Kernel, gap: int, best: int) -> bool:
    """Whether the placement policy prefers a gap to the best one so far (0: none yet)."""
    if best == 0:
        return True
    if k.vm[0].vmalloc_placement == PLACE_BEST:
        return gap < best
    return k.vm[0].vmalloc_placement == PLACE_WORST and gap > best


@rule
def find_gap(k: Kernel, pages: int) -> tuple[int, int]:
    """Where an area of `pages` pages goes, and the area before that place (NIL: it is the first).

    The kernel takes the first gap that is long enough; ours are the smallest one (best fit) and the largest (worst
    fit), the lower of equals.  (NIL, NIL) if none is long enough.
    """
    vm = k.vm[0]
    start = vm.vmalloc_start + 0
    before = NIL
    place = NIL
    place_before = NIL
    best = 0
    after = vm.vmlist + 0
    while True:
        end = k.vm_structs[after].addr if after != NIL else vm.vmalloc_end
        room = _room_wanted(k, pages) if after != NIL else _room_at_end(k, pages)
        if end - start >= room and _better(k, end - start, best):
            place = start
            place_before = before
            best = end - start
            if vm.vmalloc_placement == PLACE_FIRST:
                return place, place_before
        if after == NIL:
            return place, place_before
        start = k.vm_structs[after].addr + k.vm_structs[after].size
        before = after
        after = k.vm_structs[after].next + 0


@rule
def get_vm_area(k: Kernel, pages: int) -> int:
    """A new area of `pages` pages and a guard page, entered into vmlist by its address; NIL for no room."""
    vm = k.vm[0]
    addr, before = find_gap(k, pages)
    area = vm.free_vm_struct + 0
    if area == NIL and vm.vm_structs_used < k.vm_structs.shape[0]:
        area = vm.vm_structs_used + 0
        vm.vm_structs_used += 1
    elif area != NIL:
        vm.free_vm_struct = k.vm_structs[area].next
    if addr == NIL or area == NIL:
        if area != NIL:
            k.vm_structs[area].next = vm.free_vm_struct
            vm.free_vm_struct = area
        return NIL
    this = k.vm_structs[area]
    this.addr = addr
    this.size = pages + 1
    this.mapped = 0
    if before == NIL:
        this.next = vm.vmlist
        vm.vmlist = area
    else:
        this.next = k.vm_structs[before].next
        k.vm_structs[before].next = area
    return area


@rule
def vmalloc_begin(k: Kernel, size: int) -> int:
    """Find room for `size` bytes: the area, NIL if the size is 0 or more than all memory, or there is no room.

    `vmalloc_area_pages` then fills it.
    """
    pages = (size + PAGE_SIZE - 1) >> PAGE_SHIFT
    area = NIL
    if 0 < pages <= k.vm[0].total_pages:
        area = get_vm_area(k, pages)
    if area == NIL:
        count(k, k.cpus[k.vm[0].current_cpu].node, VMALLOC_FAIL, 1)
    return area


# Pages ---------------------------------------------------------------------------------------------------------------


@part
def page_kernel(k: Kernel) -> int:
    """PAGE_KERNEL: the same mapping in every address space, so global where CPUs know that (MAKE_GLOBAL @2.4)."""
    return PROT_KERNEL | PTE_GLOBAL if k.vm[0].pge != 0 else PROT_KERNEL


@rule
def _set_pgdir(k: Kernel, vpn: int) -> None:
    """2.2: a new entry of init_mm's directory goes into every process' directory at once, and into spare ones."""
    index = _top_index(k, vpn)
    entry = k.tables[k.mms[INIT_MM].pgd, index]
    for mm in range(1, k.mms.shape[0]):
        if k.mms[mm].used != 0 and k.mms[mm].pgd != NIL:
            k.tables[k.mms[mm].pgd, index] = entry
    for cpu in range(k.cpus.shape[0]):
        row = k.cpus[cpu].quicklist[PGD_QUICKLIST] + 0
        while row != NIL:
            k.tables[row, index] = entry
            row = k.table_info[row].next + 0


@rule
def vmalloc_area_pages(k: Kernel, t: int, area: int) -> int:
    """Fill an area with pages, on the time of task `t`: 0, ALLOC_FAIL, or ALLOC_RECLAIM (call again, it goes on).

    GFP_KERNEL @2.2, GFP_KERNEL | __GFP_HIGHMEM since: an area is mapped anyway, wherever its pages are.
    """
    this = k.vm_structs[area]
    gfp = GFP_KERNEL if k.vm[0].profile == KERNEL_2_2 else GFP_KERNEL | GFP_HIGHMEM_BIT
    while this.mapped < this.size - 1:
        vpn = this.addr + this.mapped
        row = pte_alloc(k, t, INIT_MM, vpn)
        if row < 0:
            return row
        if k.vm[0].profile == KERNEL_2_2:
            _set_pgdir(k, vpn)
        pfn = alloc_for_task(k, t, gfp)
        if pfn < 0:
            return pfn
        set_pte(k, row, vpn & ((1 << k.vm[0].entry_bits) - 1), pfn << PAGE_SHIFT | page_kernel(k))
        count(k, page_zone(k, pfn) // NR_ZONES, NR_VMALLOC, 1)
        charge(k, k.costs[0].unmap_pte_ns)
        this.mapped += 1
    flush_tlb_all(k)
    log_event(k, EV_VMALLOC, this.addr, this.mapped)
    return 0


@rule
def _unmap_area(k: Kernel, area: int) -> int:
    """vmfree_area_pages: drop the area's entries and pages everywhere; return how many."""
    this = k.vm_structs[area]
    for vpn in range(this.addr, this.addr + this.mapped):
        row = leaf_row(k, INIT_MM, vpn)
        index = vpn & ((1 << k.vm[0].entry_bits) - 1)
        pfn = k.tables[row, index] >> PAGE_SHIFT
        set_pte(k, row, index, 0)
        count(k, page_zone(k, pfn) // NR_ZONES, NR_VMALLOC, -1)
        charge(k, k.costs[0].unmap_pte_ns)
        free_pages(k, pfn, 0)
    flush_tlb_all(k)
    return int(this.mapped)


@rule
def vfree(k: Kernel, address: int) -> int:
    """`vfree` @2.4: give back the area that begins at `address`, bytes; vmlist is searched from its beginning.

    Returns
    -------
    int
        Pages freed; VFREE_UNALIGNED or VFREE_NONEXISTENT: the kernel complains, and nothing is done.
    """
    if address & (PAGE_SIZE - 1) != 0:
        return VFREE_UNALIGNED
    vm = k.vm[0]
    before = NIL
    area = vm.vmlist + 0
    while area != NIL and k.vm_structs[area].addr != address >> PAGE_SHIFT:
        before = area
        area = k.vm_structs[area].next + 0
    if area == NIL:
        return VFREE_NONEXISTENT
    after = k.vm_structs[area].next + 0
    if before == NIL:
        vm.vmlist = after
    else:
        k.vm_structs[before].next = after
    pages = _unmap_area(k, area)
    log_event(k, EV_VFREE, k.vm_structs[area].addr, pages)
    k.vm_structs[area].next = vm.free_vm_struct
    vm.free_vm_struct = area
    return pages


# Faults --------------------------------------------------------------------------------------------------------------


@rule
def _top_index(k: Kernel, vpn: int) -> int:
    """Entry of a top-level table that maps `vpn`."""
    vm = k.vm[0]
    return (vpn >> ((vm.levels - 1) * vm.entry_bits)) & ((1 << vm.entry_bits) - 1)


@rule
def kernel_fault(k: Kernel, t: int, mm: int, vpn: int) -> int:
    """A fault of the kernel above user space (spec 7.1): the entry of init_mm's directory is copied if it is missing.

    Returns
    -------
    int
        FAULT_MINOR: the access may start again.  FAULT_SEGV: nothing maps the address, e.g. a guard page.
    """
    node = k.cpus[k.vm[0].current_cpu].node
    fresh = k.mms[mm].pgd == NIL
    if fresh:
        row = new_table(k, t, mm, k.vm[0].levels - 1)
        if row < 0:
            return FAULT_RECLAIM if row == ALLOC_RECLAIM else FAULT_OOM
        k.mms[mm].pgd = row
    reference = k.mms[INIT_MM].pgd + 0
    own = k.mms[mm].pgd + 0
    index = _top_index(k, vpn)
    if fresh and k.tables[own, index] != 0:
        return FAULT_MINOR  # it came with the directory
    if reference != NIL and k.tables[own, index] == 0 and k.tables[reference, index] != 0:
        k.tables[own, index] = k.tables[reference, index]
        k.tasks[t].cost_ns += k.costs[0].minor_fault_ns
        count(k, node, VMALLOC_FAULTS, 1)
        log_event(k, EV_VMALLOC_FAULT, mm, vpn)
        return FAULT_MINOR
    return FAULT_SEGV


@rule
def vmalloc_to_page(k: Kernel, vpn: int) -> int:
    """`vmalloc_to_page`: the frame behind an address of an area, NIL for a guard page or a hole."""
    pte = get_pte(k, INIT_MM, vpn)
    return pte >> PAGE_SHIFT if pte != 0 else NIL


def room(k: Kernel) -> tuple[int, int, int]:
    """Pages of the range of areas, of those taken (guard pages included), and of the longest gap."""
    vm, taken = k.vm[0], areas(k)
    ends = [int(vm.vmalloc_start), *(addr + pages for addr, pages in taken)]
    starts = [*(addr for addr, _ in taken), int(vm.vmalloc_end)]
    gaps = [start - end for end, start in zip(ends, starts, strict=True)]
    return int(vm.vmalloc_end - vm.vmalloc_start), sum(pages for _, pages in taken), max(gaps)


def areas(k: Kernel) -> list[tuple[int, int]]:
    """vmlist: first page and pages (with the guard page) of every area, by address."""
    listed = []
    area = int(k.vm[0].vmlist)
    while area != NIL:
        this = k.vm_structs[area]
        listed.append((int(this.addr), int(this["size"])))
        area = int(this.next)
    return listed
