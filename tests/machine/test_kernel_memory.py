"""Whole machines whose programs act as kernel modules: kmalloc, vmalloc, blocks of pages, kmap, names."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, counters, finish, free_pages, small, sweep

from numa_sim.errors import ConfigError, SimulationError
from numa_sim.kernel.slab.cache import cache_name, chain
from numa_sim.kernel.vmalloc import areas
from numa_sim.workloads.kernel_memory import churn

FULL = {"run": {"check": "full"}}


def slabs(machine: Any) -> dict[str, int]:
    """Slabs of every cache that has some."""
    caches = machine.kernel.kmem_caches
    return {
        cache_name(machine.kernel, c): int(caches[c].list_length.sum())
        for c in chain(machine.kernel)
        if caches[c].list_length.sum()
    }


@pytest.mark.row("S3-178", "S3-179")
def test_kmalloc_and_kfree_by_a_program():
    machine = small(**FULL)

    def module(task):
        small_one = yield task.kmalloc(100)
        big = yield task.kmalloc("64KiB")
        assert big.address % 4096 == 0
        yield task.kfree(small_one)
        yield task.kfree(big)
        low = yield task.kmalloc(1, dma=True)
        assert low.address < 16 << 20

    machine.add(module)
    finish(machine)
    assert {"size-128", "size-65536", "size-32(DMA)"} <= set(slabs(machine))
    assert counters(machine)["nr_slab"] == counters(machine)["slab_grown"] >= 18


def test_kernel_memory_waits_for_reclaim_and_fails_when_there_is_none():
    """Atomic requests fail where others make room first."""
    machine = small(nodes=(8,), **FULL)
    refused = []

    def module(task):
        heap = yield task.mmap("7MiB")
        yield task.touch(heap, write=1.0)
        for atomic in (True, False):
            for _ in range(40):
                try:
                    yield task.get_free_pages(2, atomic=atomic)
                except OSError as error:
                    refused.append((atomic, error.errno))
                    break

    machine.add(module)
    finish(machine)
    assert (True, 12) in refused
    seen = counters(machine)
    assert seen["allocstall"] > 0
    assert seen["pswpout"] > 0


@pytest.mark.row("S3-180", "S3-187")
@pytest.mark.parametrize("arch", ["x86-64", "i386"])
def test_a_module_uses_its_area_and_dies_on_the_page_behind_it(arch):
    machine = small(arch=arch, **FULL)
    reached = []

    def module(task):
        heap = yield task.mmap("4KiB")
        yield task.touch(heap, write=1.0)  # its directory is older than the area's tables
        memory = yield task.vmalloc("20KiB")
        yield task.kernel_touch(memory, write=1.0)
        reached.append(memory.address)
        yield task.kernel_touch(memory, write=1.0, overrun=1)
        reached.append(None)

    def user(task):
        heap = yield task.mmap("64KiB")
        yield task.touch(heap, write=1.0)

    machine.add(module)
    machine.add(user)
    result = finish(machine)
    assert len(reached) == 1
    seen = counters(machine)
    assert (seen["vmalloc_faults"], seen["oops"], seen["nr_vmalloc"]) == (1, 1, 5)
    address = reached[0] + 5 * 4096
    says = f"task module: Oops: unable to handle kernel paging request at address {address:#x}"
    assert any(says in line for line in result.warnings)
    assert areas(machine.kernel) == [(reached[0] >> 12, 6)]


def test_user_mode_may_not_touch_kernel_addresses():
    machine = small(**FULL)

    def program(task):
        memory = yield task.vmalloc(4096)
        yield task.kernel_touch(memory).touch

    machine.add(program)
    finish(machine)
    assert counters(machine)["oops"] == 0
    assert machine.tasks[0].record.exit_code & 0x7F == 11


@pytest.mark.row("S3-188")
def test_vfree_of_a_wrong_address_is_a_complaint():
    machine = small(**FULL)

    def module(task):
        memory = yield task.vmalloc("8KiB")
        yield task.vfree(memory.address + 1)
        yield task.vfree(memory.address + 4096)
        yield task.vfree(memory)

    machine.add(module)
    result = finish(machine)
    assert ["vfree() bad" in line for line in result.warnings] == [True, False]
    assert "nonexistent vm area" in result.warnings[1]
    assert counters(machine)["nr_vmalloc"] == 0


@pytest.mark.row("S3-184")
def test_each_process_takes_the_fault_once_and_so_does_every_later_one():
    machine = small(nodes=(8,), cpus=("0-1",), **FULL)
    made: list[Any] = []

    def module(task):
        heap = yield task.mmap("4KiB")
        yield task.touch(heap, write=1.0)
        made.append((yield task.vmalloc("16KiB")))
        yield task.kernel_touch(made[0])
        yield task.kernel_touch(made[0])

    def other(task):
        yield task.sleep("1ms")
        yield task.kernel_touch(made[0], write=1.0)

    machine.add(module)
    machine.add(other)
    finish(machine)
    # The module's directory had no such entry; the other's was made later and came with it.
    assert counters(machine)["vmalloc_faults"] == 1
    assert counters(machine)["oops"] == 0


def test_kfree_of_what_is_not_allocated_is_a_bug():
    machine = small()

    def module(task):
        memory = yield task.kmalloc(64)
        yield task.kfree(memory)
        yield task.kfree(memory)

    machine.add(module)
    with pytest.raises(SimulationError, match="kernel BUG: kfree of"):
        machine.run_to_end()


def test_blocks_of_pages_are_given_back():
    machine = small(**FULL)
    free = []

    def module(task):
        free.append(free_pages(machine))
        blocks = []
        for order in (0, 3, 5):
            blocks.append((yield task.get_free_pages(order)))
        blocks.append((yield task.get_free_pages(zeroed=True)))
        assert free_pages(machine) == free[0] - 1 - 8 - 32 - 1
        for block in blocks:
            yield task.free_pages(block)
        free.append(free_pages(machine))

    machine.add(module)
    finish(machine)
    assert free[0] == free[1]


def test_tasks_wait_for_a_slot_of_kmap():
    machine = small(nodes=(960,), cpus=("0-1",), arch="i386")
    machine.vm.nr_pkmap = 4
    order = []

    def greedy(task):
        heap = yield task.mmap("16KiB")
        yield task.touch(heap, write=1.0)
        for page in range(4):
            slot = yield task.kmap(heap, page)
            assert slot is not None
        yield task.sleep("1ms")
        order.append("gives up")
        yield task.kunmap(heap, 2)
        yield task.sleep("1ms")

    def patient(task):
        heap = yield task.mmap("4KiB")
        yield task.touch(heap, write=1.0)
        yield task.sleep("100us")
        order.append((yield task.kmap(heap)))

    machine.add(greedy)
    machine.add(patient)
    finish(machine)
    assert order == ["gives up", 3]
    seen = counters(machine)
    assert (seen["kmap_waits"], seen["kmap_maps"]) == (1, 5)
    assert seen["kmap_flushes"] >= 1


@pytest.mark.row("S2-32")
@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
def test_dentries_and_inodes_shrink_under_pressure_and_slabs_go_back(profile):
    """find(1) fills the caches, then a program needs the memory; its pages are swapped, slab pages never are."""
    machine = small(nodes=(8,), kernel={"profile": profile}, **FULL)
    held = []

    def find(task):
        yield task.look_up(3000)
        held.append(slabs(machine))

    def hog(task):
        yield task.sleep("20ms")
        yield from sweep(8 * MIB_PAGES, 2)(task)

    machine.add(find)
    machine.add(hog)
    finish(machine)
    assert held[0]["dentry_cache"] == 100
    assert held[0]["inode_cache"] == 375
    seen = counters(machine)
    assert seen["dentries_pruned"] > 1000
    assert 0 < seen["inodes_pruned"] <= seen["dentries_pruned"]
    assert seen["slab_reaped"] > 100
    assert seen["slabs_scanned"] > 0
    assert slabs(machine).get("inode_cache", 0) < held[0]["inode_cache"] // 2


def test_churn_makes_the_same_requests_whatever_is_refused():
    asked: dict[int, list[Any]] = {}

    def run(mib: int) -> None:
        machine = small(nodes=(mib,))

        def module(task):
            result = yield from churn(task, "vmalloc", 60, (4096, 1 << 20), 5, task.rng("churn"))
            asked[mib] = [result.served, result.refused, len(result.held)]

        machine.add(module)
        finish(machine)

    run(16)
    run(32)
    assert asked[16][2] <= 5
    assert asked[32] == [60, 0, 5]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda task: task.kmalloc("129KiB"), "kmalloc.size"),
        (lambda task: task.kmalloc(0), "kmalloc.size"),
        (lambda task: task.get_free_pages(10), "get_free_pages.order"),
        (lambda task: task.get_free_pages(1, zeroed=True), "get_free_pages.order"),
        (lambda task: task.kfree(7), "kfree"),
        (lambda task: task.look_up(0), "look_up.names"),
        (lambda task: task.vmalloc("a lot"), "vmalloc.size"),
    ],
)
def test_wrong_arguments_are_told(make, says):
    machine = small()

    def program(task):
        yield make(task)

    machine.add(program)
    with pytest.raises(ConfigError, match=says):
        machine.run_to_end()
