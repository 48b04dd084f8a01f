"""mmap_sem: threads of one address space wait for each other's faults and calls, as each kernel has it."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, NVME, PAGE, Program, finish, parts, small

from numa_sim.observe.lock_rows import lock_rows
from numa_sim.processes.machine import Machine
from numa_sim.workloads.patterns import uniform

pytestmark = pytest.mark.row("X-04")

THREADS = 4


def threads(body: Any, profile: str, locks: bool = True, mib: int = 8) -> Machine:
    """A finished machine on which a program and its clones, one per CPU, each did `body` in one address space."""
    machine = small(
        nodes=(mib,), cpus=(f"0-{THREADS - 1}",), swap=(NVME,), memory={"model": "none"},
        kernel={"profile": profile, "switches": {"locks": locks, "readahead": False}}, run={"check": "cheap"},
    )  # fmt: skip

    def program(task: Any) -> Program:
        heap = yield task.mmap(THREADS * MIB_PAGES * PAGE)
        for number in range(1, THREADS):
            yield task.clone(lambda thread, number=number: body(thread, heap, number))
        yield from body(task, heap, 0)

    machine.add(program)
    finish(machine)
    assert all(task.outcome == "exited" for task in machine.tasks)
    assert not machine.kernel.mms.mmap_sem.any()
    return machine


def sem(machine: Machine) -> dict[str, int]:
    found = [row for row in lock_rows(machine.kernel) if row["name"] == "mmap_sem"]
    return found[0] if found else {"acquisitions": 0, "contentions": 0, "wait_ns": 0}


def waited_ns(machine: Machine) -> int:
    return sum(parts(machine, task.index)["lock_wait"] for task in machine.tasks)


def first_touch(task: Any, heap: Any, number: int) -> Program:
    """Each thread writes a part of its own."""
    yield task.touch(heap, write=1.0, offset=number * MIB_PAGES * PAGE, length=MIB_PAGES * PAGE)


def swap_in(task: Any, heap: Any, number: int) -> Program:
    """More than fits, at random: most faults sleep."""
    yield task.touch(heap, uniform(), accesses=600, write=0.5)


def test_first_touches_exclude_each_other_until_2_4_0() -> None:
    old, late = threads(first_touch, "linux-2.4.0"), threads(first_touch, "linux-2.4.37")
    assert sem(old)["acquisitions"] > 3 * MIB_PAGES
    assert sem(old)["contentions"] > MIB_PAGES
    assert waited_ns(old) >= sem(old)["wait_ns"] > 0
    assert sem(late)["contentions"] == 0
    assert old.now_ns > late.now_ns


def test_sleeping_faults_exclude_each_other_until_2_4_0() -> None:
    old, late = (threads(swap_in, profile, mib=4) for profile in ("linux-2.4.0", "linux-2.4.37"))
    assert sem(old)["contentions"] > 100
    assert sem(late)["acquisitions"] > 100, "no fault slept"
    assert sem(late)["contentions"] == 0
    swapped = [sum(parts(machine, task.index)["swap_wait"] for task in machine.tasks) for machine in (old, late)]
    assert sem(old)["wait_ns"] > swapped[0] / 2
    assert waited_ns(late) < swapped[1] / 10


@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.37"])
def test_mmap_waits_for_sleeping_faults_and_they_for_it(profile: str) -> None:
    def body(task: Any, heap: Any, number: int) -> Program:
        if number:
            yield from swap_in(task, heap, number)
            return
        for _ in range(300):
            region = yield task.mmap(PAGE)
            yield task.munmap(region)

    machine = threads(body, profile, mib=4)
    assert parts(machine, 2)["lock_wait"] > 0
    assert sem(machine)["contentions"] > 10
    off = threads(body, profile, locks=False, mib=4)
    assert sem(off)["acquisitions"] == waited_ns(off) == 0


def test_fork_keeps_other_threads_out() -> None:
    def body(task: Any, heap: Any, number: int) -> Program:
        if number:
            yield from first_touch(task, heap, number)
            return
        yield from first_touch(task, heap, number)
        for _ in range(20):
            yield task.fork(_nothing)

    machine = threads(body, "linux-2.4.37")
    assert sem(machine)["acquisitions"] >= 20
    assert sem(machine)["hold_ns"] > 0


def _nothing(task: Any) -> Program:
    yield task.exit()


def test_a_task_alone_takes_none() -> None:
    machine = small(kernel={"profile": "linux-2.4.0", "switches": {"locks": True}})

    def program(task: Any) -> Program:
        heap = yield task.mmap(6 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.munmap(heap)

    machine.add(program)
    finish(machine)
    assert sem(machine)["acquisitions"] == 0
