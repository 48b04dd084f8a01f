"""All kernels on small machines short of memory: nothing is lost, nothing leaks, the same seed is the same run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, ZRAM, Program, counters, finish, free_pages, parts, small, sweep
from machine.test_invariants import Shadow, assert_nothing_is_left, contents, random_program

from numa_sim.compiled import entry
from numa_sim.kernel.buddy import free_pages as give_back
from numa_sim.kernel.v2_2.vmscan import shrink_mmap
from numa_sim.kernel.v2_4_0.reclaim_page import reclaim_page
from numa_sim.kernel.v2_4_0.vmscan import GFP_KSWAPD_2_4_0, reclaim_run, try_to_free_pages_begin
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED
from numa_sim.state.constants import NIL

KERNELS = ("linux-2.2", "linux-2.4.0", "linux-2.4.22", "linux-2.4.37")
SWITCHES = {
    "linux-2.2": ("kswapd", "clusters", "readahead", "zero_page", "hysteresis", "second_chance"),
    "linux-2.4.0": ("kswapd", "clusters", "readahead", "zero_page", "page_aging", "kreclaimd"),
    "linux-2.4.22": ("kswapd", "clusters", "readahead", "zero_page", "local_pages"),
    "linux-2.4.37": ("kswapd", "clusters", "readahead", "zero_page", "local_pages"),
}
HDD = {"device": "hdd", "size": "16MiB", "seek": "500us"}
EXITED_TASK = 2

_try_to_free_pages_begin = entry(try_to_free_pages_begin)
_reclaim_run = entry(reclaim_run)
_reclaim_page = entry(reclaim_page)
_shrink_mmap = entry(shrink_mmap)
_give_back = entry(give_back)


def drain_2_2(machine: Machine) -> None:
    """Let all I/O end, then move the clock hand round until it frees nothing more."""
    machine.run(until=machine.now_ns + 60_000_000_000)
    machine.enter_kernel(EXITED_TASK, 0)
    while _shrink_mmap(machine.kernel, EXITED_TASK, 0):
        pass
    assert machine.vm.nr_swapcache_pages == machine.vm.nr_async_pages == 0
    assert not machine.kernel.swap_lockmap.any()


def drain_2_4_0(machine: Machine) -> None:
    """Let all I/O end, then free what is only cached, as if memory were very short."""
    k, vm = machine.kernel, machine.vm
    machine.run(until=machine.now_ns + 60_000_000_000)
    high = vm.freepages_high
    for _ in range(100):
        if vm.nr_swapcache_pages == 0:
            return
        machine.enter_kernel(EXITED_TASK, 0)
        vm.freepages_high = vm.total_pages
        _try_to_free_pages_begin(k, EXITED_TASK, GFP_KSWAPD_2_4_0, 0)
        while _reclaim_run(k, EXITED_TASK) not in (RECLAIM_DONE, RECLAIM_FAILED):
            vm.freepages_high = high
            machine.attend()
            machine.run(until=machine.now_ns + 20_000_000)
            machine.enter_kernel(EXITED_TASK, 0)
            vm.freepages_high = vm.total_pages
        vm.freepages_high = high
        machine.attend()
        for zone in range(len(k.zones)):
            while (pfn := _reclaim_page(k, zone)) != NIL:
                _give_back(k, pfn, 0)
        machine.run(until=machine.now_ns + 20_000_000)
    raise AssertionError(f"{vm.nr_swapcache_pages} pages stay in the swap cache")


def random_machine(rng: np.random.Generator, profile: str, **tables: Any) -> Machine:
    nodes, cpus = [((4,), ("0-1",)), ((4, 4), ("0", "1")), ((4, 6, 4), ("0", "", "1-2"))][int(rng.integers(3))]
    swap = [(NVME,), (ZRAM,), (HDD,), (NVME, HDD)][int(rng.integers(4))]
    arch = str(rng.choice(["x86-64", "i386"]))
    kernel: dict[str, Any] = {
        "profile": profile,
        "numa_fallback": str(rng.choice(["strict24", "nearest"])),
        "time_slice": str(rng.choice(["20us", "1ms"])),
        "switches": {name: bool(rng.random() < 0.7) for name in SWITCHES[profile]},
    }
    if profile == "linux-2.2":
        del kernel["numa_fallback"]
    return small(nodes=nodes, cpus=cpus, swap=swap, arch=arch, kernel=kernel, **tables)


@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0", "linux-2.4.22"])
@pytest.mark.parametrize("seed", range(4))
def test_random_machines_lose_nothing_and_leak_nothing(seed: int, profile: str) -> None:
    rng = np.random.default_rng(seed)
    machine = random_machine(rng, profile, run={"check": "full", "sample": "1ms"})
    free_before = free_pages(machine)
    compared = [0]
    for number in range(int(rng.integers(2, 4))):
        shadow = Shadow()

        def compare(task: int = 2 + number, shadow: Shadow = shadow) -> None:
            actual = contents(machine, task)
            assert {vpn: actual.get(vpn) for vpn in shadow.tags} == shadow.tags
            compared[0] += len(shadow.tags)

        machine.add(random_program(rng, shadow, compare, steps=5), name=f"task{number}", start_ns=number * 50_000)
    finish(machine)
    assert all(task.outcome in ("exited", "out of memory") for task in machine.tasks)
    assert compared[0] > 0
    machine.check_level = "cheap"
    if profile == "linux-2.4.0":
        drain_2_4_0(machine)
        assert machine.vm.nr_inactive_dirty_pages == machine.vm.nr_async_pages == 0
        assert not machine.kernel.zones.inactive_clean_pages.any()
    elif profile == "linux-2.2":
        drain_2_2(machine)
    assert_nothing_is_left(machine, free_before)


def pressed(profile: str, seed: int = 1) -> Machine:
    """Two tasks on two CPUs that together need half as much again as there is."""
    machine = small(cpus=("0-1",), kernel={"profile": profile}, run={"seed": seed})
    for number in range(2):
        machine.add(sweep(3 * MIB_PAGES, times=2), name=f"task{number}")
    assert finish(machine).exit_state == "ok"
    return machine


@pytest.fixture(scope="module")
def runs() -> dict[str, Machine]:
    return {profile: pressed(profile) for profile in KERNELS}


def test_same_seed_same_run(runs: dict[str, Machine]) -> None:
    for profile, machine in runs.items():
        again = pressed(profile)
        assert event_hash(again.kernel) == event_hash(machine.kernel), profile
        assert state_hash(again.kernel) == state_hash(machine.kernel), profile
    assert len({event_hash(machine.kernel) for machine in runs.values()}) == len(KERNELS)


def test_each_kernel_meets_pressure_in_its_own_way(runs: dict[str, Machine]) -> None:
    oldest, old, middle, late = (counters(runs[profile]) for profile in KERNELS)
    for counts in (oldest, old, middle, late):
        assert counts["pswpout"] > 0 < counts["pswpin"]
        assert counts["kswapd_wakeup"] > 0 < counts["pageoutrun"]
    # 2.4.0: age, wash, take a clean page; a task waits for kswapd instead of reclaiming.
    assert old["pgage_up"] > 0 < old["pgage_down"]
    assert old["pglaunder_write"] > 0 < old["pglaunder_clean"]
    assert old["reclaim_page"] >= old["reclaim_page_direct"] > 0
    assert old["kswapd_wait"] > 0 == old["allocstall"]
    assert old["alloc_yield"] > 0 < parts(runs["linux-2.4.0"])["kswapd_wait"]
    # 2.2: a clock; tasks reclaim for themselves, and no swap-in is a major fault.
    assert oldest["pgrefill"] == oldest["pgmajfault"] == 0
    # Later: two lists without age.
    for counts in (oldest, middle, late):
        for name in ("pgage_up", "pgage_down", "pglaunder_write", "reclaim_page", "kswapd_wait", "kreclaimd_wakeup"):
            assert counts[name] == 0, name
        assert counts["allocstall"] > 0
    assert middle["pgmajfault"] > 0 < late["pgmajfault"]


def test_2_4_22_gives_way_before_it_reclaims_again() -> None:
    """No page can be freed for a while: the task lets the other one on its CPU run, and starts over."""
    machine = small(
        cpus=("0",), swap=({**NVME, "size": "1MiB"},), kernel={"profile": "linux-2.4.22", "time_slice": "10s"}
    )
    machine.add(sweep(5 * MIB_PAGES), name="hog")
    turns: list[int] = []

    def other(task: Any) -> Program:
        heap = yield task.mmap(PAGE)
        while len(turns) < 50:
            yield task.touch(heap, write=1.0)
            turns.append(machine.now_ns)
            yield task.sleep("1ms")

    machine.add(other)
    assert finish(machine).exit_state == "oom"
    assert counters(machine)["alloc_yield"] > 0
    hog = machine.tasks[0].record
    assert sum(at < hog.end_ns for at in turns) > 1
