"""Mapping memory: do_mmap of mm/mmap.c @2.2.1, 2.4.0, 2.4.37, and address spaces as wholes (spec 8.2).

System calls take byte addresses and answer like the kernel's: an address (or 0), or a negative errno; what they would
sleep for they leave to their caller (`numa_sim.processes.memory_calls`).  Siblings: `munmap`, `unmapped_area`, `brk`,
`vma_merge`, `mprotect`, `mlock`, `mremap`, `stack` (expand_stack), `overcommit` (vm_enough_memory), `vma_index`.

Simplified: files are regular ones, so none lacks an mmap method (ENODEV), is append-only or has mandatory locks.
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import entry, part, rule
from numa_sim.errors import SimulationError
from numa_sim.kernel.file_table import get_file
from numa_sim.kernel.madvise import madvise_flags
from numa_sim.kernel.munmap import exit_mmap, sys_munmap
from numa_sim.kernel.overcommit import vm_enough_memory
from numa_sim.kernel.shmem import shmem_zero_setup
from numa_sim.kernel.swap_out import mmlist_add, mmlist_del
from numa_sim.kernel.unmapped_area import get_unmapped_area
from numa_sim.kernel.user_space import elf_base, page_align, task_size
from numa_sim.kernel.vma import free_vma, insert_vma, new_vma
from numa_sim.kernel.vma_merge import merge_mapping, merge_segments
from numa_sim.state.answers import EACCES, EAGAIN, EINVAL, ENOMEM, EPERM, ETXTBSY
from numa_sim.state.constants import (
    FMODE_READ,
    FMODE_WRITE,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_6_1,
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_TYPE,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    VM_DENYWRITE,
    VM_GROWSDOWN,
    VM_GROWSUP,
    VM_LOCKED,
    VM_MAYALL,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_RAND_READ,
    VM_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_STACK_FLAGS,
    VM_WRITE,
)
from numa_sim.state.event_codes import EV_MAKE_PAGES_PRESENT, EV_MMAP
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

STACK_PAGES = 2
"""What arguments and environment of an ordinary program take."""


@part
def _place(k: Kernel, mm: int, addr: int, size: int, flags: int) -> int:
    """The address of a new mapping, or the errno that refuses it."""
    if flags & MAP_FIXED == 0:
        return get_unmapped_area(k, mm, addr, size)
    if k.vm[0].vma_rules > KERNEL_2_4_0 and addr > task_size(k) - size:
        return -ENOMEM
    return -EINVAL if addr & (PAGE_SIZE - 1) != 0 else addr


# What ----------------------------------------------------------------------------------------------------------------


@rule
def _type_error(k: Kernel, file: int, prot: int, flags: int) -> int:
    """Whether the type of mapping and the way the file is open allow it: 0, -EINVAL or -EACCES."""
    kind = flags & MAP_TYPE
    known = kind == MAP_PRIVATE or kind == MAP_SHARED
    if file == 0:
        if k.vm[0].vma_rules == KERNEL_2_2:
            return 0 if kind == MAP_PRIVATE else -EINVAL
        return 0 if known or k.vm[0].vma_rules == KERNEL_2_4_0 else -EINVAL
    if not known:
        return -EINVAL
    mode = k.files[file].f_mode
    if kind == MAP_SHARED and prot & PROT_WRITE != 0 and mode & FMODE_WRITE == 0:
        return -EACCES
    return 0 if mode & FMODE_READ != 0 else -EACCES


@rule
def _vm_flags(k: Kernel, mm: int, file: int, prot: int, flags: int) -> int:
    """Flags of the area: what it may, what it might be allowed, whether stores are seen by others."""
    vm_flags = prot & (PROT_READ | PROT_WRITE | PROT_EXEC)
    vm_flags |= flags & (MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED)
    vm_flags |= k.mms[mm].def_flags | VM_MAYALL
    if flags & MAP_SHARED != 0:
        vm_flags |= VM_SHARED | VM_MAYSHARE
        if file != 0 and k.files[file].f_mode & FMODE_WRITE == 0:
            vm_flags &= ~(VM_MAYWRITE | VM_SHARED)
    return vm_flags


@rule
def exceeds_memlock(k: Kernel, t: int, size: int) -> bool:
    """Whether `size` bytes more would lock more than RLIMIT_MEMLOCK."""
    locked = k.mms[k.tasks[t].mm].locked_vm << PAGE_SHIFT
    return locked + size > k.tasks[t].rlim_memlock


@rule
def exceeds_address_space(k: Kernel, t: int, size: int) -> bool:
    """Whether `size` bytes more would be more than RLIMIT_AS."""
    return (k.mms[k.tasks[t].mm].total_vm << PAGE_SHIFT) + size > k.tasks[t].rlim_as


@part
def _refused(k: Kernel, t: int, file: int, prot: int, flags: int, size: int) -> int:
    """The checks that 2.2 and 2.4.0 make before they look for an address, later kernels afterwards: 0 or an errno."""
    locked = (k.mms[k.tasks[t].mm].def_flags | flags) & VM_LOCKED != 0
    if flags & MAP_LOCKED != 0 and k.tasks[t].root == 0:
        return -EPERM
    if locked and exceeds_memlock(k, t, size):
        return -EAGAIN
    return _type_error(k, file, prot, flags)


@rule
def do_mmap_pgoff(k: Kernel, t: int, file: int, addr: int, length: int, prot: int, flags: int, pgoff: int) -> int:
    """Map `length` bytes of a file from page `pgoff` on, or (file 0) of anonymous memory, for task `t`.

    Parameters
    ----------
    addr : int
        With MAP_FIXED exactly there, and what is there is unmapped first; else a hint, 0 = none.
    prot, flags : int
        PROT_* and MAP_*.  MAP_LOCKED asks for what later kernels do: pages at once, not to be swapped out (privileged).

    Returns
    -------
    int
        The address, or, in the order in which the kernel checks: -EINVAL, -ENOMEM (too many areas), -EPERM, -EAGAIN
        (RLIMIT_MEMLOCK), -EACCES (how the file is open), -ENOMEM (no room; RLIMIT_AS; vm_enough_memory), -ETXTBSY.
    """
    rules = k.vm[0].vma_rules + 0
    early = rules <= KERNEL_2_4_0
    mm = k.tasks[t].mm + 0
    size = page_align(k, length)
    if size == 0 and (early or length == 0):
        return -EINVAL if rules == KERNEL_6_1 else addr
    if size == 0 or size > task_size(k) or (early and addr > task_size(k) - size):
        return -EINVAL
    if _offset_overflows(k, pgoff, size):
        return -EINVAL
    if k.mms[mm].map_count > k.vm[0].max_map_count:
        return -ENOMEM
    refused = _refused(k, t, file, prot, flags, size) if early else 0
    if refused != 0:
        return refused
    addr = _place(k, mm, addr, size, flags)
    if addr < 0:
        return addr
    refused = 0 if early else _refused(k, t, file, prot, flags, size)
    if refused != 0:
        return refused
    return _map_at(k, t, file, addr, size, _vm_flags(k, mm, file, prot, flags), flags, pgoff)


@part
def _offset_overflows(k: Kernel, pgoff: int, size: int) -> bool:
    """Whether the last page's offset does not fit the kernel's variable: pages, or (2.2) bytes, in 32 bits."""
    bits = 32 - PAGE_SHIFT if k.vm[0].vma_rules == KERNEL_2_2 else 32
    return pgoff + (size >> PAGE_SHIFT) >= 1 << bits


@rule
def _map_at(k: Kernel, t: int, file: int, addr: int, size: int, vm_flags: int, flags: int, pgoff: int) -> int:
    """Clear what is in the way, check what it costs, make the area: the address, or an errno."""
    mm = k.tasks[t].mm + 0
    start, end = addr >> PAGE_SHIFT, (addr + size) >> PAGE_SHIFT
    if sys_munmap(k, t, addr, size) != 0 or exceeds_address_space(k, t, size):
        return -ENOMEM
    private_writable = vm_flags & (VM_SHARED | VM_WRITE) == VM_WRITE
    if private_writable and flags & MAP_NORESERVE == 0 and not vm_enough_memory(k, end - start):
        return -ENOMEM
    late = k.vm[0].vma_rules > KERNEL_2_4_0
    if k.vm[0].vma_rules == KERNEL_6_1 and file == 0 and vm_flags & VM_SHARED == 0:
        pgoff = start
    if not (late and merge_mapping(k, mm, start, end, vm_flags, file, pgoff)):
        if file != 0 and late and vm_flags & (VM_GROWSDOWN | VM_GROWSUP) != 0:
            return -EINVAL
        failed = new_area(k, mm, file, start, end, vm_flags, pgoff)
        if failed != 0:
            return failed
    account(k, mm, start, end, vm_flags)
    log_event(k, EV_MMAP, start, end - start)
    return addr


@rule
def new_area(k: Kernel, mm: int, file: int, start: int, end: int, vm_flags: int, pgoff: int) -> int:
    """An area of its own for pages [start, end), which are not mapped: 0 or an errno."""
    rules = k.vm[0].vma_rules + 0
    if vm_flags & VM_DENYWRITE != 0 and file != 0 and k.mappings[k.files[file].f_mapping].i_writecount > 0:
        return -ETXTBSY
    vma = new_vma(k, mm, start, end, vm_flags, file, pgoff)
    if vma == NIL:
        return -ENOMEM
    if file != 0:
        get_file(k, file)
    elif vm_flags & VM_SHARED != 0:
        shared = shmem_zero_setup(k, end - start)
        if shared == NIL:
            free_vma(k, vma)
            return -ENOMEM
        k.vmas[vma].vm_file = shared
    insert_vma(k, mm, vma)
    if rules == KERNEL_2_2:
        merge_segments(k, mm, start, end)
    return 0


@rule
def account(k: Kernel, mm: int, start: int, end: int, vm_flags: int) -> None:
    """Pages [start, end) are mapped now; locked ones are to be made present."""
    k.mms[mm].total_vm += end - start
    if vm_flags & VM_LOCKED != 0:
        k.mms[mm].locked_vm += end - start
        log_event(k, EV_MAKE_PAGES_PRESENT, start, end)


# Address spaces, from Python -----------------------------------------------------------------------------------------

_do_mmap_pgoff = entry(do_mmap_pgoff)
_elf_base = entry(elf_base)
_sys_munmap = entry(sys_munmap)
_exit_mmap = entry(exit_mmap)
_madvise_flags = entry(madvise_flags)
_insert_vma = entry(insert_vma)
_new_vma = entry(new_vma)
_mmlist_add = entry(mmlist_add)
_mmlist_del = entry(mmlist_del)


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
    this.pgd = this.mmap = this.mmap_cache = this.mm_rb = NIL
    this.map_count = this.rss = this.total_vm = this.swap_address = this.locked_vm = this.def_flags = 0
    this.start_code = this.end_code = this.start_data = this.end_data = this.start_brk = this.brk = 0
    this.start_stack = this.mmap_base = 0
    this.hiwater_rss = this.hiwater_vm = 0
    this.cpu_vm_mask[:] = 0
    this.dumpable = 1
    _mmlist_add(k, mm, after)
    k.tasks[t].mm = mm
    return mm


def setup_arg_pages(k: Kernel, t: int, pages: int = STACK_PAGES) -> None:
    """Map the stack at the top of user space, as exec does (fs/exec.c); its pages are not touched here.

    Not for its memory alone: a quota of `swap_out` that ends in the *last* area lets the next one start from the first
    (spec G-8).  In every real process the last area is the stack, so that the heap below it is gone through to its end.
    """
    mm, top = int(k.tasks[t].mm), int(k.vm[0].task_size_vpn)
    _insert_vma(k, mm, _new_vma(k, mm, top - pages, top, VM_STACK_FLAGS, 0, 0))
    k.mms[mm].total_vm += pages
    this = k.mms[mm]
    this.start_stack = (top - pages) << PAGE_SHIFT
    # A program without an image: the heap begins behind one page where its code would be.
    this.start_code = int(_elf_base(k))
    this.end_code = this.start_data = this.end_data = this.start_brk = this.brk = int(this.start_code) + PAGE_SIZE


def mmput(k: Kernel, t: int) -> int:
    """Task `t` leaves its address space; with the last user everything in it goes (exit_mmap); return PTEs dropped."""
    mm = int(k.tasks[t].mm)
    k.mms[mm].mm_users -= 1
    if k.mms[mm].mm_users > 0:
        k.tasks[t].mm = NIL
        k.mms[mm].owner = int(np.flatnonzero(k.tasks["mm"] == mm)[0])
        return 0
    dropped = int(_exit_mmap(k, t, mm))
    _mmlist_del(k, mm)
    k.mms[mm].used = k.mms[mm].mm_count = 0
    k.mms[mm].owner = NIL
    for cpu in k.cpus:
        if cpu.mm == mm:
            cpu.mm = NIL
    k.tasks[t].mm = NIL
    return dropped


def do_mmap(
    k: Kernel, t: int, pages: int, at_vpn: int = NIL, flags: int = VM_READ | VM_WRITE, file: int = 0, pgoff: int = 0
) -> int:
    """`do_mmap_pgoff` in pages, without asking `vm_enough_memory`: first virtual page, or a negative errno.

    Parameters
    ----------
    flags : int
        VM_READ, VM_WRITE, VM_SHARED (stores reach the file), VM_SEQ_READ, VM_RAND_READ (madvise).
    file, pgoff : int
        Open file (0: anonymous) and its first page to map.
    at_vpn : int
        Fixed place (MAP_FIXED: what lies there is unmapped first); NIL lets the kernel choose.
    """
    kind = MAP_SHARED if flags & VM_SHARED else MAP_PRIVATE
    fixed, addr = (0, 0) if at_vpn == NIL else (MAP_FIXED, at_vpn << PAGE_SHIFT)
    answer = int(_do_mmap_pgoff(k, t, file, addr, pages << PAGE_SHIFT, flags & 7, kind | fixed | MAP_NORESERVE, pgoff))
    if answer >= 0 and flags & (VM_SEQ_READ | VM_RAND_READ):
        madvise(k, t, answer >> PAGE_SHIFT, pages, flags & (VM_SEQ_READ | VM_RAND_READ))
    return answer >> PAGE_SHIFT if answer >= 0 else answer


def do_munmap(k: Kernel, t: int, start: int, pages: int) -> int:
    """`sys_munmap` of pages [start, start + pages): 0 or a negative errno."""
    return int(_sys_munmap(k, t, start << PAGE_SHIFT, pages << PAGE_SHIFT))


def madvise(k: Kernel, t: int, start: int, pages: int, hint: int) -> None:
    """Give the areas within [start, start + pages) a read-ahead hint: VM_SEQ_READ, VM_RAND_READ, or 0 (madvise(2))."""
    _madvise_flags(k, t, start, start + pages, VM_SEQ_READ | VM_RAND_READ, hint)
