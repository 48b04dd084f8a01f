"""Note 003, the opening pages: what a process sees of memory, and what memory is made of."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, PAGE, Program, counters, finish, small, sweep

from numa_sim.compiled import entry
from numa_sim.kernel.pgtable import get_pte
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import PAGE_SHIFT

_get_pte = entry(get_pte)


def run(machine: Machine, *programs: Any) -> int:
    """Run programs together; simulated time at the end, ns."""
    for number, program in enumerate(programs):
        machine.add(program, name=f"p{number}")
    return finish(machine).end_ns


@pytest.mark.row("S3-008")
def test_every_process_has_the_same_addresses_and_frames_of_its_own() -> None:
    places: list[list[int]] = []
    frames: list[set[int]] = []

    def program(task: Any) -> Program:
        regions = []
        for size in (1, 5, 20):
            regions.append((yield task.mmap(size * PAGE)))
            yield task.touch(regions[-1], write=1.0)
        k = machine.kernel
        mm = int(k.tasks[task.pid - 98].mm)
        vpns = [vpn for region in regions for vpn in range(region.start_vpn, region.end_vpn)]
        places.append(vpns)
        frames.append({int(_get_pte(k, mm, vpn)) >> PAGE_SHIFT for vpn in vpns})
        yield task.sleep("1ms")

    machine = small((8,))
    run(machine, program, program, program)
    assert places[0] == places[1] == places[2]
    assert all(len(mine) == 26 for mine in frames)
    assert len(frames[0] | frames[1] | frames[2]) == 3 * 26


@pytest.mark.row("S3-007")
def test_a_program_larger_than_memory_completes_only_slower() -> None:
    pages = 8 * MIB_PAGES
    small_machine, large_machine = small((4,)), small((16,))
    slow_ns, fast_ns = (run(machine, sweep(pages, times=2)) for machine in (small_machine, large_machine))
    assert [machine.tasks[0].outcome for machine in (small_machine, large_machine)] == ["exited", "exited"]
    assert counters(large_machine)["pswpin"] == 0
    assert counters(small_machine)["pswpin"] > pages // 2
    assert slow_ns > 2 * fast_ns
    assert small_machine.kernel.tasks[2].accesses_done == large_machine.kernel.tasks[2].accesses_done == 2 * pages


@pytest.mark.row("S3-083")
def test_a_large_allocation_takes_one_blank_page_and_a_frame_for_each_page_written() -> None:
    seen: list[int] = []

    def used() -> int:
        return int(machine.kernel.mms[int(machine.kernel.tasks[2].mm)].rss)

    def program(task: Any) -> Program:
        heap = yield task.mmap("1GiB")
        seen.append(used())
        yield task.touch(heap, accesses=1000)
        seen.append(used())
        yield task.touch(heap, accesses=7, write=1.0)
        seen.append(used())

    machine = small((16,))
    run(machine, program)
    assert seen == [0, 0, 7]
    assert counters(machine)["zero_page_maps"] == 1000
    assert counters(machine)["zero_page_cow"] == 7


@pytest.mark.row("S3-005")
def test_each_level_of_storage_is_slower_than_the_one_above() -> None:
    """Caches, memory, and what memory is swapped to: one program, whose pages fit into the level and no other."""
    times = []
    for hit_ratio in (1.0, 0.0):
        machine = small((16,), cache_hit_ratio=hit_ratio)
        times.append(run(machine, sweep(1500, times=20, write=0.0)))
    for device in ("zram", "nvme", "sata-ssd", "hdd"):
        machine = small((4,), swap=({"device": device, "size": "16MiB"},))
        times.append(run(machine, sweep(1500, times=20)))
        assert counters(machine)["pswpin"] > 1500
    assert times == sorted(times)
    assert times[-1] > 100 * times[1]
