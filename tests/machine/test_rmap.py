"""A machine with a reverse map is the same machine, watched: same run, and at any moment equal to the page tables."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.test_rmap import check
from machine.small import MIB_PAGES, PAGE, counters, finish, small
from observe.page_scan import scanned
from scenarios.shipped import CONFIGS

from numa_sim.config import load
from numa_sim.errors import InvariantViolation
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine

DISK = {"name": "sda", "device": "nvme", "size": "64MiB"}


def program(task: Any) -> Any:
    heap = yield task.mmap(3 * MIB_PAGES * PAGE)
    file = yield task.open("data")
    view = yield task.mmap(256 * PAGE, file=file, shared=True)
    for _ in range(2):
        yield task.touch(heap, write=0.5)
        yield task.touch(view, write=0.2)
    yield task.munmap(heap, offset=64 * PAGE, length=PAGE)
    yield task.touch(view)


def machine(profile: str, rmap: bool) -> Machine:
    made = small(
        nodes=(4, 4), disk=[DISK], file=[{"name": "data", "size": "1MiB", "disk": "sda"}],
        kernel={"profile": profile, "rmap": rmap}, run={"sample": "500us"},
    )  # fmt: skip
    for i in range(3):
        made.add(program, name=f"task{i}")
    return made


@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
def test_a_reverse_map_changes_nothing_and_is_right_at_every_sample(profile: str) -> None:
    with_map, without = machine(profile, rmap=True), machine(profile, rmap=False)
    seen = []

    def look(running: Machine) -> None:
        check(running.kernel)
        seen.append(counters(running)["rmap_pages"])

    with_map.run_to_end(look)
    finish(without)
    assert event_hash(with_map.kernel) == event_hash(without.kernel)
    assert with_map.now_ns == without.now_ns
    assert counters(with_map)["swap_out_ptes"] > 0 < counters(with_map)["swap_faults"]
    assert max(seen) > 500
    assert counters(with_map)["rmap_pages"] == 0 == counters(without)["rmap_pages"]
    assert len(without.kernel.rmap) == 1, "off costs nothing"


@pytest.mark.parametrize(
    ("config", "settings", "counter"),
    [
        ("swapoff-under-load", (), "swapoff_pages"),
        ("thrashing", ("kernel.reclaim=lru",), "policy_victims"),
        ("fork-bomb", (), "cow_faults"),
        ("fork-and-exec", (), "forks"),
    ],
)
def test_it_is_right_all_along_shipped_runs(config: str, settings: tuple[str, ...], counter: str) -> None:
    ran = Machine(load(CONFIGS / f"{config}.toml", (*settings, "kernel.rmap=true")))
    plain = Machine(load(CONFIGS / f"{config}.toml", settings)).run_to_end()
    for moment in range(1, 7):
        ran.run_until(moment * plain.end_ns // 7)
        check(ran.kernel)
    assert len(scanned(ran.kernel)) > 10
    result = ran.run_to_end()
    check(ran.kernel)
    assert counters(ran)[counter] > 0
    assert event_hash(ran.kernel) == event_hash(plain.kernel)
    assert result.end_ns == plain.end_ns


def test_a_full_check_finds_a_mapping_counted_wrongly() -> None:
    made = small(kernel={"rmap": True}, run={"check": "full"})
    made.add(program_of_one, name="task")
    made.run_until(1_000_000)
    mapped = made.kernel.rmap["mapcount"].nonzero()[0]
    assert len(mapped) == 8
    made.check()
    made.kernel.rmap[mapped[3]].mapcount += 1
    with pytest.raises(InvariantViolation, match="the reverse map counts other mappings"):
        made.check()
    made.kernel.rmap[mapped[3]].mapcount = 0
    with pytest.raises(InvariantViolation, match="the reverse map counts other mappings"):
        made.check()


def program_of_one(task: Any) -> Any:
    heap = yield task.mmap(8 * PAGE)
    yield task.touch(heap, write=1.0)
    yield task.sleep("1s")
