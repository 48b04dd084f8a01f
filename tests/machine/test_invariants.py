"""Random small machines under full checks: nothing leaks, nothing is lost, every instant is accounted for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, ZRAM, Program, counters, finish, free_pages, small

from numa_sim.compiled import entry
from numa_sim.hardware.loop import stored
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.vmscan import reclaim_begin, reclaim_run
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED
from numa_sim.state.constants import GFP_HIGHUSER, GFP_KSWAPD, NIL, PAGE_SHIFT, PTE_PRESENT, PG_table, PG_uptodate
from numa_sim.workloads.patterns import from_arrays

_stored = entry(stored)
_get_pte = entry(get_pte)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)

DEVICES = (
    NVME,
    ZRAM,
    {"device": "sata-ssd", "size": "6MiB"},
    {"device": "hdd", "size": "8MiB", "seek": "500us"},
    {"device": "nvme", "size": "1MiB", "priority": 9},
)


class Shadow:
    """What one task's pages must contain, predicted from its own accesses alone."""

    def __init__(self) -> None:
        self.tags: dict[int, int] = {}

    def write(self, vpn: int) -> None:
        self.tags[vpn] = _stored(self.tags.get(vpn, 0), vpn)

    def forget(self, first: int, pages: int) -> None:
        for vpn in range(first, first + pages):
            self.tags.pop(vpn, None)


def contents(machine: Machine, task: int) -> dict[int, int]:
    """What a living task's written pages contain, wherever they are: in a frame, in the swap cache, on a device."""
    k = machine.kernel
    mm = int(k.tasks[task].mm)
    found = {}
    area = int(k.mms[mm].mmap)
    while area != NIL:
        for vpn in range(int(k.vmas[area].vm_start), int(k.vmas[area].vm_end)):
            pte = int(_get_pte(k, mm, vpn))
            if pte & PTE_PRESENT:
                if pte >> PAGE_SHIFT != k.vm[0].zero_pfn:
                    found[vpn] = int(k.tags[pte >> PAGE_SHIFT])
            elif pte:
                slot = int(k.swap_info[(pte >> 1) & 0x3F].map_start) + (pte >> 8)
                cached = int(k.swap_cache[slot]) - 1
                read = cached >= 0 and k.pages[cached].flags & PG_uptodate
                found[vpn] = int(k.tags[cached] if read else k.swap_tags[slot])
        area = int(k.vmas[area].vm_next)
    return found


def random_program(rng: np.random.Generator, shadow: Shadow, compare: Any, steps: int) -> Any:
    """Map, touch and unmap at random; `compare` is called at the end of each step, at a time of its own."""

    def program(task: Any) -> Program:
        regions: list[tuple[Any, set[int]]] = []
        for _ in range(steps):
            if not regions or rng.random() < 0.2:
                region = yield task.mmap(int(rng.integers(1, 2 * MIB_PAGES)) * PAGE)
                regions.append((region, set(range(region.pages))))
            at = int(rng.integers(len(regions)))
            region, mapped = regions[at]
            pages = rng.choice(np.array(sorted(mapped)), int(rng.integers(1, 600)))
            writes = rng.random(len(pages)) < rng.choice([0.0, 0.5, 1.0])
            yield task.touch(region, from_arrays(pages, writes=writes, compute_ns=int(rng.integers(0, 200))))
            for page in pages[writes].tolist():
                shadow.write(region.start_vpn + page)
            if rng.random() < 0.4:
                first = int(rng.integers(region.pages))
                length = int(rng.integers(1, region.pages - first + 1))
                yield task.munmap(region, offset=first * PAGE, length=length * PAGE)
                shadow.forget(region.start_vpn + first, length)
                mapped.difference_update(range(first, first + length))
                if not mapped:
                    del regions[at]
            if rng.random() < 0.3:
                yield task.sleep(int(rng.integers(1, 300_000)))
            compare()

    return program


def random_machine(rng: np.random.Generator, **tables: Any) -> Machine:
    nodes, cpus = [(4,), ("0-1",)], [(4, 4), ("0", "1")]
    shape = [nodes, cpus, [(4, 6, 4), ("0", "", "1-2")], [(5, 0), ("0", "1")]][int(rng.integers(4))]
    areas = tuple(DEVICES[i] for i in rng.choice(len(DEVICES), int(rng.integers(1, 4)), replace=False))
    switches = {
        name: bool(rng.random() < 0.7) for name in ("kswapd", "clusters", "readahead", "local_pages", "zero_page")
    }
    return small(
        nodes=shape[0],
        cpus=shape[1],
        swap=areas,
        arch=str(rng.choice(["x86-64", "i386"])),
        kernel={
            "numa_fallback": str(rng.choice(["strict24", "nearest"])),
            "time_slice": str(rng.choice(["20us", "1ms"])),
            "switches": switches,
            "sysctl": {"vm.vm_anon_lru": int(rng.integers(2))},
        },
        tlb={"entries": 64, "ways": int(rng.choice([1, 4]))},
        **tables,
    )


def drain(machine: Machine) -> None:
    """Let all I/O end, then free what is only cached: pages of the swap cache outlive their task, as in Linux."""
    machine.run(until=machine.now_ns + 60_000_000_000)
    k, vm = machine.kernel, machine.vm
    assert vm.io_head == vm.io_tail
    vm.vm_cache_scan_ratio = 1  # else the last five pages of the lists are never looked at
    for _ in range(100):
        if vm.nr_swapcache_pages == 0:
            return
        machine.enter_kernel(1, 0)
        zone = next(z for z in range(len(k.zones) - 1, -1, -1) if k.zones[z]["size"])
        _reclaim_begin(k, 1, zone, GFP_KSWAPD & GFP_HIGHUSER)
        while (status := _reclaim_run(k, 1)) not in (RECLAIM_DONE, RECLAIM_FAILED):
            machine.attend()
            machine.run(until=machine.now_ns + 20_000_000)
            machine.enter_kernel(1, 0)
        machine.attend()
        machine.run(until=machine.now_ns + 1_000_000_000)
        del status
    raise AssertionError(f"{vm.nr_swapcache_pages} pages stay in the swap cache")


def assert_nothing_is_left(machine: Machine, free_before: int) -> None:
    k, vm = machine.kernel, machine.vm
    drain(machine)
    machine.check()
    assert free_pages(machine) == free_before
    assert vm.nr_swap_pages == vm.total_swap_pages
    assert vm.nr_active_pages == vm.nr_inactive_pages == vm.nr_swapcache_pages == vm.page_cache_size == 0
    assert not (k.pages["flags"] & PG_table).any()
    assert not k.mms["used"][1:].any()
    assert not k.pages["buffers"].any()
    assert vm.mmlist_nr == 0
    areas, area = 0, int(vm.free_vma)
    while area != NIL:
        areas, area = areas + 1, int(k.vmas[area].vm_next)
    assert areas == vm.vma_used
    counts = counters(machine)
    assert counts["table_pages"] == counts["table_pages_freed"]
    assert counts["swap_cache_add"] == counts["swap_cache_del"]


@pytest.mark.parametrize("seed", range(8))
def test_random_machines_lose_nothing_and_leak_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    machine = random_machine(rng, run={"check": "full", "sample": "1ms"})
    free_before = free_pages(machine)
    compared = [0]
    for number in range(int(rng.integers(2, 5))):
        shadow = Shadow()

        def compare(task: int = 2 + number, shadow: Shadow = shadow) -> None:
            actual = contents(machine, task)
            assert {vpn: actual.get(vpn) for vpn in shadow.tags} == shadow.tags
            # Pages that were only read contain what a fresh page does.
            assert all(tag == 0 for vpn, tag in actual.items() if vpn not in shadow.tags)
            compared[0] += len(shadow.tags)

        machine.add(random_program(rng, shadow, compare, steps=6), name=f"task{number}", start_ns=number * 50_000)
    finish(machine)
    assert all(task.outcome in ("exited", "out of memory") for task in machine.tasks)
    assert compared[0] > 0
    machine.check_level = "cheap"
    assert_nothing_is_left(machine, free_before)


@pytest.mark.row("S0-30", "S2-04")
@pytest.mark.parametrize("device", [NVME, ZRAM, {"device": "hdd", "size": "16MiB", "seek": "100us"}])
def test_contents_survive_heavy_swapping(device: dict[str, Any]) -> None:
    """Every page goes out and comes back several times."""
    rng = np.random.default_rng(5)
    machine = small(swap=(device,), cpus=("0-1",), run={"check": "cheap"})
    shadows = [Shadow(), Shadow()]

    def program(shadow: Shadow, number: int) -> Any:
        def run(task: Any) -> Program:
            heap = yield task.mmap(3 * MIB_PAGES * PAGE)
            for _ in range(8):
                pages = rng.integers(0, heap.pages, 2000)
                writes = rng.random(2000) < 0.5
                yield task.touch(heap, from_arrays(pages, writes=writes))
                for page in pages[writes].tolist():
                    shadow.write(heap.start_vpn + page)
                actual = contents(machine, 2 + number)
                assert {vpn: actual.get(vpn) for vpn in shadow.tags} == shadow.tags

        return run

    for number, shadow in enumerate(shadows):
        machine.add(program(shadow, number), name=f"task{number}")
    finish(machine)
    assert counters(machine)["pswpin"] > 3 * MIB_PAGES < counters(machine)["pswpout"]
    if device is not ZRAM:
        assert counters(machine)["swap_cache_hit"] > 0


@pytest.mark.row("S0-51")
def test_a_page_touched_before_its_write_ends_is_found_in_the_swap_cache() -> None:
    """It need not be read: it was not away yet."""
    machine = small(swap=({**NVME, "latency": "100ms", "channels": 1},), kernel={"switches": {"readahead": False}})
    found = []

    def program(task: Any) -> Program:
        heap = yield task.mmap(3 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        k, mm = machine.kernel, int(machine.kernel.tasks[2].mm)
        writing = []
        for page in range(heap.pages):
            pte = int(_get_pte(k, mm, heap.start_vpn + page))
            if pte and not pte & PTE_PRESENT and k.swap_cache[int(k.swap_info[0].map_start) + (pte >> 8)]:
                writing.append(page)
        before = counters(machine)
        yield task.touch(heap, from_arrays(np.array(writing[-20:])))
        found.append((len(writing), before, counters(machine)))

    machine.add(program)
    finish(machine)
    ((writing, before, after),) = found
    assert writing >= 20
    assert after["swap_cache_hit"] - before["swap_cache_hit"] == 20
    assert after["pswpin"] == before["pswpin"]
    assert after["pgmajfault"] == before["pgmajfault"]


def test_a_task_that_exits_under_its_own_writes_leaves_nothing() -> None:
    machine = small(swap=({**NVME, "latency": "50ms", "channels": 1},), run={"check": "full"})
    free_before = free_pages(machine)

    def program(task: Any) -> Program:
        heap = yield task.mmap(3 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)

    machine.add(program)
    finish(machine)
    assert free_pages(machine) < free_before  # pages still being written
    assert_nothing_is_left(machine, free_before)


def test_a_kill_in_the_middle_of_swapping_leaves_nothing() -> None:
    machine = small(
        swap=({**NVME, "size": "2MiB"},), cpus=("0-1",), run={"check": "full"}, costs={"context_switch": "100us"}
    )
    free_before = free_pages(machine)

    def program(task: Any) -> Program:
        heap = yield task.mmap(3 * MIB_PAGES * PAGE)
        while True:
            yield task.touch(heap, write=0.7)

    def little(task: Any) -> Program:
        heap = yield task.mmap(32 * PAGE)
        for _ in range(20):
            yield task.touch(heap, write=0.7)
            yield task.sleep("100us")

    machine.add(program, name="one", cpus=[0])
    machine.add(program, name="two", cpus=[1])
    machine.add(little, name="little")
    finish_by_killing(machine)
    assert_nothing_is_left(machine, free_before)


def finish_by_killing(machine: Machine) -> None:
    """Run; two tasks do not fit and never end: the OOM killer takes one, the test the other, in mid-access."""

    def killer() -> Any:
        while not any(task.outcome == "out of memory" for task in machine.tasks):
            yield machine.timeout(10_000_000)
        yield machine.timeout(3_333_333)
        for task in machine.tasks:
            if task.process.is_alive:
                task.kill("by the test")

    machine.process(killer())
    result = finish(machine)
    assert result.exit_state == "oom"
    assert sorted(task.outcome for task in machine.tasks) == ["by the test", "exited", "out of memory"]
