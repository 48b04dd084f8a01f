"""The hardware between two events: one compiled loop over CPUs, accesses, TLBs and page tables.

The loop always advances the CPU with the earliest clock (ties by CPU number), one access at a time, so shared state
is touched in exact time order.  ``cpu.clock_ns`` is the instant at which the CPU's next access is issued: the
computing before that access has already been paid.  A CPU that needs the kernel calls the compiled fault rules at
that instant; only what must sleep, reclaim, or be told to Python stops the loop.

Invariant: when the loop returns, ``vm.now_ns`` is the instant it stopped, no running CPU is behind it by more than
ties, and every access so far was issued before the horizon.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.hardware.memory_system import queueing_ns
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.state.constants import (
    FAULT_MAJOR,
    FAULT_MINOR,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PART_COMPUTE,
    PART_LOCAL,
    PART_MINOR_FAULT,
    PART_QUEUEING,
    PART_REMOTE,
    PART_TLB_WALK,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    STOP_BUFFER,
    STOP_FAULT,
    STOP_SLICE,
)
from numa_sim.state.kernel import Kernel

HORIZON = -1
"""`run_hardware` stopped because every CPU's next access lies at or beyond the horizon."""
KICK = -2
"""`run_hardware` stopped because a rule queued I/O or woke a daemon at ``vm.now_ns``."""

TAG_BITS = 48
_TAG_MASK = (1 << TAG_BITS) - 1


@rule
def stored(tag: int, vpn: int) -> int:
    """Contents tag of a page after one more store to it."""
    return (tag * 5 + vpn + 1) & _TAG_MASK


@rule
def begin_accesses(k: Kernel, cpu: int) -> None:
    """Pay the computing before the first access of a fresh buffer; afterwards the clock is its issue instant."""
    t = k.cpus[cpu].task
    compute_ns = k.accesses[t, k.tasks[t].access_next].compute_ns
    k.cpus[cpu].clock_ns += compute_ns
    k.time_parts[t, PART_COMPUTE] += compute_ns


@rule
def earliest(k: Kernel, horizon_ns: int) -> tuple[int, int]:
    """The running CPU to advance, and the instant before which it may run alone.

    Returns
    -------
    (cpu, limit_ns)
        NIL if no running CPU's clock is before the horizon.  The CPU may issue every access whose instant is
        *before* `limit_ns`: that is the first instant at which another CPU, or the next event, goes first.
    """
    best = NIL
    best_ns = horizon_ns
    limit_ns = horizon_ns
    for cpu in range(k.cpus.shape[0]):
        if k.cpus[cpu].running == 0:
            continue
        clock_ns = k.cpus[cpu].clock_ns
        if clock_ns < best_ns:
            # The previous best has the lower number: at a tie it goes first, so we must stop before its clock.
            if best != NIL:
                limit_ns = best_ns
            best = cpu
            best_ns = clock_ns
        elif clock_ns < limit_ns:
            # A later CPU loses ties: we may still issue at its very clock.
            limit_ns = min(limit_ns, clock_ns + 1)
    return best, limit_ns


@rule
def tlb_fill(k: Kernel, cpu: int, vpn: int, pte: int) -> None:
    """Load a translation over its old self, or replace the set's ways in turn (round robin, as many real TLBs)."""
    ways = k.tlb.shape[2]
    if ways == 0:
        return
    index = vpn & (k.tlb.shape[1] - 1)
    way = -1
    for candidate in range(ways):
        if k.tlb[cpu, index, candidate].vpn == vpn + 1:
            way = candidate
    if way == -1:
        way = k.tlb_victim[cpu, index]
        k.tlb_victim[cpu, index] = way + 1 if way + 1 < ways else 0
    k.tlb[cpu, index, way].vpn = vpn + 1
    k.tlb[cpu, index, way].pte = pte


@rule
def walk(k: Kernel, cpu: int, vpn: int, write: int) -> int:
    """Hardware page walk: the PTE to use, with ACCESSED (and DIRTY) set in memory; 0 if the access must fault.

    The CPU remembers the last leaf table it used (a paging-structure cache of one entry).
    """
    this = k.cpus[cpu]
    bits = k.vm[0].entry_bits
    if this.walk_vpn == vpn >> bits:
        row = this.walk_row
    else:
        row = leaf_row(k, this.mm, vpn)
        if row == NIL:
            return 0
        this.walk_vpn = vpn >> bits
        this.walk_row = row
    index = vpn & ((1 << bits) - 1)
    pte = k.tables[row, index]
    if pte & PTE_PRESENT == 0 or (write != 0 and pte & PTE_RW == 0):
        return 0
    wanted = pte | PTE_ACCESSED
    if write != 0:
        wanted |= PTE_DIRTY
    if wanted != pte:
        k.tables[row, index] = wanted
    return wanted


@rule
def fault_here(k: Kernel, cpu: int, t: int, vpn: int, write: int) -> int:
    """Enter the kernel's fault path on `cpu` now; a fault that completes costs its time and the access restarts."""
    vm = k.vm[0]
    task = k.tasks[t]
    this = k.cpus[cpu]
    vm.now_ns = this.clock_ns
    vm.current_task = t
    vm.current_cpu = cpu
    task.cost_ns = 0
    status = handle_mm_fault(k, t, vpn, write)
    task.fault_status = status
    if status == FAULT_MINOR or status == FAULT_MAJOR:
        this.clock_ns += task.cost_ns
        k.time_parts[t, PART_MINOR_FAULT] += task.cost_ns
        task.cost_ns = 0
    else:
        task.fault_vpn = vpn
        task.fault_write = write
    return status


@rule
def run_cpu(k: Kernel, cpu: int, limit_ns: int) -> int:
    """Advance one CPU while its next access is issued before `limit_ns`; return 0, or why it stopped (STOP_*).

    Everything the loop needs of arrays and records is taken out in front of it: the compiler cannot know that
    writing one array leaves the others where they are.
    """
    this = k.cpus[cpu]
    t = this.task
    task = k.tasks[t]
    costs = k.costs[0]
    tlb = k.tlb[cpu]
    accesses = k.accesses[t]
    tags = k.tags
    section_zone = k.section_zone
    latency = k.latency[this.node]
    traffic = k.traffic[this.node]
    node = this.node
    sets = tlb.shape[0] - 1
    ways = tlb.shape[1]
    line_ns = costs.line_ns
    miss_1024ths = costs.cache_miss_1024ths
    shift = k.vm[0].section_shift
    walk_ns = costs.tlb_walk_level_ns * k.vm[0].levels
    slice_end_ns = this.slice_end_ns
    clock_ns = this.clock_ns
    position = task.access_next
    end = task.access_end
    start = position
    compute_ns = 0
    local_ns = 0
    remote_ns = 0
    queued_ns = 0
    misses = 0
    stop = 0
    while clock_ns < limit_ns:
        if position >= end:
            stop = STOP_BUFFER
            break
        if clock_ns >= slice_end_ns:
            stop = STOP_SLICE
            break
        vpn = accesses[position].vpn
        write = accesses[position].write
        index = vpn & sets
        pte = 0
        for way in range(ways):
            if tlb[index, way].vpn == vpn + 1:
                pte = tlb[index, way].pte
                break
        spent_ns = 0
        if pte == 0 or (write != 0 and pte & PTE_DIRTY == 0):
            pte = walk(k, cpu, vpn, write)
            if pte == 0:
                stop = STOP_FAULT
                break
            tlb_fill(k, cpu, vpn, pte)
            misses += 1
            spent_ns = walk_ns
        pfn = pte >> PAGE_SHIFT
        if write != 0:
            tags[pfn] = stored(tags[pfn], vpn)
        lines = int(accesses[position].lines)
        if miss_1024ths != 1024:
            credit = this.cache_credit + lines * miss_1024ths
            this.cache_credit = credit & 1023
            lines = credit >> 10
        if lines == 0:
            spent_ns += costs.cache_hit_ns
            compute_ns += costs.cache_hit_ns
        else:
            home = section_zone[pfn >> shift] // NR_ZONES
            memory_ns = latency[home] + (lines - 1) * line_ns
            wait_ns = queueing_ns(k, node, home, clock_ns + spent_ns, lines)
            if home == node:
                local_ns += memory_ns
            else:
                remote_ns += memory_ns
            queued_ns += wait_ns
            pair = traffic[home]
            pair.accesses += 1
            pair.lines += lines
            pair.latency_ns += memory_ns
            pair.queue_ns += wait_ns
            spent_ns += memory_ns + wait_ns
        position += 1
        if position < end:
            ahead_ns = accesses[position].compute_ns
            compute_ns += ahead_ns
            spent_ns += ahead_ns
        clock_ns += spent_ns
    this.clock_ns = clock_ns
    task.access_next = position
    task.accesses_done += position - start
    this.accesses += position - start
    this.tlb_misses += misses
    this.tlb_hits += position - start - misses
    k.time_parts[t, PART_COMPUTE] += compute_ns
    k.time_parts[t, PART_LOCAL] += local_ns
    k.time_parts[t, PART_REMOTE] += remote_ns
    k.time_parts[t, PART_QUEUEING] += queued_ns
    k.time_parts[t, PART_TLB_WALK] += misses * walk_ns
    return stop


@rule
def run_hardware(k: Kernel, horizon_ns: int) -> int:
    """Let the CPUs run until one needs Python or all have reached the horizon.

    Returns
    -------
    int
        A CPU number: it stopped at ``vm.now_ns`` for ``cpus[c].stop_reason``; HORIZON; or KICK.
    """
    vm = k.vm[0]
    while True:
        cpu, limit_ns = earliest(k, horizon_ns)
        if cpu == NIL:
            return HORIZON
        stop = run_cpu(k, cpu, limit_ns)
        if stop == 0:
            continue
        this = k.cpus[cpu]
        vm.now_ns = this.clock_ns
        if stop == STOP_FAULT:
            access = k.accesses[this.task, k.tasks[this.task].access_next]
            status = fault_here(k, cpu, this.task, access.vpn, access.write)
            if status == FAULT_MINOR or status == FAULT_MAJOR:
                if vm.kswapd_wanted != 0 or vm.io_head != vm.io_tail:
                    return KICK
                continue
        this.running = 0
        this.stop_reason = stop
        return cpu
