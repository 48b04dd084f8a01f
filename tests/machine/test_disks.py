"""Disks under a whole machine: priorities, shared heads, clusters, plugging, elevators."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, PAGE, counters, finish, small, sweep

from numa_sim.processes.machine import Machine
from numa_sim.workloads.patterns import uniform

PRESSURE = 8 * MIB_PAGES


def disk(name: str = "sda", size: str = "1GiB", **more: Any) -> dict[str, Any]:
    return {"name": name, "device": "hdd", "size": size, "seek": "4ms", **more}


def partition(on: str = "sda", size: str = "16MiB", **more: Any) -> dict[str, Any]:
    return {"device": "partition", "disk": on, "size": size, **more}


def run(
    swap: tuple[Any, ...], disks: tuple[Any, ...] = (), program: Any = None, switches: dict[str, bool] | None = None
) -> Machine:
    """A finished machine of 4 MiB whose program needs twice that."""
    machine = small(swap=swap, disk=list(disks), kernel={"switches": switches or {}})
    machine.add(program or sweep(PRESSURE, times=2))
    assert finish(machine).exit_state == "ok"
    return machine


def four_tasks(swap: tuple[Any, ...], *disks: dict[str, Any]) -> Machine:
    """As `run`, by four tasks on four CPUs: so several wait for the disks at a time."""
    machine = small(swap=swap, disk=list(disks), cpus=("0-3",))
    for cpu in range(4):
        machine.add(sweep(PRESSURE // 4, times=3), cpus=[cpu])
    finish(machine)
    return machine


def total(machine: Machine, name: str) -> int:
    return int(machine.kernel.disks[name].sum())


@pytest.mark.row("S3-127", "S2-15")
def test_the_area_of_the_highest_priority_is_used_as_long_as_it_has_room() -> None:
    machine = run(
        (partition(size="2MiB", priority=1), partition(size="1MiB", priority=7), partition(size="16MiB", priority=4)),
        (disk(),),
    )
    low, high, middle = machine.kernel.swap_info[:3]
    assert high.pages_written >= high.pages == 255
    assert middle.pages_written > 0
    assert low.pages_written == 0


@pytest.mark.row("S3-128")
def test_two_disks_of_equal_priority_beat_one() -> None:
    one = four_tasks((partition(size="32MiB"),), disk())
    two = four_tasks((partition("sda", priority=3), partition("sdb", priority=3)), disk("sda"), disk("sdb"))
    used = [int(info.pages_written) for info in two.kernel.swap_info[:2]]
    assert abs(used[0] - used[1]) <= 0.1 * sum(used)
    assert two.now_ns < 0.8 * one.now_ns


@pytest.mark.row("X-06")
@pytest.mark.row("S3-129")
def test_two_equal_areas_on_one_disk_thrash_its_head() -> None:
    """Slots alternate between two places of the disk: read-ahead and merging reach half as far, the head travels."""
    filler = partition(size="700MiB", priority=0)
    equal = run((partition(priority=3), filler, partition(priority=3)), (disk(),))
    apart = run((partition(priority=4), filler, partition(priority=3)), (disk(),))
    assert equal.kernel.swap_info[1].pages_written == apart.kernel.swap_info[1].pages_written == 0
    assert total(equal, "seeks") > 1.3 * total(apart, "seeks")
    assert equal.now_ns > 1.3 * apart.now_ns


@pytest.mark.row("S3-130")
def test_areas_without_a_priority_get_minus_1_minus_2_and_so_on() -> None:
    machine = run((partition(size="1MiB"), partition(size="1MiB"), partition(size="16MiB")), (disk(),))
    assert machine.kernel.swap_info["prio"][:3].tolist() == [-1, -2, -3]
    first, second, third = machine.kernel.swap_info[:3]
    assert first.pages_written >= first.pages > 0
    assert second.pages_written >= second.pages > 0
    assert third.pages_written > 0


OLD = disk(bandwidth="10MB/s")
"""Four pages pass under the head in the time of a short seek."""


def holes_then_sweeps(task: Any) -> Any:
    """Fill swap, free a slot in nine, and write a second region into the holes; then read it back in order."""
    first = yield task.mmap(PRESSURE * PAGE)
    yield task.touch(first, write=1.0)
    yield task.touch(first, uniform(), accesses=200, write=0.5)
    for page in range(0, PRESSURE, 9):
        yield task.munmap(first, page * PAGE, PAGE)
    second = yield task.mmap(PRESSURE // 2 * PAGE)
    for _ in range(2):
        yield task.touch(second, write=1.0)


@pytest.mark.row("S3-127", "S2-14")
def test_clusters_of_slots_beat_first_fit() -> None:
    clusters = run((partition(size="64MiB"),), (OLD,), holes_then_sweeps)
    first_fit = run((partition(size="64MiB"),), (OLD,), holes_then_sweeps, {"clusters": False})
    assert total(first_fit, "seeks") > 2 * total(clusters, "seeks")
    assert first_fit.now_ns > 1.3 * clusters.now_ns


@pytest.mark.row("X-06")
def test_plugging_gathers_neighbours() -> None:
    on = run((partition(),), (disk(),))
    off = run((partition(),), (disk(),), switches={"plugging": False})
    assert total(on, "plugs") > 0 == total(off, "plugs")
    assert total(on, "reads") < total(off, "reads")
    assert counters(on)["pswpout"] * 8 == total(on, "sectors_written")


@pytest.mark.row("X-06")
def test_the_elevator_saves_head_travel() -> None:
    times = {}
    for elevator in ("linus", "noop", "none"):
        times[elevator] = four_tasks((partition(),), disk(elevator=elevator, size="16MiB")).now_ns
    assert times["linus"] < times["none"]
    assert times["noop"] < times["none"]


def test_counters_of_a_disk_agree_with_the_kernels() -> None:
    machine = run((partition(size="1MiB", priority=5), {"device": "nvme", "size": "16MiB"}), (disk(),))
    disks, areas = machine.kernel.disks, machine.kernel.swap_info
    for number in range(2):
        assert disks[number].sectors_read == 8 * areas[number].pages_read > 0
        assert disks[number].sectors_written == 8 * areas[number].pages_written > 0
    hdd, nvme = disks[:2]
    assert hdd.reads + hdd.read_merges == areas[0].pages_read
    assert hdd.writes + hdd.write_merges == areas[0].pages_written
    assert nvme.read_merges == nvme.seeks == nvme.plugs == 0 < nvme.busy_ns
    assert 0 < hdd.busy_ns <= machine.now_ns
    assert hdd.await_ns >= hdd.busy_ns
