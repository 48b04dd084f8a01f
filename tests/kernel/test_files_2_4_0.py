"""What files do differently under linux-2.4.0: uses seen at look-up, drop-behind, the balance of dirty buffers."""

from __future__ import annotations

import pytest
from kernel.file_machine import PAGE, FileMachine

from numa_sim.compiled import entry
from numa_sim.kernel import bdflush
from numa_sim.kernel.v2_4_0 import pressure
from numa_sim.state.answers import FILE_DONE
from numa_sim.state.constants import PG_active, PG_inactive_dirty

_state = entry(bdflush.balance_dirty_state)
_pages = entry(bdflush.nr_free_buffer_pages)
_target = entry(pressure.inactive_target)
_flush = entry(bdflush.bdflush_flush)
_goes_on = entry(bdflush.bdflush_goes_on)


def machine() -> FileMachine:
    return FileMachine(profile="linux-2.4.0")


def test_a_look_up_that_finds_a_page_ages_it_up() -> None:
    m = machine()
    file = m.file(1, 7)
    m.read(file, 0, 100)
    ages = []
    for _ in range(3):
        m.read(file, 0, 100)
        ages.append(int(m.k.pages[m.cached(file)[0]].age))
    assert ages == [5, 8, 11]
    assert m.k.pages[m.cached(file)[0]].flags & PG_active


@pytest.mark.parametrize("on", [1, 0])
def test_drop_behind_deactivates_what_a_sequential_reader_has_passed(on: int) -> None:
    m = machine()
    m.k.vm[0].drop_behind = on
    file = m.file(100, 1)
    for index in range(100):
        assert m.read(file, index * PAGE, PAGE) == [1 + index]
    active = [bool(m.k.pages[pfn].flags & PG_active) for _, pfn in sorted(m.cached(file).items())]
    dirty = [bool(m.k.pages[pfn].flags & PG_inactive_dirty) for _, pfn in sorted(m.cached(file).items())]
    assert sum(dirty) + sum(active) == 100
    if on:
        assert m.counter("drop_behind") > 50
        assert dirty.index(False) == sum(dirty) >= 50  # the first half is behind
    else:
        assert m.counter("drop_behind") == sum(dirty) == 0
    m.check()


def test_memory_for_buffers_counts_inactive_pages_and_a_sixteenth_of_the_active() -> None:
    m = machine()
    m.read(m.file(100, 1), 0, 100 * PAGE)
    vm = m.k.vm[0]
    zones = m.k.zones
    easy = int(zones["free_pages"].sum() + zones["inactive_clean_pages"].sum() + vm.nr_inactive_dirty_pages)
    wanted = int(vm.freepages_high) + int(_target(m.k))
    assert int(_pages(m.k)) == max(easy, wanted) + int(vm.nr_active_pages) // 16


def test_bdflush_is_wanted_while_free_pages_are_short_and_many_wait_to_be_laundered() -> None:
    m = machine()
    vm = m.k.vm[0]
    assert _state(m.k) == -1
    vm.nr_inactive_dirty_pages = 5000
    assert _state(m.k) == -1
    vm.freepages_high = 1000  # more than are free
    assert _state(m.k) == 0


def test_bdflush_writes_64_a_round_and_sleeps_in_balance() -> None:
    m = machine()
    vm = m.k.vm[0]
    bdflush.bdflush_defaults(m.k)
    vm.bdf_nfract = vm.bdf_nfract_sync = 1000
    assert m.write(m.file(), 0, 150 * PAGE) == FILE_DONE
    done = _flush(m.k)
    assert _goes_on(m.k, done) == bdflush.FLUSH_SLEEP  # in balance: one round, then sleep
    assert m.counter("bdflush_writes") == done == 64
