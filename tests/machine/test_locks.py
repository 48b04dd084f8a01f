"""Spinlocks: CPUs wait for each other where they share one; waits are charged and counted, and can be off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, ZRAM, counters, finish, parts, small, sweep, walk

from numa_sim.errors import InvariantViolation
from numa_sim.kernel.locks import (
    PAGECACHE_LOCK,
    PAGEMAP_LRU_LOCK,
    SWAP_LIST_LOCK,
    TLBSTATE_LOCK,
    check_lock_order,
    spin_lock,
)
from numa_sim.observe.lock_rows import lock_rows
from numa_sim.processes.machine import Machine
from numa_sim.results.summary import summarise
from numa_sim.state.constants import DIRTY_PAGES, KIND_INODE, NIL
from numa_sim.state.counters import PART_DIRECT_RECLAIM, PART_MINOR_FAULT

CPUS = 8
PAGES = 100


def first_touch(nodes: int, locks: bool = True) -> Machine:
    """Eight tasks on eight CPUs write fresh memory at once: all on one node, or each on its own."""
    per_node = CPUS // nodes
    cpus = tuple(f"{n * per_node}-{(n + 1) * per_node - 1}" if per_node > 1 else str(n) for n in range(nodes))
    machine = small(
        nodes=(32 // nodes,) * nodes,
        cpus=cpus,
        swap=(),
        memory={"model": "none"},
        kernel={"switches": {"locks": locks}},
    )
    # Without some computing in between, never the same, all would soon go round in step and nobody would wait.
    rng = np.random.Generator(np.random.PCG64DXSM(1))
    for cpu in range(CPUS):
        computing = rng.integers(0, 300, PAGES)
        machine.add(walk(PAGES, np.arange(PAGES), compute_ns=computing), name=f"cpu{cpu}", cpus=[cpu])
    finish(machine)
    return machine


def zone_locks(machine: Machine) -> dict[str, int]:
    rows = [row for row in lock_rows(machine.kernel) if row["name"].startswith("zone->lock")]
    return {key: sum(row[key] for row in rows) for key in ("acquisitions", "contentions", "wait_ns", "hold_ns")}


@pytest.fixture(scope="module")
def one_node() -> Machine:
    return first_touch(1)


@pytest.mark.row("X-04", "S2-62")
def test_many_cpus_contend_for_one_zone_and_not_for_eight(one_node: Machine) -> None:
    shared, own = zone_locks(one_node), zone_locks(first_touch(8))
    assert shared["acquisitions"] == own["acquisitions"] >= CPUS * PAGES
    assert shared["contentions"] > shared["acquisitions"] // 10
    assert own["contentions"] == own["wait_ns"] == 0
    waits = [parts(one_node, 2 + cpu)["lock_wait"] for cpu in range(CPUS)]
    assert sum(waits) == sum(row["wait_ns"] for row in lock_rows(one_node.kernel)) > 0


@pytest.mark.row("X-04")
def test_switched_off_nothing_is_counted_and_without_contention_no_time_changes(one_node: Machine) -> None:
    off = first_touch(1, locks=False)
    assert lock_rows(off.kernel) == []
    assert all(parts(off, 2 + cpu)["lock_wait"] == 0 for cpu in range(CPUS))
    assert one_node.now_ns > off.now_ns
    alone, alone_off = (first_touch(8, locks) for locks in (True, False))
    assert zone_locks(alone)["wait_ns"] == 0
    assert alone.now_ns == alone_off.now_ns
    assert [parts(alone, t) for t in range(2, 10)] == [parts(alone_off, t) for t in range(2, 10)]


def pressed(locks: bool) -> tuple[Machine, dict[str, Any]]:
    machine = small(nodes=(4,), cpus=("0-3",), swap=(NVME,), kernel={"switches": {"locks": locks}})
    for cpu in range(3):
        machine.add(sweep(2 * MIB_PAGES), cpus=[cpu])
    return machine, summarise(finish(machine))


@pytest.mark.row("S2-11", "S2-62", "X-04")
def test_reclaim_takes_every_lock_in_one_order() -> None:
    """An order that could deadlock ends the run; swap_list_lock is outside of sdev_lock."""
    machine, summary = pressed(True)
    taken = {row["name"]: row for row in summary["locks"]}
    assert set(taken) >= {
        "pagemap_lru_lock", "pagecache_lock", "swap_list_lock", "sdev_lock of swap area 0", "page_table_lock",
        "zone->lock of node 0 DMA", "tlbstate_lock",
    }  # fmt: skip
    assert all(row["hold_ns"] > 0 and row["contentions"] <= row["acquisitions"] for row in taken.values())
    assert taken["swap_list_lock"]["acquisitions"] <= taken["sdev_lock of swap area 0"]["acquisitions"]
    assert taken["page_table_lock"]["contentions"] > 0  # faults meet kswapd in swap_out
    assert machine.vm.lock_rank == machine.vm.lock_bug == 0
    assert summary["totals"]["parts_ns"]["lock_wait"] > 0
    assert pressed(False)[1]["locks"] == []


@pytest.mark.row("X-04")
def test_the_scans_of_2_4_0_take_the_lru_lock() -> None:
    machine = small(cpus=("0-3",), swap=(NVME,), kernel={"profile": "linux-2.4.0", "switches": {"locks": True}})
    for cpu in range(3):
        machine.add(sweep(2 * MIB_PAGES, times=2), cpus=[cpu])
    finish(machine)
    count = counters(machine)
    scanned = count["pgrefill"] + count["pgscan_kswapd"] + count["pgscan_direct"]
    lru_lock = machine.kernel.locks[PAGEMAP_LRU_LOCK]
    assert lru_lock.acquisitions > scanned > 1000
    assert lru_lock.contentions > 0 < lru_lock.wait_ns


@pytest.mark.row("X-04")
def test_shoot_downs_of_several_cpus_wait_for_each_other() -> None:
    """Two tasks that move between CPUs leave TLB entries behind, which both shoot down at once."""

    def nomad(task: Any) -> Any:
        for _ in range(40):
            heap = yield task.mmap(8 * PAGE)
            yield task.touch(heap, write=1.0)
            yield task.munmap(heap)

    machine = small(cpus=("0-7",), swap=(NVME,), costs={"ipi": "20us"}, kernel={"switches": {"locks": True}})
    for _ in range(3):
        machine.add(sweep(2 * MIB_PAGES), name="sweep")
    for _ in range(4):
        machine.add(nomad)
    finish(machine)
    lock = machine.kernel.locks[TLBSTATE_LOCK]
    assert lock.acquisitions > lock.contentions > 0
    assert lock.wait_ns > 0
    assert lock.hold_ns >= 20_000 * lock.acquisitions


@pytest.mark.row("X-03")
def test_tasks_that_fault_on_one_page_wait_for_one_read() -> None:
    """Four map the same file and touch its one page at once: one reads it, all sleep until it is unlocked."""
    machine = small(
        cpus=("0-3",), disk=[{"name": "d", "device": "hdd", "size": "1GiB"}],
        file=[{"name": "data", "disk": "d", "size": "4KiB"}], swap=(),
    )  # fmt: skip

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        region = yield task.mmap(PAGE, file=fd)
        yield task.touch(region, accesses=1)

    for _ in range(4):
        machine.add(program)
    finish(machine)
    assert machine.kernel.disks[0].pages_read == 1
    assert counters(machine)["page_lock_waits"] == 4
    waits = [parts(machine, task.index)["file_wait"] for task in machine.tasks]
    assert counters(machine)["page_lock_wait_ns"] >= sum(waits) > 0
    ends = {task.record.end_ns for task in machine.tasks}
    assert max(ends) - min(ends) < min(waits)


@pytest.mark.row("S2-54")
def test_truncate_and_mmap_take_the_files_i_shared_lock() -> None:
    machine = small(
        disk=[{"name": "d", "device": "nvme", "size": "1GiB"}], file=[{"name": "data", "disk": "d", "size": "64KiB"}],
        kernel={"switches": {"locks": True}},
    )  # fmt: skip

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        shared = yield task.mmap(16 * PAGE, file=fd, shared=True)
        private = yield task.mmap(16 * PAGE, file=fd)
        yield task.touch(shared, write=1.0)
        yield task.touch(private)
        space = machine.kernel.mappings[machine.file_mappings["data"]]
        seen.append((int(space.i_mmap), int(space.i_mmap_shared), int(space.nrpages), int(space.kind)))
        yield task.fsync(fd)
        yield task.truncate(fd, "16KiB")

    seen: list[tuple[int, ...]] = []
    machine.add(program)
    finish(machine)
    private, shared, pages, kind = seen[0]
    assert private != shared
    assert min(private, shared) >= 0
    assert (pages, kind) == (16, KIND_INODE)
    taken = {row["name"]: row for row in lock_rows(machine.kernel)}
    assert taken["i_shared_lock"]["acquisitions"] >= 2 + 1 + 2  # two mappings come, truncate, two go
    space = machine.kernel.mappings[machine.file_mappings["data"]]
    assert (int(space.i_mmap), int(space.i_mmap_shared), int(space.nrpages)) == (NIL, NIL, 4)
    assert space.pages_head[DIRTY_PAGES] != NIL, "what was stored is in no page"


@pytest.mark.row("S2-62")
def test_waits_for_locked_pages_are_counted() -> None:
    """A reader of swapped pages waits for each; from a RAM-backed device there is nothing to wait for."""
    slow, quick = small(swap=(NVME,)), small(swap=(ZRAM,))
    for machine in (slow, quick):
        machine.add(sweep(3 * MIB_PAGES, times=3))
        finish(machine)
    count = counters(slow)
    waited_ns = parts(slow)["swap_wait"] + parts(slow)["direct_reclaim"]
    assert count["page_lock_waits"] > 100
    assert count["page_lock_wait_ns"] > 0
    assert parts(slow)["swap_wait"] <= count["page_lock_wait_ns"] <= waited_ns + slow.now_ns // 10
    assert counters(quick)["page_lock_waits"] == counters(quick)["page_lock_wait_ns"] == 0


@pytest.mark.row("S2-62")
@pytest.mark.parametrize(
    ("outer", "inner", "words"),
    [
        (PAGECACHE_LOCK, PAGEMAP_LRU_LOCK, "pagemap_lru_lock was taken with pagecache_lock held"),
        (PAGEMAP_LRU_LOCK, SWAP_LIST_LOCK, "swap_list_lock was taken with pagemap_lru_lock held"),
    ],
)
def test_the_wrong_order_is_found(outer: int, inner: int, words: str) -> None:
    machine = small(kernel={"switches": {"locks": True}})
    k = machine.kernel
    machine.enter_kernel(1, 0)
    spin_lock(k, inner, 10)
    k.vm[0].lock_rank = 0
    check_lock_order(k)
    spin_lock(k, outer, 10)
    spin_lock(k, inner, 10)
    with pytest.raises(InvariantViolation, match=words):
        check_lock_order(k)


@pytest.mark.row("X-04")
def test_who_comes_later_waits_for_the_rest_of_the_section() -> None:
    machine = small(nodes=(4,), cpus=("0-1",), kernel={"switches": {"locks": True}})
    k = machine.kernel
    lock = k.locks[PAGECACHE_LOCK]

    def take(now_ns: int, cpu: int, hold_ns: int) -> int:
        k.vm[0].now_ns, k.vm[0].current_task, k.vm[0].current_cpu, k.vm[0].lock_rank = now_ns, 2, cpu, 0
        k.tasks[2].cost_ns = 0
        spin_lock(k, PAGECACHE_LOCK, hold_ns)
        return int(k.tasks[2].cost_ns)

    assert take(1000, 0, 100) == 0  # free
    assert take(1040, 1, 100) == 60  # held for 60 ns more
    assert (lock.since_ns, lock.until_ns) == (1000, 1200)
    assert take(1100, 1, 10) == 0  # the same CPU does not wait for itself
    assert take(900, 0, 50) == 0  # over before that
    assert take(2000, 0, 50) == 0  # free again
    assert (lock.acquisitions, lock.contentions, lock.wait_ns, lock.hold_ns) == (5, 1, 60, 310)
    assert k.tasks[2].lock_wait_ns == 60


@pytest.mark.row("X-04")
def test_work_cut_short_leaves_no_waiting_for_later_work() -> None:
    """The page a task worked towards sleeping on was unlocked while it still spun for a lock."""
    machine = small(kernel={"switches": {"locks": True}})
    task = machine.add(walk(1, np.arange(1)))
    task.record.lock_wait_ns = 100
    task.charge_work(60, PART_DIRECT_RECLAIM)
    task.charge_work(500, PART_MINOR_FAULT)
    charged = parts(machine, task.index)
    assert (charged["lock_wait"], charged["direct_reclaim"], charged["minor_fault"]) == (60, 0, 500)
