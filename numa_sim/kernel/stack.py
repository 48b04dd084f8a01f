"""expand_stack: include/linux/mm.h and mm/mmap.c:find_extend_vma (spec 7.2, G-11, G-12).

There is no guard gap in these kernels: a stack may grow until it touches its neighbour.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.vma import wrap_pgoff
from numa_sim.kernel.vma_index.areas import find_vma
from numa_sim.state.answers import ENOMEM
from numa_sim.state.constants import KERNEL_2_4_0, NIL, PAGE_SHIFT, VM_GROWSDOWN, VM_LOCKED
from numa_sim.state.counters import STACK_PAGES_GROWN
from numa_sim.state.event_codes import EV_EXPAND_STACK, EV_MAKE_PAGES_PRESENT
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel


@rule
def expand_stack(k: Kernel, t: int, vma: int, vpn: int) -> int:
    """Have a GROWSDOWN area begin at page `vpn`, below its start: 0, or -ENOMEM (RLIMIT_STACK, RLIMIT_AS).

    Late 2.4 also refuses to lock more than RLIMIT_MEMLOCK.
    """
    area, task = k.vmas[vma], k.tasks[t]
    space = k.mms[area.vm_mm]
    late = k.vm[0].vma_rules > KERNEL_2_4_0
    grow = area.vm_start - vpn
    if late and grow <= 0:
        return 0
    if (area.vm_end - vpn) << PAGE_SHIFT > task.rlim_stack:
        return -ENOMEM
    if (space.total_vm + grow) << PAGE_SHIFT > task.rlim_as:
        return -ENOMEM
    locked = area.vm_flags & VM_LOCKED != 0
    if late and locked and (space.locked_vm + grow) << PAGE_SHIFT > task.rlim_memlock:
        return -ENOMEM
    area.vm_start = vpn
    area.vm_pgoff = wrap_pgoff(k, area.vm_pgoff - grow)
    space.total_vm += grow
    if locked:
        space.locked_vm += grow
    count(k, k.cpus[k.vm[0].current_cpu].node, STACK_PAGES_GROWN, grow)
    log_event(k, EV_EXPAND_STACK, vpn, grow)
    return 0


@rule
def find_extend_vma(k: Kernel, t: int, vpn: int) -> int:
    """The area that contains `vpn`, a stack extended to it if need be; NIL if there is none or it must not grow."""
    vma = find_vma(k, k.tasks[t].mm, vpn)
    if vma == NIL or k.vmas[vma].vm_start <= vpn:
        return vma
    start = k.vmas[vma].vm_start + 0
    if k.vmas[vma].vm_flags & VM_GROWSDOWN == 0 or expand_stack(k, t, vma, vpn) != 0:
        return NIL
    if k.vmas[vma].vm_flags & VM_LOCKED != 0:
        log_event(k, EV_MAKE_PAGES_PRESENT, vpn, start)
    return vma
