"""Page faults, mm/memory.c @2.4.37 (spec 7.4 to 7.7).

A fault is *restartable*: when it must sleep (a page under I/O) or reclaim, it returns FAULT_WAIT or FAULT_RECLAIM
with everything done so far in place, and the caller calls it again later; like the kernel it looks at the PTE afresh
each time.  Costs go to ``tasks[t].cost_ns``.

Address spaces may be shared by threads: a fault that has slept may find its work done, or the area gone.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.copy_on_write import add_anonymous_page, do_wp_page, page_for_fault
from numa_sim.kernel.fault import unplain_access
from numa_sim.kernel.locks import page_table_lock, spin_for
from numa_sim.kernel.nopage import filemap_nopage
from numa_sim.kernel.pgalloc import update_mmu_cache
from numa_sim.kernel.pgtable import pte_alloc, set_pte
from numa_sim.kernel.rmap import page_add_rmap
from numa_sim.kernel.swap import lru_cache_add, mark_page_accessed
from numa_sim.kernel.swap_state import (
    can_share_swap_page,
    lookup_swap_cache,
    read_swap_cache_async,
    remove_exclusive_swap_page,
)
from numa_sim.kernel.swapfile import swap_free, vm_swap_full
from numa_sim.kernel.swapin import READ_AHEAD_GIVEN_UP, swapin_readahead
from numa_sim.kernel.v2_2.memory import do_swap_page as do_swap_page_2_2
from numa_sim.kernel.v2_4_0.memory import do_swap_page as do_swap_page_2_4_0
from numa_sim.kernel.v2_4_0.memory import drop_readahead
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.answers import (
    ALLOC_RECLAIM,
    FAULT_MAJOR,
    FAULT_MINOR,
    FAULT_OOM,
    FAULT_RECLAIM,
    FAULT_SIGBUS,
    FAULT_WAIT,
)
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    MAPPING_SWAP,
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_MAPPED,
    PTE_RW,
    TRACK_NOTHING,
    VM_EXEC,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    PG_locked,
)
from numa_sim.state.counters import (
    ANON_WRITE_FAULTS,
    FILE_FAULTS,
    FILE_FAULTS_READ,
    PAGECACHE_HIT,
    PAGECACHE_MISS,
    PGFAULT,
    PGMAJFAULT,
    SWAP_CACHE_HIT,
    SWAP_CACHE_MISS,
    SWAP_FAULTS,
    ZERO_PAGE_MAPS,
)
from numa_sim.state.event_codes import (
    EV_DO_ANONYMOUS_PAGE,
    EV_DO_NO_PAGE,
    EV_DO_SWAP_PAGE,
    EV_SIGBUS,
    EV_SWAP_CACHE_HIT,
    EV_ZERO_PAGE,
)
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

"""Value of ``task.fault_major`` once a page for read-ahead was not to be had: the wanted page alone is read."""


@part
def do_anonymous_page(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int, write: int) -> int:
    """First touch (spec 7.5): a read maps ZERO_PAGE write-protected, a write gets a cleared page."""
    vm = k.vm[0]
    task = k.tasks[t]
    costs = k.costs[0]
    node = k.cpus[vm.current_cpu].node
    vma_prot = k.vmas[k.mms[mm].mmap_cache].vm_page_prot
    if write == 0 and vm.zero_page != 0:
        set_pte(k, row, index, vm.zero_pfn << PAGE_SHIFT | (vma_prot & ~PTE_RW))
        task.cost_ns += costs.zero_page_fault_ns
        count(k, node, ZERO_PAGE_MAPS, 1)
        log_event(k, EV_ZERO_PAGE, vpn, 0)
        return FAULT_MINOR
    pfn = page_for_fault(k, t, k.mms[mm].mmap_cache, vpn)
    if pfn < 0:
        return -pfn
    k.tags[pfn] = 0
    k.mms[mm].rss += 1
    if vm.profile > KERNEL_2_4_0:
        if vm.vm_anon_lru != 0:
            lru_cache_add(k, pfn)
        mark_page_accessed(k, pfn)
    pte = pfn << PAGE_SHIFT | vma_prot | PTE_RW
    if write != 0:
        pte |= PTE_DIRTY
        count(k, node, ANON_WRITE_FAULTS, 1)
    set_pte(k, row, index, pte)
    page_add_rmap(k, k.mms[mm].mmap_cache, vpn, pfn, 1)
    task.cost_ns += costs.minor_fault_ns + costs.clear_page_ns
    log_event(k, EV_DO_ANONYMOUS_PAGE, vpn, pfn)
    return FAULT_MINOR


@rule
def _swap_page(k: Kernel, t: int, entry: int, vma: int, vpn: int) -> int:
    """The swap-cache page of `entry`, referenced, read if need be: pfn, or the FAULT_* answer as a negative number.

    What is read, read-ahead included, comes under the policy for page `vpn` of area `vma`.
    """
    task = k.tasks[t]
    node = k.cpus[k.vm[0].current_cpu].node
    if task.wait_pfn != NIL:
        # Called again after sleeping on this page: it is ours unless reclaim took it out of the cache meanwhile.
        pfn = task.wait_pfn
        task.wait_pfn = NIL
        page = k.pages[pfn]
        if page.mapping == MAPPING_SWAP and page.index == entry:
            return pfn
        free_pages(k, pfn, 0)
    pfn = lookup_swap_cache(k, entry)
    if pfn != NIL:
        if task.fault_major == 0:
            count(k, node, SWAP_CACHE_HIT, 1)
            log_event(k, EV_SWAP_CACHE_HIT, entry, pfn)
        return pfn
    if task.fault_major == 0:
        task.fault_major = 1
        count(k, node, SWAP_CACHE_MISS, 1)
    if task.fault_major != READ_AHEAD_GIVEN_UP and swapin_readahead(k, t, entry, vma, vpn) == FAULT_RECLAIM:
        return -FAULT_RECLAIM
    pfn = read_swap_cache_async(k, t, entry, vma, vpn)
    if pfn >= 0:
        return pfn
    return -FAULT_RECLAIM if pfn == ALLOC_RECLAIM else -FAULT_OOM


@rule
def do_swap_page(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int, write: int) -> int:
    """Bring a page back from swap (spec 7.7); sleeps by returning FAULT_WAIT while the page is under I/O."""
    task = k.tasks[t]
    entry = k.tables[row, index]
    pfn = _swap_page(k, t, entry, k.mms[mm].mmap_cache, vpn)
    if pfn < 0:
        return -pfn
    page = k.pages[pfn]
    if page.flags & PG_locked != 0:
        task.wait_pfn = pfn
        return FAULT_WAIT
    mark_page_accessed(k, pfn)
    page.flags |= PG_locked
    swap_free(k, entry)
    if vm_swap_full(k):
        remove_exclusive_swap_page(k, pfn)
    k.mms[mm].rss += 1
    pte = pfn << PAGE_SHIFT | (k.vmas[k.mms[mm].mmap_cache].vm_page_prot & ~PTE_RW)
    if write != 0 and can_share_swap_page(k, pfn) != 0:
        pte |= PTE_RW | PTE_DIRTY
    page.flags &= ~PG_locked
    set_pte(k, row, index, pte)
    page_add_rmap(k, k.mms[mm].mmap_cache, vpn, pfn, pte & PTE_RW)
    task.cost_ns += k.costs[0].swap_fault_ns
    count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_FAULTS, 1)
    log_event(k, EV_DO_SWAP_PAGE, vpn, pfn)
    return FAULT_MAJOR if task.fault_major != 0 else FAULT_MINOR


@rule
def do_no_page(k: Kernel, t: int, mm: int, row: int, index: int, vpn: int, write: int) -> int:
    """First touch of a page of a mapped file (spec 7.5): map the cached page, or for a private write a copy of it.

    Always counted as a major fault, as the kernel does; ``file_faults_read`` counts those that had to read.
    """
    task = k.tasks[t]
    costs = k.costs[0]
    node = k.cpus[k.vm[0].current_cpu].node
    vma = k.mms[mm].mmap_cache + 0
    shared = k.vmas[vma].vm_flags & VM_SHARED != 0
    pfn = filemap_nopage(k, t, vma, vpn)
    if pfn < 0:
        if pfn == -FAULT_SIGBUS:
            log_event(k, EV_SIGBUS, vpn, write)
        return -pfn
    if write != 0 and not shared:
        copy = page_for_fault(k, t, vma, vpn)
        if copy < 0:
            free_pages(k, pfn, 0)
            return -copy
        k.tags[copy] = k.tags[pfn]
        free_pages(k, pfn, 0)
        add_anonymous_page(k, copy)
        pfn = copy
        task.cost_ns += costs.copy_page_ns
    k.mms[mm].rss += 1
    pte = pfn << PAGE_SHIFT | k.vmas[vma].vm_page_prot
    if write != 0:
        pte |= PTE_RW | PTE_DIRTY
    elif not shared:
        pte &= ~PTE_RW
    set_pte(k, row, index, pte)
    page_add_rmap(k, vma, vpn, pfn, 1)
    task.cost_ns += costs.minor_fault_ns
    count(k, node, FILE_FAULTS, 1)
    count(k, node, PAGECACHE_HIT if task.fault_major == 0 else PAGECACHE_MISS, 1)
    count(k, node, FILE_FAULTS_READ, 0 if task.fault_major == 0 else 1)
    log_event(k, EV_DO_NO_PAGE, vpn, pfn)
    return FAULT_MAJOR


@rule
def _drop_what_it_slept_for(k: Kernel, t: int) -> None:
    """The fault is done; if another thread was faster, the page or slots it still holds are given back."""
    task = k.tasks[t]
    if task.wait_pfn != NIL:
        free_pages(k, task.wait_pfn, 0)
        task.wait_pfn = NIL
    drop_readahead(k, t)
    task.fault_major = 0


@rule
def handle_mm_fault(k: Kernel, t: int, vpn: int, write: int) -> int:
    """do_page_fault and handle_pte_fault @2.4.37 for user accesses (spec 7.1, 7.4); counts the fault when it ends.

    Returns
    -------
    int
        FAULT_MINOR or FAULT_MAJOR (done); FAULT_WAIT, FAULT_RECLAIM (call again); FAULT_SEGV, FAULT_SIGBUS, FAULT_OOM;
        FAULT_OOPS, FAULT_FIXUP, FAULT_INVALID_OPCODE (in kernel mode only).
    """
    task = k.tasks[t]
    mm = task.mm
    vma = find_vma(k, mm, vpn)
    wanted = VM_WRITE if write != 0 else VM_READ | VM_EXEC
    if vma == NIL or k.vmas[vma].vm_start > vpn or k.vmas[vma].vm_flags & wanted == 0:
        refused = unplain_access(k, t, mm, vma, vpn, write)
        if refused != NIL:
            return refused
    spin_for(k, page_table_lock(k, mm), k.costs[0].page_table_lock_ns)
    row = pte_alloc(k, t, mm, vpn)
    if row < 0:
        return FAULT_RECLAIM if row == ALLOC_RECLAIM else FAULT_OOM
    index = vpn & ((1 << k.vm[0].entry_bits) - 1)
    pte = k.tables[row, index]
    if pte == 0 and k.vmas[vma].vm_file != 0:
        status = do_no_page(k, t, mm, row, index, vpn, write)
    elif pte == 0:
        status = do_anonymous_page(k, t, mm, row, index, vpn, write)
    elif pte & PTE_MAPPED == 0:
        if k.vm[0].profile == KERNEL_2_4_0:
            status = do_swap_page_2_4_0(k, t, mm, row, index, vpn, write)
        elif k.vm[0].profile == KERNEL_2_2:
            status = do_swap_page_2_2(k, t, mm, row, index, vpn, write)
        else:
            status = do_swap_page(k, t, mm, row, index, vpn, write)
    elif write != 0 and pte & PTE_RW == 0:
        status = do_wp_page(k, t, mm, row, index, vpn)
    else:
        # Somebody completed it meanwhile: only the bits are missing.
        set_pte(k, row, index, pte | PTE_ACCESSED | (PTE_DIRTY if write != 0 else 0))
        status = FAULT_MINOR
    if status == FAULT_MINOR or status == FAULT_MAJOR:
        node = k.cpus[k.vm[0].current_cpu].node
        count(k, node, PGFAULT, 1)
        if status == FAULT_MAJOR:
            task.maj_flt += 1
            count(k, node, PGMAJFAULT, 1)
        else:
            task.min_flt += 1
        if task.fault_major != 0 or task.wait_pfn != NIL:
            _drop_what_it_slept_for(k, t)
        task.alloc_failed = 0
        update_mmu_cache(k)
        if k.vm[0].track_use != TRACK_NOTHING:
            k.vm[0].use_order += 1
            k.last_use[k.tables[row, index] >> PAGE_SHIFT] = k.vm[0].use_order
    return status


@rule
def abandon_fault(k: Kernel, t: int) -> None:
    """Drop what a fault that will not be completed still holds (the task is being killed)."""
    task = k.tasks[t]
    if task.got_pfn != NIL:
        free_pages(k, task.got_pfn, k.pages[task.got_pfn].order)
        task.got_pfn = NIL
    _drop_what_it_slept_for(k, t)
    task.alloc_failed = 0
