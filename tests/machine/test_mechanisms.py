"""Every mechanism, switched off or to its null variant, changes its own counter; all else is equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, ZRAM, counters, finish, parts, small, sweep, walk

from numa_sim.processes.machine import Machine
from numa_sim.results import summarise

PRESSURE = 6 * MIB_PAGES
"""Pages of a program that does not fit in 4 MiB."""


def pressed(kernel: dict[str, Any] | None = None, swap: tuple[Any, ...] = (NVME,), **tables: Any) -> Machine:
    """A finished machine of 4 MiB whose program wrote 6 MiB twice."""
    machine = small(swap=swap, kernel=kernel or {}, **tables)
    machine.add(sweep(PRESSURE, times=2))
    result = finish(machine)
    assert result.exit_state == "ok", result.warnings
    return machine


def switched(name: str, on: bool) -> Machine:
    return pressed({"switches": {name: on}})


# Reclaim and swap ----------------------------------------------------------------------------------------------------


@pytest.mark.row("S1-22")
def test_without_kswapd_every_shortage_is_met_by_the_task_itself() -> None:
    on, off = switched("kswapd", True), switched("kswapd", False)
    assert counters(on)["pgscan_kswapd"] > 0 < counters(on)["pageoutrun"]
    assert counters(off)["pgscan_kswapd"] == counters(off)["pgsteal_kswapd"] == counters(off)["pageoutrun"] == 0
    assert counters(off)["allocstall"] > counters(on)["allocstall"]
    assert counters(off)["pgsteal_direct"] > counters(on)["pgsteal_direct"]
    assert parts(off)["direct_reclaim"] > parts(on)["direct_reclaim"]


def test_kswapd_wakes_as_often_as_the_counter_says() -> None:
    machine = small(kernel={}, run={"record_events": 100_000})
    machine.add(sweep(PRESSURE))
    finish(machine)
    from numa_sim.state.event_codes import EV_WAKEUP_KSWAPD

    events = machine.kernel.events["code"][: machine.vm.events_used]
    assert counters(machine)["kswapd_wakeup"] == np.count_nonzero(events == EV_WAKEUP_KSWAPD) > 0


def test_without_pageout_nothing_is_unmapped_or_written() -> None:
    machines = []
    for on in (True, False):
        machine = small(kernel={"switches": {"pageout": on}, "oom_killer": False})
        machine.add(sweep(PRESSURE))
        finish(machine)
        machines.append(machine)
    on_counts, off_counts = map(counters, machines)
    assert on_counts["swap_out_ptes"] > 0 < on_counts["pswpout"]
    assert off_counts["swap_out_ptes"] == off_counts["pswpout"] == 0
    assert machines[0].tasks[0].outcome == "exited"
    assert machines[1].tasks[0].outcome == "out of memory"


def test_without_pageout_the_oom_killer_does_not_wait_for_swap_it_cannot_use() -> None:
    machine = small(kernel={"switches": {"pageout": False}}, costs={"context_switch": "100us"})
    machine.add(sweep(PRESSURE))
    assert finish(machine).exit_state == "oom"
    assert counters(machine)["oom_kill"] == 1


@pytest.mark.row("X-08")
def test_without_readahead_only_wanted_pages_are_read() -> None:
    on, off = switched("readahead", True), switched("readahead", False)
    assert counters(on)["swap_ra"] > 0
    assert counters(off)["swap_ra"] == 0
    assert counters(off)["pgmajfault"] > counters(on)["pgmajfault"]
    assert counters(off)["pswpin"] == counters(off)["pgmajfault"]
    assert counters(on)["pswpin"] == counters(on)["swap_ra"] + counters(on)["pgmajfault"]


def test_page_cluster_is_the_log_of_the_read_ahead_window() -> None:
    faults = {}
    for cluster in (0, 1, 3, 5):
        counts = counters(pressed({"sysctl": {"vm.page-cluster": cluster}}))
        assert counts["pswpin"] <= counts["pgmajfault"] << cluster
        assert (counts["swap_ra"] == 0) == (cluster == 0)
        faults[cluster] = counts["pgmajfault"]
    assert faults[0] > faults[1] > faults[3] > faults[5]


def test_clusters_keep_what_is_swapped_together_together() -> None:
    """Holes between used slots: a cluster search passes over them, first fit fills them."""

    def program(task: Any) -> Any:
        holes = yield task.mmap(4 * MIB_PAGES * PAGE)
        yield task.touch(holes, write=1.0)
        heap = yield task.mmap(2 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        for page in range(0, holes.pages, 64):
            yield task.munmap(holes, offset=page * PAGE, length=32 * PAGE)
        more = yield task.mmap(6 * MIB_PAGES * PAGE)
        yield task.touch(more, write=1.0)

    highest = {}
    for on in (True, False):
        machine = small(kernel={"switches": {"clusters": on}})
        machine.add(program)
        finish(machine)
        assert counters(machine)["pswpout"] > 0
        highest[on] = int(np.flatnonzero(machine.kernel.swap_tags)[-1])
    assert highest[True] > highest[False]


def test_equal_priorities_stripe_and_unequal_ones_fill_up_in_order() -> None:
    def written(first: int, second: int, size: str = "16MiB") -> list[int]:
        areas = ({**NVME, "size": size, "priority": first}, {**NVME, "priority": second})
        machine = pressed(swap=areas)
        return [int(area.pages_written) for area in machine.kernel.swap_info[:2]]

    one, two = written(5, 5)
    assert one > 0
    assert abs(one - two) <= 256  # round robin among equals, by clusters
    one, two = written(5, 4)
    assert one > 0 == two
    one, two = written(4, 5)
    assert one == 0 < two
    one, two = written(5, 4, size="1MiB")  # the second only when the first is full
    assert one > 0 < two


def test_a_ram_backed_area_costs_cpu_time_where_a_drive_costs_waiting() -> None:
    drive, ram = pressed(), pressed(swap=(ZRAM,))
    assert parts(drive)["swap_wait"] > 0
    assert parts(ram)["swap_wait"] == 0
    assert counters(ram)["pswpout"] > 0 < counters(ram)["pswpin"]
    assert drive.vm.io_tail > 0 == ram.vm.io_tail
    slow = pressed(swap=({**ZRAM, "latency": "20us"},))
    busy = ("major_fault", "direct_reclaim", "daemon")
    assert sum(parts(slow)[p] for p in busy) > sum(parts(ram)[p] for p in busy)


def test_slower_drives_wait_longer() -> None:
    waits = [
        parts(pressed(swap=({"size": "16MiB", **device},)))["swap_wait"]
        for device in (
            {"device": "nvme"},
            {"device": "nvme", "latency": "1ms"},
            {"device": "hdd"},
        )
    ]
    assert waits == sorted(waits)
    assert len(set(waits)) == 3


def test_the_mapped_ratio_decides_when_page_tables_are_searched() -> None:
    """The fewer mapped pages a scan may meet, the sooner it unmaps, and the fewer it has scanned by then."""
    scans = []
    for ratio in (1, 100):
        counts = counters(pressed({"sysctl": {"vm.vm_mapped_ratio": ratio, "vm.vm_anon_lru": 1}}))
        scans.append(counts["pgscan_direct"] + counts["pgscan_kswapd"])
    assert scans[0] < scans[1]


def test_anonymous_pages_join_the_lru_only_when_told() -> None:
    def listed(on: int) -> int:
        machine = small(kernel={"sysctl": {"vm.vm_anon_lru": on}}, run={"until": "1ms"})
        machine.add(sweep(MIB_PAGES, times=1000))
        finish(machine)
        return machine.vm.nr_active_pages + machine.vm.nr_inactive_pages

    assert listed(0) == 0
    assert listed(1) == MIB_PAGES


def test_local_pages_go_to_the_reclaimer_not_through_the_buddy() -> None:
    on, off = switched("local_pages", True), switched("local_pages", False)
    # A page kept by its reclaimer is a hit that the buddy never gave out.
    assert counters(on)["numa_hit"] > counters(on)["pgalloc"] - counters(on)["allocstall"]
    assert counters(on)["numa_hit"] - counters(on)["pgalloc"] > 0
    assert counters(off)["numa_hit"] == counters(off)["pgalloc"]


# Faults and out of memory --------------------------------------------------------------------------------------------


@pytest.mark.row("S0-43")
def test_without_the_zero_page_a_read_takes_memory() -> None:
    def reads(on: bool) -> Machine:
        machine = small(kernel={"switches": {"zero_page": on}})
        machine.add(sweep(MIB_PAGES, write=0.0))
        finish(machine)
        return machine

    on, off = counters(reads(True)), counters(reads(False))
    assert on["zero_page_maps"] == MIB_PAGES
    assert off["zero_page_maps"] == 0
    assert off["pgalloc"] - on["pgalloc"] == MIB_PAGES
    assert on["pgfault"] == off["pgfault"] == MIB_PAGES


def test_a_write_after_a_read_of_the_zero_page_copies_it() -> None:
    def program(task: Any) -> Any:
        heap = yield task.mmap(MIB_PAGES * PAGE)
        yield task.touch(heap, write=0.0)
        yield task.touch(heap, write=1.0)

    machine = small()
    machine.add(program)
    finish(machine)
    assert counters(machine)["zero_page_cow"] == MIB_PAGES
    assert counters(machine)["pgfault"] == 2 * MIB_PAGES
    assert counters(machine)["anon_write_faults"] == 0


@pytest.mark.row("X-09")
@pytest.mark.parametrize("killer", [True, False])
def test_the_oom_killer_kills_by_badness_or_else_the_faulting_task_dies(killer: bool) -> None:
    machine = small(swap=(), kernel={"oom_killer": killer}, costs={"context_switch": "100us"})
    machine.add(sweep(PRESSURE), name="hog")
    result = finish(machine)
    assert result.exit_state == "oom"
    assert counters(machine)["oom_kill"] == int(killer)
    assert any("Out of Memory: Killed process 100 (hog)" in w for w in result.warnings) == killer
    assert any("VM: killing process hog" in w for w in result.warnings) != killer


# Nodes ---------------------------------------------------------------------------------------------------------------


def test_strict24_reclaims_at_home_where_nearest_goes_to_the_neighbour() -> None:
    def spilled(fallback: str) -> Machine:
        machine = small(nodes=(4, 12), kernel={"numa_fallback": fallback})
        machine.add(sweep(PRESSURE, times=2), cpus=[0])
        assert finish(machine).exit_state == "ok"
        return machine

    strict, nearest = spilled("strict24"), spilled("nearest")
    assert counters(strict)["numa_miss"] == 0 < counters(strict)["pswpout"]
    assert counters(nearest)["numa_miss"] == counters(nearest)["numa_foreign"] > 0
    assert counters(nearest)["pswpout"] == 0
    assert parts(nearest)["remote"] > 0 == parts(strict)["remote"]


# Hardware ------------------------------------------------------------------------------------------------------------


def test_without_a_tlb_every_access_walks() -> None:
    def run(on: bool) -> Machine:
        machine = small(kernel={"switches": {"tlb": on}})
        machine.add(sweep(64, times=10))
        finish(machine)
        return machine

    on, off = run(True), run(False)
    assert off.kernel.cpus[0].tlb_hits == 0
    assert off.kernel.cpus[0].tlb_misses == on.kernel.cpus[0].accesses == 640
    assert 64 <= on.kernel.cpus[0].tlb_misses < 640
    assert parts(off)["tlb_walk"] > parts(on)["tlb_walk"] > 0


def test_a_working_set_beyond_the_tlb_misses() -> None:
    misses = []
    for pages in (64, 65):
        machine = small(tlb={"entries": 64, "ways": 64})
        machine.add(sweep(pages, times=10))
        finish(machine)
        misses.append(int(machine.kernel.cpus[0].tlb_misses))
    assert misses == [64, 650]  # round robin replacement loses every entry before its next use


@pytest.mark.parametrize("model", ["queue", "curve"])
def test_without_contention_nothing_queues(model: str) -> None:
    def queued(chosen: str) -> int:
        machine = Machine.of(
            preset="xeon-platinum-8269cy-2s", memory_per_node="8MiB", cpus_per_node=2,
            memory={"model": chosen, "bandwidth": "1GB/s"},
        )  # fmt: skip
        for cpu in range(2):
            machine.add(sweep(256, times=4), cpus=[cpu], name=f"sweep{cpu}")
        finish(machine)
        return sum(parts(machine, task)["queueing"] for task in (2, 3))

    assert queued("none") == 0
    assert queued(model) > 0


def test_cache_hits_stay_off_the_memory_bus() -> None:
    lines = {}
    for ratio in (0.0, 0.5, 1.0):
        machine = small(cache_hit_ratio=ratio)
        machine.add(sweep(64, times=64))
        finish(machine)
        lines[ratio] = int(machine.kernel.traffic["lines"].sum())
    assert lines == {0.0: 4096, 0.5: 2048, 1.0: 0}


# CPUs ----------------------------------------------------------------------------------------------------------------


def sharing(**kernel: Any) -> Machine:
    """Two tasks on one CPU."""
    machine = small(kernel=kernel)
    for name in ("a", "b"):
        machine.add(sweep(64, times=200), name=name)
    finish(machine)
    return machine


def test_shorter_time_slices_switch_more_and_flush_more() -> None:
    short, long = sharing(time_slice="50us"), sharing(time_slice="1s")
    assert short.kernel.cpus[0].context_switches > 10 > long.kernel.cpus[0].context_switches
    assert short.kernel.cpus[0].tlb_flushes > long.kernel.cpus[0].tlb_flushes
    assert short.kernel.cpus[0].tlb_misses > long.kernel.cpus[0].tlb_misses
    assert parts(short, 2)["context_switch"] > parts(long, 2)["context_switch"]
    assert parts(short, 2)["run_queue"] > 0


def test_a_task_alone_is_never_switched() -> None:
    machine = small(kernel={"time_slice": "50us"})
    machine.add(sweep(64, times=200))
    finish(machine)
    assert machine.kernel.cpus[0].context_switches == 1
    assert parts(machine)["run_queue"] == 0


def test_pinned_tasks_queue_where_free_ones_spread() -> None:
    used = {}
    for cpus in ([0], None):
        machine = small(nodes=(4, 4))
        for name in ("a", "b"):
            machine.add(sweep(64, times=100), name=name, cpus=cpus)
        finish(machine)
        used[cpus is None] = [int(cpu.accesses) for cpu in machine.kernel.cpus]
    assert used[False] == [12800, 0]
    assert used[True] == [6400, 6400]


def napper(naps: int) -> Any:
    def program(task: Any) -> Any:
        heap = yield task.mmap(16 * PAGE)
        for _ in range(naps):
            yield task.touch(heap, write=1.0)
            yield task.sleep("10us")

    return program


def test_an_idle_cpu_keeps_the_last_address_space() -> None:
    """Lazy TLB: going idle and back to the same task flushes nothing; another task in between does."""
    alone = small()
    alone.add(napper(20))
    finish(alone)
    assert alone.kernel.cpus[0].tlb_flushes <= 3  # the first switch, and the unmapping of heap and stack at the end
    assert alone.kernel.cpus[0].tlb_misses == 16
    both = small()
    both.add(napper(20), name="a")
    both.add(napper(20), name="b")
    finish(both)
    assert both.kernel.cpus[0].tlb_flushes > 20
    assert both.kernel.cpus[0].tlb_misses > 32


def shot_down(**costs: Any) -> Machine:
    """kswapd works on the idle CPU 1 and unmaps pages of the task that runs on CPU 0."""
    machine = small(nodes=(4, 4), costs=costs)
    machine.add(sweep(PRESSURE, times=2), cpus=[0])
    finish(machine)
    return machine


@pytest.mark.row("S3-125")
def test_unmapping_from_another_cpu_interrupts_the_one_that_holds_the_translation() -> None:
    slow, free = shot_down(ipi_handler="4us", ipi="10us"), shot_down(ipi_handler="0ns", ipi="0ns")
    assert slow.kernel.cpus[1].ipis_sent == slow.kernel.cpus[0].ipis_received > 0
    assert parts(slow)["shootdown"] > 0 == parts(free)["shootdown"]
    assert slow.generation.kswapd.busy_ns > free.generation.kswapd.busy_ns


def test_the_time_of_kswapd_is_its_own_part_and_what_busy_cpus_lost() -> None:
    crowded = small(nodes=(4,))
    crowded.add(sweep(PRESSURE, times=2), cpus=[0])
    spent = summarise(finish(crowded))["kswapd"]["parts_ns"]
    assert spent["daemon"] == sum(spent.values()) == crowded.generation.kswapd.busy_ns > 0
    assert 0 < parts(crowded)["daemon"] < spent["daemon"], "what it did while the task slept cost the task nothing"


def test_the_wait_for_a_shoot_down_grows_with_distance() -> None:
    busy = []
    for far in (20, 80):
        machine = small(nodes=(4, 4), distances=[[10, far], [far, 10]])
        machine.add(sweep(PRESSURE, times=1), cpus=[0])
        finish(machine)
        assert machine.kernel.cpus[1].ipis_sent > 0
        busy.append(machine.generation.kswapd.busy_ns / int(machine.kernel.cpus[1].ipis_sent))
    assert busy[1] > busy[0]


def test_a_task_that_moved_is_not_shot_down_where_it_was() -> None:
    """Only CPUs in mm.cpu_vm_mask are interrupted: a CPU that went on to another task has left it."""

    def mover(task: Any) -> Any:
        heap = yield task.mmap(16 * PAGE)
        for _ in range(20):
            yield task.touch(heap, write=1.0)
            yield task.sleep("3us")
        yield task.munmap(heap)

    machine = small(nodes=(4, 4), run={"check": "full"})
    for name in "abc":
        machine.add(mover, name=name)
    finish(machine)
    assert sum(int(cpu.context_switches) for cpu in machine.kernel.cpus) > 20
    assert [int(cpu.ipis_sent) for cpu in machine.kernel.cpus] == [0, 0]


def test_direct_reclaim_shoots_down_the_translations_of_others() -> None:
    machine = small(nodes=(4, 4), kernel={"switches": {"kswapd": False}})
    machine.add(sweep(MIB_PAGES, times=100), cpus=[0], name="victim")
    machine.add(sweep(2 * PRESSURE), cpus=[1], name="hog")
    finish(machine)
    assert machine.kernel.cpus[1].ipis_sent > 0
    assert parts(machine, 2)["shootdown"] == int(machine.kernel.cpus[0].ipis_received) * int(
        machine.kernel.costs[0].ipi_handler_ns
    )


@pytest.mark.row("S3-126")
def test_asynchronous_writes_overlap_with_computing() -> None:
    """Slow writes take less time together with computing than one after the other."""

    def run(compute_ns: int) -> Machine:
        machine = small(swap=({**NVME, "latency": "2ms", "channels": 1},))
        machine.add(walk(PRESSURE, np.arange(PRESSURE), compute_ns=compute_ns))
        finish(machine)
        return machine

    idle, busy = run(0), run(100_000)
    alone_ns = int(idle.kernel.tasks[2].end_ns)
    both_ns = int(busy.kernel.tasks[2].end_ns)
    computing_ns = PRESSURE * 100_000
    assert counters(busy)["pswpout"] > 0
    assert both_ns < computing_ns + alone_ns
    waiting = [sum(parts(machine)[part] for part in ("swap_wait", "direct_reclaim")) for machine in (idle, busy)]
    assert waiting[1] < waiting[0] // 2


# Kernels -------------------------------------------------------------------------------------------------------------


def test_kernels_reclaim_by_their_own_rules() -> None:
    """2.4.22 unmaps by priority, a cluster per scan; 2.4.37 passes sixty times: the same load, other work."""
    old, late = (pressed({"profile": f"linux-2.4.{patch}"}) for patch in (22, 37))
    assert counters(old)["pswpout"] > 0 < counters(late)["pswpout"]
    assert counters(old)["pgscan_kswapd"] != counters(late)["pgscan_kswapd"]
    assert (old.kernel.vm[0].vm_passes, late.kernel.vm[0].vm_passes) == (6, 60)


def test_2_4_22_tries_small_orders_until_somebody_is_killed() -> None:
    machine = small(swap=(), kernel={"profile": "linux-2.4.22"}, costs={"context_switch": "100us"})
    machine.add(sweep(PRESSURE))
    assert finish(machine).exit_state == "oom"
    assert counters(machine)["oom_kill"] == 1
    assert counters(machine)["pgalloc_fail"] == 0
