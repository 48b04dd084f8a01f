"""The kernel's own numbers: flags, GFP masks, page-table bits, and the codes rules answer with.

Values of `linux-2.4.37` unless a name says otherwise (spec 1.5, 2.1, 4.1, 6.2, 11.3 and appendix A).
"""

from __future__ import annotations

from typing import Final

NIL: Final = -1
"""End of an index-linked list."""

# Sizes ---------------------------------------------------------------------------------------------------------------
PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 4096
MAX_ORDER: Final = 10
SECTION_SHIFT: Final = 9
LINE_BYTES: Final = 64
ACCESS_BUFFER: Final = 4096
"""Accesses a task hands to the hardware at a time."""

# Kernels, in the order of their age: ``vm.profile`` ------------------------------------------------------------------
KERNEL_2_2: Final = 0
KERNEL_2_4_0: Final = 1
KERNEL_2_4_22: Final = 2
KERNEL_2_4_37: Final = 3

# Zones ---------------------------------------------------------------------------------------------------------------
ZONE_DMA: Final = 0
ZONE_NORMAL: Final = 1
ZONE_HIGHMEM: Final = 2
NR_ZONES: Final = 3
"""Zone slots of a node; the zone with index `i` of node `n` is ``zones[n * NR_ZONES + i]`` (2.4: node*3+zone)."""
WMARK_MIN: Final = 0
WMARK_LOW: Final = 1
WMARK_HIGH: Final = 2

# page.flags, include/linux/mm.h @2.4.37 ------------------------------------------------------------------------------
PG_locked: Final = 1 << 0
PG_error: Final = 1 << 1
PG_referenced: Final = 1 << 2
PG_uptodate: Final = 1 << 3
PG_dirty: Final = 1 << 4
PG_decr_after: Final = 1 << 5
"""2.4.0: the end of this I/O is to be taken off ``vm.nr_async_pages``."""
PG_lru: Final = 1 << 6
PG_active: Final = 1 << 7
PG_slab: Final = 1 << 8
PG_inactive_dirty: Final = 1 << 9
"""2.4.0: on the machine's inactive_dirty_list (bit 7 there)."""
PG_inactive_clean: Final = 1 << 10
"""2.4.0: on its zone's inactive_clean_list (bit 11 there)."""
PG_highmem: Final = 1 << 11
PG_checked: Final = 1 << 12
PG_arch_1: Final = 1 << 13
PG_reserved: Final = 1 << 14
PG_launder: Final = 1 << 15
PG_ramdisk: Final = 1 << 16
"""Ours: its buffers belong to a ram disk, so that the page is never deactivated (page_ramdisk @2.4.0)."""
PG_table: Final = 1 << 17
"""Ours: the frame holds a page table (kernels of 2.4 cannot tell)."""
PG_packet: Final = 1 << 22
"""Ours: the frame holds a packet from the network."""
PG_buddy: Final = 1 << 18
"""Ours: first page of a free block, so that a double free is detected (2.6 has PG_buddy)."""
PG_kernel: Final = 1 << 19
"""Ours: every page of a block that somebody holds by its address (`get_free_pages`)."""

# Page ageing, include/linux/swap.h @2.4.0 ----------------------------------------------------------------------------
PAGE_AGE_START: Final = 2
PAGE_AGE_ADV: Final = 3
PAGE_AGE_MAX: Final = 64

# page.buffers: what try_to_release_page finds ------------------------------------------------------------------------
BUFFERS_NONE: Final = 0
BUFFERS_CLEAN: Final = 1
BUFFERS_DIRTY: Final = 2
"""Released only by a caller that may start I/O."""
BUFFERS_BUSY: Final = 3
"""Under I/O: not released before it ends."""
BUFFERS_REDIRTIED: Final = 4
"""Under I/O and written to meanwhile: dirty again when the I/O ends."""
NR_BUFFER_LISTS: Final = 4
BUF_NONE: Final = 0
BUF_CLEAN: Final = 1
BUF_LOCKED: Final = 2
BUF_DIRTY: Final = 3
"""``buffers.b_list``: the list a page's buffer head is on (fs/buffer.c); those never dirtied are on none."""
NODEV: Final = 0
"""``buffers.b_dev`` of a buffer that is nowhere on disk; else the disk's number + 1."""

# address_space.writepage: what the method does -----------------------------------------------------------------------
WRITEPAGE_NONE: Final = 0
WRITEPAGE_ASYNC: Final = 1
"""Queue the write, leave the page locked until it ends."""
WRITEPAGE_SYNC: Final = 2
"""Done at once (a RAM-backed device): the page is unlocked on return."""
WRITEPAGE_REFUSE: Final = 3
"""Set the page dirty again and unlock it (a ram disk, a full file system)."""
WRITEPAGE_SWAP: Final = 4
"""swap_writepage: write the page to its swap slot (what swapper_space does)."""
WRITEPAGE_FILE: Final = 5
"""block_write_full_page: write the page to its block of the file's disk."""
WRITEPAGE_SHMEM: Final = 6
"""shmem_writepage: the page gets a swap slot and goes into the swap cache, which writes it."""
MAPPING_NONE: Final = 0
MAPPING_SWAP: Final = 1
"""``page.mapping`` of pages in the swap cache: swapper_space."""
KIND_FILE: Final = 0
KIND_SWAP: Final = 1
KIND_INODE: Final = 2
"""``mappings.kind``: pages of some file nobody looks up (replays), swapper_space, a file of `numa_sim.kernel.inode`."""
NR_PAGE_LISTS: Final = 3
CLEAN_PAGES: Final = 0
DIRTY_PAGES: Final = 1
LOCKED_PAGES: Final = 2
"""The three lists of an inode's pages, threaded through ``page.list_next``."""

# GFP, include/linux/mm.h @2.4.37 -------------------------------------------------------------------------------------
GFP_DMA_BIT: Final = 0x01
GFP_HIGHMEM_BIT: Final = 0x02
GFP_WAIT_BIT: Final = 0x10
GFP_HIGH_BIT: Final = 0x20
GFP_IO_BIT: Final = 0x40
GFP_HIGHIO_BIT: Final = 0x80
GFP_FS_BIT: Final = 0x100
GFP_ATOMIC: Final = GFP_HIGH_BIT
GFP_NOIO: Final = GFP_HIGH_BIT | GFP_WAIT_BIT
GFP_NOFS: Final = GFP_HIGH_BIT | GFP_WAIT_BIT | GFP_IO_BIT | GFP_HIGHIO_BIT
GFP_USER: Final = GFP_WAIT_BIT | GFP_IO_BIT | GFP_HIGHIO_BIT | GFP_FS_BIT
GFP_HIGHUSER: Final = GFP_USER | GFP_HIGHMEM_BIT
GFP_KERNEL: Final = GFP_USER | GFP_HIGH_BIT
GFP_KSWAPD: Final = GFP_USER
GFP_ZONEMASK: Final = 0x0F

# task.flags, include/linux/sched.h @2.4.37 ---------------------------------------------------------------------------
PF_DUMPCORE: Final = 0x00000200
PF_SIGNALED: Final = 0x00000400
PF_MEMALLOC: Final = 0x00000800
PF_MEMDIE: Final = 0x00001000
PF_FREE_PAGES: Final = 0x00002000
PF_NOIO: Final = 0x00004000
PF_KTHREAD: Final = 0x00200000
"""Ours in 2.4: the task has no user memory (kswapd)."""

# vma.flags -----------------------------------------------------------------------------------------------------------
VM_READ: Final = 0x1
VM_WRITE: Final = 0x2
VM_EXEC: Final = 0x4
VM_SHARED: Final = 0x8
VM_MAYREAD: Final = 0x10
VM_MAYWRITE: Final = 0x20
VM_MAYEXEC: Final = 0x40
VM_MAYSHARE: Final = 0x80
VM_GROWSDOWN: Final = 0x100
VM_GROWSUP: Final = 0x200
VM_DENYWRITE: Final = 0x800
VM_EXECUTABLE: Final = 0x1000
VM_LOCKED: Final = 0x2000
VM_IO: Final = 0x4000
VM_SEQ_READ: Final = 0x8000
VM_RAND_READ: Final = 0x10000
"""madvise: MADV_SEQUENTIAL, MADV_RANDOM."""
VM_DONTCOPY: Final = 0x20000
"""fork leaves the area out."""
VM_DONTEXPAND: Final = 0x40000
VM_RESERVED: Final = 0x80000
VM_MAYALL: Final = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
VM_STACK_FLAGS: Final = 0x177
"""READ, WRITE, EXEC, the MAY flags and GROWSDOWN (spec appendix A)."""

# mmap(2), mremap(2), mlockall(2): include/asm-i386/mman.h ------------------------------------------------------------
PROT_READ: Final = 1
PROT_WRITE: Final = 2
PROT_EXEC: Final = 4
MAP_SHARED: Final = 0x01
MAP_PRIVATE: Final = 0x02
MAP_TYPE: Final = 0x0F
MAP_FIXED: Final = 0x10
MAP_GROWSDOWN: Final = 0x0100
MAP_DENYWRITE: Final = 0x0800
MAP_EXECUTABLE: Final = 0x1000
MAP_LOCKED: Final = 0x2000
MAP_NORESERVE: Final = 0x4000
MREMAP_MAYMOVE: Final = 1
MREMAP_FIXED: Final = 2
MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
FMODE_READ: Final = 1
FMODE_WRITE: Final = 2
"""``files.f_mode``: how a file was opened."""
MM_RECLAIM: Final = -1000
"""A system call on the address space needs reclaim first: run it, then call again."""

# Address spaces ------------------------------------------------------------------------------------------------------
KERNEL_6_1: Final = 4
"""``vm.vma_rules`` only: merging and placing of areas as linux-6.1 does; the others are KERNEL_2_2 to KERNEL_2_4_37."""
VMA_LIST: Final = 0
VMA_AVL: Final = 1
VMA_RBTREE: Final = 2
VMA_VMACACHE: Final = 3
"""``vm.vma_index``: how `find_vma` searches."""
AVL_MIN_MAP_COUNT: Final = 32
MAX_MAP_COUNT: Final = 65536

# Page-table entries (spec 11.3); a not-present entry that is not 0 names a swap slot ---------------------------------
PTE_PRESENT: Final = 0x001
PTE_RW: Final = 0x002
PTE_USER: Final = 0x004
PTE_ACCESSED: Final = 0x020
PTE_DIRTY: Final = 0x040
PTE_PROTNONE: Final = 0x080
PTE_TABLE: Final = 0x067
"""Flags of an upper-level entry; its "frame number" field holds the row of the table below in `tables`."""
PROT_READONLY: Final = 0x25
PROT_SHARED: Final = 0x27
PTE_PWT: Final = 0x008
PTE_PCD: Final = 0x010
"""Write-through; cache disabled."""
PTE_PSE: Final = 0x080
"""Of a directory entry: it maps a whole large page (the same bit as PTE_PROTNONE)."""
PTE_GLOBAL: Final = 0x100
"""Its TLB entry survives a write to CR3."""
PTE_MAPPED: Final = PTE_PRESENT | PTE_PROTNONE
"""pte_present: the entry has a page for the kernel, if not for the hardware; one of neither bit is empty or a slot."""
PTE_KERNEL_TABLE: Final = 0x063
PGD_QUICKLIST: Final = 0
PMD_QUICKLIST: Final = 1
PTE_QUICKLIST: Final = 2
"""``cpus.quicklist``: spare tables of the top level, of those in between, and leaves."""
PROT_NONE: Final = 0xA0
PROT_COPY: Final = PROT_READONLY
PROT_KERNEL: Final = 0x063
"""PAGE_NONE, PAGE_COPY, PAGE_KERNEL; with global pages the last has PTE_GLOBAL too."""

# Swap (spec 6) -------------------------------------------------------------------------------------------------------
MAX_SWAPFILES: Final = 32
SWAPFILE_CLUSTER: Final = 256
SWAP_MAP_MAX: Final = 0x7FFF
SWAP_MAP_BAD: Final = 0x8000
SWP_USED: Final = 1
SWP_WRITEOK: Final = 3
SWAP_CLUSTER_MAX: Final = 32

FIXED_LOCKS: Final = 4 + MAX_SWAPFILES
"""Spinlocks every machine has; those of zones and address spaces follow in ``Kernel.locks``."""

# I/O ring: what compiled rules ask of the devices --------------------------------------------------------------------
IO_READ: Final = 0
IO_WRITE: Final = 1

# What alloc_pages answers when it is not a pfn -----------------------------------------------------------------------
ALLOC_FAIL: Final = -1
ALLOC_RECLAIM: Final = -2
"""The caller must reclaim (``tasks[t].reclaim_*`` says what) and then call `alloc_after_reclaim`."""
ALLOC_YIELD: Final = -3
"""2.4.0: others must run first (SCHED_YIELD); then `alloc_after_reclaim`."""
ALLOC_WAIT_KSWAPD: Final = -4
"""2.4.0: sleep until kswapd's round ends (kswapd_done); then `alloc_after_reclaim`."""

# What a reclaim step answers -----------------------------------------------------------------------------------------
RECLAIM_FAILED: Final = 0
RECLAIM_DONE: Final = 1
RECLAIM_WAIT: Final = 2
"""Wait until the page ``tasks[t].wait_pfn`` is unlocked (its reference is held), then call again."""
RECLAIM_YIELD: Final = 3
"""The step's cost reached ``vm.reclaim_quantum_ns``: charge ``tasks[t].cost_ns``, then call again."""

# What a page fault answers -------------------------------------------------------------------------------------------
FAULT_SEGV: Final = 0
FAULT_MINOR: Final = 1
FAULT_MAJOR: Final = 2
FAULT_OOM: Final = 3
FAULT_WAIT: Final = 4
"""Wait until ``tasks[t].wait_pfn`` is unlocked (its reference is held), then call again."""
FAULT_RECLAIM: Final = 5
"""An allocation needs reclaim: run it, call `alloc_after_reclaim`, then call again."""
FAULT_SIGBUS: Final = 6
"""Beyond the end of a mapped file, or its block cannot be read."""
FAULT_OOPS: Final = 7
"""The kernel itself touched an address that nothing maps."""
FAULT_FIXUP: Final = 8
"""It did so copying to or from user space: the system call answers EFAULT."""
FAULT_INVALID_OPCODE: Final = 9
"""The fault of a Pentium's F00F bug: SIGILL."""
FAULT_LOCKED: Final = 10
"""Another task holds mmap_sem: sleep on it, then call again."""

# What a step of a file operation answers -----------------------------------------------------------------------------
FILE_DONE: Final = 0
"""``tasks[t].file_done`` bytes (or pages written) are done."""
FILE_WAIT: Final = 1
"""Wait until the I/O of page ``tasks[t].wait_pfn`` ends (its reference is held), then call again."""
FILE_RECLAIM: Final = 2
"""An allocation needs reclaim: run it, call `alloc_after_reclaim`, then call again."""
FILE_YIELD: Final = 3
"""Charge ``tasks[t].cost_ns``, let the devices take their requests, then call again."""
FILE_FAILED: Final = 4
"""``tasks[t].file_error`` says why (ENOMEM, ENOSPC); ``file_done`` bytes were done before."""
EPERM: Final = 1
EAGAIN: Final = 11
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
EINVAL: Final = 22
ETXTBSY: Final = 26
ENOSPC: Final = 28
FILE_IDLE: Final = 0
FILE_READ: Final = 1
FILE_WRITE: Final = 2
FILE_FSYNC: Final = 3
FILE_TRUNCATE: Final = 4
"""``tasks[t].file_op``: what `file_run` goes on with."""
SWAPOFF_DONE: Final = 0
SWAPOFF_WAIT: Final = 1
SWAPOFF_RECLAIM: Final = 2
SWAPOFF_YIELD: Final = 3
SWAPOFF_NO_MEMORY: Final = 4
"""What `try_to_unuse` answers: every slot is free; wait for ``tasks[t].wait_pfn``, reclaim, or let others run, and call
it again; ENOMEM."""
FORK_DONE: Final = 0
FORK_RECLAIM: Final = 1
FORK_NO_MEMORY: Final = 2
"""What `copy_page_range` answers: everything is copied; reclaim and call it again; ENOMEM."""
CLONE_VM: Final = 0x100
CLONE_VFORK: Final = 0x4000
"""Flags of clone(2): share the address space; the parent sleeps until the child execs or exits."""
FLUSH_SLEEP: Final = 0
FLUSH_AGAIN: Final = 1
"""What `bdflush_step` and `kupdate_step` answer: sleep until woken or the next interval, or call again."""

# Slab caches, include/linux/slab.h and mm/slab.c @2.4.0 ---------------------------------------------------------------
SLAB_NO_REAP: Final = 0x00001000
SLAB_HWCACHE_ALIGN: Final = 0x00002000
SLAB_CACHE_DMA: Final = 0x00004000
CFLGS_OFF_SLAB: Final = 0x00010000
SLABS_FULL: Final = 0
SLABS_PARTIAL: Final = 1
SLABS_FREE: Final = 2
"""The three groups of a cache's slabs, in the order of its list."""
PLACE_FIRST: Final = 0
PLACE_BEST: Final = 1
PLACE_WORST: Final = 2
"""``vm.vmalloc_placement``: the first gap an area fits into, as the kernel does; the smallest; the largest."""
LAST_PKMAP: Final = 1024
"""Slots of kmap (512 with PAE)."""
CACHE_CACHE: Final = 0
"""Row of the cache the caches themselves come from, the first of the chain."""

# Why the access loop stopped -----------------------------------------------------------------------------------------
STOP_HORIZON: Final = 0
"""Every CPU's clock has reached the next event's time."""
STOP_BUFFER: Final = 1
STOP_SLICE: Final = 2
STOP_FAULT: Final = 3
"""The access needs the kernel's slow path; ``tasks[t].fault_*`` says why."""
STOP_KICK: Final = 4
"""A rule queued I/O or woke a daemon: Python must act at this instant."""

# Rows of tasks -------------------------------------------------------------------------------------------------------
KSWAPD: Final = 1
"""kswapd; row 0 is the swapper (whoever runs when no task does)."""

# task.state ----------------------------------------------------------------------------------------------------------
TASK_UNUSED: Final = 0
TASK_RUNNING: Final = 1
"""Runnable: on a CPU or on its run queue."""
TASK_SLEEPING: Final = 2
TASK_DEAD: Final = 3
TASK_ZOMBIE: Final = 4
"""It has ended, and its parent has not waited for it yet."""
TASK_BDFLUSH: Final = -1
TASK_KUPDATE: Final = -2
TASK_KRECLAIMD: Final = -3
"""Rows of the other daemons, counted from the end of ``kernel.tasks``."""

# Memory channel models -----------------------------------------------------------------------------------------------
CHANNEL_QUEUE: Final = 0
"""Deterministic FIFO server: M/D/1 under Poisson load."""
CHANNEL_CURVE: Final = 1
"""Measured latency as a function of requested load, the FIFO server kept as the hard ceiling."""
CHANNEL_NONE: Final = 2
"""No contention: unloaded latency always (the null model)."""

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

EVENTS: Final = (
    "none",
    "rmqueue", "wakeup_kswapd", "try_to_free_pages", "yield", "alloc_failed",
    "writepage", "try_to_release_page", "wait_on_page", "leave_page_cache", "leave_swap_cache", "freed",
    "kmem_cache_reap", "shrink_dcache", "shrink_icache",
    "do_anonymous_page", "zero_page", "do_wp_page", "do_swap_page", "swap_cache_hit", "segv",
    "try_to_swap_out", "swap_readpage", "swap_writepage", "end_swap_read", "end_swap_write",
    "kswapd_sleep", "kswapd_wake", "oom_kill", "task_start", "task_exit", "context_switch", "flush_tlb_page",
    "flush_tlb_mm", "mmap", "munmap", "pte_alloc", "pte_free", "task_wake", "slice_end", "bad_page",
    "wakeup_bdflush", "wakeup_kreclaimd", "reclaim_page", "page_launder", "try_to_free_buffers", "kswapd_done",
    "file_read", "file_write", "readpage", "end_buffer_read", "write_buffer", "end_buffer_write", "readahead",
    "drop_behind", "do_no_page", "sigbus", "set_page_dirty", "balance_dirty", "fsync", "truncate", "zap_file_page",
    "swapon", "swapoff", "try_to_unuse",
    "send_sig", "do_signal",
    "fork", "exec", "wait", "elf_core_dump",
    "kmem_cache_grow", "kmem_slab_destroy", "vmalloc", "vfree", "vmalloc_fault", "oops", "flush_all_zero_pkmaps",
    "kmap_high", "flush_tlb_all",
    "bad_pmd",
    "brk", "mprotect", "mlock", "mremap", "expand_stack", "clear_page_tables", "make_pages_present",
    "migrate_task",
    "general_protection",
    "fixup",
    "move_to_swap_cache", "move_from_swap_cache",
)  # fmt: skip
"""Names of the logged events (mostly kernel functions), in the order of their codes."""
(
    EV_NONE,
    EV_RMQUEUE, EV_WAKEUP_KSWAPD, EV_TRY_TO_FREE_PAGES, EV_YIELD, EV_ALLOC_FAILED,
    EV_WRITEPAGE, EV_TRY_TO_RELEASE_PAGE, EV_WAIT_ON_PAGE, EV_LEAVE_PAGE_CACHE, EV_LEAVE_SWAP_CACHE, EV_FREED,
    EV_KMEM_CACHE_REAP, EV_SHRINK_DCACHE, EV_SHRINK_ICACHE,
    EV_DO_ANONYMOUS_PAGE, EV_ZERO_PAGE, EV_DO_WP_PAGE, EV_DO_SWAP_PAGE, EV_SWAP_CACHE_HIT, EV_SEGV,
    EV_TRY_TO_SWAP_OUT, EV_SWAP_READPAGE, EV_SWAP_WRITEPAGE, EV_END_SWAP_READ, EV_END_SWAP_WRITE,
    EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE, EV_OOM_KILL, EV_TASK_START, EV_TASK_EXIT, EV_CONTEXT_SWITCH, EV_FLUSH_TLB_PAGE,
    EV_FLUSH_TLB_MM, EV_MMAP, EV_MUNMAP, EV_PTE_ALLOC, EV_PTE_FREE, EV_TASK_WAKE, EV_SLICE_END, EV_BAD_PAGE,
    EV_WAKEUP_BDFLUSH, EV_WAKEUP_KRECLAIMD, EV_RECLAIM_PAGE, EV_PAGE_LAUNDER, EV_TRY_TO_FREE_BUFFERS, EV_KSWAPD_DONE,
    EV_FILE_READ, EV_FILE_WRITE, EV_READPAGE, EV_END_BUFFER_READ, EV_WRITE_BUFFER, EV_END_BUFFER_WRITE, EV_READAHEAD,
    EV_DROP_BEHIND, EV_DO_NO_PAGE, EV_SIGBUS, EV_SET_PAGE_DIRTY, EV_BALANCE_DIRTY, EV_FSYNC, EV_TRUNCATE,
    EV_ZAP_FILE_PAGE,
    EV_SWAPON, EV_SWAPOFF, EV_TRY_TO_UNUSE,
    EV_SEND_SIG, EV_DO_SIGNAL,
    EV_FORK, EV_EXEC, EV_WAIT, EV_ELF_CORE_DUMP,
    EV_KMEM_CACHE_GROW, EV_KMEM_SLAB_DESTROY, EV_VMALLOC, EV_VFREE, EV_VMALLOC_FAULT, EV_OOPS,
    EV_FLUSH_ALL_ZERO_PKMAPS, EV_KMAP_HIGH, EV_FLUSH_TLB_ALL,
    EV_BAD_PMD,
    EV_BRK, EV_MPROTECT, EV_MLOCK, EV_MREMAP, EV_EXPAND_STACK, EV_CLEAR_PAGE_TABLES, EV_MAKE_PAGES_PRESENT,
    EV_MIGRATE_TASK,
    EV_GENERAL_PROTECTION,
    EV_FIXUP,
    EV_MOVE_TO_SWAP_CACHE, EV_MOVE_FROM_SWAP_CACHE,
) = range(len(EVENTS))  # fmt: skip

# vm.track_use (ours): what is written to `last_use` ------------------------------------------------------------------
TRACK_NOTHING: Final = 0
TRACK_MAPPED: Final = 1
"""In which order frames were mapped."""
TRACK_USES: Final = 2
"""In which order they were used, too."""

# Signals, include/asm-i386/signal.h @2.4 ------------------------------------------------------------------------------
SIGNALS: Final = (
    "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
    "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD",
)  # fmt: skip
"""Names of the signals a simulated task can get, by number (no stopping, no job control)."""
(
    _, SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1,
    SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD,
) = range(len(SIGNALS))  # fmt: skip
SI_USER: Final = 0
"""``siginfo.si_code``: sent by kill(2)."""
SI_KERNEL: Final = 0x80
SEGV_MAPERR: Final = 1
"""SIGSEGV: no area there."""
SEGV_ACCERR: Final = 2
"""SIGSEGV: the area does not permit that."""
ILL_ILLOPN: Final = 2
"""SIGILL: an instruction that must not be."""
BUS_ADRERR: Final = 2
"""SIGBUS: nothing is behind the address."""

# Resource limits, include/asm-i386/resource.h ------------------------------------------------------------------------
RLIM_INFINITY: Final = (1 << 63) - 1
STACK_LIMIT_BYTES: Final = 8 << 20
"""_STK_LIM: RLIMIT_STACK of init, which all inherit."""
RLIMITS: Final = ("stack", "data", "as", "memlock", "core")
"""Those modelled; a task's are in ``tasks[t].rlim_*``."""

# What replacement policies call a page -------------------------------------------------------------------------------
PAGE_NAME_SHIFT: Final = 40
"""Its address space from this bit on, its virtual page number below."""
FIRST_FILE: Final = 1 << 20
"""The address space in the name of a file's page is this plus its mapping, the page number its index in the file."""

# mm.mmap_sem (ours): what faults have to do about it -----------------------------------------------------------------
MMAP_SEM_SHARED: Final = 1
"""Several tasks use the address space under a kernel whose faults exclude each other (2.2, 2.4.0)."""
MMAP_SEM_BLOCKS: Final = 2
"""A fault must sleep until it is free."""

MAX_PACKETS: Final = 1_000_000_000
"""Packets one operation of a program receives at most."""
