"""`[kernel] slab = true`: the kernel's own structures take memory, and /proc/slabinfo shows it."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import counters, finish, small, sweep

FULL = {"run": {"check": "full"}}
FILES = {
    "disk": [{"name": "d", "device": "nvme", "size": "1GiB"}],
    "file": [{"name": "data", "disk": "d", "size": "256KiB"}],
}


def slabinfo(machine: Any) -> dict[str, list[int]]:
    """Numbers of every line, by cache."""
    lines = machine.procfs("slabinfo").splitlines()
    assert lines[0].startswith("slabinfo - version: 1.1")
    return {line.split()[0]: [int(n) for n in line.replace(":", "").split()[1:]] for line in lines[1:]}


def run(slab: bool, cpus: str = "0") -> tuple[Any, list[dict[str, list[int]]]]:
    """A program maps, opens and reads; what slabinfo said on the way."""
    machine = small(cpus=(cpus,), kernel={"slab": slab}, **FILES, **FULL)
    seen = []

    def program(task):
        heaps = []
        for at in range(70):
            heaps.append((yield task.mmap("4KiB", at=0x10000000 + at * 0x4000)))
        yield task.sleep("1us")
        seen.append(slabinfo(machine))
        file = yield task.open("data")
        yield task.read(file, "256KiB")
        yield task.sleep("1us")
        seen.append(slabinfo(machine))
        yield task.close(file)
        for heap in heaps:
            yield task.munmap(heap)
        yield task.sleep("1us")
        seen.append(slabinfo(machine))

    machine.add(program)
    finish(machine)
    return machine, [*seen, slabinfo(machine)]


@pytest.mark.row("S1-36", "S3-172")
def test_objects_and_slabs_follow_the_structures():
    machine, (mapped, opened, closed, ended) = run(slab=True)
    areas = mapped["vm_area_struct"]
    assert areas[0] >= 71
    assert areas[1:] == [2 * 59, 64, 2, 2, 1]
    assert (opened["filp"][0], opened["inode_cache"][:3], opened["dentry_cache"][:3]) == (1, [1, 8, 480], [1, 30, 128])
    assert closed["filp"][0] == 0
    # A closed file's dentry and inode stay in their caches, unused.
    assert (closed["dentry_cache"][0], machine.vm.nr_unused[0]) == (1, 1)
    assert closed["vm_area_struct"][0] < 59
    assert (ended["vm_area_struct"][0], ended["mm_struct"][0]) == (0, 0)
    assert counters(machine)["nr_slab"] == sum(row[4] * row[5] for row in ended.values()) > 0


def test_without_it_they_take_no_memory():
    machine, seen = run(slab=False)
    assert seen[0]["vm_area_struct"][0] >= 71
    assert seen[0]["vm_area_struct"][2:] == [0, 0, 0, 1]
    assert counters(machine)["slab_grown"] == 0


def test_on_several_cpus_each_keeps_some():
    machine, seen = run(slab=True, cpus="0-1")
    assert machine.procfs("slabinfo").startswith("slabinfo - version: 1.1 (SMP)\nkmem_cache ")
    assert seen[0]["vm_area_struct"][6:] == [252, 126]
    assert seen[0]["size-8192"][6:] == [0, 0]


def test_pressure_takes_the_kernel_s_own_empty_slabs_back():
    machine = small(nodes=(8,), kernel={"slab": True}, **FULL)

    def mapper(task):
        heaps = []
        for at in range(600):
            heaps.append((yield task.mmap("4KiB", at=0x10000000 + at * 0x4000)))
        for heap in heaps:
            yield task.munmap(heap)
        yield task.sleep("1us")
        yield from sweep(1800)(task)

    machine.add(mapper)
    finish(machine)
    seen = counters(machine)
    assert seen["slab_reaped"] >= 8
    assert slabinfo(machine)["vm_area_struct"][4] <= 3
