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

# Memory policies, include/uapi/linux/mempolicy.h ---------------------------------------------------------------------
MPOL_DEFAULT: Final = 0
MPOL_PREFERRED: Final = 1
MPOL_BIND: Final = 2
MPOL_INTERLEAVE: Final = 3
MPOL_LOCAL: Final = 4
MPOL_PREFERRED_MANY: Final = 5
MPOL_WEIGHTED_INTERLEAVE: Final = 6
MPOL_MODES: Final = {
    "default": MPOL_DEFAULT,
    "local": MPOL_LOCAL,
    "preferred": MPOL_PREFERRED,
    "preferred_many": MPOL_PREFERRED_MANY,
    "bind": MPOL_BIND,
    "interleave": MPOL_INTERLEAVE,
    "weighted_interleave": MPOL_WEIGHTED_INTERLEAVE,
}
"""Modes by the names that programs and configurations have for them."""
MAX_CYCLE: Final = 1024
"""Most pages an interleave policy deals out before it begins again: the sum of its weights."""

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
