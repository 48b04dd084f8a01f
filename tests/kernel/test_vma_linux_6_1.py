"""Areas of a process of linux-6.1 after each of its calls, as a real kernel showed them in /proc/self/maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from numa_sim.compiled import entry
from numa_sim.kernel import brk, madvise, mbind, memory, mlock, mmap, mprotect, mremap, munmap, vma
from numa_sim.kernel.mempolicy import mpol_new
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import ENOMEM, FAULT_MINOR
from numa_sim.state.constants import (
    KERNEL_6_1,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MPOL_MODES,
    MREMAP_MAYMOVE,
    NIL,
    PAGE_SHIFT,
    TASK_RUNNING,
    VM_DONTCOPY,
    VM_LOCKED,
    VM_MAYALL,
    VM_SHARED,
    VMA_VMACACHE,
)

TASK = 2
MAPS = Path(__file__).parents[1] / "data" / "vma" / "linux-6.1-maps.json"
MMAP_BASE = 0x7FFFF7FFF
"""Page below which that kernel placed mappings."""
HEAP_END = 0x500000
NOHUGEPAGE = 1 << 30
PROTS = {"none": 0, "r": 1, "rw": 3}

_insert, _new = entry(vma.insert_vma), entry(vma.new_vma)
_do_mmap, _munmap, _brk = entry(mmap.do_mmap_pgoff), entry(munmap.sys_munmap), entry(brk.sys_brk)
_mprotect, _mremap, _mlock = entry(mprotect.sys_mprotect), entry(mremap.sys_mremap), entry(mlock.sys_mlock)
_madvise, _mbind = entry(madvise.madvise_flags), entry(mbind.sys_mbind)
_fault = entry(memory.handle_mm_fault)


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(MAPS.read_text())["steps"]
    return found


class Process:
    """The process at the start of the recording, and the calls it made then."""

    def __init__(self, areas: list[str], rmap: bool) -> None:
        nodes = [{"memory": "16MiB", "cpus": "0"}, {"memory": "16MiB", "cpus": "1"}]
        machine = Machine.of(nodes=nodes, distances=[[10, 20], [20, 10]], kernel={"rmap": rmap})
        self.k = k = machine.kernel
        k.vm[0].vma_rules, k.vm[0].vma_index = KERNEL_6_1, VMA_VMACACHE
        k.tasks[TASK].state, k.tasks[TASK].root = TASK_RUNNING, 1
        machine.enter_kernel(TASK, 0)
        self.mm = mm = mmap.mm_alloc(k, TASK)
        for number, line in enumerate(areas):
            span, perms = line.split()
            start, end = (int(address, 16) >> PAGE_SHIFT for address in span.split("-"))
            flags = sum(bit for letter, bit in zip(perms, (1, 2, 4), strict=False) if letter != "-")
            # Some neighbours differ in what maps does not show: here, whether they are locked.
            flags |= VM_MAYALL | (VM_SHARED if perms[3] == "s" else 0) | (VM_LOCKED if number % 2 == 0 else 0)
            _insert(k, mm, _new(k, mm, start, end, flags, 0, start))
        k.mms[mm].brk = k.mms[mm].start_data = HEAP_END
        k.mms[mm].mmap_base = MMAP_BASE
        self.regions: dict[str, tuple[int, int]] = {}

    def maps(self) -> list[str]:
        shown, at = [], int(self.k.mms[self.mm].mmap)
        while at != NIL:
            area = self.k.vmas[at]
            flags = int(area.vm_flags)
            letters = "".join(letter if flags & bit else "-" for letter, bit in zip("rwx", (1, 2, 4), strict=True))
            start, end = (int(page) << PAGE_SHIFT for page in (area.vm_start, area.vm_end))
            shown.append(f"{start:08x}-{end:08x} {letters}{'s' if flags & VM_SHARED else 'p'}")
            at = int(area.vm_next)
        return shown

    def call(self, text: str) -> None:
        """Make one call, written as in the recording: a name, a region, and what it needs."""
        name, *words = text.split()
        given = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        if name == "brk":
            self.brk(int(plain[0]))
        elif name != "brkalign":
            getattr(self, name)(plain, given)

    def part(self, region: str, given: dict[str, str]) -> tuple[int, int]:
        """Address and length of a part of a region."""
        start, pages = self.regions[region]
        first = int(given.get("off", 0))
        return start + (first << PAGE_SHIFT), int(given.get("n", pages - first)) << PAGE_SHIFT

    def map(self, plain: list[str], given: dict[str, str]) -> None:
        pages, at = int(plain[1]), int(given.get("at", "0"), 16)
        flags = MAP_NORESERVE | (MAP_SHARED if "shared" in given else MAP_PRIVATE) | (MAP_FIXED if at else 0)
        prot = PROTS[given.get("prot", "rw")]
        answer = int(_do_mmap(self.k, TASK, 0, at, pages << PAGE_SHIFT, prot, flags, 0))
        assert answer > 0
        self.regions[plain[0]] = (answer, pages)

    def unmap(self, plain: list[str], given: dict[str, str]) -> None:
        assert _munmap(self.k, TASK, *self.part(plain[0], given)) == 0

    def protect(self, plain: list[str], given: dict[str, str]) -> None:
        assert _mprotect(self.k, TASK, *self.part(plain[0], given), PROTS[given["prot"]]) == 0

    def touch(self, plain: list[str], given: dict[str, str]) -> None:
        start, length = self.part(plain[0], given)
        for vpn in range(start >> PAGE_SHIFT, start + length >> PAGE_SHIFT):
            assert _fault(self.k, TASK, vpn, 1) == FAULT_MINOR

    def mlock(self, plain: list[str], given: dict[str, str]) -> None:
        assert _mlock(self.k, TASK, *self.part(plain[0], given)) == 0

    def advise(self, region: str, given: dict[str, str], clear: int, flags: int) -> None:
        start, length = self.part(region, given)
        assert _madvise(self.k, TASK, start >> PAGE_SHIFT, start + length >> PAGE_SHIFT, clear, flags) == 0

    def madv(self, plain: list[str], given: dict[str, str]) -> None:
        self.advise(plain[0], given, 0, {"nohugepage": NOHUGEPAGE, "dontfork": VM_DONTCOPY, "normal": 0}[plain[1]])

    def mbind(self, plain: list[str], given: dict[str, str]) -> None:
        policy = mpol_new(self.k, MPOL_MODES[plain[1]], [int(node) for node in plain[2].split(",")])
        assert policy > 0
        assert _mbind(self.k, TASK, *self.part(plain[0], given), policy) == 0

    def remap(self, plain: list[str], given: dict[str, str]) -> None:
        start, pages = self.regions[plain[0]]
        new, may_move = int(plain[1]), given.get("maymove", "1") == "1"
        flags = MREMAP_MAYMOVE if may_move else 0
        answer = int(_mremap(self.k, TASK, start, pages << PAGE_SHIFT, new << PAGE_SHIFT, flags, 0))
        if answer == -ENOMEM:
            assert not may_move
        else:
            assert answer > 0
            self.regions[plain[0]] = (answer, new)

    def brk(self, pages: int) -> None:
        wanted = int(self.k.mms[self.mm].brk) + (pages << PAGE_SHIFT)
        assert _brk(self.k, TASK, wanted) == wanted


def replayed(rmap: bool) -> list[str]:
    """The calls after which our areas are not the recorded ones."""
    recorded = steps()
    process, shown = Process(recorded[0]["new"], rmap), set(recorded[0]["new"])
    assert set(process.maps()) == shown
    differ = []
    for step in recorded[1:]:
        process.call(step["call"])
        shown = (shown - set(step["gone"])) | set(step["new"])
        # The recorder's heap is executable as do_brk of 2.4 makes it, not as that of 6.1 does.
        ours = {line.replace("rwxp", "rw-p") if line.startswith("005") else line for line in process.maps()}
        if ours != shown:
            differ.append(f"{step['call']}: ours {sorted(ours - shown)}, recorded {sorted(shown - ours)}")
    return differ


@pytest.mark.row("S3-162", "S3-171", "S0-35")
def test_areas_merge_and_split_as_in_linux_6_1() -> None:
    assert replayed(rmap=True) == []


def test_without_a_reverse_map_more_areas_merge() -> None:
    """Two areas touched apart have anon_vmas of their own and stay two; that is what the reverse map knows."""
    assert any("map g" in line for line in replayed(rmap=False))
