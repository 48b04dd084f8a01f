"""What Linux 2.2 did otherwise than 2.4: one pool of pages, a clock over all of them, writes started at once.

The rules of spec 3.1, 4.9, 5, 6 and 7 (columns 2.2), read in 2.2.1, one module per kernel file or piece of one:

| module | kernel file | holds |
|---|---|---|
| `buddy` | mm/page_alloc.c | the lists of free blocks, for the whole machine |
| `page_alloc` | mm/page_alloc.c | `__get_free_pages` and its hysteresis |
| `boot` | arch/i386/mm/init.c, mm/page_alloc.c | where the boot leaves memory |
| `swapfile`, `page_io` | mm/swapfile.c, mm/page_io.c | slots; slots under I/O and the lock map |
| `memory` | mm/page_alloc.c, mm/swap_state.c | bringing pages back from swap |
| `vmscan`, `swap_out` | mm/vmscan.c, mm/filemap.c | `do_try_to_free_pages`, `shrink_mmap`, `swap_out` |
| `debug_vm` | | what must hold of the lists |

2.2 knows neither nodes nor zones.  On a NUMA machine it is what it is on any other: a kernel that takes all memory for
alike.  The simulator keeps its zones as names of places only (which node a frame is on, whether DMA reaches it).
"""
