"""The page cache against a dictionary: hash, mapping lists and LRU membership, whatever happens to pages."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kernel.file_machine import TASK, FileMachine, file_run, filemap_sync, fsync_begin

from numa_sim.compiled import entry
from numa_sim.kernel import filemap, numa
from numa_sim.kernel.debug_problems import NOT_ON_LRU, PAGE_HASH, PAGE_LIST, PROBLEMS
from numa_sim.kernel.debug_vm import check_frames
from numa_sim.kernel.filemap import page_hash_chains
from numa_sim.kernel.mmap import do_mmap
from numa_sim.kernel.swap import lru_cache_del
from numa_sim.state.answers import FILE_DONE, FILE_WAIT
from numa_sim.state.constants import (
    CLEAN_PAGES,
    DIRTY_PAGES,
    GFP_HIGHUSER,
    LOCKED_PAGES,
    NIL,
    NR_PAGE_LISTS,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    PG_active,
    PG_dirty,
    PG_error,
    PG_locked,
    PG_referenced,
    PG_uptodate,
)

_find = entry(filemap.find_page)
_add = entry(filemap.add_to_page_cache_unique)
_remove = entry(filemap.remove_inode_page)
_move = entry(filemap.move_to_page_list)
_set_dirty = entry(filemap.set_page_dirty)
_clear_dirty = entry(filemap.clear_page_dirty)
_unlock = entry(filemap.unlock_page)
_release = entry(filemap.page_cache_release)
_alloc = entry(numa.alloc_pages)
_check = entry(check_frames)
_lru_cache_del = entry(lru_cache_del)

indexes = st.integers(0, 40)
files = st.integers(0, 2)


class PageCache(RuleBasedStateMachine):
    """Three files' pages enter, move between lists and leave; `model` has (file, index) -> (pfn, list)."""

    @initialize()
    def start(self) -> None:
        self.m = FileMachine()
        self.mappings = [self.m.mapping(self.m.file()) for _ in range(3)]
        self.model: dict[tuple[int, int], tuple[int, int]] = {}
        self.order: list[tuple[int, int]] = []  # newest move first

    def put(self, key: tuple[int, int], list_: int) -> None:
        pfn = self.model[key][0] if key in self.model else NIL
        self.model[key] = (pfn, list_)
        if key in self.order:
            self.order.remove(key)
        self.order.insert(0, key)

    @rule(file=files, index=indexes)
    def add(self, file: int, index: int) -> None:
        k, key = self.m.k, (file, index)
        pfn = int(_alloc(k, TASK, 0, GFP_HIGHUSER, 0))
        k.pages[pfn].flags |= PG_uptodate | PG_error | PG_referenced
        added = int(_add(k, pfn, self.mappings[file], index))
        assert added == (key not in self.model)
        if added:
            assert k.pages[pfn].count == 2
            assert not k.pages[pfn].flags & (PG_uptodate | PG_error | PG_referenced | PG_active)
            assert k.pages[pfn].flags & PG_locked
            _unlock(k, pfn)
            self.put(key, CLEAN_PAGES)
            self.model[key] = (pfn, CLEAN_PAGES)
        _release(k, pfn)

    @rule(file=files, index=indexes)
    def remove(self, file: int, index: int) -> None:
        if (file, index) in self.model:
            pfn, _ = self.model.pop((file, index))
            self.order.remove((file, index))
            _remove(self.m.k, pfn)
            assert not self.m.k.pages[pfn].flags & PG_dirty
            _release(self.m.k, pfn)

    @rule(file=files, index=indexes)
    def dirty(self, file: int, index: int) -> None:
        if (file, index) in self.model:
            pfn, _ = self.model[file, index]
            if not self.m.k.pages[pfn].flags & PG_dirty:
                self.put((file, index), DIRTY_PAGES)
            _set_dirty(self.m.k, pfn)

    @rule(file=files, index=indexes, list_=st.sampled_from([CLEAN_PAGES, LOCKED_PAGES]))
    def clean(self, file: int, index: int, list_: int) -> None:
        if (file, index) in self.model:
            pfn, _ = self.model[file, index]
            _clear_dirty(self.m.k, pfn)
            _move(self.m.k, pfn, list_)
            self.put((file, index), list_)

    @invariant()
    def found_and_listed(self) -> None:
        if not hasattr(self, "model"):
            return
        k = self.m.k
        for file, mapping in enumerate(self.mappings):
            for index in range(41):
                assert int(_find(k, mapping, index)) == self.model.get((file, index), (NIL, 0))[0]
            for list_ in range(NR_PAGE_LISTS):
                want = [self.model[key][0] for key in self.order if key[0] == file and self.model[key][1] == list_]
                assert self.listed(mapping, list_) == want
        assert sum(page_hash_chains(k)) == len(self.model) == k.vm[0].page_cache_size
        self.m.check()

    def listed(self, mapping: int, list_: int) -> list[int]:
        found = []
        pfn = int(self.m.k.mappings[mapping].pages_head[list_])
        while pfn != NIL:
            found.append(pfn)
            pfn = int(self.m.k.pages[pfn].list_next)
        return found


PageCache.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestPageCache = PageCache.TestCase


@pytest.mark.row("S2-54")
def test_a_page_of_a_file_is_on_the_list_of_the_dirty_the_locked_or_the_clean() -> None:
    """Stored to, being written, written: fsync moves every page through the three, and waits for the locked ones."""
    m = FileMachine()
    file = m.file(3, 100)
    start = do_mmap(m.k, TASK, 3, NIL, VM_READ | VM_WRITE | VM_SHARED, file)
    space = m.k.mappings[m.mapping(file)]

    def lists() -> list[int]:
        found = [0] * NR_PAGE_LISTS
        for list_ in (CLEAN_PAGES, DIRTY_PAGES, LOCKED_PAGES):
            pfn = int(space.pages_head[list_])
            while pfn != NIL:
                found[list_] += 1
                pfn = int(m.k.pages[pfn].list_next)
        assert sum(found) == space.nrpages
        return found

    for page in range(3):
        m.fault(start + page, 1)
    assert filemap_sync(m.k, int(m.k.tasks[TASK].mm), start, start + 3) == 3
    seen = {"stored to": lists()}
    fsync_begin(m.k, TASK, file)
    assert file_run(m.k, TASK) == FILE_WAIT
    seen["being written"] = lists()
    m.finish_io()
    assert m.run() == FILE_DONE
    seen["written"] = lists()
    assert seen == {"stored to": [0, 3, 0], "being written": [0, 0, 3], "written": [3, 0, 0]}


@pytest.mark.row("S2-49")
def test_chains_stay_short_when_neighbouring_files_are_cached() -> None:
    m = FileMachine()
    for _ in range(3):
        file = m.file(150, 1)
        m.read(file, 0, 150 * 4096)
    lengths = page_hash_chains(m.k)
    assert sum(lengths) == 450
    assert max(lengths) <= 3


@pytest.mark.row("S0-53", "S2-61")
@pytest.mark.parametrize("damage", ["hash", "list", "lru"])
def test_the_checker_sees_a_page_missing_from_one_of_the_three(damage: str) -> None:
    m = FileMachine()
    file = m.file(8, 100)
    m.read(file, 0, 8 * 4096)
    k, pfn = m.k, m.cached(file)[3]
    assert _check(k) == (0, 0)
    if damage == "hash":
        k.page_hash[:] = 0
        wanted = PAGE_HASH
    elif damage == "list":
        k.mappings[m.mapping(file)].pages_head[CLEAN_PAGES] = NIL
        wanted = PAGE_LIST
    else:
        _lru_cache_del(k, pfn)
        wanted = NOT_ON_LRU
    problem, _ = _check(k)
    assert PROBLEMS[problem] == PROBLEMS[wanted]
