"""Swap I/O and the lock map: `rw_swap_page_base` of mm/page_io.c @2.2.1 (spec 6.3, 6.8).

A slot under I/O has its bit set in the lock map: nobody gets it, nobody reads it ahead, and a second I/O with it waits
for the first.  Here ``k.swap_lockmap`` names the page under I/O, so that who waits knows for what.

I/O nobody waits for is counted in ``vm.nr_async_pages``; with more than ``vm.swap_cluster`` pages under way whoever
starts another waits for it.  The buffers and the reference of the I/O are gone when it ends.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.page_io import rw_swap_page as start_swap_io
from numa_sim.kernel.swapfile import slot_index
from numa_sim.state.constants import PG_decr_after
from numa_sim.state.counters import SWAP_LOCK_WAITS
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel


@part
def page_under_io(k: Kernel, entry: int) -> int:
    """The page under I/O with a slot, NIL if its lock is free."""
    return k.swap_lockmap[slot_index(k, entry)] - 1


@rule
def wait_for_slot(k: Kernel, t: int, entry: int) -> None:
    """Have task `t` wait for the I/O under way with a slot (sleep_on(&lock_queue)); it holds the page meanwhile."""
    pfn = page_under_io(k, entry)
    k.pages[pfn].count += 1
    k.tasks[t].wait_pfn = pfn
    count(k, k.cpus[k.vm[0].current_cpu].node, SWAP_LOCK_WAITS, 1)


@rule
def rw_swap_page(k: Kernel, op: int, pfn: int, wait: int) -> int:
    """Start I/O between a locked swap-cache page and its slot, whose lock is free.

    Parameters
    ----------
    wait : int
        1: the caller will sleep until the page is unlocked.

    Returns
    -------
    int
        1 if the caller must sleep so, because it said so or because too much I/O is under way.
    """
    vm = k.vm[0]
    k.swap_lockmap[slot_index(k, k.pages[pfn].index)] = pfn + 1
    if vm.nr_async_pages > vm.swap_cluster:
        wait = 1
    if wait == 0:
        k.pages[pfn].flags |= PG_decr_after
        vm.nr_async_pages += 1
    start_swap_io(k, op, pfn)
    return wait
