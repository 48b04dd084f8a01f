"""No contents are lost or swapped: files read, written, mapped, truncated and synced under memory pressure."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kernel.file_machine import (
    PAGE,
    TASK,
    FileMachine,
    bdflush_step,
    filemap_sync,
    invalidate,
    kupdate_step,
)

from numa_sim.compiled import entry
from numa_sim.kernel.mmap import do_mmap, do_munmap
from numa_sim.kernel.page_io import end_request
from numa_sim.state.answers import FAULT_MAJOR, FAULT_MINOR, FAULT_SIGBUS, FILE_DONE, FLUSH_AGAIN
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)

FILES = 3
MAX_PAGES = 24
TAG_MASK = (1 << 48) - 1
_end_request = entry(end_request)

files = st.integers(0, FILES - 1)
positions = st.integers(0, MAX_PAGES * PAGE - 1)
lengths = st.one_of(st.integers(1, 3 * PAGE), st.integers(1, MAX_PAGES).map(lambda n: n * PAGE))
pages = st.integers(0, MAX_PAGES - 1)


class Contents(RuleBasedStateMachine):
    """`model[f]` has what each page of file f contains; `private[f]` what stores through a private mapping made."""

    @initialize(sizes=st.lists(st.integers(0, MAX_PAGES), min_size=FILES, max_size=FILES))
    def start(self, sizes: list[int]) -> None:
        self.m = FileMachine(mib=4, swap_pages=300)
        self.files = [self.m.file(size, 1000 * (f + 1)) for f, size in enumerate(sizes)]
        self.size = [size * PAGE for size in sizes]
        self.model = [{i: 1000 * (f + 1) + i for i in range(size)} for f, size in enumerate(sizes)]
        self.maps: dict[tuple[int, bool], int] = {}
        self.private: list[dict[int, int]] = [{} for _ in range(FILES)]
        self.writes = 0
        self.stores = 0
        for f in range(FILES):
            self.mmap(f, f != 1)

    def changed(self, old: int) -> int:
        self.writes += 1
        return (old * 5 + self.writes) & TAG_MASK

    # System calls --------------------------------------------------------------------------------------------------

    @rule(f=files, pos=positions, length=lengths)
    def read(self, f: int, pos: int, length: int) -> None:
        end = min(pos + length, self.size[f])
        touched = range(pos // PAGE, -(-end // PAGE)) if pos < end else range(0)
        assert self.m.read(self.files[f], pos, length) == [self.model[f].get(i, 0) for i in touched]

    @rule(f=files, pos=positions, length=lengths)
    def write(self, f: int, pos: int, length: int) -> None:
        length = min(length, MAX_PAGES * PAGE - pos)
        assert self.m.write(self.files[f], pos, length) == FILE_DONE
        at = pos
        while at < pos + length:
            index = at // PAGE
            n = min(PAGE - at % PAGE, pos + length - at)
            whole = at % PAGE == 0 and (n == PAGE or at + n >= self.size[f])
            self.model[f][index] = self.changed(0 if whole else self.model[f].get(index, 0))
            at += n
            self.size[f] = max(self.size[f], at)

    @rule(f=files, size=st.one_of(positions, pages.map(lambda n: n * PAGE)))
    def truncate(self, f: int, size: int) -> None:
        assert self.m.truncate(self.files[f], size) == FILE_DONE
        last = size // PAGE
        if size < self.size[f]:
            first_gone = -(-size // PAGE)
            if size % PAGE and last in self.model[f]:
                self.model[f][last] = self.changed(self.model[f][last])
            for contents in (self.model[f], self.private[f]):
                for index in [i for i in contents if i >= first_gone]:
                    del contents[index]
        self.size[f] = size

    @rule(f=files)
    def fsync(self, f: int) -> None:
        for (file, _), start in self.maps.items():
            if file == f:
                filemap_sync(self.m.k, int(self.m.k.tasks[TASK].mm), start, start + MAX_PAGES)
        assert self.m.fsync(self.files[f]) == FILE_DONE
        on_disk = self.m.on_disk(self.files[f])
        for index in range(-(-self.size[f] // PAGE)):
            assert on_disk.get(index, 0) == self.model[f].get(index, 0)

    # Mappings ------------------------------------------------------------------------------------------------------

    @rule(f=files, shared=st.booleans())
    def mmap(self, f: int, shared: bool) -> None:
        if (f, shared) not in self.maps:
            flags = VM_READ | VM_WRITE | (VM_SHARED if shared else 0)
            self.maps[f, shared] = do_mmap(self.m.k, TASK, MAX_PAGES, NIL, flags, self.files[f])

    @rule(f=files, shared=st.booleans())
    def munmap(self, f: int, shared: bool) -> None:
        if (f, shared) in self.maps:
            do_munmap(self.m.k, TASK, self.maps.pop((f, shared)), MAX_PAGES)
            if not shared:
                self.private[f].clear()

    @rule(f=files, shared=st.booleans(), index=pages)
    def load(self, f: int, shared: bool, index: int) -> None:
        self.access(f, shared, index, 0)

    @rule(f=files, shared=st.booleans(), index=pages)
    def store(self, f: int, shared: bool, index: int) -> None:
        self.access(f, shared, index, 1)

    def access(self, f: int, shared: bool, index: int, write: int) -> None:
        if (f, shared) not in self.maps:
            return
        vpn = self.maps[f, shared] + index
        pte = self.m.pte(vpn)
        if not pte & PTE_PRESENT or (write and not pte & PTE_RW):
            status = self.m.fault(vpn, write)
            mine = not shared and index in self.private[f]
            if index * PAGE >= self.size[f] and not mine:
                assert status == FAULT_SIGBUS
                return
            assert status in (FAULT_MAJOR, FAULT_MINOR)
        contents = self.private[f] if not shared and (write or index in self.private[f]) else self.model[f]
        assert self.m.mapped_tag(vpn) == contents.get(index, self.model[f].get(index, 0))
        if write:
            self.store_to(vpn)
            contents[index] = self.stores

    def store_to(self, vpn: int) -> None:
        """What the hardware does for a store, with contents nothing else has."""
        k = self.m.k
        pte = self.m.pte(vpn)
        assert pte & PTE_RW
        self.stores += 1_000_000_007
        k.tags[pte >> PAGE_SHIFT] = self.stores
        row = int(k.mms[k.tasks[TASK].mm].pgd)
        for level in range(int(k.vm[0].levels) - 1, 0, -1):
            row = int(k.tables[row, (vpn >> (9 * level)) & 511]) >> PAGE_SHIFT
        k.tables[row, vpn & 511] = pte | PTE_DIRTY | PTE_ACCESSED

    # What happens behind their backs -------------------------------------------------------------------------------

    @rule(rounds=st.integers(1, 3))
    def pressure(self, rounds: int) -> None:
        self.m.take(rounds)

    @rule(n=st.integers(1, 40), newest=st.booleans())
    def some_io_ends(self, n: int, newest: bool) -> None:
        """Some of what is queued is done, in any order."""
        k = self.m.k
        queued = self.m.requests()
        chosen = queued[-n:] if newest else queued[:n]
        rest = queued[:-n] if newest else queued[n:]
        k.vm[0].io_head = k.vm[0].io_tail - len(rest)
        for slot, request in enumerate(rest):
            k.io[(int(k.vm[0].io_head) + slot) % len(k.io)] = (*request, TASK)
        for op, _device, _block, pfn in chosen:
            _end_request(k, op, np.array([pfn], np.int64))

    @rule()
    def bdflush(self) -> None:
        bdflush_step(self.m.k)

    @rule(seconds=st.integers(0, 40))
    def kupdate(self, seconds: int) -> None:
        self.m.k.vm[0].now_ns += seconds * 1_000_000_000
        while kupdate_step(self.m.k) == FLUSH_AGAIN:
            self.m.finish_io()

    @rule(f=files)
    def invalidate(self, f: int) -> None:
        invalidate(self.m.k, self.m.mapping(self.files[f]))

    @invariant()
    def sane(self) -> None:
        if hasattr(self, "m"):
            self.m.check()
            assert [int(self.m.k.mappings[self.m.mapping(f)].i_size) for f in self.files] == self.size


Contents.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestContents = Contents.TestCase
