"""A second process out of one: kernel/fork.c and `copy_page_range` of mm/memory.c, every kernel (spec 7.8).

fork copies areas and page tables, not pages: private pages are protected against writing in both processes, and the
first write copies them (`numa_sim.kernel.copy_on_write`).  vfork and clone(CLONE_VM) share the address space itself.

Copying is *restartable*: a page table for the child may need reclaim; ``tasks[t].fork_vpn`` says where it goes on.
Off with ``vm.copy_on_write = 0``: every private page is copied at once, as Unix did before.

Simplified: the time of the copy passes at its end, or where it must sleep.  Other threads sleep on mmap_sem meanwhile;
without locks (``vm.locks = 0``) they may fault or unmap (the TLBs are flushed before a fork sleeps).
"""

from __future__ import annotations

from numa_sim.compiled import entry, part, rule
from numa_sim.kernel.anon_vma import anon_vma_fork
from numa_sim.kernel.buddy import is_reserved
from numa_sim.kernel.copy_on_write import add_anonymous_page, page_for_fault
from numa_sim.kernel.file_table import get_file
from numa_sim.kernel.locks import page_table_lock, spin_lock, spin_unlock
from numa_sim.kernel.mmap import mm_alloc
from numa_sim.kernel.pgtable import leaf_row, pte_alloc, set_pte
from numa_sim.kernel.rmap import page_add_rmap, page_dup_rmap
from numa_sim.kernel.swapfile import swap_duplicate
from numa_sim.kernel.tlb import flush_tlb_mm
from numa_sim.kernel.vma import link_file_behind, new_vma
from numa_sim.kernel.vma_index.areas import link_area
from numa_sim.state.answers import ALLOC_RECLAIM, FAULT_RECLAIM, FORK_DONE, FORK_NO_MEMORY, FORK_RECLAIM
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_RW,
    VM_DONTCOPY,
    VM_LOCKED,
    VM_SHARED,
)
from numa_sim.state.counters import FORK_COPIES, FORK_PTES, FORKS
from numa_sim.state.event_codes import EV_FORK
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@part
def _copied_at_once(k: Kernel, t: int, vma: int, vpn: int, pfn: int) -> int:
    """A copy of a private page for the child (without copy-on-write): pfn, or a negative FAULT_* answer."""
    new = page_for_fault(k, t, vma, vpn)
    if new >= 0:
        k.tags[new] = k.tags[pfn]
        page_add_rmap(k, vma, vpn, new, 1)
        add_anonymous_page(k, new)
        k.tasks[t].cost_ns += k.costs[0].copy_page_ns
        count(k, k.cpus[k.vm[0].current_cpu].node, FORK_COPIES, 1)
    return new


@rule
def _copy_table(k: Kernel, t: int, vma: int, source: int, target: int, end: int) -> int:
    """Copy a leaf table's entries of the child's area `vma` from ``fork_vpn`` to `end`; 0, or a negative FAULT_*."""
    task = k.tasks[t]
    child = k.mms[task.fork_mm]
    mask = (1 << k.vm[0].entry_bits) - 1
    shared = k.vmas[vma].vm_flags & VM_SHARED != 0
    eager = not shared and k.vm[0].copy_on_write == 0
    copied = 0
    answer = 0
    vpn = task.fork_vpn + 0
    while vpn < end:
        index = vpn & mask
        pte = k.tables[source, index]
        vpn += 1
        if pte == 0:
            continue
        if pte & (PTE_PRESENT | PTE_PROTNONE) == 0:
            swap_duplicate(k, pte)
        elif pte >> PAGE_SHIFT != k.vm[0].zero_pfn and is_reserved(k, pte >> PAGE_SHIFT) == 0:
            if eager:
                new = _copied_at_once(k, t, vma, vpn - 1, pte >> PAGE_SHIFT)
                if new < 0:
                    answer = new
                    vpn -= 1
                    break
                pte = new << PAGE_SHIFT | (pte & ((1 << PAGE_SHIFT) - 1)) | PTE_DIRTY
            else:
                if shared:
                    pte &= ~PTE_DIRTY
                else:
                    pte &= ~PTE_RW
                    k.tables[source, index] = pte
                k.pages[pte >> PAGE_SHIFT].count += 1
                page_dup_rmap(k, pte >> PAGE_SHIFT)
            pte &= ~PTE_ACCESSED
            child.rss += 1
        set_pte(k, target, index, pte)
        copied += 1
    task.fork_vpn = vpn
    task.cost_ns += copied * k.costs[0].copy_pte_ns
    count(k, k.cpus[k.vm[0].current_cpu].node, FORK_PTES, copied)
    return answer


@rule
def copy_page_range(k: Kernel, t: int, vma: int) -> int:
    """Copy the entries of the child's area `vma` from task `t`'s tables, from ``fork_vpn`` on.

    The child's address space is ``tasks[t].fork_mm``.  A swap slot gets a use more, a page a reference; a private
    page is write-protected in both; of a shared one the child's entry is clean; the child's entries are old.

    Returns
    -------
    int
        FORK_DONE; FORK_RECLAIM (reclaim, and call again); FORK_NO_MEMORY.
    """
    task = k.tasks[t]
    span = 1 << k.vm[0].entry_bits
    end = k.vmas[vma].vm_end + 0
    task.fork_vpn = max(task.fork_vpn, k.vmas[vma].vm_start)
    while task.fork_vpn < end:
        vpn = task.fork_vpn + 0
        stop = min(end, (vpn // span + 1) * span)
        source = leaf_row(k, task.mm, vpn)
        if source == NIL or k.table_info[source].used == 0:
            task.fork_vpn = stop
            continue
        target = pte_alloc(k, t, task.fork_mm, vpn)
        if target < 0:
            return FORK_RECLAIM if target == ALLOC_RECLAIM else FORK_NO_MEMORY
        outer = spin_lock(k, page_table_lock(k, task.mm), k.costs[0].page_table_lock_ns)
        answer = _copy_table(k, t, vma, source, target, stop)
        spin_unlock(k, page_table_lock(k, task.mm), outer)
        if answer < 0:
            return FORK_RECLAIM if answer == -FAULT_RECLAIM else FORK_NO_MEMORY
    return FORK_DONE


@rule
def copy_areas(k: Kernel, t: int) -> int:
    """Copy the entries of every area of the child (FORK_*), then flush the parent's TLBs: its entries were weakened."""
    task = k.tasks[t]
    status = FORK_DONE
    vma = k.mms[task.fork_mm].mmap + 0
    while vma != NIL and status == FORK_DONE:
        if k.vmas[vma].vm_end > task.fork_vpn:
            status = copy_page_range(k, t, vma)
        vma = k.vmas[vma].vm_next + 0
    flush_tlb_mm(k, task.mm)
    return status


_anon_vma_fork = entry(anon_vma_fork)
_get_file = entry(get_file)
_link_area = entry(link_area)
_link_file_behind = entry(link_file_behind)
_new_vma = entry(new_vma)
_log_event = entry(log_event)
_count = entry(count)

INHERITED = (
    "start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack", "mmap_base", "dumpable",
)  # fmt: skip
"""Fields of mm_struct the child takes over as they are."""


def dup_mmap(k: Kernel, t: int, child: int) -> bool:
    """Give task `child` an address space with the areas of task `t` and none of its pages yet; False: ENOMEM.

    Areas with VM_DONTCOPY are left out; locked ones are not locked in the child; those of files are on their file's
    list right behind the parent's.  What was made stays for `mmput`, whatever the answer.
    """
    parent = int(k.tasks[t].mm)
    mm = mm_alloc(k, child, after=parent)
    k.tasks[t].fork_mm, k.tasks[t].fork_vpn = mm, 0
    for name in INHERITED:
        k.mms[mm][name] = k.mms[parent][name]
    area = int(k.mms[parent].mmap)
    while area != NIL:
        if not int(k.vmas[area].vm_flags) & VM_DONTCOPY and not _dup_vma(k, area, mm):
            return False
        area = int(k.vmas[area].vm_next)
    return True


def _dup_vma(k: Kernel, area: int, mm: int) -> bool:
    """Make a copy of an area for address space `mm`; False if there is no record left."""
    old = k.vmas[area]
    flags, file = int(old.vm_flags) & ~VM_LOCKED, int(old.vm_file)
    copy = int(_new_vma(k, mm, int(old.vm_start), int(old.vm_end), flags, file, int(old.vm_pgoff)))
    if copy == NIL:
        return False
    new = k.vmas[copy]
    new.vm_policy = old.vm_policy
    _anon_vma_fork(k, copy, area)
    if file != 0:
        _get_file(k, file)
        _link_file_behind(k, copy, area)
    _link_area(k, mm, copy)
    k.mms[mm].total_vm += new.vm_end - new.vm_start
    return True


def share_mm(k: Kernel, t: int, child: int) -> None:
    """clone(CLONE_VM), vfork: task `child` uses the address space of task `t`, too."""
    mm = int(k.tasks[t].mm)
    k.mms[mm].mm_users += 1
    k.tasks[child].mm = mm


def forked(k: Kernel, t: int, child: int) -> None:
    """Count and log that task `child` exists now."""
    k.tasks[t].cost_ns += k.costs[0].fork_ns
    _count(k, int(k.cpus[k.vm[0].current_cpu].node), FORKS, 1)
    _log_event(k, EV_FORK, child, int(k.tasks[child].mm))
