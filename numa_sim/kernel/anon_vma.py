"""Which areas an anonymous page may be mapped in: anon_vma and its chains, mm/rmap.c @5.4 (spec 10.2).

Kernels before 2.6 have none of this: they find a page's users by walking page tables.  Here it is an overlay that any
profile can keep (``kernel.rmap``): it watches, takes no time and changes nothing, so a run with it is the same run.

An area gets an anon_vma with its first anonymous page.  A child's area links to every anon_vma of its parent's and gets
one of its own; so a page mapped before the fork is looked for in both areas, one mapped after it in one.

Two things differ from 5.4.  The kernel keeps one offset for an area (`vm_pgoff`) and refuses to merge areas whose
offsets do not fit; 2.4 merges them, so the offset is kept with each link (`shift`).  And an anon_vma's areas are a
list, not an interval tree.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.buddy import BUG_NONE
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel

NO_ANON_VMA: Final = 0
"""``vma.anon_vma`` of an area without anonymous pages; record 0 is never used."""
BUG_RMAP_FULL: Final = 10
"""``vm.bug``: see `numa_sim.kernel.buddy.BUGS`."""


@rule
def _out_of_records(k: Kernel) -> None:
    """More records than `Sizes` makes room for: the run ends at the next check."""
    if k.vm[0].bug == BUG_NONE:
        k.vm[0].bug = BUG_RMAP_FULL


@rule
def _anon_vma_alloc(k: Kernel, parent: int) -> int:
    """A new anon_vma below `parent` (NO_ANON_VMA: a root, which is its own parent and child)."""
    vm = k.vm[0]
    new = vm.anon_vma_free + 0
    if new != NIL:
        vm.anon_vma_free = k.anon_vmas[new].next_free
    elif vm.anon_vma_used + 1 < k.anon_vmas.shape[0]:
        vm.anon_vma_used += 1
        new = vm.anon_vma_used + 0
    else:
        _out_of_records(k)
        return NO_ANON_VMA
    this = k.anon_vmas[new]
    this.used = 1
    this.parent = new if parent == NO_ANON_VMA else parent
    this.root = new if parent == NO_ANON_VMA else k.anon_vmas[parent].root
    this.num_children = 1 if parent == NO_ANON_VMA else 0
    this.num_active_vmas = this.refcount = 0
    this.rb_root = NIL
    if parent != NO_ANON_VMA:
        k.anon_vmas[parent].num_children += 1
        k.anon_vmas[parent].refcount += 1
    return new


@rule
def _put_anon_vma(k: Kernel, anon_vma: int) -> None:
    """One reference fewer; the last one frees it, and lets go of its parent."""
    while True:
        this = k.anon_vmas[anon_vma]
        this.refcount -= 1
        if this.refcount > 0:
            return
        parent = this.parent + 0
        this.used = 0
        this.next_free = k.vm[0].anon_vma_free
        k.vm[0].anon_vma_free = anon_vma
        if parent == anon_vma:
            return
        anon_vma = parent


@rule
def anon_vma_chain_link(k: Kernel, vma: int, anon_vma: int, shift: int) -> None:
    """Link an area with an anon_vma: pages of index i lie at virtual page i - `shift`."""
    vm = k.vm[0]
    new = vm.avc_free + 0
    if new != NIL:
        vm.avc_free = k.anon_vma_chains[new].same_vma
    elif vm.avc_used < k.anon_vma_chains.shape[0]:
        new = vm.avc_used + 0
        vm.avc_used += 1
    else:
        _out_of_records(k)
        return
    link = k.anon_vma_chains[new]
    link.vma = vma
    link.anon_vma = anon_vma
    link.shift = shift
    link.same_vma = k.vmas[vma].anon_vma_chain
    k.vmas[vma].anon_vma_chain = new
    first = k.anon_vmas[anon_vma].rb_root + 0
    link.rb_next = first
    link.rb_prev = NIL
    if first == NIL:
        k.anon_vmas[anon_vma].refcount += 1
    else:
        k.anon_vma_chains[first].rb_prev = new
    k.anon_vmas[anon_vma].rb_root = new


@rule
def linked(k: Kernel, vma: int, anon_vma: int, shift: int) -> bool:
    """Whether an area has such a link."""
    at = k.vmas[vma].anon_vma_chain + 0
    while at != NIL:
        link = k.anon_vma_chains[at]
        if link.anon_vma == anon_vma and link.shift == shift:
            return True
        at = link.same_vma + 0
    return False


@rule
def _reusable_anon_vma(k: Kernel, vma: int) -> int:
    """The anon_vma of a neighbour this area could be merged with (find_mergeable_anon_vma); NO_ANON_VMA if none."""
    area = k.vmas[vma]
    other = k.mms[area.vm_mm].mmap + 0
    while other != NIL and k.vmas[other].vm_start <= area.vm_end:
        near = k.vmas[other]
        touches = near.vm_end == area.vm_start or near.vm_start == area.vm_end
        if touches and near.anon_vma != NO_ANON_VMA and near.vm_flags == area.vm_flags:
            same_kind = near.vm_file == 0 and area.vm_file == 0 and near.anon_shift == area.anon_shift
            # A neighbour with older links has pages of a parent's, which are none of ours.
            if same_kind and k.anon_vma_chains[near.anon_vma_chain].same_vma == NIL:
                return near.anon_vma + 0
        other = near.vm_next + 0
    return NO_ANON_VMA


@rule
def anon_vma_prepare(k: Kernel, vma: int) -> None:
    """Give an area an anon_vma before its first anonymous page: a mergeable neighbour's, or a new root."""
    area = k.vmas[vma]
    if area.anon_vma != NO_ANON_VMA:
        return
    # linear_page_index: the offset in the file, or for anonymous memory the address it was first mapped at.
    area.anon_shift = area.vm_pgoff - area.vm_start if area.vm_file != 0 else 0
    anon_vma = _reusable_anon_vma(k, vma)
    if anon_vma == NO_ANON_VMA:
        anon_vma = _anon_vma_alloc(k, NO_ANON_VMA)
    area.anon_vma = anon_vma
    k.anon_vmas[anon_vma].num_active_vmas += 1
    anon_vma_chain_link(k, vma, anon_vma, area.anon_shift)


@rule
def _link_as(k: Kernel, dst: int, src: int, moved: int) -> None:
    """Link `dst` with every anon_vma of `src` that it is not linked with, its pages `moved` further up."""
    at = k.vmas[src].anon_vma_chain + 0
    while at != NIL:
        anon_vma = k.anon_vma_chains[at].anon_vma + 0
        shift = k.anon_vma_chains[at].shift - moved
        if not linked(k, dst, anon_vma, shift):
            anon_vma_chain_link(k, dst, anon_vma, shift)
        at = k.anon_vma_chains[at].same_vma + 0


@rule
def anon_vma_clone(k: Kernel, dst: int, src: int, moved: int) -> None:
    """Area `dst` takes over pages of `src`: it is a part of it (split), or shows its pages `moved` further up (mremap).

    A `dst` that has no anon_vma yet gets that of `src`: so it is also for merging, `src` into its neighbour `dst`.
    """
    if k.vm[0].rmap == 0 or k.vmas[src].anon_vma == NO_ANON_VMA:
        return
    _link_as(k, dst, src, moved)
    if k.vmas[dst].anon_vma == NO_ANON_VMA:
        k.vmas[dst].anon_vma = k.vmas[src].anon_vma
        k.vmas[dst].anon_shift = k.vmas[src].anon_shift - moved
        k.anon_vmas[k.vmas[src].anon_vma].num_active_vmas += 1


@rule
def anon_vma_fork(k: Kernel, child: int, parent: int) -> None:
    """A child's copy of an area: linked with all of the parent's, and with one of its own (spec 10.2).

    It adopts one without active areas and with less than two children, if there is one; else it gets a new one.
    """
    k.vmas[child].anon_vma = NO_ANON_VMA  # the record is a copy of the parent's
    k.vmas[child].anon_vma_chain = NIL
    if k.vm[0].rmap == 0 or k.vmas[parent].anon_vma == NO_ANON_VMA:
        return
    _link_as(k, child, parent, 0)
    shift = k.vmas[parent].anon_shift + 0
    own = NO_ANON_VMA
    at = k.vmas[parent].anon_vma_chain + 0
    while at != NIL and own == NO_ANON_VMA:
        link = k.anon_vma_chains[at]
        this = k.anon_vmas[link.anon_vma]
        if this.num_children < 2 and this.num_active_vmas == 0 and this.root != link.anon_vma and link.shift == shift:
            own = link.anon_vma + 0
        at = link.same_vma + 0
    if own == NO_ANON_VMA:
        own = _anon_vma_alloc(k, k.vmas[parent].anon_vma)
        anon_vma_chain_link(k, child, own, shift)
    k.vmas[child].anon_vma = own
    k.vmas[child].anon_shift = shift
    k.anon_vmas[own].num_active_vmas += 1


@rule
def unlink_anon_vmas(k: Kernel, vma: int) -> None:
    """An area goes: drop its links; an anon_vma whose last one this was is its parent's child no more."""
    area = k.vmas[vma]
    if k.vm[0].rmap == 0 or area.anon_vma_chain == NIL:
        return
    if area.anon_vma != NO_ANON_VMA:
        k.anon_vmas[area.anon_vma].num_active_vmas -= 1
        area.anon_vma = NO_ANON_VMA
    at = area.anon_vma_chain + 0
    area.anon_vma_chain = NIL
    while at != NIL:
        link = k.anon_vma_chains[at]
        anon_vma = link.anon_vma + 0
        behind = link.same_vma + 0
        before = link.rb_prev + 0
        after = link.rb_next + 0
        if before == NIL:
            k.anon_vmas[anon_vma].rb_root = after
        else:
            k.anon_vma_chains[before].rb_next = after
        if after != NIL:
            k.anon_vma_chains[after].rb_prev = before
        link.same_vma = k.vm[0].avc_free
        k.vm[0].avc_free = at
        if k.anon_vmas[anon_vma].rb_root == NIL:
            k.anon_vmas[k.anon_vmas[anon_vma].parent].num_children -= 1
            _put_anon_vma(k, anon_vma)
        at = behind
