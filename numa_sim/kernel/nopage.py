"""Page faults on mapped files: filemap_nopage and mmap read-ahead of mm/filemap.c @2.4.37 (spec 7.5, 9.4).

A miss reads the aligned cluster around the page, or with a RANDOM hint the page alone.  With a SEQUENTIAL hint a window
is read ahead: a fault half a window before its end starts the next one.

Simplified: what the reader of a SEQUENTIAL mapping has left behind by two windows is synced, not unmapped (as late 2.4
does; 2.4.0 also drops its PTEs).
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.buddy import free_pages
from numa_sim.kernel.buffer import block_read_full_page
from numa_sim.kernel.filemap import find_page, page_was_found, page_was_used, try_lock_page
from numa_sim.kernel.inode import size_pages
from numa_sim.kernel.msync import filemap_sync
from numa_sim.kernel.readahead import page_cache_read, read_cluster
from numa_sim.kernel.shmem_swap import shmem_swap_in, shmem_swp_entry
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, FAULT_OOM, FAULT_RECLAIM, FAULT_SIGBUS, FAULT_WAIT
from numa_sim.state.constants import NIL, VM_RAND_READ, VM_SEQ_READ, PG_uptodate
from numa_sim.state.counters import MMAP_READAHEAD_PAGES
from numa_sim.state.kernel import Kernel

_READING = 1
_CLUSTER_UNFINISHED = 3
"""Values of ``task.fault_major``: a read was started; and its cluster stopped for memory."""


@rule
def nopage_sequential_readahead(k: Kernel, t: int, vma: int, pgoff: int, mapping: int) -> int:
    """The window of a SEQUENTIAL mapping: at its middle, read the next one.  0 = done, ALLOC_RECLAIM: call again."""
    area = k.vmas[vma]
    cluster = 1 << k.vm[0].page_cluster
    window = (k.vm[0].vm_max_readahead + cluster - 1) // cluster * cluster
    if area.vm_raend == 0:
        area.vm_raend = area.vm_pgoff + window
    if pgoff + (window >> 1) != area.vm_raend:
        return 0
    start = area.vm_raend + 0
    end = min(start + window, area.vm_end - area.vm_start + area.vm_pgoff, size_pages(k, mapping))
    for index in range(start, end, cluster):
        read = read_cluster(k, t, mapping, index, MMAP_READAHEAD_PAGES)
        if read == ALLOC_RECLAIM:
            return ALLOC_RECLAIM
        if read == ALLOC_FAIL:
            break
    if start > area.vm_pgoff + 2 * window:
        behind = area.vm_start + start - area.vm_pgoff - 3 * window
        filemap_sync(k, area.vm_mm, max(behind, area.vm_start + 0), behind + window)
    area.vm_raend = start + window
    return 0


@part
def _start_read(k: Kernel, t: int, vma: int, mapping: int, pgoff: int) -> int:
    """Read the page that is missing, with its cluster unless the hint is RANDOM: 0, ALLOC_RECLAIM or ALLOC_FAIL.

    Shared memory without a file has nothing to read: a page of zeros (shmem_nopage).
    """
    cluster = k.vmas[vma].vm_flags & VM_RAND_READ == 0 and k.mappings[mapping].device != NIL
    if cluster and k.vm[0].file_readahead != 0:
        return read_cluster(k, t, mapping, pgoff, MMAP_READAHEAD_PAGES)
    area = NIL if k.mappings[mapping].device != NIL else vma
    vpn = k.vmas[vma].vm_start + pgoff - k.vmas[vma].vm_pgoff
    read = page_cache_read(k, t, mapping, pgoff, area, vpn)
    return read if read == ALLOC_RECLAIM or read == ALLOC_FAIL else 0


@part
def _wait_for(k: Kernel, t: int, pfn: int) -> int:
    """Have the fault wait for a page's read, or read it again if nobody does."""
    if try_lock_page(k, pfn):
        block_read_full_page(k, pfn)
    k.tasks[t].wait_pfn = pfn
    return -FAULT_WAIT


@rule
def _find_or_read(k: Kernel, t: int, vma: int, mapping: int, pgoff: int) -> int:
    """The cached page, its read started if it was missing: pfn without a reference, or a negative FAULT_*."""
    task = k.tasks[t]
    pfn = find_page(k, mapping, pgoff)
    if pfn == NIL and k.mappings[mapping].swapped != 0:
        entry = shmem_swp_entry(k, mapping, pgoff)
        if entry != 0:
            return shmem_swap_in(k, t, entry, vma, k.vmas[vma].vm_start + pgoff - k.vmas[vma].vm_pgoff)
    if pfn == NIL or task.fault_major == _CLUSTER_UNFINISHED:
        task.fault_major = _CLUSTER_UNFINISHED
        read = _start_read(k, t, vma, mapping, pgoff)
        if read == ALLOC_RECLAIM:
            return -FAULT_RECLAIM
        task.fault_major = _READING
        pfn = find_page(k, mapping, pgoff)
        if pfn == NIL:
            return -FAULT_OOM
    return pfn


@rule
def filemap_nopage(k: Kernel, t: int, vma: int, vpn: int) -> int:
    """The up-to-date page of a mapped file that `vpn` shows, with a reference.

    Returns
    -------
    int
        pfn, or a negative FAULT_WAIT, FAULT_RECLAIM, FAULT_OOM or FAULT_SIGBUS (beyond the end of the file).
    """
    task = k.tasks[t]
    area = k.vmas[vma]
    mapping = k.files[area.vm_file].f_mapping + 0
    pgoff = vpn - area.vm_start + area.vm_pgoff
    if task.wait_pfn != NIL:
        waited_for = task.wait_pfn + 0
        task.wait_pfn = NIL
        free_pages(k, waited_for, 0)
    if pgoff >= size_pages(k, mapping):
        return -FAULT_SIGBUS
    pfn = _find_or_read(k, t, vma, mapping, pgoff)
    if pfn < 0:
        return pfn
    k.pages[pfn].count += 1
    if k.pages[pfn].flags & PG_uptodate == 0:
        waits = _wait_for(k, t, pfn)
        if k.pages[pfn].flags & PG_uptodate == 0:
            return waits
        task.wait_pfn = NIL
    if area.vm_flags & VM_SEQ_READ != 0 and nopage_sequential_readahead(k, t, vma, pgoff, mapping) == ALLOC_RECLAIM:
        free_pages(k, pfn, 0)
        return -FAULT_RECLAIM
    if task.fault_major == 0:
        page_was_found(k, pfn)
    page_was_used(k, pfn)
    return pfn
