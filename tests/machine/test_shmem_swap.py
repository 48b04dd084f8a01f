"""Shared memory without a file goes to swap and comes back: contents, counters, slots, processes that share it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, PAGE, Program, counters, finish, free_pages, small

from numa_sim.compiled import entry
from numa_sim.errors import InvariantViolation
from numa_sim.hardware.loop import stored
from numa_sim.kernel.coredump import page_contents
from numa_sim.processes.machine import Machine
from numa_sim.state.event_codes import EVENTS
from numa_sim.workloads.patterns import from_arrays

PAGES = 2 * MIB_PAGES
"""Twice what the machine has left: it has 4 MiB, the kernel about three."""
PROFILES = ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"]

_stored = entry(stored)


def found(machine: Machine, region: Any) -> list[int]:
    """The contents of every page of a shared region, wherever they are: what the first task's core file would have."""
    k = machine.kernel
    vma = int(k.mms[k.tasks[2].mm].mmap)
    while not k.vmas[vma].vm_start <= region.start_vpn < k.vmas[vma].vm_end:
        vma = int(k.vmas[vma].vm_next)
    return [page_contents(k, vma, vpn) for vpn in range(region.start_vpn, region.end_vpn)]


@pytest.mark.row("S3-060")
@pytest.mark.parametrize("profile", PROFILES)
def test_shared_memory_larger_than_memory_keeps_its_contents(profile: str) -> None:
    """A child reads what its parent wrote, and writes; parent and child see each other's stores through swap."""
    seen: dict[str, Any] = {}
    tags: dict[int, int] = {}

    def store(region: Any, visits: np.ndarray) -> None:
        for vpn in (region.start_vpn + visits).tolist():
            tags[vpn] = _stored(tags.get(vpn, 0), vpn)

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGES * PAGE, shared=True)
        everywhere = np.arange(PAGES)
        yield task.touch(region, from_arrays(everywhere, writes=1))
        store(region, everywhere)
        seen["in swap"] = int(box[0].kernel.mappings.swapped.sum())

        def child(task: Any) -> Program:
            yield task.touch(region, from_arrays(everywhere[::3], writes=1))
            store(region, everywhere[::3])

        yield task.fork(child)
        yield task.wait()
        yield task.touch(region, from_arrays(everywhere, writes=0))
        yield task.touch(region, from_arrays(everywhere[::-7].copy(), writes=1))
        store(region, everywhere[::-7])
        seen["found"] = found(box[0], region)
        seen["wanted"] = [tags[region.start_vpn + i] for i in range(PAGES)]

    box: list[Machine] = []
    kernel = {"profile": profile}
    machine = small((4,), ("0",), kernel=kernel, run={"check": "full"})
    box.append(machine)
    before = free_pages(machine)
    machine.add(program, name="mine")
    finish(machine)
    k = machine.kernel
    assert seen["in swap"] > 100
    assert seen["found"] == seen["wanted"]
    figures = counters(machine)
    assert figures["shmem_swapout"] >= seen["in swap"] + figures["shmem_swapin"] - PAGES
    assert figures["shmem_swapin"] > 100
    assert figures["pswpout"] > 100 < figures["pswpin"]
    assert not k.mappings.swapped.any(), "the last one unmapped it: no slot is left"
    assert not k.shmem_slots["mapping"].any()
    assert not k.shmem_hash.any()
    cached = int((k.swap_cache != 0).sum())
    assert free_pages(machine) == before - cached


@pytest.mark.parametrize("profile", PROFILES)
def test_switched_off_shared_memory_stays_and_the_machine_is_full(profile: str) -> None:
    """(2.4.0 sees free swap and looks for pages for ever; the others kill the task.)"""
    done: list[bool] = []

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGES * PAGE, shared=True)
        yield task.touch(region, from_arrays(np.arange(PAGES), writes=1))
        done.append(True)

    for on in (True, False):
        kernel = {"profile": profile, "switches": {"shmem_swap": on}}
        machine = small((4,), ("0",), kernel=kernel, run={"until": "100ms"})
        machine.add(program, name="mine")
        finish(machine)
        machine.check()
        assert (counters(machine)["shmem_swapout"] > 100) is on
        assert bool(done) is on
        done.clear()


@pytest.mark.parametrize("profile", PROFILES)
def test_swapoff_brings_shared_memory_back(profile: str) -> None:
    seen: dict[str, Any] = {}
    box: list[Machine] = []

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGES * PAGE, shared=True)
        ballast = yield task.mmap(PAGES * PAGE, shared=True)
        yield task.touch(region, from_arrays(np.arange(PAGES), writes=1))
        yield task.touch(ballast, from_arrays(np.arange(PAGES), writes=1))
        seen["in swap"] = int(box[0].kernel.mappings.swapped.sum())
        yield task.munmap(ballast)
        yield task.swapoff("nvme0")
        seen["left"] = int(box[0].kernel.mappings.swapped.sum())
        seen["found"] = found(box[0], region)
        seen["wanted"] = [_stored(0, region.start_vpn + i) for i in range(PAGES)]
        yield task.touch(region, from_arrays(np.arange(PAGES), writes=0))

    machine = small((6,), ("0",), kernel={"profile": profile}, run={"check": "full"})
    box.append(machine)
    machine.add(program, name="mine", root=True)
    finish(machine)
    assert seen["in swap"] > 20
    assert seen["left"] == 0
    assert seen["found"] == seen["wanted"]


def test_events_say_where_a_page_went_and_came_from() -> None:
    """Each page that came back had gone out, in this order, and every slot is one that it got."""

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGES * PAGE, shared=True)
        for _ in range(2):
            yield task.touch(region, from_arrays(np.arange(PAGES), writes=1))

    machine = small((4,), ("0",), run={"record_events": 200_000})
    machine.add(program, name="mine")
    finish(machine)
    k = machine.kernel
    out, back = EVENTS.index("move_to_swap_cache"), EVENTS.index("move_from_swap_cache")
    held: set[int] = set()
    times = 0
    for event in k.events[: int(k.vm[0].events_used)]:
        if event.code == out:
            held.add(int(event.b))
        elif event.code == back:
            held.remove(int(event.b))
            times += 1
    assert times == counters(machine)["shmem_swapin"] > 100


def test_a_damaged_slot_is_seen() -> None:
    box: list[Machine] = []

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGES * PAGE, shared=True)
        yield task.touch(region, from_arrays(np.arange(PAGES), writes=1))
        k = box[0].kernel
        slot = int(np.flatnonzero(k.shmem_slots["mapping"])[0])
        k.shmem_slots[slot].index += 1
        yield task.sleep(1)

    machine = small((4,), ("0",), run={"check": "full"})
    box.append(machine)
    machine.add(program, name="mine")
    with pytest.raises(InvariantViolation, match="shared memory"):
        finish(machine)


@pytest.mark.parametrize("idea", ["immediate", "lru", "staging", "dirty-clean", "whole-process"])
def test_replacement_policies_swap_shared_memory_too(idea: str) -> None:
    """What a policy chooses goes the same way out and back, and nothing is lost."""
    box: list[Machine] = []
    seen: list[bool] = []

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGES * PAGE, shared=True)
        tags = dict.fromkeys(range(PAGES), 0)
        for step in (1, 3, 5):
            visits = np.arange(0, PAGES, step)
            yield task.touch(region, from_arrays(visits, writes=1))
            for index in visits.tolist():
                tags[index] = _stored(tags[index], region.start_vpn + index)
        seen.append(found(box[0], region) == list(tags.values()))

    machine = small((4,), ("0",), kernel={"reclaim": idea}, run={"check": "full", "until": "2s"})
    box.append(machine)
    machine.add(program, name="mine")
    finish(machine)
    assert seen == [True]
    assert counters(machine)["shmem_swapin"] > 30
