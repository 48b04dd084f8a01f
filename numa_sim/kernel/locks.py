"""Spinlocks of the memory manager and what waiting for them costs (include/linux/spinlock.h, users in mm/ @2.4).

Rules run at one instant and their cost follows.  So a lock is known by the interval for which it was taken last: from
``since_ns`` until ``until_ns``.  Who comes on another CPU within it spins for the rest, which is added to his
``cost_ns`` and to ``lock_wait_ns`` (booked as the part *lock_wait*).  Without contention no time changes.

Modelled: zone->lock, pagemap_lru_lock, pagecache_lock, swap_list_lock, each area's sdev_lock, each file's
i_shared_lock, page_table_lock of each address space; tlbstate_lock in `numa_sim.kernel.tlb`.  Off with ``vm.locks =
0``: nothing is counted, nobody waits, except for the shoot-down before, whose wait is then a part of one's own.

Simplified: of several intervals in which one rule takes a lock only the last counts for others, unless they touch;
interrupts and the boot take none; pages are locked by their flag; mmap_sem is slept on (`numa_sim.processes.mmap_sem`);
the big kernel lock and the request queues' io_request_lock are not modelled.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.errors import InvariantViolation
from numa_sim.kernel.mmzone import ZONE_NAMES
from numa_sim.state.constants import FIXED_LOCKS, MAX_SWAPFILES, NR_ZONES
from numa_sim.state.kernel import Kernel

PAGEMAP_LRU_LOCK: Final = 0
PAGECACHE_LOCK: Final = 1
SWAP_LIST_LOCK: Final = 2
FIRST_SDEV_LOCK: Final = 3
TLBSTATE_LOCK: Final = FIRST_SDEV_LOCK + MAX_SWAPFILES
"""Taken by `numa_sim.kernel.tlb` alone: whoever shoots down waits for the shoot-down before."""
FIRST_ZONE_LOCK: Final = FIXED_LOCKS
"""Rows of ``k.locks``: behind the zones' a page_table_lock for each address space, then a mmap_sem for each, then an
i_shared_lock for each mapping."""

NO_LOCK: Final = 0
RANK_MMAP_SEM: Final = 1
RANK_I_SHARED: Final = 2
RANK_PAGE_TABLE: Final = 3
RANK_SWAP_LIST: Final = 4
RANK_SDEV: Final = 5
RANK_PAGEMAP_LRU: Final = 6
RANK_PAGECACHE: Final = 7
RANK_ZONE: Final = 8
RANKS: Final = (
    "none", "mmap_sem", "i_shared_lock", "page_table_lock", "swap_list_lock", "sdev_lock", "pagemap_lru_lock",
    "pagecache_lock", "zone->lock",
)  # fmt: skip
"""The order in which locks nest, outermost first: as mm/filemap.c and mm/swapfile.c @2.4 take them."""


@part
def zone_lock(zone_id: int) -> int:
    """Row of a zone's lock."""
    return FIRST_ZONE_LOCK + zone_id


@part
def sdev_lock(type_: int) -> int:
    """Row of a swap area's lock."""
    return FIRST_SDEV_LOCK + type_


@part
def page_table_lock(k: Kernel, mm: int) -> int:
    """Row of an address space's page_table_lock."""
    return FIRST_ZONE_LOCK + k.zones.shape[0] + mm


@part
def mmap_sem_lock(k: Kernel, mm: int) -> int:
    """Row of an address space's mmap_sem."""
    return FIRST_ZONE_LOCK + k.zones.shape[0] + k.mms.shape[0] + mm


@part
def i_shared_lock(k: Kernel, mapping: int) -> int:
    """Row of a file's i_shared_lock, which keeps its lists of areas."""
    return mmap_sem_lock(k, k.mms.shape[0]) + mapping


@rule
def _rank(k: Kernel, lock: int) -> int:
    """Place of a lock in the nesting order."""
    if lock == PAGEMAP_LRU_LOCK:
        return RANK_PAGEMAP_LRU
    if lock == PAGECACHE_LOCK:
        return RANK_PAGECACHE
    if lock == SWAP_LIST_LOCK:
        return RANK_SWAP_LIST
    if lock < FIRST_ZONE_LOCK:
        return RANK_SDEV
    if lock < FIRST_ZONE_LOCK + k.zones.shape[0]:
        return RANK_ZONE
    if lock < mmap_sem_lock(k, 0):
        return RANK_PAGE_TABLE
    return RANK_MMAP_SEM if lock < i_shared_lock(k, 0) else RANK_I_SHARED


@rule
def _take(k: Kernel, lock_id: int, hold_ns: int) -> None:
    """Wait for a lock and take it for at least `hold_ns`; ``vm.lock_bug`` notes an order that could deadlock."""
    vm = k.vm[0]
    task = k.tasks[vm.current_task]
    lock = k.locks[lock_id]
    rank = _rank(k, lock_id)
    if rank <= vm.lock_rank and vm.lock_bug == 0:
        vm.lock_bug = vm.lock_rank << 8 | rank
    at_ns = vm.now_ns + task.cost_ns
    lock.acquisitions += 1
    lock.hold_ns += hold_ns
    if at_ns + hold_ns <= lock.since_ns:
        return  # done before it is taken by the one we know of
    if at_ns < lock.until_ns and lock.cpu != vm.current_cpu:
        wait_ns = lock.until_ns - at_ns
        task.cost_ns += wait_ns
        task.lock_wait_ns += wait_ns
        lock.contentions += 1
        lock.wait_ns += wait_ns
        at_ns += wait_ns
    if at_ns > lock.until_ns:
        lock.since_ns = at_ns
    lock.cpu = vm.current_cpu
    lock.until_ns = max(lock.until_ns, at_ns) + hold_ns


@part
def spin_for(k: Kernel, lock_id: int, hold_ns: int) -> None:
    """Take a lock for a section of `hold_ns`, a time that the caller's own costs contain."""
    if k.vm[0].locks != 0 and k.vm[0].current_task > 0:
        _take(k, lock_id, hold_ns)


@rule
def spin_lock(k: Kernel, lock_id: int, hold_ns: int) -> int:
    """Take a lock until `spin_unlock`, and for at least `hold_ns`; returns what `spin_unlock` must be given."""
    vm = k.vm[0]
    outer = vm.lock_rank + 0
    if vm.locks != 0 and vm.current_task > 0:
        _take(k, lock_id, hold_ns)
        vm.lock_rank = _rank(k, lock_id)
    return outer


@rule
def spin_unlock(k: Kernel, lock_id: int, outer: int) -> None:
    """Release a lock at the instant the current task's cost has reached, or when its least time is over."""
    vm = k.vm[0]
    if vm.locks == 0 or vm.current_task <= 0:
        return
    lock = k.locks[lock_id]
    now_ns = vm.now_ns + k.tasks[vm.current_task].cost_ns
    if now_ns > lock.until_ns:
        lock.hold_ns += now_ns - lock.until_ns
        lock.until_ns = now_ns
    vm.lock_rank = outer


def check_lock_order(k: Kernel) -> None:
    """Raise `InvariantViolation` if two locks were ever taken in an order that could deadlock."""
    bug = int(k.vm[0].lock_bug)
    if bug:
        details = f"{RANKS[bug & 0xFF]} was taken with {RANKS[bug >> 8]} held"
        raise InvariantViolation("locks nest in one order", int(k.vm[0].now_ns), details)


def lock_name(k: Kernel, lock_id: int) -> str:
    """Name of the lock in row `lock_id`; those of all address spaces have one name."""
    names = ("pagemap_lru_lock", "pagecache_lock", "swap_list_lock")
    if lock_id < FIRST_SDEV_LOCK:
        return names[lock_id]
    if lock_id == TLBSTATE_LOCK:
        return "tlbstate_lock"
    if lock_id < FIRST_ZONE_LOCK:
        return f"sdev_lock of swap area {lock_id - FIRST_SDEV_LOCK}"
    zone = lock_id - FIRST_ZONE_LOCK
    if zone < len(k.zones):
        return f"zone->lock of node {zone // NR_ZONES} {ZONE_NAMES[zone % NR_ZONES]}"
    if zone < len(k.zones) + len(k.mms):
        return "page_table_lock"
    return "mmap_sem" if zone < len(k.zones) + 2 * len(k.mms) else "i_shared_lock"
