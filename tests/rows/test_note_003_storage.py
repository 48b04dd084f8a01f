"""Note 003 of the acceptance list, storage: primary and secondary, kinds of swap areas, no swap at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, counters, finish, small, sweep

from numa_sim.observe.user_pages import entries
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import PAGE_SHIFT, PTE_PRESENT

DISK = {"name": "sda", "device": "nvme", "size": "64MiB"}


def contents(machine: Machine) -> tuple[dict[int, int], dict[int, int]]:
    """Contents of the first task's pages by virtual page: those in memory, and those in swap alone."""
    k = machine.kernel
    mm = machine.tasks[0].record.mm
    vpns, ptes = entries(k, mm, 0, int(k.vm[0].task_size_vpn))
    present = {vpn: int(k.tags[pte >> PAGE_SHIFT]) for vpn, pte in zip(vpns, ptes, strict=True) if pte & PTE_PRESENT}
    slots = {vpn: int(k.swap_info[0].map_start) + int(pte >> 8) for vpn, pte in zip(vpns, ptes, strict=True)}
    swapped = {
        vpn: int(k.swap_tags[slots[vpn]]) for vpn in slots if vpn not in present and not k.swap_cache[slots[vpn]]
    }
    return present, swapped


@pytest.mark.row("S3-006")
def test_pages_go_from_primary_to_secondary_storage_and_back() -> None:
    def program(task: Any) -> Any:
        heap = yield task.mmap(6 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.sleep("1s")
        yield task.touch(heap, accesses=300)
        yield task.sleep("1s")

    machine = small(swap=(NVME,))
    machine.add(program)
    machine.run_until(900_000_000)
    _, swapped = contents(machine)
    assert len(swapped) > 300
    assert 0 not in swapped.values(), "each page has been written"
    assert len(set(swapped.values())) == len(swapped), "with contents of its own"
    machine.run_until(1_900_000_000)
    present, _ = contents(machine)
    back = swapped.keys() & present.keys()
    assert len(back) > 100
    assert all(present[vpn] == swapped[vpn] for vpn in back)


def swapping(*areas: dict[str, Any]) -> Machine:
    machine = small(swap=areas, disk=[DISK], file=[{"name": "swapfile", "disk": "sda", "size": "4MiB"}])
    machine.add(sweep(8 * MIB_PAGES, times=2))
    assert finish(machine).exit_state == "ok"
    return machine


@pytest.mark.row("S3-014", "S3-010")
def test_swap_is_a_partition_a_file_or_both() -> None:
    partition = {"name": "sdb1", "device": "nvme", "size": "4MiB", "priority": 5}
    file = {"device": "file", "file": "swapfile", "priority": 5}
    both = swapping(partition, file)
    text = both.procfs("swaps").splitlines()
    assert [line.split()[:2] for line in text[1:]] == [["sdb1", "partition"], ["swapfile", "file"]]
    written = [int(area.pages_written) for area in both.kernel.swap_info[:2]]
    assert all(pages > 100 for pages in written)
    assert sum(written) == counters(both)["pswpout"]
    for alone in ({**partition, "size": "16MiB"},):
        assert int(swapping(alone).kernel.swap_info[0].pages_written) > sum(written) // 2


def reader(pages: int) -> Any:
    def program(task: Any) -> Any:
        file = yield task.open("data")
        yield task.read(file, pages * PAGE)

    return program


@pytest.mark.row("S3-016")
def test_without_swap_only_pages_of_files_are_reclaimed_and_then_memory_is_out() -> None:
    def without_swap(pages: int) -> Any:
        machine = small(swap=(), disk=[DISK], file=[{"name": "data", "disk": "sda", "size": "6MiB"}])
        machine.add(reader(6 * MIB_PAGES), name="reader")
        machine.add(sweep(pages, times=2), name="hog", start_ns=20_000_000)
        return machine, finish(machine)

    machine, result = without_swap(400)
    assert result.exit_state == "ok"
    count = counters(machine)
    assert count["pswpout"] == count["swap_out_ptes"] == 0
    assert count["pgsteal_kswapd"] + count["pgsteal_direct"] > 6 * MIB_PAGES - 1000, "the file's pages made room"
    machine, result = without_swap(6 * MIB_PAGES)
    assert result.exit_state == "oom"
    assert counters(machine)["oom_kill"] >= 1
    assert counters(machine)["pswpout"] == 0


@pytest.mark.row("S3-015")
def test_swap_comes_and_goes_while_programs_run() -> None:
    off = {"name": "late", "device": "nvme", "size": "16MiB", "on": False}
    machine = small(swap=({**NVME, "name": "early"}, off), run={"check": "cheap"})

    def admin(task: Any) -> Any:
        yield task.sleep("2ms")
        yield task.swapon("late", 9)
        yield task.sleep("2ms")
        yield task.swapoff("early")

    machine.add(admin, root=True)
    machine.add(sweep(6 * MIB_PAGES, times=6), name="hog")
    assert finish(machine).exit_state == "ok"
    areas = {area.name: machine.kernel.swap_info[i] for i, area in enumerate(machine.swap.described())}
    assert counters(machine)["swapoff_pages"] > 0
    assert int(areas["late"].pages_written) > 0
    assert np.count_nonzero(machine.kernel.swap_info["flags"][:2]) == 1
