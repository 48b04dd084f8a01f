"""Names of the per-node counters and of the parts of a task's time, with their columns."""

from __future__ import annotations

from typing import Final

VMSTAT: Final = (
    "numa_hit", "numa_miss", "numa_foreign", "local_node", "other_node", "interleave_hit",
    "pgalloc", "pgfree", "pgfault", "pgmajfault",
    "pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct",
    "pgrefill", "pgactivate", "pgdeactivate",
    "allocstall", "pageoutrun", "kswapd_wakeup", "pgalloc_fail",
    "pswpin", "pswpout", "swap_ra", "swap_cache_add", "swap_cache_del", "swap_cache_hit", "swap_cache_miss",
    "swap_out_ptes", "zero_page_maps", "anon_write_faults", "cow_faults", "swap_faults", "zero_page_cow",
    "table_pages", "table_pages_freed", "oom_kill",
    "pgage_up", "pgage_down", "pglaunder_write", "pglaunder_clean", "reclaim_page", "reclaim_page_direct",
    "kreclaimd_wakeup", "bdflush_wakeup", "kswapd_wait", "alloc_yield",
    "pgpgin", "pgpgout", "pagecache_hit", "pagecache_miss", "readahead_pages", "mmap_readahead_pages", "drop_behind",
    "file_faults", "file_faults_read", "bdflush_writes", "kupdate_writes", "balance_dirty_writes", "fsync_writes",
    "reclaim_buffer_writes", "file_writepages", "file_nospace", "nr_file_pages", "nr_dirty", "nr_writeback",
    "policy_victims", "policy_rescues", "swapoff_pages",
    "rmap_pages", "rmap_walked_areas", "rmap_unmapped",
    "policy_file_victims",
    "forks", "fork_ptes", "fork_copies", "cow_reuses",
    "nr_slab", "slabs_scanned", "slab_reaped", "slab_grown", "dentries_pruned", "inodes_pruned",
    "nr_vmalloc", "vmalloc_faults", "kmap_maps", "kmap_flushes", "kmap_waits", "oops",
    "vmalloc_fail",
    "swap_lock_skips", "swap_lock_waits",
    "pgt_cache_hit", "pgt_cache_kept", "pgt_cache_freed", "pmd_bad", "update_mmu_cache",
    "find_vma_steps", "mmap_cache_hit", "mmap_cache_miss", "vmacache_find_hits", "vmacache_find_misses",
    "vma_merges", "vma_splits", "stack_pages_grown",
    "page_lock_waits", "page_lock_wait_ns",
    "migrations_within_node", "migrations_across_nodes",
    "segment_faults",
    "fixups",
    "shmem_swapout", "shmem_swapin",
)  # fmt: skip
"""Names of the per-node counters, in the order of the columns of ``Kernel.vmstat``."""
(
    NUMA_HIT, NUMA_MISS, NUMA_FOREIGN, LOCAL_NODE, OTHER_NODE, INTERLEAVE_HIT,
    PGALLOC, PGFREE, PGFAULT, PGMAJFAULT,
    PGSCAN_KSWAPD, PGSCAN_DIRECT, PGSTEAL_KSWAPD, PGSTEAL_DIRECT,
    PGREFILL, PGACTIVATE, PGDEACTIVATE,
    ALLOCSTALL, PAGEOUTRUN, KSWAPD_WAKEUP, PGALLOC_FAIL,
    PSWPIN, PSWPOUT, SWAP_RA, SWAP_CACHE_ADD, SWAP_CACHE_DEL, SWAP_CACHE_HIT, SWAP_CACHE_MISS,
    SWAP_OUT_PTES, ZERO_PAGE_MAPS, ANON_WRITE_FAULTS, COW_FAULTS, SWAP_FAULTS, ZERO_PAGE_COW,
    TABLE_PAGES, TABLE_PAGES_FREED, OOM_KILL,
    PGAGE_UP, PGAGE_DOWN, PGLAUNDER_WRITE, PGLAUNDER_CLEAN, RECLAIM_PAGE, RECLAIM_PAGE_DIRECT,
    KRECLAIMD_WAKEUP, BDFLUSH_WAKEUP, KSWAPD_WAIT, ALLOC_YIELDS,
    PGPGIN, PGPGOUT, PAGECACHE_HIT, PAGECACHE_MISS, READAHEAD_PAGES, MMAP_READAHEAD_PAGES, DROP_BEHIND,
    FILE_FAULTS, FILE_FAULTS_READ, BDFLUSH_WRITES, KUPDATE_WRITES, BALANCE_DIRTY_WRITES, FSYNC_WRITES,
    RECLAIM_BUFFER_WRITES, FILE_WRITEPAGES, FILE_NOSPACE, NR_FILE_PAGES, NR_DIRTY, NR_WRITEBACK,
    POLICY_VICTIMS, POLICY_RESCUES, SWAPOFF_PAGES,
    RMAP_PAGES, RMAP_WALKED_AREAS, RMAP_UNMAPPED,
    POLICY_FILE_VICTIMS,
    FORKS, FORK_PTES, FORK_COPIES, COW_REUSES,
    NR_SLAB, SLABS_SCANNED, SLAB_REAPED, SLAB_GROWN, DENTRIES_PRUNED, INODES_PRUNED,
    NR_VMALLOC, VMALLOC_FAULTS, KMAP_MAPS, KMAP_FLUSHES, KMAP_WAITS, OOPS,
    VMALLOC_FAIL,
    SWAP_LOCK_SKIPS, SWAP_LOCK_WAITS,
    PGT_CACHE_HIT, PGT_CACHE_KEPT, PGT_CACHE_FREED, PMD_BAD, UPDATE_MMU_CACHE,
    FIND_VMA_STEPS, MMAP_CACHE_HIT, MMAP_CACHE_MISS, VMACACHE_FIND_HITS, VMACACHE_FIND_MISSES,
    VMA_MERGES, VMA_SPLITS, STACK_PAGES_GROWN,
    PAGE_LOCK_WAITS, PAGE_LOCK_WAIT_NS,
    MIGRATIONS_WITHIN_NODE, MIGRATIONS_ACROSS_NODES,
    SEGMENT_FAULTS,
    FIXUPS,
    SHMEM_SWAPOUT, SHMEM_SWAPIN,
) = range(len(VMSTAT))  # fmt: skip

TIME_PARTS: Final = (
    "compute", "local", "remote", "queueing", "tlb_walk", "minor_fault", "major_fault", "direct_reclaim", "swap_wait",
    "context_switch", "run_queue", "sleep", "syscall", "shootdown", "daemon", "file_syscall", "file_wait", "lock_wait",
    "kswapd_wait",
)  # fmt: skip
"""Where a task's time goes, in the order of the columns of ``Kernel.time_parts``; they sum to its run time."""
(
    PART_COMPUTE, PART_LOCAL, PART_REMOTE, PART_QUEUEING, PART_TLB_WALK, PART_MINOR_FAULT, PART_MAJOR_FAULT,
    PART_DIRECT_RECLAIM, PART_SWAP_WAIT, PART_CONTEXT_SWITCH, PART_RUN_QUEUE, PART_SLEEP, PART_SYSCALL,
    PART_SHOOTDOWN, PART_DAEMON, PART_FILE_SYSCALL, PART_FILE_WAIT, PART_LOCK_WAIT,
    PART_KSWAPD_WAIT,
) = range(len(TIME_PARTS))  # fmt: skip
