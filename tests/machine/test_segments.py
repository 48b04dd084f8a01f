"""Segments in a running machine: a stage before paging, which may shift addresses and forbid accesses."""

from __future__ import annotations

from errno import EAGAIN, ENOSYS
from typing import Any

import pytest
from machine.small import PAGE, counters, finish, parts, small

from numa_sim.config import Config
from numa_sim.errors import ConfigError
from numa_sim.kernel import desc
from numa_sim.kernel.desc import USER_DS
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine
from numa_sim.workloads.program import Region


def i386(segments: bool = True, **tables: Any) -> Machine:
    return small(arch="i386", segments=segments, **tables)


@pytest.mark.row("S0-04", "S3-040")
def test_flat_segments_change_nothing() -> None:
    """With the stage or without: the same run, to the event."""
    hashes = set()
    for segments in (True, False):
        machine = i386(segments)

        def program(task: Any) -> Any:
            heap = yield task.mmap(50 * PAGE)
            yield task.touch(heap, write=1.0)
            yield task.touch(heap)

        machine.add(program)
        finish(machine)
        hashes.add(event_hash(machine.kernel))
    assert len(hashes) == 1


@pytest.mark.row("S0-03", "S0-04", "S3-041", "S3-043")
def test_a_segment_of_the_ldt_shifts_what_the_program_touches() -> None:
    machine = i386()
    touched: list[int] = []

    def program(task: Any) -> Any:
        heap = yield task.mmap(8 * PAGE)
        selector = yield task.modify_ldt(2, (heap.start_vpn + 4) * PAGE, 4 * PAGE)
        assert selector == 2 << 3 | 4 | 3
        yield task.load_segment(selector)
        yield task.touch(Region(0, 4), write=1.0)
        yield task.load_segment(USER_DS)
        touched.append(counters(machine)["pgfault"])
        yield task.touch(Region(heap.start_vpn + 4, 4))
        touched.append(counters(machine)["pgfault"])
        yield task.touch(Region(heap.start_vpn, 4))
        touched.append(counters(machine)["pgfault"])

    machine.add(program)
    finish(machine)
    assert machine.tasks[0].outcome == "exited"
    assert touched == [4, 4, 8], "the upper half was mapped through the segment, the lower was not"


@pytest.mark.row("S3-041", "S3-042")
@pytest.mark.parametrize(("size", "writable", "why"), [
    (2 * PAGE, True, "beyond the limit 0x1fff"), (8 * PAGE, False, "not writable"),
])  # fmt: skip
def test_what_a_segment_forbids_is_not_even_a_page_fault(size: int, writable: bool, why: str) -> None:
    """Nothing is mapped where the segment lies: the access would be a page fault too, but does not get that far."""
    machine = i386()

    def program(task: Any) -> Any:
        heap = yield task.mmap(2 * PAGE)
        selector = yield task.modify_ldt(0, heap.start_vpn * PAGE, size, writable=writable)
        yield task.load_segment(selector)
        yield task.touch(Region(0, 8), write=1.0)
        raise AssertionError("it lives")

    machine.add(program)
    result = finish(machine)
    assert machine.tasks[0].outcome == "segmentation fault"
    assert counters(machine)["segment_faults"] == 1
    assert counters(machine)["pgfault"] == (2 if writable else 0)
    assert why in result.warnings[0]
    assert machine.kernel.tasks[2].accesses_done == (2 if writable else 0)


def test_selectors_of_the_kernel_or_of_nothing_cannot_be_loaded() -> None:
    for selector in (desc.KERNEL_DS, 0, 0x7F):
        machine = i386()

        def program(task: Any, wrong: int = selector) -> Any:
            yield task.load_segment(wrong)
            yield task.mmap(PAGE)

        machine.add(program)
        finish(machine)
        assert machine.tasks[0].outcome == "segmentation fault"


@pytest.mark.row("S3-024", "S3-027")
def test_a_check_in_software_costs_at_every_access() -> None:
    """Without an MMU each access would have to be checked: the same run with a price on the check."""
    took = {}
    for check in (0, 5):
        machine = i386(costs={"segment_check": f"{check}ns"})

        def program(task: Any) -> Any:
            heap = yield task.mmap(100 * PAGE)
            for _ in range(3):
                yield task.touch(heap, write=1.0)

        machine.add(program)
        finish(machine)
        took[check] = parts(machine)["compute"]
    assert took[5] - took[0] == 5 * 300


def test_machines_without_segments_have_no_such_calls() -> None:
    machine = i386(segments=False)
    answers = []

    def program(task: Any) -> Any:
        for operation in (task.modify_ldt(0, 0, PAGE), task.load_segment(USER_DS)):
            try:
                yield operation
            except OSError as error:
                answers.append(error.errno)

    machine.add(program)
    finish(machine)
    assert answers == [ENOSYS, ENOSYS]


def test_a_child_inherits_the_ldt_and_exec_makes_everything_flat_again() -> None:
    machine = i386()

    def flat(task: Any) -> Any:
        heap = yield task.mmap(PAGE)
        yield task.touch(heap, write=1.0)

    def child(task: Any) -> Any:
        yield task.touch(Region(0, 1), write=1.0)
        yield task.exec(flat)

    def program(task: Any) -> Any:
        heap = yield task.mmap(PAGE)
        yield task.load_segment((yield task.modify_ldt(0, heap.start_vpn * PAGE, PAGE)))
        yield task.fork(child)
        yield task.wait()

    machine.add(program)
    finish(machine)
    assert [task.outcome for task in machine.tasks] == ["exited", "exited"]


@pytest.mark.row("S3-047", "S3-048")
@pytest.mark.parametrize(("profile", "children"), [("linux-2.2", 4), ("linux-2.4.37", 6)])
def test_a_gdt_that_is_full_has_no_room_for_a_task_of_2_2(
    profile: str, children: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smaller table than the CPU's 8192 entries, with room for five tasks."""
    monkeypatch.setattr(desc, "GDT_ENTRIES", desc.FIRST_TSS_ENTRY + 2 * 5)
    machine = small(swap=(), kernel={"profile": profile})
    answers = []

    def child(task: Any) -> Any:
        yield task.sleep("10ms")

    def program(task: Any) -> Any:
        for _ in range(6):
            try:
                answers.append((yield task.fork(child)) > 0)
            except OSError as error:
                answers.append(error.errno == EAGAIN)
                answers[-1] = None

    machine.add(program)
    finish(machine)
    assert answers == [True] * children + [None] * (6 - children)


def test_what_cannot_be_is_refused(tmp_path: Any) -> None:
    nodes = [{"memory": "8MiB", "cpus": "0"}]
    with pytest.raises(ConfigError, match=r"machine.segments: x86-64 has no segments \(allowed: false\)"):
        Config.of(machine={"nodes": nodes, "distances": [[10]], "segments": True})
    machine = i386()
    machine.add(lambda task: iter(()), name="t")
    handle = machine.tasks[0].handle
    for call, said in (
        (lambda: handle.modify_ldt(8192, 0, 1), "modify_ldt.entry"),
        (lambda: handle.modify_ldt(0, 1, 1), "not the start of a page"),
        (lambda: handle.modify_ldt(0, 0, 0), "modify_ldt.size"),
        (lambda: handle.modify_ldt(0, "4MB?", 1), "modify_ldt.base"),
        (lambda: handle.load_segment(-1), "load_segment.selector"),
    ):
        with pytest.raises(ConfigError, match=said):
            call()
