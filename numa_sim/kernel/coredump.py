"""Which memory of a crashed task goes into its core file: fs/exec.c:do_coredump, fs/binfmt_elf.c @2.4 (spec 8.10).

Plain functions; `numa_sim.observe.elf_core` makes the file of what they find.  Simplified: a page in swap or not yet
read is taken from where it is, without a fault; the file is written nowhere in the simulated machine, but copying its
pages costs time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from numa_sim.compiled import entry
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.shmem_swap import shmem_contents
from numa_sim.kernel.swapfile import slot_index
from numa_sim.kernel.swapper_space import find_swap_cache
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_2_4_37,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    PF_DUMPCORE,
    PTE_PRESENT,
    PTE_PROTNONE,
    RLIM_INFINITY,
    VM_EXEC,
    VM_EXECUTABLE,
    VM_GROWSDOWN,
    VM_GROWSUP,
    VM_IO,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    PG_uptodate,
)
from numa_sim.state.event_codes import EV_ELF_CORE_DUMP
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

HOLE: Final = -1
"""Instead of a page's contents: nothing is written there, the file has a hole."""

_find_swap_cache = entry(find_swap_cache)
_shmem_contents = entry(shmem_contents)
_get_pte = entry(get_pte)
_log_event = entry(log_event)
_slot_index = entry(slot_index)


@dataclass(frozen=True, eq=False)
class CoreSegment:
    """One area of the address space.

    Attributes
    ----------
    start_vpn, pages, flags : int
        Where it lies and its VM_* flags.
    contents : array of int
        Each page's contents tag, or HOLE; empty if the area is not dumped.
    """

    start_vpn: int
    pages: int
    flags: int
    contents: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CoreDump:
    """Everything a core file says; addresses in bytes, times in ns.

    Attributes
    ----------
    signal, pending, blocked : int
        What killed the task; masks of further signals.
    eip, esp : int
        Instruction and stack pointer.
    user_ns, system_ns : int
        CPU time used.
    limit_bytes : int
        Writing stops there (RLIMIT_CORE of 2.4).
    wide : bool
        x86-64, else i386.
    has_fpu : bool
        The task has used its FPU.
    task_struct : bytes
        The simulator's own record of the task (``numa_sim.state.task_layout.TASK``).
    """

    name: str
    pid: int
    ppid: int
    root: bool
    nice: int
    flags: int
    signal: int
    pending: int
    blocked: int
    eip: int
    esp: int
    user_ns: int
    system_ns: int
    limit_bytes: int
    wide: bool
    has_fpu: bool
    task_struct: bytes
    segments: tuple[CoreSegment, ...]


def refuses(k: Kernel, t: int) -> str | None:
    """Why task `t` must not leave a core file (do_coredump's checks); None: it may.

    Its mm is not dumpable, RLIMIT_CORE is below a page, or another task uses the mm (not @2.4.37).
    """
    task = k.tasks[t]
    if not k.mms[task.mm].dumpable:
        return "not dumpable"
    if int(task.rlim_core) < PAGE_SIZE:
        return "RLIMIT_CORE is below a page"
    if k.mms[task.mm].mm_users > 1 and k.vm[0].profile < KERNEL_2_4_37:
        return "another thread uses the address space"
    return None


def maydump(k: Kernel, vma: int) -> bool:
    """Whether an area's contents are worth dumping: what is writable or a stack, no devices, no plain program text."""
    flags = int(k.vmas[vma].vm_flags)
    wanted = VM_READ | VM_WRITE | VM_EXEC if k.vm[0].profile <= KERNEL_2_4_0 else VM_READ
    if not flags & wanted or flags & VM_IO:
        return False
    if flags & (VM_WRITE | VM_GROWSUP | VM_GROWSDOWN):
        return True
    return not flags & (VM_READ | VM_EXEC | VM_EXECUTABLE | VM_SHARED)


def page_contents(k: Kernel, vma: int, vpn: int) -> int:
    """Contents tag of a page of an area as a core file has it, or HOLE.

    2.2 writes every page; 2.4 leaves out those never touched, late 2.4 also ZERO_PAGE.
    """
    pte = int(_get_pte(k, int(k.vmas[vma].vm_mm), vpn))
    if pte == 0 and (shared := _shared_contents(k, vma, vpn)) != NIL:
        return shared
    if pte == 0:
        return 0 if k.vm[0].profile == KERNEL_2_2 else HOLE
    if not pte & (PTE_PRESENT | PTE_PROTNONE):
        cached = int(_find_swap_cache(k, pte))
        read = cached >= 0 and k.pages[cached].flags & PG_uptodate
        return int(k.tags[cached] if read else k.swap_tags[_slot_index(k, pte)])
    pfn = pte >> PAGE_SHIFT
    if pfn == k.vm[0].zero_pfn and k.vm[0].profile > KERNEL_2_4_0:
        return HOLE
    return int(k.tags[pfn])


def _shared_contents(k: Kernel, vma: int, vpn: int) -> int:
    """What a page of shared memory without a file contains that this process does not map now; NIL otherwise."""
    area = k.vmas[vma]
    mapping = int(k.files[int(area.vm_file)].f_mapping)
    if area.vm_file == 0 or k.mappings[mapping].device != NIL:
        return NIL
    return int(_shmem_contents(k, mapping, vpn - int(area.vm_start) + int(area.vm_pgoff)))


def elf_core_dump(k: Kernel, t: int, name: str, signal: int, eip: int, times_ns: tuple[int, int]) -> CoreDump:
    """Take down what task `t`'s core file is to hold, at this moment.

    The mm is not dumpable any more and the task marked PF_DUMPCORE (for process accounting).  ``cost_ns`` grows by the
    copying of every page that is written.
    """
    task, vm = k.tasks[t], k.vm[0]
    mm, limit = int(task.mm), int(task.rlim_core)
    k.mms[mm].dumpable = 0
    task.flags = int(task.flags) | PF_DUMPCORE
    counts = vm.profile == KERNEL_2_2
    segments = tuple(_segment(k, vma) for vma in (_within(k, mm, limit) if counts else _areas(k, mm)))
    pages = sum(int(np.count_nonzero(segment.contents != HOLE)) for segment in segments)
    task.cost_ns += pages * int(k.costs[0].copy_page_ns)
    _log_event(k, EV_ELF_CORE_DUMP, t, pages)
    return CoreDump(
        name=name,
        pid=int(task.pid),
        ppid=int(k.tasks[task.parent].pid) if task.parent else 1,
        root=bool(task.root),
        nice=int(task.nice),
        flags=int(task.flags),
        signal=signal,
        pending=int(task.pending),
        blocked=int(task.blocked),
        eip=eip,
        esp=int(task.esp) or (int(vm.task_size_vpn) << PAGE_SHIFT) - 16,
        user_ns=times_ns[0],
        system_ns=times_ns[1],
        limit_bytes=RLIM_INFINITY if counts else limit,
        wide=vm.levels > 3,
        has_fpu=bool(task.used_math),
        task_struct=k.tasks[t].tobytes(),
        segments=segments,
    )


def _areas(k: Kernel, mm: int) -> list[int]:
    areas = []
    vma = int(k.mms[mm].mmap)
    while vma != NIL:
        areas.append(vma)
        vma = int(k.vmas[vma].vm_next)
    return areas


def _within(k: Kernel, mm: int, limit: int) -> list[int]:
    """The first areas whose dumped sizes stay below `limit` bytes; headers are not counted @2.2."""
    chosen, size = [], 0
    for vma in _areas(k, mm):
        size += int(k.vmas[vma].vm_end - k.vmas[vma].vm_start) * PAGE_SIZE if maydump(k, vma) else 0
        if size >= limit:
            break
        chosen.append(vma)
    return chosen


def _segment(k: Kernel, vma: int) -> CoreSegment:
    area = k.vmas[vma]
    start, end = int(area.vm_start), int(area.vm_end)
    contents = [page_contents(k, vma, vpn) for vpn in range(start, end)] if maydump(k, vma) else []
    return CoreSegment(start, end - start, int(area.vm_flags), np.array(contents, np.int64))
