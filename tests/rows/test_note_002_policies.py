"""Rows of note 002 that fit no other file: what a virtual page is."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import PAGE, counters, finish, small


@pytest.mark.row("S2-01")
def test_memory_is_mapped_in_whole_aligned_pages() -> None:
    """Sizes round up, addresses down to 4 KiB; every address of a page is the same page, with one frame."""
    machine = small()
    k = machine.kernel
    regions: list[Any] = []
    resident: list[int] = []

    def program(task: Any) -> Any:
        regions.append((yield task.mmap(1)))
        regions.append((yield task.mmap(PAGE + 1)))
        for address in (regions[0].start_vpn * PAGE + 5, regions[0].start_vpn * PAGE + PAGE - 1):
            yield task.access(address, write=True)
            resident.append(int(k.mms[int(k.tasks[2].mm)].rss))

    machine.add(program)
    finish(machine)
    assert [region.pages for region in regions] == [1, 2]
    assert regions[0].size_bytes == PAGE
    assert resident == [1, 1], "two addresses of one page took two frames"
    assert counters(machine)["anon_write_faults"] == 1
