"""Records of tasks and their address spaces, as numpy records (see `numa_sim.state.layout`)."""

from __future__ import annotations

import numpy as np

TASK = np.dtype(
    [
        # struct task_struct
        ("pid", "i8"),
        ("state", "i8"),
        ("flags", "i8"),
        ("mm", "i8"),  # NIL for kernel threads
        ("cpu", "i8"),  # CPU it runs on or last ran on
        ("min_flt", "i8"),
        ("maj_flt", "i8"),
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("nice", "i8"),
        ("root", "i8"),  # uid 0 or CAP_SYS_ADMIN
        ("rawio", "i8"),  # CAP_SYS_RAWIO
        ("killed", "i8"),  # it dies: SIGKILL is pending, or a fatal signal was delivered
        ("local_pfn", "i8"),  # local_pages: the one page reclaim kept for this task, NIL = none
        ("local_order", "i8"),
        ("allocation_order", "i8"),
        # the allocation in progress while reclaim runs
        ("alloc_node", "i8"),  # node whose zonelist this attempt uses
        ("alloc_first_node", "i8"),
        ("alloc_attempt", "i8"),  # position in node_order (strict24)
        ("alloc_gfp", "i8"),
        ("alloc_order", "i8"),
        ("got_pfn", "i8"),  # page the slow path obtained, taken by the next matching alloc of this task
        ("got_gfp", "i8"),
        ("alloc_failed", "i8"),  # the slow path found nothing: the task's next alloc fails
        # try_to_free_pages_zone in progress
        ("reclaim_zone", "i8"),  # classzone
        ("reclaim_gfp", "i8"),
        ("reclaim_stage", "i8"),
        ("reclaim_pass", "i8"),
        ("reclaim_nr", "i8"),  # pages still wanted
        ("reclaim_max_scan", "i8"),
        ("reclaim_max_mapped", "i8"),
        ("reclaim_failed_swapout", "i8"),
        ("wait_pfn", "i8"),
        ("cost_ns", "i8"),  # CPU time the last step cost
        # the page fault in progress
        ("fault_vpn", "i8"),
        ("fault_write", "i8"),
        ("fault_status", "i8"),
        ("fault_major", "i8"),  # it had to start a read
        # access buffer
        ("access_next", "i8"),
        ("access_end", "i8"),
        ("accesses_done", "i8"),
        # 2.4.0: __alloc_pages in progress, see kernel/v2_4_0/page_alloc.py
        ("alloc_stage", "i8"),
        ("alloc_direct", "i8"),  # direct_reclaim: it may take a clean page off its list
        ("alloc_wants", "i8"),  # ALLOC_RECLAIM, ALLOC_YIELD or ALLOC_WAIT_KSWAPD: what must happen before it goes on
        # 2.4.0: do_try_to_free_pages and page_launder in progress, see kernel/v2_4_0/vmscan.py
        ("reclaim_user", "i8"),  # a process, not kswapd, asks: it stops after 2**page_cluster pages
        ("reclaim_got", "i8"),  # what it answers
        ("reclaim_priority", "i8"),
        ("reclaim_progress", "i8"),  # this priority has helped
        ("reclaim_helped", "i8"),  # some priority has
        ("launder_pass", "i8"),
        ("launder_left", "i8"),  # pages still to be looked at in this pass
        ("launder_budget", "i8"),  # maxlaunder: buffer writes it may still start
        ("launder_sync", "i8"),
        ("launder_cleaned", "i8"),
        ("launder_stripping", "i8"),  # it sleeps on the buffers of a page it holds locked, off the lists
        # 2.4.0: swapin_readahead in progress: slots whose uses it holds, see kernel/v2_4_0/memory.py
        ("readahead_entry", "i8"),
        ("readahead_left", "i8"),
        # the file operation in progress
        ("file_op", "i8"),
        ("file", "i8"),
        ("file_stage", "i8"),
        ("file_pos", "i8"),  # bytes
        ("file_left", "i8"),
        ("file_done", "i8"),
        ("file_pfn", "i8"),  # page it works on, referenced; NIL = none
        ("file_error", "i8"),
        ("file_reada_ok", "i8"),
        ("file_size", "i8"),  # what truncate makes it
        ("access_ready", "i8"),  # up to here the host was told what the accesses will want
        ("lock_wait_ns", "i8"),  # part of the cost not yet booked that was waiting for spinlocks
        # swapoff in progress: the area, the slot emptied last, the address space that helped last
        ("swapoff_type", "i8"),
        ("swapoff_slot", "i8"),
        ("swapoff_mm", "i8"),
        # signals, see kernel/signal.py: bit n of a mask is signal n
        ("pending", "i8"),
        ("blocked", "i8"),
        ("sig_ignored", "i8"),
        ("sig_caught", "i8"),
        ("si_code", "i8"),  # of the last fault that sent one
        ("si_addr", "i8"),  # bytes
        ("exit_code", "i8"),  # as wait(2) gives it: status << 8, or the signal that killed it (| 0x80 with a core file)
        # rlim[]: soft limits, bytes
        ("rlim_stack", "i8"),
        ("rlim_data", "i8"),
        ("rlim_as", "i8"),
        ("rlim_memlock", "i8"),
        ("rlim_core", "i8"),
        # fork, exit and wait
        ("parent", "i8"),  # p_pptr; 0 = init
        ("fork_mm", "i8"),  # fork in progress: the child's address space
        ("fork_vpn", "i8"),  # the next page whose entry is to be copied
        ("esp", "i8"),  # bytes: stack pointer of the access under way, 0 = at the access itself
        ("used_math", "i8"),  # it has used the FPU
        # the kernel's own memory
        ("growing_cache", "i8"),  # cache it waits for pages for + 1, 0 = none
        # do_page_fault
        ("access_address", "i8"),  # of the access under way, if it is known to the byte
        ("fixup", "i8"),  # 1: its kernel copies to or from user space (the exception table has an entry)
        ("cr2", "i8"),  # of the last fault that could not be served: thread.cr2, error_code, trap_no
        ("error_code", "i8"),
        ("trap_no", "i8"),
        ("fault_code", "i8"),  # SEGV_MAPERR, SEGV_ACCERR
        ("kernel_mode", "i8"),  # 1: its accesses are the kernel's own, e.g. to vmalloc areas
        # 2.2: swap_out's quota and cursor; the slot swapin_readahead goes on with
        ("swap_cnt", "i8"),
        ("swap_address", "i8"),  # virtual page number
        ("swapin_offset", "i8"),
        # per-thread cache of find_vma (linux 3.15 to 6.0)
        ("vmacache", "i8", (4,)),  # areas, NIL = none
        ("vmacache_seqnum", "i8"),
        ("present_vpn", "i8"),  # make_pages_present in progress: next page
        # with vm.fault_latency: the fault in progress
        ("fault_start_ns", "i8"),
        ("fault_kind", "i8"),
        ("nvcsw", "i8"),  # times it gave up its CPU to sleep
        ("nivcsw", "i8"),  # times it lost it though it could have gone on
        # mm/mempolicy.c (2.6 and later): rows of `policies`, 0 = default
        ("mempolicy", "i8"),
        ("il_next", "i8"),  # place in the policy's cycle of nodes where the next page without an address comes from
        ("got_policy", "i8"),  # policy under which the page in `got_pfn` was asked for
        ("alloc_interleave", "i8"),  # node an interleave policy chose for the allocation in progress + 1, 0 = none
    ],
    align=True,
)

MM = np.dtype(
    [
        # struct mm_struct; mm 0 is init_mm
        ("used", "i8"),
        ("pgd", "i8"),  # row of the top-level table
        ("mmap", "i8"),  # first VMA, NIL = none
        ("map_count", "i8"),
        ("rss", "i8"),
        ("total_vm", "i8"),
        ("swap_address", "i8"),  # virtual page number; task_size_vpn = finished
        ("mmlist_next", "i8"),
        ("mmlist_prev", "i8"),
        ("cpu_vm_mask", "i8", (8,)),  # bit c & 31 of word c >> 5: CPU c may hold TLB entries of this mm
        ("nr_tables", "i8"),
        ("owner", "i8"),  # a task using it
        ("mmap_cache", "i8"),  # VMA of the last find_vma, NIL = none
        ("swap_cnt", "i8"),  # 2.4.0: PTEs swap_out may still look at in this round
        ("leaf_vpn", "i8"),  # ours: vpn >> entry_bits of the last leaf table pte_alloc found, NIL = none
        ("leaf_row", "i8"),
        # where the program lies, as bytes
        ("start_code", "i8"),
        ("end_code", "i8"),
        ("start_data", "i8"),
        ("end_data", "i8"),
        ("start_brk", "i8"),
        ("brk", "i8"),
        ("mm_users", "i8"),  # tasks
        ("mm_count", "i8"),  # 1 for all users together, and 1 for each CPU that has borrowed it
        ("dumpable", "i8"),  # a core file may be written
        ("start_stack", "i8"),  # bytes
        ("locked_vm", "i8"),
        ("def_flags", "i8"),  # VM_LOCKED after mlockall(MCL_FUTURE)
        ("mm_rb", "i8"),  # root of the tree of areas (mmap_avl, mm_rb), NIL = none
        ("vmacache_seqnum", "i8"),  # counts areas removed
        ("mmap_sem", "i8"),  # MMAP_SEM_*: what faults have to do about it; 0 as long as one task uses it
        ("hiwater_rss", "i8"),  # most pages it ever had, as of the last time some went
        ("hiwater_vm", "i8"),  # most pages its areas ever had, as of the last time some went
        ("mmap_base", "i8"),  # linux-6.1: virtual page below which areas are placed, downwards; 0 = top of user space
    ],
    align=True,
)

POLICY = np.dtype(
    [
        # struct mempolicy, include/linux/mempolicy.h; row 0 is the default policy
        ("mode", "i8"),  # MPOL_*
        ("length", "i8"),  # of its row of `policy_cycle`
    ],
    align=True,
)

VMA = np.dtype(
    [
        # struct vm_area_struct; addresses as virtual page numbers
        ("vm_start", "i8"),
        ("vm_end", "i8"),
        ("vm_flags", "i8"),
        ("vm_page_prot", "i8"),
        ("vm_next", "i8"),
        ("vm_mm", "i8"),
        ("vm_file", "i8"),  # open file it maps, 0 = anonymous
        ("vm_pgoff", "i8"),  # first page of the file it maps
        ("vm_next_share", "i8"),  # i_mmap or i_mmap_shared of the file
        ("vm_prev_share", "i8"),
        ("vm_raend", "i8"),  # read-ahead window of a SEQUENTIAL mapping
        # reverse map (kernel.anon_vma)
        ("anon_vma", "i8"),  # of pages first mapped here, 0 = none yet
        ("anon_vma_chain", "i8"),  # first link with an anon_vma, NIL = none
        ("anon_shift", "i8"),  # ours: page at virtual page v has offset v + anon_shift
        ("vm_policy", "i8"),  # row of `policies`, 0 = the task's
        # tree of areas: AVL or red-black
        ("vm_parent", "i8"),
        ("vm_left", "i8"),
        ("vm_right", "i8"),
        ("vm_rank", "i8"),  # AVL: height of the subtree; red-black: the colour
    ],
    align=True,
)

TABLE = np.dtype([("pfn", "i8"), ("next", "i8"), ("used", "i8"), ("level", "i8")], align=True)
"""A page table's frame, its link while free or spare, how many of its (user) entries are not empty; 0 = leaf."""
