"""The kernel's structures as numpy records, with the kernel's field names.

A record of value 0 is a valid "nothing here" (except list links, which mean something only while the record is on
a list), so arrays can be taken from the system untouched and cost memory only where the simulation writes.
Units: times in ns unless the name ends in ``_ps``; sizes in pages unless it says bytes; links are indexes, NIL = -1.
"""

from __future__ import annotations

import numpy as np

from numa_sim.state.constants import MAX_ORDER, NR_BUFFER_LISTS, NR_ZONES

MAX_VIRGIN_RUNS = 8

PAGE = np.dtype(
    [
        # struct page, include/linux/mm.h @2.4.37
        ("flags", "i4"),
        ("count", "i4"),
        ("mapping", "i2"),  # index into `mappings`: 0 none, 1 swapper_space
        ("order", "i1"),  # order of the block while free (head) or as allocated (head); checks only
        ("age", "i1"),  # 2.4.0: 0 to PAGE_AGE_MAX
        ("list_next", "i4"),  # buddy list while free; the mapping's clean, dirty or locked list
        ("list_prev", "i4"),
        ("lru_next", "i4"),  # towards the tail
        ("lru_prev", "i4"),  # towards the head
        ("next_hash", "i4"),  # chain of the page hash
        ("buffers", "i4"),  # BUFFERS_*; != NONE holds one reference
        ("index", "i8"),  # in the swap cache: swap entry; page table: its row
    ],
    align=True,
)
"""48 bytes; contents tags (8) and buddy map (1) are arrays of their own."""

ZONE = np.dtype(
    [
        # struct zone_struct, include/linux/mmzone.h @2.4.37
        ("node", "i4"),
        ("index", "i4"),  # ZONE_DMA, ZONE_NORMAL, ZONE_HIGHMEM
        ("start_pfn", "i8"),
        ("size", "i8"),  # frames spanned, holes included; 0 = no such zone
        ("realsize", "i8"),  # without holes; what watermarks are made from
        ("free_pages", "i8"),
        ("need_balance", "i8"),
        ("watermarks", "i8", (NR_ZONES, 3)),  # [class][min, low, high]
        ("nr_active_pages", "i8"),  # cumulative per class: a page counts in its zone and all higher ones
        ("nr_inactive_pages", "i8"),
        ("nr_cache_pages", "i8"),
        ("free_head", "i8", (MAX_ORDER,)),  # first block of each order's free list
        ("nr_free", "i8", (MAX_ORDER,)),  # blocks on each list, virgin ones included
        ("map_start", "i8", (MAX_ORDER,)),  # where this order's pair bits start in `buddy_map` (top order unused)
        ("nr_virgin", "i8"),  # ours: never-touched tail of the top order's list, as frame ranges
        ("virgin_start", "i8", (MAX_VIRGIN_RUNS,)),
        ("virgin_end", "i8", (MAX_VIRGIN_RUNS,)),
        ("wait_table_size", "i8"),
        # 2.4.0: inactive_clean_list and the zone's share of the other list, include/linux/mmzone.h
        ("inactive_clean_head", "i8"),
        ("inactive_clean_tail", "i8"),
        ("inactive_clean_pages", "i8"),
        ("inactive_dirty_pages", "i8"),
    ],
    align=True,
)

NODE = np.dtype(
    [
        # pg_data_t, include/linux/mmzone.h @2.4.37
        ("node_start_pfn", "i8"),
        ("node_size", "i8"),
        ("nr_zones", "i8"),
        ("pgdat_next", "i8"),  # pgdat_list: reverse order of initialisation
        ("mem_map_start", "i8"),  # boot-reserved frames not marked one by one: [start, end)
        ("mem_map_end", "i8"),
        ("nr_cpus", "i8"),
        ("reserved_pages", "i8"),  # never handed to the buddy: bootmem, holes excluded
    ],
    align=True,
)

VM = np.dtype(
    [
        # The instant, set by the loop and the processes before any rule runs
        ("now_ns", "i8"),
        ("current_task", "i8"),
        ("current_cpu", "i8"),
        # Geometry
        ("nr_nodes", "i8"),
        ("nr_cpus", "i8"),
        ("nr_frames", "i8"),
        ("section_shift", "i8"),
        ("highest_zone", "i8"),  # highest zone index present anywhere
        ("levels", "i8"),  # page-table levels: 2 (i386) to 5 (x86-64-la57)
        ("entry_bits", "i8"),  # of all levels but the top, which may have fewer: 10 or 9
        ("task_size_vpn", "i8"),  # first virtual page beyond user space
        ("total_pages", "i8"),  # num_physpages
        ("pgdat_list", "i8"),  # first node of the list, NIL if none
        ("zero_pfn", "i8"),  # ZERO_PAGE
        # LRU lists, mm/swap.c
        ("active_head", "i8"),
        ("active_tail", "i8"),
        ("inactive_head", "i8"),
        ("inactive_tail", "i8"),
        ("nr_active_pages", "i8"),
        ("nr_inactive_pages", "i8"),
        # sysctls and switches
        ("vm_passes", "i8"),
        ("vm_cache_scan_ratio", "i8"),
        ("vm_mapped_ratio", "i8"),
        ("vm_lru_balance_ratio", "i8"),
        ("vm_vfs_scan_ratio", "i8"),
        ("vm_anon_lru", "i8"),
        ("page_cluster", "i8"),
        ("swapfile_cluster", "i8"),  # 256; 0 = no clusters (first fit)
        ("swap_readahead", "i8"),  # 1; 0 = read only the wanted page
        ("zero_page", "i8"),  # 1; 0 = a read fault allocates
        ("pageout", "i8"),  # 1; 0 = swap_out does nothing
        ("local_pages", "i8"),  # 1; 0 = balance_classzone keeps no local page
        ("oom_killer", "i8"),  # CONFIG_OOM_KILLER
        ("numa_nearest", "i8"),  # spec C-1: 0 strict24, 1 nearest
        ("reclaim_quantum_ns", "i8"),  # most a reclaim step may cost before it yields; 0 = no bound
        ("slab_reap", "i8"),  # pages kmem_cache_reap finds (no slab model yet; replays set it)
        # swap, mm/swapfile.c
        ("swap_list_head", "i8"),
        ("swap_list_next", "i8"),
        ("nr_swap_pages", "i8"),
        ("total_swap_pages", "i8"),
        ("nr_swapfiles", "i8"),
        ("least_priority", "i8"),
        ("nr_swapcache_pages", "i8"),
        ("page_cache_size", "i8"),
        # swap_out cursor and mm list
        ("swap_mm", "i8"),  # 0 = init_mm
        ("mmlist_nr", "i8"),
        # kswapd
        ("kswapd_asleep", "i8"),
        ("kswapd_wanted", "i8"),  # a rule woke it; Python clears this when it acts
        # page-table pool
        ("table_free", "i8"),  # first free row, NIL = none
        ("table_used", "i8"),  # rows ever used (rows beyond are untouched)
        # I/O ring
        ("io_head", "i8"),
        ("io_tail", "i8"),
        # out_of_memory, mm/oom_kill.c
        ("oom_first_ns", "i8"),
        ("oom_last_ns", "i8"),
        ("oom_lastkill_ns", "i8"),
        ("oom_count", "i8"),
        ("oom_victim", "i8"),  # task chosen by the last out_of_memory, NIL = none; Python delivers the kill
        # event log and hash
        ("event_count", "i8"),
        ("event_hash", "i8"),
        ("record_events", "i8"),
        ("events_used", "i8"),
        # first broken rule found by a detecting rule: EV_BAD_PAGE kinds, see kernel.page_alloc
        ("bug", "i8"),
        ("bug_pfn", "i8"),
        ("free_vma", "i8"),  # free list of `vmas`
        ("profile", "i8"),  # KERNEL_*: which kernel's rules run
        ("in_interrupt", "i8"),  # in_interrupt(): replays set it, and packets that come in
        # 2.4.0: mm/swap.c, mm/page_alloc.c, mm/vmscan.c
        ("inactive_dirty_head", "i8"),
        ("inactive_dirty_tail", "i8"),
        ("nr_inactive_dirty_pages", "i8"),
        ("memory_pressure", "i8"),
        ("freepages_min", "i8"),  # freepages: the zones' marks added up
        ("freepages_low", "i8"),
        ("freepages_high", "i8"),
        ("buffermem_pages", "i8"),  # pages that are only buffers
        ("nr_async_pages", "i8"),  # swap I/O nobody waits for
        ("swap_cluster", "i8"),  # pager_daemon.swap_cluster: bounds nr_async_pages
        ("page_aging", "i8"),  # 1; 0 = a page's age is never looked at
        ("kswapd_done_waiters", "i8"),  # tasks asleep on kswapd_done: kswapd launders synchronously for them
        ("kreclaimd_asleep", "i8"),
        ("kreclaimd_wanted", "i8"),  # a rule woke it; Python clears this when it acts
        ("bdflush_wanted", "i8"),  # likewise
        # page cache and buffers
        ("page_hash_bits", "i8"),
        ("buf_head", "i8", (NR_BUFFER_LISTS,)),  # BUF_CLEAN, BUF_LOCKED, BUF_DIRTY: the oldest first
        ("buf_tail", "i8", (NR_BUFFER_LISTS,)),
        ("nr_buffers_type", "i8", (NR_BUFFER_LISTS,)),
        ("bdf_nfract", "i8"),  # bdflush_param: percent of dirty buffers that wakes bdflush
        ("bdf_ndirty", "i8"),  # buffers bdflush writes per round
        ("bdf_interval_ns", "i8"),  # between two rounds of kupdate
        ("bdf_age_buffer_ns", "i8"),  # how old a buffer may grow before kupdate writes it
        ("bdf_nfract_sync", "i8"),  # percent from which the writer writes itself
        ("bdf_nfract_stop", "i8"),  # percent at which bdflush stops
        ("bdf_written", "i8"),  # buffers bdflush has written in this round
        ("vm_min_readahead", "i8"),  # pages
        ("vm_max_readahead", "i8"),
        ("file_readahead", "i8"),  # 1; 0 = only wanted pages are read
        ("drop_behind", "i8"),  # 1; 0 = 2.4.0 keeps what read-ahead has passed
        ("free_extent", "i8"),  # free list of `extents`
        ("file_writes", "i8"),  # pages written by write(2) so far: each gives a page contents of its own
        ("track_use", "i8"),  # ours: TRACK_*: what is written to `last_use`
        ("clocks_moved", "i8"),  # a rule has run in the access loop: CPUs' clocks may be others than it noted
        ("use_order", "i8"),  # ours: the last number written there
        # spinlocks
        ("locks", "i8"),  # 1; 0 = none is taken
        ("lock_rank", "i8"),  # rank of the innermost lock held
        ("lock_bug", "i8"),  # first order of two locks that could deadlock: rank held << 8 | rank taken
        ("launder", "i8"),  # 1; 0 = page_launder of 2.4.0 writes a dirty page at first sight
        ("pgt_cache", "i8"),  # 1: each CPU keeps spare page tables; 0 = none
        ("mmu_hooks", "i8"),  # 1: calls of update_mmu_cache are counted (x86 has nothing to do there)
        ("pge", "i8"),  # 1: CPUs have global pages, whose TLB entries survive a write to CR3
        ("no_wp", "i8"),  # 1: the kernel may write to any page, as on a 386 (without CR0.WP)
        ("wp_works_ok", "i8"),  # what test_wp_bit found out at boot about that
        ("mmu", "i8"),  # which geometry, by its place in `numa_sim.kernel.geometry`
        # reverse map
        ("rmap", "i8"),  # 1 = kept
        ("anon_vma_free", "i8"),  # first free record, NIL = none
        ("anon_vma_used", "i8"),  # last record ever used; record 0 never is
        ("avc_free", "i8"),
        ("avc_used", "i8"),  # records ever used
        ("f00f_idt", "i8"),  # address of the IDT of a CPU with the F00F bug, 0 = it has none
        ("copy_on_write", "i8"),  # 1; 0 = fork copies every private page at once
        # slab, vmalloc, kmap: mm/slab.c, mm/vmalloc.c, mm/highmem.c
        ("cache_chain", "i8"),  # first cache of the chain, NIL before kmem_cache_init
        ("slab_clock", "i8"),  # clock_searchp: where kmem_cache_reap looks first
        ("slab_free", "i8"),  # free list of `slabs`
        ("slab_used", "i8"),  # rows of `slabs` ever used
        ("slab_objects", "i8"),  # 1: the kernel's own structures come from slabs; 0: they take no memory
        ("vmlist", "i8"),  # first area of vmalloc by address
        ("free_vm_struct", "i8"),  # free list of `vm_structs`
        ("vm_structs_used", "i8"),  # rows of `vm_structs` ever used
        ("vmalloc_start", "i8"),  # VMALLOC_START and VMALLOC_END as virtual page numbers
        ("vmalloc_end", "i8"),
        ("vmalloc_placement", "i8"),  # PLACE_*: which gap get_vm_area takes
        ("nr_pkmap", "i8"),  # LAST_PKMAP: slots of kmap
        ("last_pkmap", "i8"),  # last_pkmap_nr
        ("pkmap_waiters", "i8"),  # tasks asleep on pkmap_map_wait
        ("unused_head", "i8", (2,)),  # dentry_unused, inode_unused
        ("unused_tail", "i8", (2,)),
        ("nr_unused", "i8", (2,)),
        # 2.2: mm/page_alloc.c, mm/filemap.c
        ("nr_free_pages", "i8"),  # of the one pool
        ("low_on_memory", "i8"),  # free pages fell to min, and have not been high since
        ("clock", "i8"),  # frame where shrink_mmap stopped
        ("hysteresis", "i8"),  # 1; 0 = low_on_memory ends above min
        ("second_chance", "i8"),  # 1; 0 = shrink_mmap does not look at the used bit
        # address spaces
        ("vma_used", "i8"),  # records of `vmas` ever used (those beyond are untouched)
        ("vma_index", "i8"),  # VMA_*: how find_vma searches
        ("vma_rules", "i8"),  # KERNEL_*: how areas merge and where mmap puts them
        ("vma_merge", "i8"),  # 1; 0 = areas never merge
        ("max_map_count", "i8"),  # most areas of one address space
        ("overcommit_memory", "i8"),  # sysctl: 1 = vm_enough_memory always says yes
        ("fault_latency", "i8"),  # 1 = every fault's time is entered in `fault_latency`
        ("shmem_swap", "i8"),  # 1; 0 = shared memory without a file stays in memory
        # mm/mempolicy.c (2.6 and later)
        ("nr_policies", "i8"),  # policies there are besides the default; 0 = nobody has ever asked for one
        ("reclaim_policy", "i8"),  # bind policy whose nodes the reclaim under way is for, 0 = all nodes
    ],
    align=True,
)
