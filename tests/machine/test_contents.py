"""Contents under a million random operations: files, swap and mappings of small machines short of memory.

Every task keeps a shadow of what its pages must contain, and the machine one of every file; both are made from the
tasks' own accesses and calls and the log of writes alone, never from the state.  Each page read(2) must give what the
file's shadow has at that place of the log; page tables, page cache, swap and disks are compared with the shadows at
random moments and at the end.

Who may do what with a file keeps every expectation exact: a file of one task (``own``) is changed by it alone, in all
ways, and read by all; ``common`` is written by all, but keeps its size and is mapped for loads only; nobody writes to
``still``, which all map privately.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pytest
from machine.small import MIB_PAGES, PAGE, Program, counters, finish, small
from machine.test_invariants import Shadow, contents

from numa_sim.compiled import entry
from numa_sim.config.kernel import Kernel as KernelTable
from numa_sim.hardware.loop import stored
from numa_sim.kernel.inode import get_block
from numa_sim.processes.machine import Machine
from numa_sim.processes.task_rows import FIRST_USER_TASK
from numa_sim.state.constants import KIND_INODE, NIL, PG_uptodate
from numa_sim.state.event_codes import EV_FILE_READ, EV_FILE_WRITE, EV_TRUNCATE
from numa_sim.workloads.patterns import from_arrays, uniform
from numa_sim.workloads.streams import stream

pytestmark = pytest.mark.row("S2-04")

PROFILES = get_args(KernelTable.model_fields["profile"].annotation)
FILE_PAGES = 3 * MIB_PAGES // 2
MAX_REGIONS = 6
TASKS = 3
STEPS = 250
SEEDS = 3
TAG_MASK = (1 << 48) - 1
_stored = entry(stored)
_get_block = entry(get_block)


@dataclass
class Change:
    """A write(2) or truncate(2) under way: bytes `pos` to `end`."""

    pos: int
    end: int
    grows: bool


@dataclass
class FileShadow:
    """What a file must contain.

    ``stores`` has what stores of a touch under way may have made of a page: until it ends, any of these is right.
    """

    mapping: int
    size: int
    tags: dict[int, int]
    changes: list[Change] = field(default_factory=list)
    stores: dict[int, set[int]] = field(default_factory=dict)

    def allowed(self, index: int) -> set[int]:
        return {self.tags.get(index, 0)} | self.stores.get(index, set())

    @property
    def pages(self) -> int:
        return -(-self.size // PAGE)

    def written(self, index: int, tag: int, number: int) -> None:
        """Write number `number` gave page `index` the contents `tag`."""
        assert not self.stores
        expected = {}
        for change in self.changes:
            start, end = max(change.pos, index * PAGE), min(change.end, (index + 1) * PAGE)
            if start < end:
                reaches_end = end == (index + 1) * PAGE or (change.grows and end >= self.size)
                whole = start == index * PAGE and reaches_end
                old = 0 if whole else self.tags.get(index, 0)
                expected[(old * 5 + number) & TAG_MASK] = end if change.grows else 0
        assert tag in expected, f"page {index} of file {self.mapping} became {tag:#x}"
        self.tags[index] = tag
        self.size = max(self.size, expected[tag])

    def truncated(self, size: int) -> None:
        self.size = size
        for index in [i for i in self.tags if i >= self.pages]:
            del self.tags[index]


class Files:
    """The shadows of all files, kept by the machine's event log."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.writes = self.reads_checked = 0
        self.by_name = {}
        for number, (name, mapping) in enumerate(machine.file_mappings.items()):
            size = int(machine.kernel.mappings[mapping].i_size)
            tags = {index: (number + 1) << 32 | index for index in range(-(-size // PAGE))}
            self.by_name[name] = FileShadow(mapping, size, tags)
        self._by_mapping = {shadow.mapping: shadow for shadow in self.by_name.values()}

    def follow_log(self) -> None:
        """Take over what was written, and check what was read, since the last call."""
        vm, events = self.machine.vm, self.machine.kernel.events
        assert vm.events_used < len(events), "the log is too short to follow"
        log = events[: vm.events_used]
        log = log[np.isin(log["code"], (EV_FILE_READ, EV_FILE_WRITE, EV_TRUNCATE))]
        for code, a, b in zip(log["code"].tolist(), log["a"].tolist(), log["b"].tolist(), strict=True):
            if code == EV_TRUNCATE:
                self._by_mapping[a].truncated(b)
                continue
            file, index = self._by_mapping[a >> 32], a & 0xFFFFFFFF
            if code == EV_FILE_WRITE:
                self.writes += 1
                file.written(index, b, self.writes)
            else:
                assert b in file.allowed(index), f"page {index} of file {file.mapping} read as {b:#x}"
                self.reads_checked += 1
        vm.events_used = 0

    def compare(self) -> None:
        """Every page of every file contains what it must, in the page cache if it is there, else on the disk."""
        self.follow_log()
        k = self.machine.kernel
        cached = {}
        for pfn in np.flatnonzero((k.pages["mapping"] > 0) & (k.pages["flags"] & PG_uptodate != 0)).tolist():
            mapping = int(k.pages[pfn].mapping)
            if k.mappings[mapping].kind == KIND_INODE:
                cached[mapping, int(k.pages[pfn].index)] = int(k.tags[pfn])
        for name, file in self.by_name.items():
            assert int(k.mappings[file.mapping].i_size) == file.size, name
            for index in range(file.pages):
                tag = cached.get((file.mapping, index))
                found = self.on_disk(file, index) if tag is None else tag
                assert found in file.allowed(index), f"page {index} of {name} contains {found:#x}"

    def on_disk(self, file: FileShadow, index: int) -> int:
        k = self.machine.kernel
        block = int(_get_block(k, file.mapping, index, 0))
        return 0 if block == NIL else int(k.disk_tags[int(k.disks[k.mappings[file.mapping].device].tags_start) + block])


@dataclass
class Mapped:
    """A region, the file it shows (None: anonymous memory), and which of its pages are still mapped."""

    region: Any
    file: FileShadow | None
    first: int
    kind: str
    pages: np.ndarray

    def touchable(self) -> np.ndarray:
        """Pages whose touch is no bus error."""
        return self.pages if self.file is None else self.pages[self.pages + self.first < self.file.pages]

    def runs(self) -> list[np.ndarray]:
        """Its mapped pages in contiguous runs."""
        return np.split(self.pages, np.flatnonzero(np.diff(self.pages) > 1) + 1)


class RandomTask:
    """A program of `steps` random operations, and what it knows of its memory."""

    def __init__(self, files: Files, number: int, rng: np.random.Generator, steps: int, heap_pages: int) -> None:
        self.files, self.machine = files, files.machine
        self.number, self.rng, self.steps, self.heap_pages = number, rng, steps, heap_pages
        self.private = Shadow()
        self.regions: list[Mapped] = []
        self.calls = self.compared = 0
        self.own = files.by_name[f"own{number}"]

    def program(self, task: Any) -> Program:
        self.task = task
        self.opened = {}
        for name in self.files.by_name:
            self.opened[name] = yield task.open(name)
        names, weights = zip(*WEIGHTS.items(), strict=True)
        chances = np.array(weights) / sum(weights)
        for _ in range(self.steps):
            name = "mmap" if not self.regions else str(self.rng.choice(names, p=chances))
            self.files.follow_log()
            yield from getattr(self, name)()
            self.calls += 1
            self.files.follow_log()
            if self.rng.random() < 0.1:
                self.compare()
        self.compare()

    def some(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    # Memory ----------------------------------------------------------------------------------------------------------

    def mmap(self) -> Program:
        if len(self.regions) >= MAX_REGIONS:
            yield from self.munmap()
            return
        kind = str(self.rng.choice(["anonymous", "anonymous", "private", "shared", "read-only"]))
        if kind == "anonymous":
            region = yield self.task.mmap(self.some(self.heap_pages // 4, self.heap_pages) * PAGE)
            self.regions.append(Mapped(region, None, 0, kind, np.arange(region.pages)))
            return
        own = f"own{self.number}"
        choices = {"private": (own, "still"), "shared": (own,), "read-only": ("common", "still", own)}
        name = str(self.rng.choice(choices[kind]))
        first = self.some(0, FILE_PAGES // 2)
        size = self.some(1, FILE_PAGES - first) * PAGE
        shared = kind == "shared" or bool(kind == "read-only" and self.rng.random() < 0.5)
        region = yield self.task.mmap(size, file=self.opened[name], shared=shared, offset=first * PAGE)
        self.regions.append(Mapped(region, self.files.by_name[name], first, kind, np.arange(region.pages)))

    def touch(self) -> Program:
        at = self.regions[self.some(0, len(self.regions))]
        possible = at.touchable()
        if len(possible) == 0:
            return
        if self.rng.random() < 0.5:  # a few hot pages
            possible = self.rng.choice(possible, max(1, len(possible) // 8), replace=False)
        pages = self.rng.choice(possible, self.some(100, 1500))
        if self.rng.random() < 0.3:
            pages.sort()
        writes = self.rng.random(len(pages)) < (0 if at.kind == "read-only" else self.rng.choice([0.0, 0.3, 1.0]))
        self.expect_stores(at, pages[writes])
        yield self.task.touch(at.region, from_arrays(pages, writes=writes, compute_ns=self.some(0, 200)))
        if at.kind == "shared":
            self.files.follow_log()
            self.own.tags.update(self.last_stores)
            self.own.stores.clear()

    def expect_stores(self, at: Mapped, pages: np.ndarray) -> None:
        """Stores to shared pages become a file's contents while they happen; others are this task's business."""
        start = at.region.start_vpn
        self.last_stores: dict[int, int] = {}
        for page in pages.tolist():
            index, vpn = page + at.first, start + page
            if at.kind == "shared":
                tag = _stored(self.last_stores.get(index, self.own.tags.get(index, 0)), vpn)
                self.last_stores[index] = tag
                self.own.stores.setdefault(index, set()).add(tag)
            else:
                if at.file is not None and vpn not in self.private.tags:
                    self.private.tags[vpn] = at.file.tags.get(index, 0)
                self.private.write(vpn)

    def munmap(self) -> Program:
        """Unmap a part or all of a run; holes may belong to another region by now."""
        at = self.regions[self.some(0, len(self.regions))]
        run = at.runs()[0]
        first, length = int(run[0]), len(run)
        if self.rng.random() < 0.5:
            first += self.some(0, length)
            length = self.some(1, int(run[-1]) - first + 2)
        yield self.task.munmap(at.region, offset=first * PAGE, length=length * PAGE)
        self.private.forget(at.region.start_vpn + first, length)
        at.pages = at.pages[(at.pages < first) | (at.pages >= first + length)]
        if len(at.pages) == 0:
            self.regions.remove(at)

    def madvise(self) -> Program:
        at = self.regions[self.some(0, len(self.regions))]
        for run in at.runs():
            advice = str(self.rng.choice(["normal", "sequential", "random"]))
            yield self.task.madvise(at.region, advice, offset=int(run[0]) * PAGE, length=len(run) * PAGE)

    def sleep(self) -> Program:
        nap = self.some(1, 300_000) if self.rng.random() < 0.9 else self.some(1, 3_000_000_000)
        yield self.task.sleep(nap)

    # Files -----------------------------------------------------------------------------------------------------------

    def read(self) -> Program:
        name = str(self.rng.choice(list(self.opened)))
        if self.rng.random() < 0.3 and name in ("common", "still"):
            count = self.some(10, 100)
            self.calls += count
            yield self.task.read(self.opened[name], PAGE, pattern=uniform(), count=count)
        else:
            yield self.task.read(self.opened[name], self.some(1, 64 * PAGE), offset=self.some(0, FILE_PAGES * PAGE))

    def write(self) -> Program:
        common = self.rng.random() < 0.5
        file = self.files.by_name["common"] if common else self.own
        pos = self.some(0, FILE_PAGES * PAGE - 1)
        length = self.some(1, 3 * PAGE) if self.rng.random() < 0.7 else self.some(1, 64) * PAGE
        if self.rng.random() < 0.5:
            pos -= pos % PAGE
        change = Change(pos, min(pos + length, FILE_PAGES * PAGE), grows=True)
        file.changes.append(change)
        opened = self.opened["common" if common else f"own{self.number}"]
        yield self.task.write(opened, change.end - pos, offset=pos)
        self.files.follow_log()
        file.changes.remove(change)

    def truncate(self) -> Program:
        size = self.some(0, FILE_PAGES * PAGE)
        if self.rng.random() < 0.5:
            size -= size % PAGE
        rest = Change(size, -(-size // PAGE) * PAGE, grows=False)
        self.own.changes.append(rest)
        shrinks = size < self.own.size
        yield self.task.truncate(self.opened[f"own{self.number}"], size)
        self.files.follow_log()
        self.own.changes.remove(rest)
        for at in self.regions if shrinks else []:
            for page in at.pages.tolist() if at.file is self.own else []:
                if page + at.first >= self.own.pages:
                    self.private.tags.pop(at.region.start_vpn + page, None)

    def fsync(self) -> Program:
        yield self.task.fsync(self.opened[str(self.rng.choice(list(self.opened)))])

    def msync(self) -> Program:
        """Sync what this task has stored through its mappings; then the disk has all of its file."""
        for at in self.regions:
            for run in at.runs() if at.kind == "shared" else []:
                yield self.task.msync(at.region, offset=int(run[0]) * PAGE, length=len(run) * PAGE)
        yield self.task.fsync(self.opened[f"own{self.number}"])
        for index in range(self.own.pages):
            assert self.files.on_disk(self.own, index) == self.own.tags.get(index, 0)

    # Comparing -------------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """All files, and this task's memory: pages of its own, and the file's page behind all others."""
        self.files.compare()
        actual = contents(self.machine, FIRST_USER_TASK + self.number)
        tags = self.private.tags
        assert {vpn: actual.get(vpn) for vpn in tags} == tags
        for at in self.regions:
            for page in at.pages.tolist():
                vpn = at.region.start_vpn + page
                if vpn in actual and vpn not in tags:
                    right = {0} if at.file is None else at.file.allowed(page + at.first)
                    assert actual[vpn] in right, f"page {page} of {at.region} contains {actual[vpn]:#x}"
        self.compared += len(actual)


WEIGHTS = {
    "touch": 10, "mmap": 3, "munmap": 1, "read": 3, "write": 3, "fsync": 0.4, "msync": 0.4, "truncate": 0.7,
    "madvise": 0.3, "sleep": 1,
}  # fmt: skip
DISKS = (
    {"name": "d", "device": "nvme", "size": "1GiB"},
    {"name": "d", "device": "hdd", "size": "1GiB", "seek": "500us"},
    {"name": "d", "device": "sata-ssd", "size": "1GiB"},
)
SHAPES = (((4,), ("0-1",)), ((4, 4), ("0", "1-2")), ((5,), ("0",)))


def random_machine(profile: str, seed: int, check: str, reclaim: str = "kernel") -> Machine:
    rng = stream(seed, f"contents/{profile}/machine")
    nodes, cpus = SHAPES[seed % len(SHAPES)]
    sizes = {"still": FILE_PAGES * PAGE, "common": FILE_PAGES * PAGE}
    sizes |= {f"own{i}": int(rng.integers(0, FILE_PAGES * PAGE)) for i in range(TASKS)}
    switches = ("kswapd", "clusters", "readahead", "file_readahead", "plugging", "bdflush", "zero_page")
    arch = str(rng.choice(["x86-64", "i386"]))
    chosen = {name: bool(rng.random() < 0.8) for name in switches}
    return small(
        nodes=nodes,
        cpus=cpus,
        disk=[DISKS[seed % len(DISKS)]],
        swap=({"device": "partition", "disk": "d", "size": "64MiB"},),
        file=[{"name": name, "disk": "d", "size": size} for name, size in sizes.items()],
        arch=arch,
        kernel={"profile": profile, "reclaim": reclaim, "switches": chosen},
        run={"check": check, "record_events": 1 << 17, "sample": "1s"},
    )


def run_random_tasks(
    profile: str, seed: int, steps: int, check: str, reclaim: str = "kernel"
) -> tuple[int, dict[str, int]]:
    """Run a random machine to its end; how many operations it did (accesses and calls), and its counters."""
    machine = random_machine(profile, seed, check, reclaim)
    files = Files(machine)
    heap_pages = int(machine.vm.total_pages) * 3 // 4
    tasks = [RandomTask(files, i, stream(seed, f"contents/{profile}/task{i}"), steps, heap_pages) for i in range(TASKS)]
    for task in tasks:
        machine.add(task.program, name=f"task{task.number}", start_ns=task.number * 50_000)
    finish(machine)
    outcomes = [task.outcome for task in machine.tasks]
    assert outcomes == ["exited"] * TASKS, outcomes
    files.compare()
    assert files.reads_checked > 0 < files.writes
    assert min(task.compared for task in tasks) > 0
    operations = sum(task.calls for task in tasks) + sum(int(task.record.accesses_done) for task in machine.tasks)
    return operations, counters(machine)


@pytest.mark.row("X-12")
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("profile", PROFILES)
def test_a_million_random_operations_lose_and_swap_nothing(profile: str, seed: int) -> None:
    """Each of these does its share of 10^6 operations, with every frame, slot and list checked after every event."""
    operations, count = run_random_tasks(profile, seed, STEPS, "full")
    assert operations > 1_000_000 / (len(PROFILES) * SEEDS)
    assert min(count["pswpout"], count["pswpin"], count["pgpgin"] // 4, count["pgpgout"] // 4) > 3000
    assert count["cow_faults"] > 0 < count["file_faults_read"]


@pytest.mark.parametrize(
    ("policy", "seed"), [("lru", 0), ("clock", 1), ("staging", 2), ("dirty-clean", 0), ("fifo", 2)]
)
def test_replacement_policies_lose_and_swap_nothing(policy: str, seed: int) -> None:
    """The same under policies; their victims are anonymous and of files, mapped and not, dirty and clean."""
    _, count = run_random_tasks("linux-2.4.37", seed, STEPS // 3, "full", policy)
    assert count["policy_victims"] - count["policy_file_victims"] > 500 < count["policy_file_victims"]
    assert count["pgrefill"] == 0
