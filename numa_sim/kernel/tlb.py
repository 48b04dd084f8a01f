"""TLB flushes and cross-CPU shoot-down, arch/i386/kernel/smp.c @2.4 (spec 11.4).

A CPU's TLB is a set-associative array of (vpn, pte); the hardware fills it (`numa_sim.hardware`), the kernel empties
it here.  ``mm.cpu_vm_mask`` names the CPUs that may hold entries of an address space: those get an interrupt and the
sender spins until the last one has answered.  One shoot-down at a time, machine-wide (tlbstate_lock).

Simplified: an interrupted CPU loses the handler's time after its current access; interrupts are never masked.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.locks import TLBSTATE_LOCK
from numa_sim.state.constants import NIL, PTE_GLOBAL
from numa_sim.state.counters import PART_SHOOTDOWN
from numa_sim.state.event_codes import EV_FLUSH_TLB_ALL, EV_FLUSH_TLB_MM, EV_FLUSH_TLB_PAGE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

_MASK_BITS = 32


@rule
def cpu_in_mask(k: Kernel, mm: int, cpu: int) -> bool:
    """Whether `cpu` may hold TLB entries of `mm`."""
    return (k.mms[mm].cpu_vm_mask[cpu >> 5] >> (cpu & 31)) & 1 != 0


@rule
def set_cpu_mask(k: Kernel, mm: int, cpu: int) -> None:
    """Enter `cpu` in ``mm.cpu_vm_mask``."""
    k.mms[mm].cpu_vm_mask[cpu >> 5] |= 1 << (cpu & 31)


@rule
def clear_cpu_mask(k: Kernel, mm: int, cpu: int) -> None:
    """Take `cpu` out of ``mm.cpu_vm_mask``."""
    k.mms[mm].cpu_vm_mask[cpu >> 5] &= ~(1 << (cpu & 31))


@rule
def invalidate_page(k: Kernel, cpu: int, vpn: int) -> None:
    """Drop the entry of `vpn` from one CPU's TLB (invlpg)."""
    index = vpn & (k.tlb.shape[1] - 1)
    for way in range(k.tlb.shape[2]):
        if k.tlb[cpu, index, way].vpn == vpn + 1:
            k.tlb[cpu, index, way].vpn = 0
    k.cpus[cpu].tlb_invlpg += 1


@rule
def invalidate_all(k: Kernel, cpu: int) -> None:
    """Drop every entry of one CPU's TLB but global ones, and its page-walk cache (writing CR3)."""
    keep = PTE_GLOBAL if k.cpus[cpu].holds_global != 0 else 0
    for index in range(k.tlb.shape[1]):
        for way in range(k.tlb.shape[2]):
            if keep == 0 or k.tlb[cpu, index, way].pte & keep == 0:
                k.tlb[cpu, index, way].vpn = 0
    for at in range(k.walks.shape[1]):
        k.walks[cpu, at].upper = 0
    k.cpus[cpu].tlb_flushes += 1


@rule
def invalidate_global(k: Kernel, cpu: int) -> None:
    """Drop every entry of one CPU's TLB, global ones too (clearing CR4.PGE and setting it again)."""
    k.cpus[cpu].holds_global = 0
    invalidate_all(k, cpu)


@part
def _interrupt(k: Kernel, here: int, cpu: int) -> int:
    """Send `cpu` an interrupt, which takes its time; when it has answered, ns."""
    costs = k.costs[0]
    target = k.cpus[cpu]
    k.cpus[here].ipis_sent += 1
    target.ipis_received += 1
    if target.running != 0:
        target.clock_ns += costs.ipi_handler_ns
        k.time_parts[target.task, PART_SHOOTDOWN] += costs.ipi_handler_ns
    return costs.ipi_ns * k.distance[k.cpus[here].node, target.node] // 10 + costs.ipi_handler_ns


@part
def _hold_tlbstate_lock(k: Kernel, at_ns: int, hold_ns: int) -> int:
    """Take the machine-wide lock for `hold_ns`; the wait for the shoot-down before ours, in ns.

    There is none if our own work so far took longer.
    """
    vm = k.vm[0]
    lock = k.locks[TLBSTATE_LOCK]
    wait_ns = max(0, lock.until_ns - at_ns)
    lock.since_ns = at_ns + wait_ns
    lock.until_ns = lock.since_ns + hold_ns
    if vm.locks != 0 and vm.current_task > 0:
        lock.acquisitions += 1
        lock.hold_ns += hold_ns
        if wait_ns > 0:
            lock.contentions += 1
            lock.wait_ns += wait_ns
            k.tasks[vm.current_task].lock_wait_ns += wait_ns
    return wait_ns


@part
def _wait_for_answers(k: Kernel, cost: int, slowest_ns: int) -> int:
    """What a flush costs its initiator: its own work so far, the machine-wide lock, the slowest answer."""
    if slowest_ns == 0:
        return cost
    at_ns = k.vm[0].now_ns + cost
    if k.vm[0].current_task >= 0:
        at_ns += k.tasks[k.vm[0].current_task].cost_ns
    return cost + _hold_tlbstate_lock(k, at_ns, slowest_ns) + slowest_ns


@rule
def _shoot_down(k: Kernel, mm: int, vpn: int) -> int:
    """Flush `vpn` (NIL = everything of `mm`) on every CPU that may hold it; return the initiator's cost in ns."""
    vm = k.vm[0]
    costs = k.costs[0]
    here = vm.current_cpu
    cost = 0
    slowest_ns = 0
    for cpu in range(vm.nr_cpus):
        target = k.cpus[cpu]
        if not cpu_in_mask(k, mm, cpu):
            if target.lazy != 0 and target.mm == mm:
                target.ipis_spared += 1
            continue
        if cpu == here:
            if target.mm != mm or target.lazy != 0:
                clear_cpu_mask(k, mm, cpu)  # leave_mm: a kernel thread runs here on a borrowed mm
                invalidate_all(k, cpu)
                cost += costs.tlb_flush_ns
            elif vpn == NIL:
                invalidate_all(k, cpu)
                cost += costs.tlb_flush_ns
            else:
                invalidate_page(k, cpu, vpn)
                cost += costs.invlpg_ns
            continue
        slowest_ns = max(slowest_ns, _interrupt(k, here, cpu))
        if target.lazy != 0 or target.mm != mm:
            clear_cpu_mask(k, mm, cpu)
            invalidate_all(k, cpu)
            target.lazy_leaves += 1
        elif vpn == NIL:
            invalidate_all(k, cpu)
        else:
            invalidate_page(k, cpu, vpn)
    return _wait_for_answers(k, cost, slowest_ns)


@rule
def flush_tlb_page(k: Kernel, mm: int, vpn: int) -> None:
    """flush_tlb_page @2.4: after a PTE of `mm` changed; the cost goes to the current task's ``cost_ns``."""
    cost = _shoot_down(k, mm, vpn)
    log_event(k, EV_FLUSH_TLB_PAGE, mm, vpn)
    if k.vm[0].current_task >= 0:
        k.tasks[k.vm[0].current_task].cost_ns += cost


@rule
def flush_tlb_mm(k: Kernel, mm: int) -> None:
    """flush_tlb_mm / flush_tlb_range @2.4 SMP: everything of `mm`, everywhere."""
    cost = _shoot_down(k, mm, NIL)
    log_event(k, EV_FLUSH_TLB_MM, mm, 0)
    if k.vm[0].current_task >= 0:
        k.tasks[k.vm[0].current_task].cost_ns += cost


@rule
def flush_tlb_all(k: Kernel) -> None:
    """flush_tlb_all @2.4 SMP: everything, everywhere, for a change of the kernel's own mappings."""
    here = k.vm[0].current_cpu + 0
    slowest_ns = 0
    for cpu in range(k.vm[0].nr_cpus):
        if cpu != here:
            slowest_ns = max(slowest_ns, _interrupt(k, here, cpu))
        invalidate_global(k, cpu)
    cost = _wait_for_answers(k, k.costs[0].tlb_flush_ns, slowest_ns)
    log_event(k, EV_FLUSH_TLB_ALL, here, 0)
    if k.vm[0].current_task >= 0:
        k.tasks[k.vm[0].current_task].cost_ns += cost


@rule
def switch_mm(k: Kernel, cpu: int, mm: int) -> bool:
    """switch_mm @2.4: `cpu` goes to address space `mm`; return whether the TLB was flushed.

    Going back to the same mm after a kernel thread or idle costs nothing unless a shoot-down made us leave it.
    """
    this = k.cpus[cpu]
    if this.mm == mm:
        this.lazy = 0
        if cpu_in_mask(k, mm, cpu):
            return False
        set_cpu_mask(k, mm, cpu)
        invalidate_all(k, cpu)
        return True
    if this.mm != NIL:
        clear_cpu_mask(k, this.mm, cpu)
    this.mm = mm
    this.lazy = 0
    set_cpu_mask(k, mm, cpu)
    invalidate_all(k, cpu)
    return True
