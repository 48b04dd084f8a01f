"""Names of the logged events, with their codes."""

from __future__ import annotations

from typing import Final

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
