"""The heap: do_brk and sys_brk of mm/mmap.c @2.2.1, 2.4.0, 2.4.37 (spec 8.5)."""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.mmap import account, do_mmap_pgoff, exceeds_address_space, exceeds_memlock, new_area
from numa_sim.kernel.munmap import sys_munmap
from numa_sim.kernel.overcommit import vm_enough_memory
from numa_sim.kernel.user_space import page_align, task_size
from numa_sim.kernel.vma_index.areas import find_vma_intersection
from numa_sim.kernel.vma_merge import grow_heap, merge_mapping
from numa_sim.state.answers import EAGAIN, EINVAL, ENOMEM
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_6_1,
    MAP_FIXED,
    MAP_PRIVATE,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    RLIM_INFINITY,
    VM_LOCKED,
    VM_MAYALL,
)
from numa_sim.state.event_codes import EV_BRK
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

_VM_DATA_FLAGS = PROT_READ | PROT_WRITE | PROT_EXEC | VM_MAYALL


@rule
def do_brk(k: Kernel, t: int, addr: int, length: int) -> int:
    """Map anonymous private memory, readable, writable and executable, at `addr`: the address, or an errno (2.4)."""
    early = k.vm[0].vma_rules <= KERNEL_2_4_0
    mm = k.tasks[t].mm + 0
    size = page_align(k, length)
    if size == 0:
        return addr
    if not early and addr + size > task_size(k):
        return -EINVAL
    flags = _VM_DATA_FLAGS | k.mms[mm].def_flags
    if flags & VM_LOCKED != 0 and exceeds_memlock(k, t, size):
        return -EAGAIN
    failed = sys_munmap(k, t, addr, size)
    if failed != 0:
        return failed if early else -ENOMEM
    start, end = addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT
    if exceeds_address_space(k, t, size) or k.mms[mm].map_count > k.vm[0].max_map_count:
        return -ENOMEM
    if not vm_enough_memory(k, end - start):
        return -ENOMEM
    pgoff = start if k.vm[0].vma_rules == KERNEL_6_1 else 0
    if early:
        grown = grow_heap(k, mm, start, end, flags)
    else:
        grown = merge_mapping(k, mm, start, end, flags, 0, pgoff)
    if not grown:
        failed = new_area(k, mm, 0, start, end, flags, pgoff)
        if failed != 0:
            return failed
    account(k, mm, start, end, flags)
    return addr


@part
def _may_grow(k: Kernel, t: int, wanted: int, old: int, new: int) -> bool:
    """Whether the heap may grow: RLIMIT_DATA, nothing mapped up to one page beyond its new end, memory enough."""
    space = k.mms[k.tasks[t].mm]
    begin = space.end_code if k.vm[0].vma_rules == KERNEL_2_2 else space.start_data
    limit = k.tasks[t].rlim_data
    if limit < RLIM_INFINITY and wanted - begin > limit:
        return False
    if find_vma_intersection(k, k.tasks[t].mm, old >> PAGE_SHIFT, (new + PAGE_SIZE) >> PAGE_SHIFT) != NIL:
        return False
    return vm_enough_memory(k, (new - old) >> PAGE_SHIFT)


@rule
def sys_brk(k: Kernel, t: int, wanted: int) -> int:
    """Set the end of the heap to `wanted`, bytes; the end it has then: the old one if that is refused."""
    mm = k.tasks[t].mm + 0
    now = k.mms[mm].brk + 0
    if wanted < k.mms[mm].end_code:
        return now
    old, new = page_align(k, now), page_align(k, wanted)
    if old != new and wanted <= now:
        if sys_munmap(k, t, new, old - new) != 0:
            return now
    elif old != new:
        if not _may_grow(k, t, wanted, old, new):
            return now
        if k.vm[0].vma_rules == KERNEL_2_2:
            prot = PROT_READ | PROT_WRITE | PROT_EXEC
            mapped = do_mmap_pgoff(k, t, 0, old, new - old, prot, MAP_FIXED | MAP_PRIVATE, 0)
        else:
            mapped = do_brk(k, t, old, new - old)
        if mapped != old:
            return now
    k.mms[mm].brk = wanted
    log_event(k, EV_BRK, now, wanted)
    return wanted
