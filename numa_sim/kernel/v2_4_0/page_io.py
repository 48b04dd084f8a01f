"""Swap I/O that somebody or nobody waits for: `rw_swap_page`, mm/page_io.c @2.4.0 (spec 6.8).

I/O nobody waits for is counted in ``vm.nr_async_pages`` until it ends.  Too much of it under way, and a write is made
synchronous: whoever started it sleeps until it ends.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.page_io import rw_swap_page as start_swap_io
from numa_sim.state.constants import IO_WRITE, PG_decr_after
from numa_sim.state.kernel import Kernel


@part
def max_async_pages(k: Kernel) -> int:
    """How much asynchronous swap I/O there should be: pager_daemon.swap_cluster read-ahead blocks."""
    return k.vm[0].swap_cluster << k.vm[0].page_cluster


@rule
def rw_swap_page(k: Kernel, op: int, pfn: int, wait: int) -> None:
    """Start I/O between a locked swap-cache page and its slot.

    Parameters
    ----------
    wait : int
        1: the caller will sleep until the page is unlocked.  A write may find that it must: the page is then locked
        without PG_decr_after.
    """
    vm = k.vm[0]
    if op == IO_WRITE and vm.nr_async_pages > max_async_pages(k):
        wait = 1
    if wait == 0:
        k.pages[pfn].flags |= PG_decr_after
        vm.nr_async_pages += 1
    start_swap_io(k, op, pfn)
