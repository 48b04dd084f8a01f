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
from numa_sim.hardware.host import lowest_bit
from numa_sim.hardware.memory_system import fifo_wait_ps, is_plain, queueing_ns, whole_ns
from numa_sim.hardware.mmu import access_pte, needs_of, past_caches, walk_to_leaf
from numa_sim.hardware.tlb import micro_tag, tlb_fill, tlb_way
from numa_sim.hardware.use_order import note_uses
from numa_sim.kernel.fault_latency import begin_fault, end_fault
from numa_sim.kernel.memory import handle_mm_fault
from numa_sim.kernel.mmap_sem import fault_with_mmap_sem
from numa_sim.state.answers import FAULT_MAJOR, FAULT_MINOR, STOP_BUFFER, STOP_FAULT, STOP_KICK, STOP_SLICE
from numa_sim.state.constants import NIL, NR_ZONES, PAGE_SHIFT, PTE_DIRTY, TRACK_USES
from numa_sim.state.counters import (
    PART_COMPUTE,
    PART_LOCAL,
    PART_LOCK_WAIT,
    PART_MAJOR_FAULT,
    PART_MINOR_FAULT,
    PART_QUEUEING,
    PART_REMOTE,
    PART_TLB_WALK,
)
from numa_sim.state.kernel import Kernel
from numa_sim.state.prefetch import prefetch

HORIZON = -1
"""`run_hardware` stopped because every CPU's next access lies at or beyond the horizon."""
KICK = -2
"""`run_hardware` stopped because a rule queued I/O or woke a daemon at ``vm.now_ns``."""

AHEAD = 8
"""How many accesses ahead the loop looks, so that the host has their page-table entries in its caches in time."""
FAR_NS = 1 << 62
"""Of a CPU that is not running: after every horizon."""
TAG_BITS = 48
_TAG_MASK = (1 << TAG_BITS) - 1

# Why a stretch of plain accesses ends before its time.
_OTHER_TABLE = 1
_PAGE_FAULT = 2
_OTHER_ZONE = 3


@rule
def stored(tag: int, vpn: int) -> int:
    """Contents tag of a page after one more store to it."""
    return (tag * 5 + vpn + 1) & _TAG_MASK


@rule
def begin_accesses(k: Kernel, cpu: int) -> None:
    """Pay the computing before the first access of a fresh buffer; afterwards the clock is its issue instant."""
    t = k.cpus[cpu].task
    k.tasks[t].access_ready = 0
    compute_ns = k.accesses[t, k.tasks[t].access_next].compute_ns
    k.cpus[cpu].clock_ns += compute_ns
    k.time_parts[t, PART_COMPUTE] += compute_ns


@part
def note_clocks(k: Kernel) -> None:
    """Note when each CPU's next access is issued, side by side; FAR if it is not running."""
    for cpu in range(k.cpus.shape[0]):
        k.next_ns[cpu] = k.cpus[cpu].clock_ns if k.cpus[cpu].running != 0 else FAR_NS
    k.vm[0].clocks_moved = 0


@part
def earliest(next_ns: np.ndarray, horizon_ns: int) -> tuple[int, int]:
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
    for cpu in range(next_ns.shape[0]):
        clock_ns = next_ns[cpu]
        first = clock_ns < best_ns
        # At a tie the lower number goes first: one found before must not be met, a later one may be.
        other_ns = best_ns if first else clock_ns + 1
        limit_ns = min(limit_ns, other_ns)
        best = cpu if first else best
        best_ns = min(best_ns, clock_ns)
    return best, limit_ns


@rule
def look_ahead(k: Kernel, cpu: int, t: int) -> int:
    """Tell the host what the accesses after the next AHEAD will want; return how far task `t` may run until then.

    That is their page-table entries.  The entries of the next AHEAD have come meanwhile: those that write will want
    the contents of their pages.  One table from end to end the host foresees by itself.
    """
    task = k.tasks[t]
    bits = k.vm[0].entry_bits
    ready = task.access_ready + 0
    soon = min(ready + AHEAD, task.access_end)
    later = min(soon + AHEAD, task.access_end)
    task.access_ready = soon
    if k.accesses[t, ready].vpn >> bits == k.accesses[t, later - 1].vpn >> bits:
        return soon
    for i in range(ready if ready == 0 else soon, later):
        row = walk_to_leaf(k, cpu, k.accesses[t, i].vpn)
        if row != NIL:
            prefetch(k.tables, (row, k.accesses[t, i].vpn & ((1 << bits) - 1)))
    for i in range(ready, soon):
        if k.accesses[t, i].write != 0:
            row = walk_to_leaf(k, cpu, k.accesses[t, i].vpn)
            if row != NIL:
                prefetch(k.tags, (k.tables[row, k.accesses[t, i].vpn & ((1 << bits) - 1)] >> PAGE_SHIFT,))
    return soon


@rule
def fault_here(k: Kernel, cpu: int, t: int, vpn: int, write: int) -> int:
    """Enter the kernel's fault path on `cpu` now; a fault that completes costs its time and the access restarts."""
    vm = k.vm[0]
    task = k.tasks[t]
    this = k.cpus[cpu]
    vm.now_ns = this.clock_ns
    vm.clocks_moved = 1  # rules may take other CPUs' time: a shoot-down
    vm.current_task = t
    vm.current_cpu = cpu
    task.cost_ns = 0
    if vm.fault_latency != 0:
        begin_fault(k, t, vpn)
    if k.mms[this.mm].mmap_sem != 0:
        status = fault_with_mmap_sem(k, t, vpn, write)
    else:
        status = handle_mm_fault(k, t, vpn, write)
    task.fault_status = status
    if status == FAULT_MINOR or status == FAULT_MAJOR:
        this.clock_ns += task.cost_ns
        if vm.fault_latency != 0:
            end_fault(k, t, this.clock_ns)
        if task.lock_wait_ns != 0:
            k.time_parts[t, PART_LOCK_WAIT] += task.lock_wait_ns
            task.cost_ns -= task.lock_wait_ns
            task.lock_wait_ns = 0
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
    """Whether a rule has asked for something only Python can do: I/O, or waking a daemon."""
    vm = k.vm[0]
    return vm.kswapd_wanted | vm.kreclaimd_wanted | vm.bdflush_wanted != 0 or vm.io_head != vm.io_tail


@rule
def run_cpu(k: Kernel, cpu: int, limit_ns: int) -> int:
    """Advance one CPU while its next access is issued before `limit_ns`; return 0, or why it stopped (STOP_*).

    Nobody else moves meanwhile.  So arrays are looked up once, the sums of accesses to one node are booked when the
    node changes, and a memory controller at the end of a plain way stays in hand until then.  An access takes effect
    only when its page table, frame and node are known; until then it may start again.
    """
    this = k.cpus[cpu]
    t = this.task
    task = k.tasks[t]
    tlb = k.tlb[cpu]
    accesses = k.accesses[t]
    tags = k.tags
    section_zone = k.section_zone
    node = this.node
    micro_tags = k.tlb_micro_tags[cpu]
    victims = k.tlb_victim[cpu]
    tables = k.tables
    bits = k.vm[0].entry_bits
    entry_mask = (1 << bits) - 1
    sets = tlb.shape[0] - 1
    set_bits = lowest_bit(tlb.shape[0])
    line_ns = k.costs[0].line_ns
    hit_ns = k.costs[0].cache_hit_ns
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
    home = home_zone = NIL  # node of the accesses being summed, zone of the last
    plain = False
    latency_ns = line_ps = busy_ps = n = n_lines = queued_ns = 0
    read_needs, write_needs = needs_of(k, task.kernel_mode)
    write_needs_cached = write_needs | PTE_DIRTY  # a store through a clean TLB entry walks, to make the PTE dirty
    if task.kernel_mode != 0:
        this.holds_global |= k.vm[0].pge
    row = NIL
    row_upper = NIL
    ready = task.access_ready
    while clock_ns < bound_ns:
        if position >= end:
            stop = STOP_BUFFER
            break
        if position >= ready:
            ready = look_ahead(k, cpu, t)
            continue
        why = vpn = write = 0
        zone = NIL
        # The heart of it: plain accesses, one after the other.  Whatever is rare ends the stretch and is done below,
        # and the access that met it starts again: so this part is small, and stays in the host's registers.
        while clock_ns < bound_ns and position < ready:
            access = accesses[position]
            vpn = access.vpn
            write = access.write
            index = vpn & sets
            tag = micro_tag(tlb, vpn, set_bits)
            way = tlb_way(tlb, micro_tags, index, vpn, tag)
            pte = 0 if way == NIL else tlb[index, way].pte
            if write == 0:
                walked = pte & read_needs != read_needs
            else:
                walked = pte & write_needs_cached != write_needs_cached
            if walked:
                if vpn >> bits != row_upper:
                    why = _OTHER_TABLE
                    break
                pte = access_pte(tables, row, vpn & entry_mask, write, read_needs, write_needs)
                if pte == 0:
                    why = _PAGE_FAULT
                    break
            pfn = pte >> PAGE_SHIFT
            zone = section_zone[pfn >> shift]
            if zone != home_zone:
                why = _OTHER_ZONE
                break
            spent_ns = 0
            if walked:
                tlb_fill(tlb, micro_tags, victims, index, way, vpn, tag, pte)
                misses += 1
                spent_ns = walk_ns
            if write != 0:
                tags[pfn] = stored(tags[pfn], vpn)
            lines = int(access.lines)
            if miss_1024ths != 1024 and not past_caches(pte, write):
                credit = this.cache_credit + lines * miss_1024ths
                this.cache_credit = credit & 1023
                lines = credit >> 10
            if lines == 0:
                spent_ns += hit_ns
                compute_ns += hit_ns
            else:
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
        if why == _OTHER_TABLE:
            row = walk_to_leaf(k, cpu, vpn)
            row_upper = vpn >> bits if row != NIL else NIL
            if row == NIL:
                why = _PAGE_FAULT
        if why == _PAGE_FAULT:
            this.clock_ns = clock_ns
            status = fault_here(k, cpu, t, vpn, write)
            clock_ns = this.clock_ns
            if status != FAULT_MINOR and status != FAULT_MAJOR:
                stop = STOP_FAULT
                break
            if wants_attention(k):
                stop = STOP_KICK
                break
        elif why == _OTHER_ZONE:
            home_zone = zone
            to = zone // NR_ZONES
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
    if stop == 0 and clock_ns < limit_ns:
        stop = STOP_SLICE if position < end else STOP_BUFFER
    if home != NIL:
        settle(k, cpu, home, n, n_lines, queued_ns)
        if plain:
            settle_channel(k, home, busy_ps, n_lines, queued_ns)
    if stop == 0 and position < end:
        # Another CPU's turn: meanwhile the host can fetch what this one looks at first.
        soon = accesses[position].vpn & sets
        prefetch(micro_tags, (soon,))
        prefetch(tlb, (soon, 0))
        prefetch(tlb, (soon, tlb.shape[1] // 2))
    this.clock_ns = clock_ns
    task.access_next = position
    task.accesses_done += position - start
    this.accesses += position - start
    this.tlb_misses += misses
    this.tlb_hits += position - start - misses
    k.time_parts[t, PART_COMPUTE] += compute_ns
    k.time_parts[t, PART_TLB_WALK] += misses * walk_ns
    if k.vm[0].track_use == TRACK_USES:
        note_uses(k, this.mm, t, start, position)
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
    next_ns = k.next_ns
    note_clocks(k)
    while True:
        cpu, limit_ns = earliest(next_ns, horizon_ns)
        if cpu == NIL:
            return HORIZON
        stop = run_cpu(k, cpu, limit_ns)
        if vm.clocks_moved != 0:
            note_clocks(k)
        else:
            next_ns[cpu] = k.cpus[cpu].clock_ns
        if stop == 0:
            continue
        if stop == STOP_KICK:
            return KICK
        this = k.cpus[cpu]
        vm.now_ns = this.clock_ns
        this.running = 0
        this.stop_reason = stop
        return cpu
