"""linux-2.2 in whole machines: its kswapd, its clock, the end of memory, files, and what it makes of NUMA hardware."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, Program, counters, finish, parts, small, sweep

from numa_sim.config import load
from numa_sim.observe import procfs
from numa_sim.processes.machine import Machine
from numa_sim.processes.ticking import SECOND_NS
from numa_sim.results import Run
from numa_sim.results.readable import readable_count
from numa_sim.results.summary_tables import headline
from numa_sim.results.sweep_columns import metrics_of
from numa_sim.state.event_codes import EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE
from numa_sim.workloads.patterns import from_arrays

PRESSURE = 6 * MIB_PAGES
CLOCK = Path(__file__).parents[2] / "configs" / "clock-2.2.toml"


def oldest(swap: tuple[Any, ...] = (NVME,), nodes: tuple[int, ...] = (4,), **tables: Any) -> Machine:
    """A small machine with 2.2; `off` names mechanisms to switch off."""
    switches = dict.fromkeys(tables.pop("off", ()), False)
    return small(nodes=nodes, swap=swap, kernel={"profile": "linux-2.2", "switches": switches}, **tables)


@cache
def pressed(*off: str) -> Machine:
    """A finished machine whose two programs wrote half as much again as there is, twice."""
    machine = oldest(cpus=("0-1",), off=off)
    for number in range(2):
        machine.add(sweep(PRESSURE // 2, times=2), name=f"task{number}")
    assert finish(machine).exit_state == "ok"
    return machine


def event_times(machine: Machine, code: int) -> list[int]:
    events = machine.kernel.events[: machine.vm.events_used]
    return [int(event.t_ns) for event in events[events["code"] == code]]


# kswapd --------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-120")
def test_kswapd_comes_once_a_second_and_frees_until_high() -> None:
    machine = oldest(run={"record_events": 100_000})
    vm = machine.vm
    seen = []

    def program(task: Any) -> Program:
        heap = yield task.mmap(PRESSURE * PAGE)
        page = 0
        while vm.nr_free_pages > vm.freepages_low:
            yield task.touch(heap, from_arrays(np.array([page]), writes=1))
            page += 1
        # Below high, but nobody is in need: only the clock on the wall brings kswapd.
        for _ in range(2):
            seen.append((int(vm.nr_free_pages), counters(machine)["swap_out_ptes"]))
            yield task.sleep("1s")
        seen.append((int(vm.nr_free_pages), counters(machine)["swap_out_ptes"]))

    machine.add(program)
    finish(machine)
    assert seen[0] == (int(vm.freepages_low), 0)
    assert seen[-1][0] >= vm.freepages_high
    assert seen[-1][1] > 0
    assert counters(machine)["kswapd_wakeup"] == counters(machine)["allocstall"] == 0
    sleeps, wakes = event_times(machine, EV_KSWAPD_SLEEP), event_times(machine, EV_KSWAPD_WAKE)
    assert {wake - sleep for sleep, wake in zip(sleeps, wakes, strict=False)} == {SECOND_NS}


@cache
def swept(mib: int, *off: str) -> Machine:
    """A finished machine of `mib` MiB whose one program wrote half as much again, twice."""
    machine = oldest(nodes=(mib,), swap=({**NVME, "size": "128MiB"},), off=off)
    machine.add(sweep((mib - 2) * MIB_PAGES * 3 // 2, times=2))
    finish(machine)
    return machine


def test_without_kswapd_tasks_do_all_the_work() -> None:
    on, off = counters(swept(40)), counters(swept(40, "kswapd"))
    assert on["pageoutrun"] > 0 < on["pgscan_kswapd"]
    assert off["pageoutrun"] == off["pgscan_kswapd"] == off["kswapd_wakeup"] == 0
    assert off["allocstall"] > on["allocstall"] > 0
    assert parts(swept(40))["direct_reclaim"] > 0 == parts(swept(40))["kswapd_wait"]
    assert [swept(40, *off).tasks[0].outcome for off in ((), ("kswapd",))] == ["exited", "exited"]


def test_on_a_little_machine_the_reserve_can_be_gone_before_the_hand_has_come_round() -> None:
    """The hand moves a sixty-fourth of memory per call that starts 32 writes; min is a hundred-and-twenty-eighth."""
    machine = swept(8)
    assert machine.tasks[0].outcome == "out of memory"
    assert machine.vm.nr_swap_pages > machine.vm.total_swap_pages // 2
    assert counters(machine)["pgsteal_direct"] + counters(machine)["pgsteal_kswapd"] < 64


def test_without_hysteresis_tasks_reclaim_less_often() -> None:
    on, off = counters(pressed()), counters(pressed("hysteresis"))
    assert on["allocstall"] > off["allocstall"] > 0


def test_a_run_is_the_same_run_twice_and_says_what_2_2_has_not() -> None:
    machine = pressed()
    counts = counters(machine)
    assert counts["pgmajfault"] == counts["oom_kill"] == counts["pgrefill"] == 0
    assert counts["swap_faults"] > 0 < counts["swap_ra"]
    assert machine.vm.nr_active_pages == machine.vm.nr_inactive_pages == 0
    text = procfs.text(machine.kernel, "meminfo", {})
    assert "Active" not in text
    assert f"MemFree:      {machine.vm.nr_free_pages * 4:8d} kB" in text


def test_a_swap_in_is_minor_a_mapped_file_major_and_what_had_to_read_is_known() -> None:
    """Spec 7.5, 7.7, C-5: `swap_in` counts min_flt even when it reads, `do_no_page` maj_flt even when it does not."""
    swapped = pressed()
    summary = Run.of(swapped.run_to_end()).summary
    misses = counters(swapped)["swap_cache_miss"]
    assert sum(task["maj_flt"] for task in summary["tasks"]) == 0 < misses
    assert f" 0 major faults ({readable_count(misses)} had to read)" in headline(summary)
    assert metrics_of(summary)["faults_read"] == misses

    def program(task: Any) -> Program:
        fd = yield task.open("data")
        region = yield task.mmap(file=fd)
        for _ in range(2):
            yield task.touch(region)
            yield task.munmap(region)
            region = yield task.mmap(file=fd)

    disk = {"name": "sda", "device": "nvme", "size": "1MiB"}
    mapped = oldest(swap=(), disk=[disk], file=[{"name": "data", "size": "64KiB", "disk": "sda"}])
    mapped.add(program)
    summary = Run.of(finish(mapped)).summary
    assert sum(task["maj_flt"] for task in summary["tasks"]) == counters(mapped)["pgmajfault"] == 2 * 16
    assert 0 < metrics_of(summary)["faults_read"] < 16
    assert headline(summary).count("had to read") == 0
    stat = procfs.text(mapped.kernel, "vmstat", {})
    assert "pgmajfault 32\n" in stat


# Out of memory -------------------------------------------------------------------------------------------------------


def test_who_finds_no_memory_dies_itself_whoever_is_bigger() -> None:
    machine = oldest(swap=({**NVME, "size": "1MiB"},), cpus=("0-1",), run={"check": "full", "sample": "1ms"})

    def big(task: Any) -> Program:
        heap = yield task.mmap(MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.sleep("100ms")

    def late(task: Any) -> Program:
        yield task.sleep("10ms")
        heap = yield task.mmap(PRESSURE * PAGE)
        yield task.touch(heap, write=1.0)

    machine.add(big)
    machine.add(late)
    result = finish(machine)
    assert [task.outcome for task in machine.tasks] == ["exited", "out of memory"]
    assert any("late: no memory for a page, killed (SIGBUS)" in warning for warning in result.warnings)
    assert counters(machine)["oom_kill"] == 0


# NUMA ----------------------------------------------------------------------------------------------------------------


def placed_by(profile: str) -> Machine:
    machine = small(nodes=(8, 8), swap=(), kernel={"profile": profile})

    def program(task: Any) -> Program:
        heap = yield task.mmap(4 * MIB_PAGES * PAGE)
        for _ in range(3):
            yield task.touch(heap, write=1.0)

    machine.add(program, cpus=[0])
    finish(machine)
    return machine


def test_a_kernel_that_knows_no_nodes_gives_remote_memory_without_knowing() -> None:
    old, late = placed_by("linux-2.2"), placed_by("linux-2.4.37")
    assert counters(late)["numa_miss"] == parts(late)["remote"] == 0
    assert counters(old)["numa_miss"] > 900
    assert parts(old)["remote"] > parts(old)["local"]
    assert old.now_ns > late.now_ns
    order = procfs.text(old.kernel, "zonelists", {})
    assert "Node 0: Fallback order 0\n" in order


# Files ---------------------------------------------------------------------------------------------------------------


@cache
def clock(*settings: str) -> dict[str, int]:
    run = Run.of(Machine(load(CLOCK, settings)).run_to_end())
    assert run.summary["run"]["exit_state"] == "ok"
    totals: dict[str, int] = run.summary["totals"]["vmstat"]
    return totals


def test_file_pages_and_swapped_pages_turn_under_one_clock() -> None:
    counts = clock()
    assert counts["pagecache_miss"] > 0 < counts["pswpin"]
    assert counts["pgsteal_kswapd"] > 0 < counts["pgsteal_direct"]
    assert counts["pgsteal_direct"] < counts["pgscan_direct"]
    assert counts["pgmajfault"] == counts["pgrefill"] == counts["reclaim_page"] == 0


def test_without_a_second_chance_the_hand_looks_at_fewer_pages_for_each_it_frees() -> None:
    def looks(counts: dict[str, int]) -> float:
        return counts["pgscan_direct"] / counts["pgsteal_direct"]

    assert looks(clock("kernel.switches.second_chance=false")) < looks(clock())


def test_files_read_written_and_mapped_under_pressure_reach_the_disk() -> None:
    machine = small(
        nodes=(6,),
        swap=({**NVME, "size": "8MiB"},),
        disk=[{"name": "sda", "device": "nvme", "size": "64MiB"}],
        file=[{"name": "log", "size": "8MiB", "disk": "sda"}],
        kernel={"profile": "linux-2.2"},
        run={"check": "full", "sample": "5ms"},
    )

    def program(task: Any) -> Program:
        log = yield task.open("log")
        view = yield task.mmap("4MiB", file=log, shared=True)
        yield task.touch(view, write=0.5)
        yield task.read(log, "8MiB")
        heap = yield task.mmap(2 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.write(log, "2MiB", offset=0)
        yield task.munmap(view)
        yield task.fsync(log)

    machine.add(program)
    assert finish(machine).exit_state == "ok"
    counts = counters(machine)
    assert counts["pgsteal_direct"] + counts["pgsteal_kswapd"] > 0
    assert counts["file_writepages"] > 0
    assert counts["nr_dirty"] == 0
    assert machine.kernel.disks[1].pages_written + machine.kernel.disks[0].pages_written > 512
