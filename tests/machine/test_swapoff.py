"""swapon and swapoff while programs run: who may, what comes back, what happens when it does not fit."""

from __future__ import annotations

from errno import EBUSY, EINVAL, ENOMEM, EPERM
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, PAGE, ZRAM, counters, finish, parts, small
from machine.test_invariants import Shadow, contents

from numa_sim.errors import ConfigError, NumaSimError, SimulationError
from numa_sim.kernel.swap_header import encode, for_area
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import SWAP_MAP_MAX, SWP_WRITEOK
from numa_sim.state.event_codes import EV_SWAPOFF

A = {"device": "nvme", "size": "2MiB", "priority": 5, "name": "a"}
B = {"device": "nvme", "size": "8MiB", "priority": 1, "name": "b"}
HOG_PAGES = 5 * MIB_PAGES


def hog(pages: int, compare: Any = None, rest_ns: int = 0) -> Any:
    """A program that writes `pages` pages, rests, and reads them all again."""

    def program(task: Any) -> Any:
        shadow = Shadow()
        heap = yield task.mmap(pages * PAGE)
        yield task.touch(heap, write=1.0)
        for vpn in range(heap.start_vpn, heap.end_vpn):
            shadow.write(vpn)
        if rest_ns:
            yield task.sleep(rest_ns)
        if compare is not None:
            compare(shadow)
        yield task.touch(heap)
        if compare is not None:
            compare(shadow)

    return program


def one_call(answers: list[Any], *calls: tuple[str, ...], wait: str = "0ns") -> Any:
    """A program that makes calls on swap areas, keeping what each gave."""

    def program(task: Any) -> Any:
        yield task.sleep(wait)
        for what, *arguments in calls:
            try:
                answers.append((yield getattr(task, what)(*arguments)))
            except OSError as error:
                answers.append(error.errno)

    return program


def run_calls(machine: Machine, *calls: Any, root: bool = True) -> list[Any]:
    answers: list[Any] = []
    machine.add(one_call(answers, *calls), name="admin", root=root)
    assert finish(machine).exit_state == "ok"
    return answers


# Who may, and what is refused ----------------------------------------------------------------------------------------


@pytest.mark.row("S2-63")
def test_only_root_may_switch_swap() -> None:
    off = {**A, "on": False}
    assert run_calls(small(swap=(off, B)), ("swapon", "a"), ("swapoff", "b"), root=False) == [EPERM, EPERM]
    assert run_calls(small(swap=(off, B)), ("swapon", "a"), ("swapoff", "b")) == [1, None]


@pytest.mark.row("S3-138", "S3-140", "S3-141", "S3-142", "S3-143", "S3-148")
def test_areas_come_and_go_by_name() -> None:
    machine = small(swap=(A, {**B, "on": False}))
    answers = run_calls(
        machine,
        ("swapoff", "b"),
        ("swapon", "a"),
        ("swapoff", "a"),
        ("swapoff", "a"),
        ("swapon", "b", 9),
        ("swapon", "a"),
    )
    assert answers == [EINVAL, EBUSY, None, EINVAL, 0, 1]
    areas = machine.kernel.swap_info
    assert [int(area.flags) for area in areas[:2]] == [SWP_WRITEOK, SWP_WRITEOK]
    assert [int(area.prio) for area in areas[:2]] == [9, -1]
    assert machine.vm.nr_swapfiles == 2
    assert any("Adding Swap: 8188k swap-space (priority 9), b" in warning for warning in machine.warnings)
    assert [area.name for area in machine.swap.described()] == ["b", "a"]


def test_an_unknown_area_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ConfigError, match=r"no swap area 'c' \(allowed: a\)"):
        run_calls(small(swap=(A,)), ("swapoff", "c"))
    with pytest.raises(ConfigError, match="0 to 32767"):
        run_calls(small(swap=(A,)), ("swapon", "a", 40_000))


def test_a_refusal_the_program_does_not_expect_ends_the_run() -> None:
    def program(task: Any) -> Any:
        yield task.swapoff("a")

    machine = small(swap=(A,))
    machine.add(program, name="nobody")
    with pytest.raises(SimulationError, match="nobody: Operation not permitted"):
        finish(machine)


# Headers and files ---------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-144", "S3-146", "S2-16")
def test_an_image_of_mkswap_says_what_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(encode(for_area(512, bad=[3, 7])) + bytes(511 * PAGE))
    (tmp_path / "none").write_bytes(bytes(PAGE))
    area = {"device": "nvme", "size": "2MiB", "image": str(tmp_path / "good")}
    machine = small(swap=(area,))
    assert machine.kernel.swap_info[0].max == 511
    assert machine.kernel.swap_info[0].pages == 511 - 1 - 2
    assert [entry.name for entry in machine.inputs] == ["good"]
    with pytest.raises(NumaSimError, match="header says 511"):
        small(swap=({**area, "size": "1MiB"},))
    with pytest.raises(ConfigError, match="no swap-space signature"):
        small(swap=({**area, "image": str(tmp_path / "none")},))
    with pytest.raises(ConfigError, match="cannot read"):
        small(swap=({**area, "image": str(tmp_path / "missing")},))
    with pytest.raises(ConfigError, match="image"):
        small(swap=({**area, "bad": [5]},))


@pytest.mark.row("S3-146")
def test_bad_pages_are_never_used() -> None:
    bad = list(range(1, 401, 2))
    machine = small(swap=({"device": "nvme", "size": "6MiB", "bad": bad},))
    machine.add(hog(HOG_PAGES))
    assert finish(machine).exit_state == "ok"
    assert counters(machine)["pswpout"] > 0
    assert set(machine.kernel.swap_map[bad].tolist()) == {0x8000}
    with pytest.raises(ConfigError, match="bad"):
        small(swap=({"device": "nvme", "size": "1MiB", "bad": [256]},))


def with_file(**file: Any) -> Machine:
    disk = {"name": "sda", "device": "nvme", "size": "64MiB"}
    return small(
        swap=({"device": "file", "file": "swapfile", "on": False},),
        disk=[disk],
        file=[{"name": "other", "disk": "sda", "size": "1MiB"}, {"name": "swapfile", "disk": "sda", **file}],
        run={"check": "full"},
    )


@pytest.mark.row("S0-47", "S2-10", "S3-010", "S3-011")
def test_a_file_is_swap_as_well_as_a_partition_but_not_with_holes() -> None:
    machine = with_file(size="6MiB", fragments=7)
    answers: list[Any] = []
    machine.add(one_call(answers, ("swapon", "swapfile"), ("swapoff", "swapfile"), wait="0ns"), root=True)
    finish(machine)
    assert answers == [0, None]

    machine = with_file(size="6MiB", fragments=7)
    seen: list[bool] = []

    def program(task: Any) -> Any:
        yield task.swapon("swapfile")
        yield from hog(HOG_PAGES, lambda shadow: seen.append(contents(machine, 2).items() >= shadow.tags.items()))(task)

    machine.add(program, root=True)
    finish(machine)
    assert seen == [True, True]
    assert counters(machine)["pswpin"] > 0
    assert machine.kernel.disks[0].sectors_written >= 8 * counters(machine)["pswpout"] > 0

    holes = with_file(size="6MiB", holes=[{"offset": "1MiB", "length": "4KiB"}])
    assert run_calls(holes, ("swapon", "swapfile")) == [EINVAL]
    assert any("bad swap file" in warning for warning in holes.warnings)


# Bringing pages back -------------------------------------------------------------------------------------------------


def slots_taken_while_off(machine: Machine) -> list[int]:
    """While area 0 gives no slots: how many of its slots are taken nevertheless, and how many of area 1 are."""
    k, enter = machine.kernel, machine.enter_kernel
    taken, before = [0, 0], [np.zeros(0, bool)]

    def watch(task: int, cpu: int) -> None:
        used, off = k.swap_map != 0, k.swap_info[0].flags not in (0, SWP_WRITEOK)
        if off and before[0].size:
            new = np.flatnonzero(used & ~before[0])
            for area in (0, 1):
                start = int(k.swap_info[area].map_start)
                taken[area] += int(((new >= start) & (new < start + int(k.swap_info[area].max))).sum())
        before[0] = used if off else before[0][:0]
        enter(task, cpu)

    machine.enter_kernel = watch  # type: ignore[method-assign]
    return taken


@pytest.mark.row("S3-138", "S3-139", "S2-09")
@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.37"])
@pytest.mark.parametrize("area", [A, {**ZRAM, "size": "2MiB", "name": "a"}])
def test_swapoff_under_load_brings_every_page_back(area: dict[str, Any], profile: str) -> None:
    kernel = {"profile": profile}
    machine = small(swap=(area, B), kernel=kernel, run={"check": "full", "record_events": 1 << 18})
    same: list[bool] = []
    taken = slots_taken_while_off(machine)

    def compare(shadow: Shadow) -> None:
        same.append(contents(machine, 2).items() >= shadow.tags.items())

    machine.add(hog(HOG_PAGES, compare, rest_ns=20_000_000), name="hog")
    answers: list[Any] = []
    machine.add(one_call(answers, ("swapoff", "a"), wait="5ms"), name="admin", root=True)
    assert finish(machine).exit_state == "ok"
    assert answers == [None]
    assert same == [True, True]
    assert taken[0] == 0 < taken[1], "no new slot comes from an area being removed"
    assert machine.kernel.swap_info[0].flags == 0
    assert machine.vm.total_swap_pages == 2047
    assert counters(machine)["swapoff_pages"] > 200
    assert parts(machine, 3)["syscall"] > 0
    assert EV_SWAPOFF in machine.kernel.events["code"][: machine.vm.events_used]


@pytest.mark.row("S3-138", "S2-12")
def test_swapoff_frees_a_slot_whose_count_is_stuck() -> None:
    """SWAP_MAP_MAX uses are never counted down again; swapoff has found them all and frees the slot."""
    machine = small(swap=({**A, "size": "8MiB"},), run={"check": "cheap"})
    k = machine.kernel
    stuck: list[int] = []

    def admin(task: Any) -> Any:
        start = int(k.swap_info[0].map_start)
        slots = range(start + 1, start + int(k.swap_info[0].max))
        while not stuck:
            yield task.sleep("1ms")
            stuck.extend([slot for slot in slots if k.swap_map[slot] == 1 and not k.swap_cache[slot]][:1])
        k.swap_map[stuck[0]] = SWAP_MAP_MAX
        yield task.sleep("30ms")
        yield task.swapoff("a")

    def program(task: Any) -> Any:
        heap = yield task.mmap(4 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.sleep("20ms")
        yield task.munmap(heap, length=3 * MIB_PAGES * PAGE)
        yield task.sleep("80ms")
        yield task.touch(heap, write=1.0, offset=3 * MIB_PAGES * PAGE)

    machine.add(program)
    machine.add(admin, root=True)
    assert finish(machine).exit_state == "ok"
    assert stuck
    assert k.swap_info[0].flags == 0
    assert machine.vm.nr_swap_pages == machine.vm.total_swap_pages == 0


@pytest.mark.row("S3-138", "S3-139")
def test_swapoff_without_memory_leaves_the_area_working() -> None:
    machine = small(
        swap=({**B, "name": "a"},), run={"check": "full"}, kernel={"oom_killer": False, "switches": {"pageout": True}}
    )
    same: list[bool] = []

    def compare(shadow: Shadow) -> None:
        same.append(contents(machine, 2).items() >= shadow.tags.items())

    machine.add(hog(HOG_PAGES, compare, rest_ns=2_000_000_000), name="hog")
    answers: list[Any] = []
    machine.add(one_call(answers, ("swapoff", "a"), wait="5ms"), name="admin", root=True)
    assert finish(machine).exit_state == "ok"
    assert answers == [ENOMEM]
    assert same == [True, True]
    assert machine.kernel.swap_info[0].flags == SWP_WRITEOK
    assert machine.vm.total_swap_pages == 2047
    assert any("do not fit into memory" in warning for warning in machine.warnings)
