"""CPUs, TLBs, the memory system, costs and locks as numpy records (see `numa_sim.state.layout`)."""

from __future__ import annotations

import numpy as np

MAX_HOPS = 8
CURVE_POINTS = 65
WALK_ENTRIES = 128

CPU = np.dtype(
    [
        ("clock_ns", "i8"),
        ("running", "i8"),  # 1 while the hardware executes a task's accesses
        ("task", "i8"),
        ("mm", "i8"),  # active_mm
        ("node", "i8"),
        ("slice_end_ns", "i8"),
        ("stop_reason", "i8"),
        ("cache_credit", "i8"),
        ("tlb_hits", "i8"),
        ("tlb_misses", "i8"),
        ("tlb_flushes", "i8"),
        ("tlb_invlpg", "i8"),
        ("ipis_received", "i8"),
        ("ipis_sent", "i8"),
        ("context_switches", "i8"),
        ("busy_ns", "i8"),
        ("accesses", "i8"),
        ("lazy", "i8"),  # TLBSTATE_LAZY: a kernel thread or idle keeps the mm
        ("holds_global", "i8"),  # 1: its TLB may hold global entries
        # pgd_quicklist, pmd_quicklist, pte_quicklist: rows of spare page tables, and how many there are
        ("quicklist", "i8", (3,)),
        ("pgtable_cache_size", "i8"),
        ("lazy_leaves", "i8"),  # shoot-downs that made it leave an mm it was lazy on
        ("ipis_spared", "i8"),  # shoot-downs of that mm afterwards
    ],
    align=True,
)

TLB_ENTRY = np.dtype([("vpn", "i8"), ("pte", "i8")], align=True)
"""vpn + 1 (0 = invalid) and the PTE as it was when loaded (with ACCESSED; DIRTY once a write went through it)."""

WALK_ENTRY = np.dtype([("upper", "i8"), ("row", "i8")], align=True)
"""Of a page-walk cache: (vpn >> entry_bits) + 1 (0 = empty), and the row of the leaf table that maps those pages."""

ACCESS = np.dtype([("vpn", "i8"), ("compute_ns", "i4"), ("lines", "i2"), ("write", "i2")], align=True)
"""One access: a page, CPU time spent before it (cache hits, arithmetic), cache lines moved, read 0 / write 1."""

CHANNEL = np.dtype(
    [
        # a memory controller (channel n = node n) or a link (nr_nodes + link)
        ("model", "i8"),
        ("line_ps", "i8"),  # service time of one cache line at capacity
        ("busy_until_ps", "i8"),
        ("curve", "i8"),  # row of `curves`
        ("window_ns", "i8"),  # over which requested load is measured
        ("window_start_ns", "i8"),
        ("window_lines", "i8"),
        ("extra_ns", "i8"),  # loaded minus idle latency in this window
        ("lines", "i8"),
        ("queue_ns", "i8"),
        ("busy_ps", "i8"),
    ],
    align=True,
)

TRAFFIC = np.dtype([("accesses", "i8"), ("lines", "i8"), ("latency_ns", "i8"), ("queue_ns", "i8")], align=True)
"""Of one (CPU node, memory node) pair."""

COSTS = np.dtype(
    [
        # What kernel and hardware work takes (config table `costs`, with sources)
        ("tlb_walk_level_ns", "i8"),
        ("cache_hit_ns", "i8"),
        ("line_ns", "i8"),  # each further line of one access (the core streams)
        ("cache_miss_1024ths", "i8"),  # share of lines that miss the CPU's caches, of 1024
        ("minor_fault_ns", "i8"),
        ("zero_page_fault_ns", "i8"),
        ("clear_page_ns", "i8"),
        ("copy_page_ns", "i8"),
        ("swap_fault_ns", "i8"),
        ("table_alloc_ns", "i8"),
        ("alloc_slow_ns", "i8"),
        ("scan_page_ns", "i8"),
        ("scan_pte_ns", "i8"),
        ("unmap_pte_ns", "i8"),
        ("free_page_ns", "i8"),
        ("submit_io_ns", "i8"),
        ("end_io_ns", "i8"),
        ("context_switch_ns", "i8"),
        ("tlb_flush_ns", "i8"),
        ("invlpg_ns", "i8"),
        ("ipi_ns", "i8"),  # per hop of distance 10: scaled by SLIT distance / 10
        ("ipi_handler_ns", "i8"),
        ("syscall_ns", "i8"),
        ("segment_check_ns", "i8"),
        # how long a spinlock is held
        ("zone_lock_ns", "i8"),
        ("lru_lock_ns", "i8"),
        ("pagecache_lock_ns", "i8"),
        ("page_table_lock_ns", "i8"),
        ("swap_lock_ns", "i8"),
        ("fork_ns", "i8"),
        ("copy_pte_ns", "i8"),
        ("exec_ns", "i8"),
        ("find_vma_step_ns", "i8"),
    ],
    align=True,
)

LOCK = np.dtype(
    [
        ("since_ns", "i8"),  # the last time it was taken, held without a break
        ("until_ns", "i8"),
        ("cpu", "i8"),  # who took it last
        ("acquisitions", "i8"),
        ("contentions", "i8"),  # acquisitions that had to wait
        ("wait_ns", "i8"),
        ("hold_ns", "i8"),
    ],
    align=True,
)
"""A spinlock, see `numa_sim.kernel.locks`."""
