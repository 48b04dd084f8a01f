"""Read-ahead windows against a model written from the specification's words (9.3, 9.4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel.file_machine import PAGE, TASK, FileMachine

from numa_sim.kernel.mmap import do_mmap, madvise
from numa_sim.state.constants import (
    KERNEL_2_4_0,
    NIL,
    VM_RAND_READ,
    VM_READ,
    VM_SEQ_READ,
    VM_SHARED,
)

PAGES = 120


@dataclass
class Window:
    """The window of one open file, the cached pages, and those still being read (all end when one is waited for)."""

    size: int
    early: bool
    largest: int = 31
    raend: int = 0
    ramax: int = 0
    ralen: int = 0
    rawin: int = 0
    cached: set[int] = field(default_factory=set)
    flying: set[int] = field(default_factory=set)

    def read(self, pos: int, length: int) -> None:
        first, offset = divmod(pos, PAGE)
        inside = first <= self.raend and first + self.rawin >= self.raend
        if not inside:
            self.raend = self.ramax = self.ralen = self.rawin = 0
        if first == 0 and offset + length <= PAGE // 2:
            self.ramax = 0
        else:
            wanted = [self.ramax, (offset + length) // PAGE + 1] + ([3] if inside else [])
            self.ramax = min(max(wanted), self.largest)
        end = min(pos + length, self.size)
        for index in range(first, -(-end // PAGE)):
            if pos < end:
                self.page(index, inside)
        self.flying.clear()

    def page(self, index: int, inside: bool) -> None:
        last = self.size // PAGE
        if index not in self.cached or index in self.flying:
            self.cached.add(index)
            if not self.ralen or not index < self.raend <= index + self.rawin:
                self.rawin, self.ralen = 0, 1
                if index < last and self.ramax:
                    self.issue(index, self.ramax)
                else:
                    self.raend, self.rawin = index + 1, 1
            self.flying.clear()
        elif inside and self.ramax and self.raend >= 1 and index <= self.raend <= index + self.ralen:
            start = self.raend - 1
            if start < last:
                self.rawin, self.ralen = self.ralen, 0
                self.issue(start, self.ramax + 1)

    def issue(self, after: int, most: int) -> None:
        last = self.size // PAGE
        n = min(most, max(0, last - after - 1))
        new = set(range(after + 1, after + 1 + n)) - self.cached
        self.cached |= new
        self.flying |= new
        if self.early and n < most:
            n += 1
        if n:
            self.ralen += n
            self.rawin += self.ralen
            self.raend = after + n + 1
            self.ramax = min(2 * self.ramax, self.largest)


reads = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 9 * PAGE)),
        st.tuples(st.integers(0, PAGES * PAGE), st.integers(1, 20 * PAGE)),
    ),
    max_size=25,
)


@pytest.mark.parametrize("early", [False, True])
@given(reads=reads, tail=st.integers(0, PAGE - 1))
@settings(max_examples=40, deadline=None)
def test_windows_grow_and_break_as_specified(early: bool, reads: list[tuple[int | str, int]], tail: int) -> None:
    m = FileMachine()
    if early:
        # Only the rules of read-ahead itself are 2.4.0's here.
        m.k.vm[0].profile = KERNEL_2_4_0
        m.k.vm[0].drop_behind = 0
    file = m.file(PAGES, 1)
    size = PAGES * PAGE - tail
    m.k.mappings[m.mapping(file)].i_size = size
    model = Window(size, early)
    position = 0
    for pos, length in reads:
        pos = position if pos == "next" else int(pos)
        m.read(file, pos, length)
        m.finish_io()
        model.read(pos, length)
        position = min(pos + length, size)
        assert set(m.cached(file)) == model.cached
        f = m.k.files[file]
        assert (f.f_raend, f.f_ramax, f.f_ralen, f.f_rawin) == (model.raend, model.ramax, model.ralen, model.rawin)


def test_a_sequential_reader_waits_for_far_fewer_reads() -> None:
    misses = {}
    for on in (0, 1):
        m = FileMachine()
        m.k.vm[0].file_readahead = on
        file = m.file(100, 1)
        for index in range(100):
            assert m.read(file, index * PAGE, PAGE) == [1 + index]
        misses[on] = m.counter("pagecache_miss")
        assert m.counter("readahead_pages") == 100 - misses[on]
    assert misses[0] == 100
    assert misses[1] <= 5


def test_random_reads_read_nothing_ahead_after_the_first() -> None:
    m = FileMachine()
    file = m.file(100, 1)
    for index in (50, 10, 90, 30, 70):
        m.read(file, index * PAGE, 100)
    assert m.counter("readahead_pages") == 5  # one page each: what the read needs, plus one


@pytest.mark.parametrize(("hint", "pages"), [(0, 8), (VM_RAND_READ, 1)])
def test_a_fault_reads_its_cluster_unless_the_hint_is_random(hint: int, pages: int) -> None:
    m = FileMachine()
    m.k.vm[0].page_cluster = 3
    file = m.file(64, 1000)
    start = do_mmap(m.k, TASK, 64, NIL, VM_READ | VM_SHARED, file)
    madvise(m.k, TASK, start, 64, hint)
    m.fault(start + 13, 0)
    first = 13 // pages * pages
    assert sorted(m.cached(file)) == list(range(first, first + pages))
    assert m.counter("mmap_readahead_pages") == pages - 1
    assert m.mapped_tag(start + 13) == 1013
    m.check()


def test_a_sequential_mapping_is_read_a_window_ahead() -> None:
    ahead = {}
    for hint in (0, VM_SEQ_READ):
        m = FileMachine()
        m.k.vm[0].page_cluster = 3
        file = m.file(256, 1000)
        start = do_mmap(m.k, TASK, 256, NIL, VM_READ | VM_SHARED, file)
        madvise(m.k, TASK, start, 256, hint)
        for page in range(256):
            m.fault(start + page, 0)
            assert m.mapped_tag(start + page) == 1000 + page
        ahead[hint] = m.counter("file_faults_read")
        m.check()
    # Windows of 32 pages: only the first clusters, up to the middle of the first window, are waited for.
    assert ahead[0] == 256 // 8
    assert ahead[VM_SEQ_READ] == 4
