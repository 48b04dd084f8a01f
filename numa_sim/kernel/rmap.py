"""From a page to every place it is mapped at: mm/rmap.c @5.4 (spec 10.1, 10.3, 10.4).

An overlay that any profile can keep (``kernel.rmap``; see `numa_sim.kernel.anon_vma` for what it costs: nothing).
Whatever maps or unmaps a user page calls `page_add_rmap`, `page_dup_rmap` or `page_remove_rmap`; from then on the page
is known by its file or anon_vma, its offset there, and how many PTEs map it.  ZERO_PAGE and reserved frames have no
entry, as in the kernel.

Simplified: a page nobody maps any more forgets its anon_vma at once (the kernel leaves it till the page is freed).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from numa_sim.compiled import entry, part, rule
from numa_sim.kernel.anon_vma import anon_vma_chain_link, anon_vma_prepare, linked
from numa_sim.kernel.buddy import free_pages, is_reserved
from numa_sim.kernel.filemap import in_page_cache, node_of, set_page_dirty
from numa_sim.kernel.hiwater import update_hiwater_rss
from numa_sim.kernel.pgtable import get_pte, leaf_row, set_pte
from numa_sim.kernel.swapfile import swap_duplicate
from numa_sim.kernel.tlb import flush_tlb_page
from numa_sim.state.constants import (
    MAPPING_SWAP,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_PROTNONE,
    VM_LOCKED,
    VM_SEQ_READ,
    VM_SHARED,
)
from numa_sim.state.counters import RMAP_PAGES, RMAP_UNMAPPED, RMAP_WALKED_AREAS
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

PAGE_MAPPING_ANON: Final = 1
"""Low bit of ``rmap.mapping``: it names an anon_vma, not a file."""

SWAP_SUCCESS: Final = 0
"""What `try_to_unmap` answers: nobody maps the page now."""
SWAP_FAIL: Final = 1
"""An area with the page is locked, or the page has no place in swap: somebody still maps it."""


@rule
def _add_rmap(k: Kernel, vma: int, vpn: int, pfn: int, exclusive: int) -> None:
    """`page_add_rmap` where there is a reverse map."""
    if pfn == k.vm[0].zero_pfn or is_reserved(k, pfn) != 0:
        return
    page = k.rmap[pfn]
    if page.mapcount == 0:
        count(k, node_of(k, pfn), RMAP_PAGES, 1)
        if in_page_cache(k, pfn):
            page.mapping = k.pages[pfn].mapping << 1
            page.index = k.pages[pfn].index
        else:
            anon_vma_prepare(k, vma)
            anon_vma = k.vmas[vma].anon_vma + 0
            if exclusive == 0:
                anon_vma = k.anon_vmas[anon_vma].root + 0
            page.mapping = anon_vma << 1 | PAGE_MAPPING_ANON
            page.index = vpn + k.vmas[vma].anon_shift
    page.mapcount += 1
    if page.mapping & PAGE_MAPPING_ANON != 0 and not linked(k, vma, page.mapping >> 1, page.index - vpn):
        # Only after merges that kernels with a reverse map refuse: the page came from another family.
        anon_vma_chain_link(k, vma, page.mapping >> 1, page.index - vpn)


@part
def page_add_rmap(k: Kernel, vma: int, vpn: int, pfn: int, exclusive: int) -> None:
    """A PTE maps a page now: page_add_new_anon_rmap, page_add_anon_rmap, page_add_file_rmap.

    The first mapping names it: a page of the page cache by its file; an anonymous one by the area's anon_vma if nobody
    else can have it (`exclusive`), else by that one's root, which all relatives are linked with.
    """
    if k.vm[0].rmap != 0:
        _add_rmap(k, vma, vpn, pfn, exclusive)


@part
def page_dup_rmap(k: Kernel, pfn: int) -> None:
    """Fork has copied a PTE of this page into the child's tables."""
    if k.vm[0].rmap != 0 and k.rmap[pfn].mapcount > 0:
        k.rmap[pfn].mapcount += 1


@rule
def _move_anon_rmap(k: Kernel, vma: int, vpn: int, pfn: int) -> None:
    """`page_move_anon_rmap` where there is a reverse map."""
    page = k.rmap[pfn]
    if page.mapcount == 1 and page.mapping & PAGE_MAPPING_ANON != 0:
        anon_vma_prepare(k, vma)
        page.mapping = k.vmas[vma].anon_vma << 1 | PAGE_MAPPING_ANON
        page.index = vpn + k.vmas[vma].anon_shift


@part
def page_move_anon_rmap(k: Kernel, vma: int, vpn: int, pfn: int) -> None:
    """Copy-on-write left a page to its only user, who need not share its name with relatives any more."""
    if k.vm[0].rmap != 0:
        _move_anon_rmap(k, vma, vpn, pfn)


@rule
def _remove_rmap(k: Kernel, pfn: int) -> None:
    """`page_remove_rmap` where there is a reverse map."""
    page = k.rmap[pfn]
    if page.mapcount == 0:
        return
    page.mapcount -= 1
    if page.mapcount == 0:
        page.mapping = 0
        page.index = 0
        count(k, node_of(k, pfn), RMAP_PAGES, -1)


@part
def page_remove_rmap(k: Kernel, pfn: int) -> None:
    """A PTE maps the page no more."""
    if k.vm[0].rmap != 0:
        _remove_rmap(k, pfn)


# The walk: a cursor is a link of the page's anon_vma, or an area that maps its file ---------------------------


@rule
def vma_address(k: Kernel, vma: int, index: int, shift: int) -> int:
    """Virtual page of the area at which offset `index` would lie; NIL if it is not one of the area's.

    ``vm_start + (index - pgoff)`` with `shift` = pgoff - vm_start; `index` is the page's offset, not its frame number
    (spec E-4).
    """
    vpn = index - shift
    return vpn if k.vmas[vma].vm_start <= vpn < k.vmas[vma].vm_end else NIL


@rule
def rmap_first(k: Kernel, pfn: int) -> int:
    """Where a walk over the page's areas begins; NIL if there are none."""
    page = k.rmap[pfn]
    if page.mapcount == 0:
        return NIL
    if page.mapping & PAGE_MAPPING_ANON != 0:
        return k.anon_vmas[page.mapping >> 1].rb_root + 0
    space = k.mappings[page.mapping >> 1]
    return space.i_mmap + 0 if space.i_mmap != NIL else space.i_mmap_shared + 0


@rule
def rmap_next(k: Kernel, pfn: int, at: int) -> int:
    """The place of a walk behind `at`; NIL at the end."""
    page = k.rmap[pfn]
    if page.mapping & PAGE_MAPPING_ANON != 0:
        return k.anon_vma_chains[at].rb_next + 0
    area = k.vmas[at]
    if area.vm_next_share != NIL or area.vm_flags & VM_SHARED != 0:
        return area.vm_next_share + 0
    return k.mappings[page.mapping >> 1].i_mmap_shared + 0


@rule
def rmap_vma(k: Kernel, pfn: int, at: int) -> int:
    """The area a walk is at."""
    return k.anon_vma_chains[at].vma + 0 if k.rmap[pfn].mapping & PAGE_MAPPING_ANON != 0 else at


@rule
def rmap_vpn(k: Kernel, pfn: int, at: int) -> int:
    """Virtual page at which the area a walk is at maps the page; NIL if it does not (page_vma_mapped_walk)."""
    vma = rmap_vma(k, pfn, at)
    shift = k.vmas[vma].vm_pgoff - k.vmas[vma].vm_start
    if k.rmap[pfn].mapping & PAGE_MAPPING_ANON != 0:
        shift = k.anon_vma_chains[at].shift + 0
    vpn = vma_address(k, vma, k.rmap[pfn].index, shift)
    if vpn == NIL:
        return NIL
    pte = get_pte(k, k.vmas[vma].vm_mm, vpn)
    return vpn if pte & (PTE_PRESENT | PTE_PROTNONE) != 0 and pte >> PAGE_SHIFT == pfn else NIL


@rule
def page_referenced(k: Kernel, pfn: int) -> int:
    """How many mappings have used the page since the last call; clears their accessed bits (spec 10.4).

    A locked area ends the walk; those that read in sequence (SEQ_READ) do not count.  No TLB is flushed, as on x86.
    """
    referenced = 0
    at = rmap_first(k, pfn)
    while at != NIL:
        vma = rmap_vma(k, pfn, at)
        vpn = rmap_vpn(k, pfn, at)
        count(k, node_of(k, pfn), RMAP_WALKED_AREAS, 1)
        if vpn != NIL:
            if k.vmas[vma].vm_flags & VM_LOCKED != 0:
                return referenced
            row = leaf_row(k, k.vmas[vma].vm_mm, vpn)
            index = vpn & ((1 << k.vm[0].entry_bits) - 1)
            pte = k.tables[row, index]
            if pte & PTE_ACCESSED != 0:
                k.tables[row, index] = pte & ~PTE_ACCESSED
                if k.vmas[vma].vm_flags & VM_SEQ_READ == 0:
                    referenced += 1
        at = rmap_next(k, pfn, at)
    return referenced


@rule
def _try_to_unmap_one(k: Kernel, mm: int, vpn: int, pfn: int) -> None:
    """Take one PTE away, everywhere; an anonymous page's becomes its swap entry."""
    row = leaf_row(k, mm, vpn)
    index = vpn & ((1 << k.vm[0].entry_bits) - 1)
    pte = k.tables[row, index]
    in_swap = k.pages[pfn].mapping == MAPPING_SWAP
    if in_swap:
        swap_duplicate(k, k.pages[pfn].index)
    set_pte(k, row, index, k.pages[pfn].index if in_swap else 0)
    flush_tlb_page(k, mm, vpn)
    if pte & PTE_DIRTY != 0:
        set_page_dirty(k, pfn)
    update_hiwater_rss(k, mm)
    k.mms[mm].rss -= 1
    page_remove_rmap(k, pfn)
    count(k, node_of(k, pfn), RMAP_UNMAPPED, 1)
    free_pages(k, pfn, 0)


@rule
def try_to_unmap(k: Kernel, pfn: int) -> int:
    """Unmap a locked page from everybody who maps it (spec 10.4); the caller holds a reference.

    An anonymous page must be in the swap cache: its PTEs get its swap entry.  No kernel of 2.4 could do this.

    Returns
    -------
    int
        SWAP_SUCCESS or SWAP_FAIL.
    """
    if k.rmap[pfn].mapping & PAGE_MAPPING_ANON != 0 and k.pages[pfn].mapping != MAPPING_SWAP:
        return SWAP_FAIL
    at = rmap_first(k, pfn)
    while at != NIL:
        vma = rmap_vma(k, pfn, at)
        vpn = rmap_vpn(k, pfn, at)
        behind = rmap_next(k, pfn, at)
        count(k, node_of(k, pfn), RMAP_WALKED_AREAS, 1)
        if vpn != NIL:
            if k.vmas[vma].vm_flags & VM_LOCKED != 0:
                return SWAP_FAIL
            _try_to_unmap_one(k, k.vmas[vma].vm_mm, vpn, pfn)
            if k.rmap[pfn].mapcount == 0:
                return SWAP_SUCCESS
        at = behind
    return SWAP_SUCCESS if k.rmap[pfn].mapcount == 0 else SWAP_FAIL


# For Python ----------------------------------------------------------------------------------------------------------

_first = entry(rmap_first)
_next = entry(rmap_next)
_vma = entry(rmap_vma)
_vpn = entry(rmap_vpn)


class Place(NamedTuple):
    """Where a page is mapped: the address space, the area in it, and the virtual page number."""

    mm: int
    vma: int
    vpn: int


def mapped_at(k: Kernel, pfn: int) -> list[Place]:
    """Every place at which the frame is mapped, sorted; changes nothing.  Needs ``kernel.rmap``."""
    places = []
    at = int(_first(k, pfn))
    while at != NIL:
        vma, vpn = int(_vma(k, pfn, at)), int(_vpn(k, pfn, at))
        if vpn != NIL:
            places.append(Place(int(k.vmas[vma].vm_mm), vma, vpn))
        at = int(_next(k, pfn, at))
    return sorted(places)
