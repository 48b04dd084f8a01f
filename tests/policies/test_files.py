"""Pages of files under replacement policies: they go like anonymous ones, mapped or not, dirty ones written first."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, NVME, PAGE, counters, finish, small
from scenarios.shipped import run, total

from numa_sim.policies import Policy, is_of_file
from numa_sim.policies.clock import Clock
from numa_sim.policies.lru import Lru
from numa_sim.processes.machine import Machine
from numa_sim.workloads.patterns import from_arrays

DISK = {"name": "d", "device": "nvme", "size": "1GiB"}
QUIET = {"bdflush": False, "kupdate": False, "readahead": False}
"""Only reclaim writes."""


def machine_with(policy: Policy, mib: int, **file: Any) -> Machine:
    """A machine of 4 MiB and a file of `mib` MiB, on which `policy` reclaims."""
    return small(
        disk=[DISK], file=[{"name": "data", "disk": "d", "size": f"{mib}MiB", **file}], swap=(NVME,), policy=policy,
        kernel={"switches": QUIET, "bdflush": {"nfract_sync": 100}}, run={"check": "full"},
    )  # fmt: skip


def run_program(machine: Machine, program: Any) -> dict[str, int]:
    machine.add(program)
    assert finish(machine).exit_state == "ok"
    return counters(machine)


def reader(times: int, mib: int = 4) -> Any:
    def program(task: Any) -> Any:
        fd = yield task.open("data")
        for _ in range(times):
            assert (yield task.read(fd, f"{mib}MiB", offset=0)) == mib << 20

    return program


class NoFiles(Lru):
    """Least recently used anonymous pages only."""

    name = "no-files"
    takes_files = False


@pytest.mark.parametrize("policy", ["lru", "clock"])
def test_files_and_anonymous_memory_compete_in_the_shipped_mix(policy: str) -> None:
    result = run("mixed-files-and-anonymous", f"kernel.reclaim={policy}", "workload.2.program.2.accesses=3000")
    assert result.summary["run"]["exit_state"] == "ok"
    assert total(result, "policy_file_victims") > 10_000
    assert total(result, "policy_victims") - total(result, "policy_file_victims") > 2000
    assert total(result, "pgrefill") == 0


def test_a_policy_that_takes_no_files_leaves_them_in_memory() -> None:
    """A small file and a large heap: with files the heap drives the file out, and it is read again."""

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        for _ in range(3):
            yield task.read(fd, "1MiB", offset=0)
            heap = yield task.mmap(2 * MIB_PAGES * PAGE)
            yield task.touch(heap, write=1.0)
            yield task.munmap(heap)

    taken, left = (run_program(machine_with(policy, 1), program) for policy in (Lru(), NoFiles()))
    assert taken["policy_file_victims"] > 200 > left["policy_file_victims"] == 0
    assert taken["pgpgin"] > left["pgpgin"] == MIB_PAGES * 4
    assert left["pswpout"] > taken["pswpout"]


def test_clean_pages_of_files_are_freed_without_writing() -> None:
    counts = run_program(machine_with(Clock(), 4), reader(2))
    assert counts["policy_file_victims"] > 3 * MIB_PAGES
    assert counts["pgpgout"] == counts["file_writepages"] == counts["reclaim_buffer_writes"] == 0
    assert counts["pgpgin"] > 1.8 * 4 * MIB_PAGES * 4


def test_without_a_dirty_state_every_page_of_a_file_is_written_too() -> None:
    counts = run_program(machine_with(Lru(), 4), reader(2))
    assert counts["file_writepages"] >= counts["pgsteal_kswapd"] + counts["pgsteal_direct"] > 3 * MIB_PAGES


def test_a_page_of_a_hole_has_nothing_to_write() -> None:
    machine = machine_with(Lru(), 4, holes=[{"offset": "0B", "length": "4MiB"}])
    counts = run_program(machine, reader(2))
    assert counts["policy_file_victims"] > 3 * MIB_PAGES
    assert counts["file_writepages"] == counts["pgpgin"] == counts["pgpgout"] == 0


def test_dirty_buffers_are_written_before_their_pages_go() -> None:
    machine = machine_with(Clock(), 4)

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.write(fd, "4MiB")

    counts = run_program(machine, program)
    assert counts["reclaim_buffer_writes"] > 2 * MIB_PAGES
    assert machine.kernel.disks[0].pages_written + counts["nr_writeback"] == counts["reclaim_buffer_writes"]
    assert counts["pgsteal_kswapd"] + counts["pgsteal_direct"] <= counts["reclaim_buffer_writes"]


@pytest.mark.row("S3-077")
@pytest.mark.parametrize("policy", [Lru, Clock])
def test_mapped_pages_of_files_are_unmapped_from_every_process(policy: type[Policy]) -> None:
    """Two processes share the mapping of a file larger than memory; what one stores the other must find."""
    machine = machine_with(policy(), 4)
    pages = 4 * MIB_PAGES

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        region = yield task.mmap(pages * PAGE, file=fd, shared=True)
        for start in range(0, pages, pages // 4):
            yield task.touch(region, from_arrays([*range(start, start + pages // 4)] * 2, writes=1))

    machine.add(program, name="one")
    counts = run_program(machine, program)
    assert counts["swap_out_ptes"] > pages
    assert counts["file_writepages"] > 2 * MIB_PAGES
    assert counts["pswpout"] == 0


def test_uses_by_read_are_told_to_every_policy() -> None:
    """A page read over and over stays under LRU and CLOCK, while others pass through."""

    class Watcher(Clock):
        """Counts what it is told of page 0 of the file."""

        name = "watcher"
        told = 0

        def touch(self, page: int, write: bool) -> None:
            Watcher.told += is_of_file(page) and page & 0xFFFFFFFF == 0
            super().touch(page, write)

    machine = machine_with(Watcher(), 4)

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        for index in range(1, 4 * MIB_PAGES):
            yield task.read(fd, "4KiB", offset=0)
            yield task.read(fd, "4KiB", offset=index * PAGE)

    counts = run_program(machine, program)
    assert Watcher.told > 10
    assert machine.kernel.disks[0].pages_read == 4 * MIB_PAGES
    assert counts["policy_file_victims"] > 2 * MIB_PAGES
