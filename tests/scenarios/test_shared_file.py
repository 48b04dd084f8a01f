"""Scenario 11: one file mapped by several processes: reverse map, dirty pages, msync, truncate."""

from __future__ import annotations

import re

import numpy as np
import pytest
from observe.page_scan import scanned
from scenarios.shipped import CONFIGS

from numa_sim.config import load
from numa_sim.kernel import rmap
from numa_sim.kernel.inode import extents_of
from numa_sim.processes.machine import Machine

MS = 1_000_000
PAGES = 256
SHARING = ("writer", "reader-0", "reader-1")


def at(time_ms: int, *settings: str) -> Machine:
    machine = Machine(load(CONFIGS / "shared-file.toml", settings))
    machine.run_until(time_ms * MS)
    return machine


def mm(machine: Machine, name: str) -> int:
    return next(int(task.record.mm) for task in machine.tasks if task.name == name)


def cached(machine: Machine) -> dict[int, int]:
    """Frame of each page of the file that is in the page cache."""
    pages = machine.kernel.pages
    found = np.flatnonzero(pages["mapping"] == machine.file_mappings["table"])
    return {int(pages[pfn].index): int(pfn) for pfn in found}


def on_disk(machine: Machine) -> dict[int, int]:
    """Contents of the block of each page of the file."""
    k = machine.kernel
    return {
        index + i: int(k.disk_tags[int(k.disks[0].tags_start) + block + i])
        for index, length, block in extents_of(k, machine.file_mappings["table"])
        for i in range(length)
    }


def area(machine: Machine, name: str) -> dict[str, int]:
    """The first area of a task's smaps, kB."""
    lines = machine.procfs(f"{name}/smaps").split("VmFlags")[0]
    return {key: int(value) for key, value in re.findall(r"(\w+): +(\d+) kB", lines)}


@pytest.mark.row("S4-13", "S4-14", "S4-17")
def test_every_page_is_in_memory_once_and_found_in_every_process() -> None:
    machine = at(30)
    pages, scan = cached(machine), scanned(machine.kernel)
    assert len(pages) == PAGES
    sharing = {mm(machine, name) for name in SHARING}
    for pfn in pages.values():
        assert {place.mm for place in rmap.mapped_at(machine.kernel, pfn)} == sharing
    for pfn, places in scan.items():
        assert {(place.mm, place.vpn) for place in rmap.mapped_at(machine.kernel, pfn)} == places
    copies = [pfn for pfn, places in scan.items() if {owner for owner, _ in places} == {mm(machine, "private")}]
    assert len(copies) == PAGES
    assert not set(copies) & set(pages.values())
    assert 0 <= 3 * area(machine, "reader-0")["Pss"] - area(machine, "reader-0")["Rss"] + 3 <= 4


def test_a_store_is_dirty_in_the_writers_entry_alone_until_msync() -> None:
    before, after = at(30), at(70)
    writer, reader = area(before, "writer"), area(before, "reader-0")
    assert (writer["Shared_Dirty"], writer["Shared_Clean"]) == (4 * PAGES, 0)
    assert (reader["Shared_Dirty"], reader["Shared_Clean"]) == (0, 4 * PAGES)
    tags = before.kernel.tags
    stored = {index: int(tags[pfn]) for index, pfn in cached(before).items()}
    assert all(on_disk(before)[index] != tag for index, tag in stored.items()), "the disk knows nothing yet"
    assert on_disk(after) == stored
    assert area(after, "writer")["Shared_Dirty"] == 0
    assert int(after.kernel.disks[0].pages_written) == PAGES
    assert int(before.kernel.disks[0].pages_written) == 0


def test_truncate_takes_pages_from_everybody_and_the_next_touch_is_a_bus_error() -> None:
    machine = at(100)
    assert set(cached(machine)) == set(range(PAGES // 2))
    for name in (*SHARING, "private"):
        assert area(machine, name)["Rss"] == 2 * PAGES
    machine.run_until(125 * MS)
    outcomes = {task.name: task.outcome for task in machine.tasks}
    assert outcomes["reader-0"] == outcomes["reader-1"] == "bus error"
    assert {place.mm for place in rmap.mapped_at(machine.kernel, cached(machine)[0])} == {mm(machine, "writer")}
    survivors = scanned(machine.kernel)
    assert set(survivors) == set(cached(machine).values())


def test_without_the_shared_mapping_nothing_reaches_the_disk() -> None:
    machine = at(70, "workload.0.program.1.shared=false")
    assert int(machine.kernel.disks[0].pages_written) == 0
    assert area(machine, "writer")["Anonymous"] == 4 * PAGES
