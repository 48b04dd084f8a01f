"""The hardware between two events: one compiled loop over CPUs, accesses, TLBs and page tables.

The loop always advances the CPU with the earliest clock (ties by CPU number), one access at a time, so shared state
is touched in exact time order.  ``cpu.clock_ns`` is the instant at which the CPU's next access is issued: the
computing before that access has already been paid.  A CPU that needs the kernel calls the compiled fault rules at
that instant; only what must sleep, reclaim, or be told to Python stops the loop.

Invariant: when the loop returns, ``vm.now_ns`` is the instant it stopped, no running CPU is behind it by more than
ties, and every access so far was issued before the horizon.
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import part, rule
from numa_sim.hardware.memory_system import fifo_wait_ps, is_plain, queueing_ns, whole_ns
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
    PART_MAJOR_FAULT,
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
    STOP_KICK,
    STOP_SLICE,
)
from numa_sim.state.kernel import Kernel
from numa_sim.state.prefetch import prefetch

HORIZON = -1
"""`run_hardware` stopped because every CPU's next access lies at or beyond the horizon."""
KICK = -2
"""`run_hardware` stopped because a rule queued I/O or woke a daemon at ``vm.now_ns``."""

AHEAD = 8
"""How many accesses ahead the loop looks, so that the host has their page-table entries in its caches in time."""
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
def leaf_of(k: Kernel, cpu: int, vpn: int) -> int:
    """Row of the leaf table of `vpn`, NIL if there is none; the CPU remembers the last one it used.

    (A paging-structure cache of one entry; real ones have some tens.)
    """
    this = k.cpus[cpu]
    bits = k.vm[0].entry_bits
    if this.walk_vpn != vpn >> bits:
        row = leaf_row(k, this.mm, vpn)
        if row == NIL:
            return NIL
        this.walk_vpn = vpn >> bits
        this.walk_row = row
    return this.walk_row


@part
def access_pte(tables: np.ndarray, row: int, index: int, write: int) -> int:
    """Use one PTE as the hardware walker does: set ACCESSED (and DIRTY) in it; 0 if the access must fault."""
    pte = tables[row, index]
    if pte & PTE_PRESENT == 0 or (write != 0 and pte & PTE_RW == 0):
        return 0
    wanted = pte | PTE_ACCESSED | (PTE_DIRTY if write != 0 else 0)
    if wanted != pte:
        tables[row, index] = wanted
    return wanted


@part
def tlb_way(tlb: np.ndarray, index: int, vpn: int) -> int:
    """Way of set `index` that holds `vpn`, NIL if none."""
    for way in range(tlb.shape[1]):
        if tlb[index, way].vpn == vpn + 1:
            return way
    return NIL


@part
def tlb_fill(tlb: np.ndarray, victims: np.ndarray, index: int, way: int, vpn: int, pte: int) -> None:
    """Load a translation into `way` of its set; NIL: into the set's ways in turn (round robin, as many real TLBs)."""
    if way == NIL:
        way = victims[index]
        victims[index] = way + 1 if way + 1 < tlb.shape[1] else 0
    if way < tlb.shape[1]:  # a TLB switched off has no ways
        tlb[index, way].vpn = vpn + 1
        tlb[index, way].pte = pte


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
        # Major and yet done at once: read from a RAM-backed swap device.
        k.time_parts[t, PART_MAJOR_FAULT if status == FAULT_MAJOR else PART_MINOR_FAULT] += task.cost_ns
        task.cost_ns = 0
    else:
        task.fault_vpn = vpn
        task.fault_write = write
    return status


@rule
def settle(k: Kernel, cpu: int, home: int, accesses: int, lines: int, queued_ns: int) -> None:
    """Book `accesses` to memory of node `home` that moved `lines` lines and waited `queued_ns`."""
    node = k.cpus[cpu].node
    t = k.cpus[cpu].task
    memory_ns = accesses * k.latency[node, home] + (lines - accesses) * k.costs[0].line_ns
    pair = k.traffic[node, home]
    pair.accesses += accesses
    pair.lines += lines
    pair.latency_ns += memory_ns
    pair.queue_ns += queued_ns
    k.time_parts[t, PART_LOCAL if home == node else PART_REMOTE] += memory_ns
    k.time_parts[t, PART_QUEUEING] += queued_ns


@rule
def settle_channel(k: Kernel, home: int, busy_until_ps: int, lines: int, queued_ns: int) -> None:
    """Put back the memory controller that a CPU running alone had in hand."""
    channel = k.channels[home]
    channel.busy_until_ps = busy_until_ps
    channel.lines += lines
    channel.queue_ns += queued_ns


@part
def wants_attention(k: Kernel) -> bool:
    """Whether a rule has asked for something only Python can do: I/O, or waking kswapd."""
    vm = k.vm[0]
    return vm.kswapd_wanted != 0 or vm.io_head != vm.io_tail


@rule
def run_cpu(k: Kernel, cpu: int, limit_ns: int) -> int:
    """Advance one CPU while its next access is issued before `limit_ns`; return 0, or why it stopped (STOP_*).

    Nobody else moves meanwhile.  So arrays are looked up once, the sums of accesses to one node are booked when the
    node changes, and a memory controller at the end of a plain way stays in hand until then.
    """
    this = k.cpus[cpu]
    t = this.task
    task = k.tasks[t]
    tlb = k.tlb[cpu]
    accesses = k.accesses[t]
    tags = k.tags
    section_zone = k.section_zone
    node = this.node
    victims = k.tlb_victim[cpu]
    tables = k.tables
    bits = k.vm[0].entry_bits
    entry_mask = (1 << bits) - 1
    sets = tlb.shape[0] - 1
    line_ns = k.costs[0].line_ns
    miss_1024ths = k.costs[0].cache_miss_1024ths
    shift = k.vm[0].section_shift
    walk_ns = k.costs[0].tlb_walk_level_ns * k.vm[0].levels
    clock_ns = this.clock_ns
    position = task.access_next
    end = task.access_end
    start = position
    bound_ns = min(limit_ns, this.slice_end_ns)
    compute_ns = 0
    misses = 0
    stop = 0
    home = NIL  # node of the accesses being summed
    plain = False
    latency_ns = line_ps = busy_ps = n = n_lines = queued_ns = 0
    row = ahead_row = NIL
    row_vpn = ahead_vpn = NIL
    while clock_ns < bound_ns:
        if position >= end:
            stop = STOP_BUFFER
            break
        vpn = accesses[position].vpn
        write = accesses[position].write
        if position + AHEAD < end and accesses[position + AHEAD].vpn >> bits != vpn >> bits:
            # Not a walk along one table, which the host foresees by itself.
            soon_vpn = accesses[position + AHEAD].vpn
            if soon_vpn >> bits != ahead_vpn:
                ahead_vpn = soon_vpn >> bits
                ahead_row = leaf_row(k, this.mm, soon_vpn)
            if ahead_row != NIL:
                prefetch(tables, (ahead_row, soon_vpn & entry_mask))
            if accesses[position + AHEAD // 2].write != 0:
                # That PTE was fetched some accesses ago; the store it leads to will want the page's contents.
                soon_vpn = accesses[position + AHEAD // 2].vpn
                soon_row = leaf_row(k, this.mm, soon_vpn)
                if soon_row != NIL:
                    prefetch(tags, (tables[soon_row, soon_vpn & entry_mask] >> PAGE_SHIFT,))
        index = vpn & sets
        way = tlb_way(tlb, index, vpn)
        pte = 0 if way == NIL else tlb[index, way].pte
        spent_ns = 0
        if pte == 0 or (write != 0 and pte & PTE_DIRTY == 0):
            if vpn >> bits != row_vpn:
                row_vpn = vpn >> bits
                row = leaf_of(k, cpu, vpn)
            pte = 0 if row == NIL else access_pte(tables, row, vpn & entry_mask, write)
            if pte == 0:
                this.clock_ns = clock_ns
                status = fault_here(k, cpu, t, vpn, write)
                clock_ns = this.clock_ns
                if status != FAULT_MINOR and status != FAULT_MAJOR:
                    stop = STOP_FAULT
                    break
                if row == NIL:
                    row_vpn = ahead_vpn = NIL  # the fault made tables
                if wants_attention(k):
                    stop = STOP_KICK
                    break
                continue
            tlb_fill(tlb, victims, index, way, vpn, pte)
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
            spent_ns += k.costs[0].cache_hit_ns
            compute_ns += k.costs[0].cache_hit_ns
        else:
            to = section_zone[pfn >> shift] // NR_ZONES
            if to != home:
                if home != NIL:
                    settle(k, cpu, home, n, n_lines, queued_ns)
                    if plain:
                        settle_channel(k, home, busy_ps, n_lines, queued_ns)
                home = to
                plain = is_plain(k, node, home)
                latency_ns = k.latency[node, home]
                line_ps = k.channels[home].line_ps
                busy_ps = k.channels[home].busy_until_ps
                n = n_lines = queued_ns = 0
            wait_ns = 0
            if plain:
                t_ps = (clock_ns + spent_ns) * 1000
                wait_ps = fifo_wait_ps(busy_ps, t_ps)
                busy_ps = t_ps + wait_ps + lines * line_ps
                if wait_ps > 0:
                    wait_ns = whole_ns(wait_ps)
            else:
                wait_ns = queueing_ns(k, node, home, clock_ns + spent_ns, lines)
            n += 1
            n_lines += lines
            queued_ns += wait_ns
            spent_ns += latency_ns + (lines - 1) * line_ns + wait_ns
        position += 1
        if position < end:
            coming_ns = accesses[position].compute_ns
            compute_ns += coming_ns
            spent_ns += coming_ns
        clock_ns += spent_ns
    if stop == 0 and clock_ns < limit_ns:
        stop = STOP_SLICE if position < end else STOP_BUFFER
    if home != NIL:
        settle(k, cpu, home, n, n_lines, queued_ns)
        if plain:
            settle_channel(k, home, busy_ps, n_lines, queued_ns)
    this.clock_ns = clock_ns
    task.access_next = position
    task.accesses_done += position - start
    this.accesses += position - start
    this.tlb_misses += misses
    this.tlb_hits += position - start - misses
    k.time_parts[t, PART_COMPUTE] += compute_ns
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
        if stop == STOP_KICK:
            return KICK
        this = k.cpus[cpu]
        vm.now_ns = this.clock_ns
        this.running = 0
        this.stop_reason = stop
        return cpu
