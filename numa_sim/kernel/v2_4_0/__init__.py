"""What Linux 2.4.0 did otherwise than 2.4.37: page ageing, dirty and clean inactive lists, memory pressure.

The rules of spec 3.2, 4.1 to 4.6, 5 and 6, one module per kernel file or piece of one:

| module | kernel file | holds |
|---|---|---|
| `pressure` | mm/vmscan.c, mm/page_alloc.c | shortages and targets, whom to wake |
| `swap` | mm/swap.c | ageing, the lists and who is on them |
| `reclaim_page` | mm/vmscan.c | the last step of a clean page; kreclaimd |
| `page_alloc` | mm/page_alloc.c | `__alloc_pages` |
| `page_io`, `memory` | mm/page_io.c, mm/memory.c, mm/swap_state.c | asynchronous swap I/O, swap-in |
| `buffer` | fs/buffer.c | buffers of pages that are laundered |
| `swap_out`, `page_launder`, `vmscan` | mm/vmscan.c | unmapping; laundering; `do_try_to_free_pages` |
| `oom_kill` | mm/oom_kill.c | when a process must die |

What the processes (kswapd, kreclaimd, bdflush, tasks in their slow path) do with these rules is said in each module.
"""
