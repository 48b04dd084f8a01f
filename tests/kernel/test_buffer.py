"""Buffers: when dirty ones are written, by whom, and how reclaim gets rid of them."""

from __future__ import annotations

import pytest
from kernel.file_machine import PAGE, TASK, FileMachine, bdflush_step, kupdate_step

from numa_sim.compiled import entry
from numa_sim.kernel import bdflush, buffer
from numa_sim.kernel.inode import extents_of
from numa_sim.state.answers import ENOSPC, FILE_DONE, FILE_FAILED, FLUSH_AGAIN, FLUSH_SLEEP
from numa_sim.state.constants import (
    BUF_DIRTY,
    BUFFERS_BUSY,
    BUFFERS_CLEAN,
    BUFFERS_DIRTY,
    BUFFERS_NONE,
    BUFFERS_REDIRTIED,
    GFP_HIGHUSER,
    NR_ZONES,
    WMARK_HIGH,
    PG_locked,
)

_state = entry(bdflush.balance_dirty_state)
_pages = entry(bdflush.nr_free_buffer_pages)
_release = entry(buffer.try_to_release_page)
_write_buffer = entry(buffer.write_buffer)
SECOND = 1_000_000_000


def quiet(mib: int = 4) -> FileMachine:
    """A machine whose writers are not bothered, however much is dirty."""
    m = FileMachine(mib)
    m.k.vm[0].bdf_nfract = m.k.vm[0].bdf_nfract_sync = 1000
    return m


def dirty(m: FileMachine, pages: int) -> int:
    file = m.file()
    assert m.write(file, 0, pages * PAGE) == FILE_DONE
    return file


def test_memory_for_buffers_is_cache_and_what_is_free_above_the_high_mark() -> None:
    m = FileMachine()
    m.read(m.file(100, 1), 0, 100 * PAGE)
    zones = [m.k.zones[z] for z in range(NR_ZONES) if m.k.zones[z].size]
    top = zones[-1]
    free = [max(0, int(z.free_pages - z.watermarks[top.index, WMARK_HIGH])) for z in zones]
    first = int(m.k.zonelists[0, 0, 0])
    slip = free[[int(z.index) for z in zones].index(first)]
    assert int(_pages(m.k)) == int(top.nr_cache_pages) + sum(free) + slip


def test_bdflush_is_wanted_above_one_mark_and_the_writer_works_above_the_other() -> None:
    m = FileMachine(mib=8)
    file = m.file()
    states = set()
    for page in range(1400):
        m.k.vm[0].bdflush_wanted = 0
        before = m.counter("balance_dirty_writes")
        total, n_dirty = int(_pages(m.k)), int(m.k.vm[0].nr_buffers_type[BUF_DIRTY]) + 1
        assert m.write(file, page * PAGE, PAGE) == FILE_DONE
        wanted, wrote = int(m.k.vm[0].bdflush_wanted), m.counter("balance_dirty_writes") - before
        states.add((wanted, wrote > 0))
        if not wanted:
            assert n_dirty * 100 <= (total + 2) * 30
        elif not wrote:
            assert (total - 2) * 30 < n_dirty * 100 <= (total + 2) * 60
        else:
            assert wrote == 32
            assert n_dirty * 100 > (total - 2) * 60
    assert states == {(0, False), (1, False), (1, True)}
    m.check()


def test_without_marks_nobody_writes() -> None:
    m = quiet()
    dirty(m, 400)
    assert m.counter("balance_dirty_writes") == 0
    assert m.k.vm[0].bdflush_wanted == 0
    assert m.counter("nr_dirty") == 400
    assert _state(m.k) == -1


def test_bdflush_writes_groups_of_32_oldest_first_and_stops_at_the_low_mark() -> None:
    m = quiet(mib=8)
    m.k.vm[0].bdf_ndirty = 64
    dirty(m, 900)
    steps = 1
    assert m.requests() == []
    while bdflush_step(m.k) == FLUSH_AGAIN:
        if steps == 1:
            assert [block for _, _, block, _ in m.requests()] == list(range(32))
        m.finish_io()
        steps += 1
        m.check()
    assert steps > 4, "far above the mark it goes on"
    m.finish_io()
    left = int(m.k.vm[0].nr_buffers_type[BUF_DIRTY])
    assert m.counter("bdflush_writes") == 900 - left
    assert left * 100 <= int(_pages(m.k)) * 20 < (left + 64) * 100


def test_kupdate_writes_what_is_old_enough_and_nothing_else() -> None:
    m = quiet()
    dirty(m, 10)
    m.k.vm[0].now_ns = 20 * SECOND
    dirty(m, 7)
    assert kupdate_step(m.k) == FLUSH_SLEEP
    assert m.requests() == []
    m.k.vm[0].now_ns = 30 * SECOND
    assert kupdate_step(m.k) == FLUSH_SLEEP
    assert m.finish_io() == m.counter("kupdate_writes") == 10
    m.k.vm[0].now_ns = 50 * SECOND - 1
    kupdate_step(m.k)
    assert m.requests() == []
    m.k.vm[0].now_ns = 50 * SECOND
    kupdate_step(m.k)
    assert m.finish_io() == 7
    assert m.counter("nr_dirty") == m.counter("nr_writeback") == 0
    m.check()


def test_reclaim_notes_dirty_buffers_then_writes_then_waits_then_frees() -> None:
    m = quiet()
    file = dirty(m, 1)
    k, pfn = m.k, m.cached(file)[0]
    page = k.pages[pfn]

    def try_once(gfp: int) -> bool:
        page.flags |= PG_locked
        page.count += 1
        done = bool(_release(k, pfn, gfp))
        page.flags &= ~PG_locked
        page.count -= 1
        return done

    assert not try_once(0)
    assert not try_once(GFP_HIGHUSER)
    assert (page.buffers, m.requests()) == (BUFFERS_DIRTY, [])
    assert not try_once(GFP_HIGHUSER)
    assert (page.buffers, len(m.requests())) == (BUFFERS_BUSY, 1)
    assert not try_once(GFP_HIGHUSER)
    m.finish_io()
    assert page.buffers == BUFFERS_CLEAN
    assert try_once(0)
    assert page.buffers == BUFFERS_NONE
    assert m.counter("reclaim_buffer_writes") == 1
    m.check()


def test_a_page_written_to_while_its_buffer_is_written_stays_dirty() -> None:
    m = quiet()
    file = dirty(m, 1)
    k, pfn = m.k, m.cached(file)[0]
    _write_buffer(k, pfn, 0)
    assert m.write(file, 0, 100) == FILE_DONE
    assert k.pages[pfn].buffers == BUFFERS_REDIRTIED
    m.check()
    m.finish_io()
    assert k.pages[pfn].buffers == BUFFERS_DIRTY
    m.check()


def test_reclaim_frees_what_it_can_only_by_writing() -> None:
    m = quiet()
    dirty(m, 600)
    freed = m.take(4)
    assert min(freed) >= 32
    assert m.counter("reclaim_buffer_writes") > 0
    m.check()


def test_a_full_disk_fails_the_write_and_keeps_what_was_written() -> None:
    m = FileMachine(blocks=20)
    file = m.file()
    assert m.write(file, 0, 30 * PAGE) == FILE_FAILED
    assert m.k.tasks[TASK].file_error == ENOSPC
    assert m.k.tasks[TASK].file_done == 20 * PAGE
    assert m.k.mappings[m.mapping(file)].i_size == 20 * PAGE
    m.fsync(file)
    assert len(m.read(file, 0, 30 * PAGE)) == 20
    m.check()


@pytest.mark.parametrize("order", ["in turn", "one after the other"])
def test_files_written_in_turn_are_fragmented(order: str) -> None:
    m = FileMachine()
    one, other = m.file(), m.file()
    places = [(f, i) for i in range(10) for f in (one, other)]
    for file, index in places if order == "in turn" else sorted(places):
        m.write(file, index * PAGE, PAGE)
    assert len(extents_of(m.k, m.mapping(one))) == (10 if order == "in turn" else 1)
