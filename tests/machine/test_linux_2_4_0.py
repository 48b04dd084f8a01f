"""linux-2.4.0 in whole machines: ageing, laundry, clean pages and who takes them, kswapd, and the end of memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, NVME, PAGE, Program, counters, finish, free_pages, parts, small, sweep

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.buddy import free_pages as give_back
from numa_sim.kernel.numa import alloc_pages
from numa_sim.kernel.pgtable import get_pte
from numa_sim.processes.generation.v2_4_0 import SECOND_NS, Generation240, kill_a_process
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import (
    GFP_ATOMIC,
    PAGE_SHIFT,
    PTE_PRESENT,
    WMARK_MIN,
    PG_active,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_uptodate,
)
from numa_sim.state.counters import PART_DAEMON
from numa_sim.state.event_codes import EV_KSWAPD_DONE, EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE, EV_PAGE_LAUNDER
from numa_sim.workloads.patterns import from_arrays

_alloc_pages = entry(alloc_pages)
_give_back = entry(give_back)
_get_pte = entry(get_pte)

PRESSURE = 6 * MIB_PAGES


def old(swap: tuple[Any, ...] = (NVME,), nodes: tuple[int, ...] = (4,), **tables: Any) -> Machine:
    """A small machine with the first 2.4; `switches` turn mechanisms off."""
    switches = dict.fromkeys(tables.pop("off", ()), False)
    return small(nodes=nodes, swap=swap, kernel={"profile": "linux-2.4.0", "switches": switches}, **tables)


@cache
def pressed(*off: str) -> Machine:
    """A finished machine whose one program wrote half as much again as there is, twice."""
    machine = old(off=off)
    machine.add(sweep(PRESSURE, times=2))
    assert finish(machine).exit_state == "ok"
    return machine


def event_times(machine: Machine, code: int) -> list[int]:
    events = machine.kernel.events[: machine.vm.events_used]
    return [int(event.t_ns) for event in events[events["code"] == code]]


# Mechanisms, off and on ----------------------------------------------------------------------------------------------


def test_without_kswapd_a_task_does_its_round_itself() -> None:
    on, off = counters(pressed()), counters(pressed("kswapd", "bdflush"))
    assert on["pageoutrun"] > 0 < on["pgscan_kswapd"]
    assert on["allocstall"] == 0 < on["kswapd_wait"]
    assert off["pageoutrun"] == off["pgscan_kswapd"] == off["kswapd_wakeup"] == 0
    assert off["allocstall"] > 0
    assert parts(pressed())["kswapd_wait"] > 0 == parts(pressed("kswapd", "bdflush"))["kswapd_wait"]
    assert parts(pressed("kswapd", "bdflush"))["direct_reclaim"] > parts(pressed())["direct_reclaim"]


@pytest.mark.row("X-07")
def test_bdflush_launders_pages_too() -> None:
    """Woken by the second pass of page_launder and by allocations, with no buffer to write at all."""
    machine = old(run={"record_events": 1 << 18})
    machine.add(sweep(PRESSURE, times=2))
    finish(machine)
    k = machine.kernel
    events = k.events[: machine.vm.events_used]
    laundries = events[(events["code"] == EV_PAGE_LAUNDER) & (events["task"] == machine.bdflush.index)]
    assert counters(machine)["bdflush_wakeup"] > 0 < len(laundries)
    assert laundries["a"].sum() > 0, "it cleaned no page"
    assert k.time_parts[machine.bdflush.index, PART_DAEMON] > 0
    off = pressed("bdflush")
    assert counters(off)["bdflush_wakeup"] == off.kernel.time_parts[off.bdflush.index, PART_DAEMON] == 0


def hot_and_cold(*off: str) -> tuple[Machine, list[int]]:
    """A few pages used again and again while a sweep goes by; how often one of them was gone."""
    machine = old(off=off)
    lost: list[int] = []

    def program(task: Any) -> Program:
        hot = yield task.mmap(128 * PAGE)
        cold = yield task.mmap(PRESSURE * PAGE)
        for at in range(0, PRESSURE, 64):
            for _ in range(2):
                before = int(machine.kernel.tasks[2].min_flt) + int(machine.kernel.tasks[2].maj_flt)
                yield task.touch(hot, write=1.0)
                lost.append(int(machine.kernel.tasks[2].min_flt) + int(machine.kernel.tasks[2].maj_flt) - before)
                yield task.touch(cold, from_arrays(np.arange(at, min(at + 64, PRESSURE)), writes=1))

    machine.add(program)
    finish(machine)
    return machine, lost


def test_without_ageing_one_look_without_use_makes_a_page_old() -> None:
    (on, kept), (off, lost) = hot_and_cold(), hot_and_cold("page_aging")
    assert sum(lost[1:]) > sum(kept[1:])  # the first visit makes the pages
    assert counters(off)["pgdeactivate"] > counters(on)["pgdeactivate"]


def test_without_launder_dirty_pages_are_written_before_clean_ones_are_looked_for() -> None:
    on, off = counters(pressed()), counters(pressed("launder"))
    assert off["pglaunder_write"] > on["pglaunder_write"] > 0
    assert off["pswpout"] > on["pswpout"]


# A page's way back ---------------------------------------------------------------------------------------------------


@pytest.mark.row("S2-43", "S0-51", "S0-52")
def test_an_inactive_page_that_is_used_comes_back_without_a_read_and_others_are_reclaimed() -> None:
    machine = old()
    k = machine.kernel
    found = []

    def inactive_pages(heap: Any, kind: int) -> list[int]:
        """Pages of `heap` that are unmapped but still in memory, on an inactive list."""
        mm, start = int(k.tasks[2].mm), int(k.swap_info[0].map_start)
        pages = []
        for page in range(heap.pages):
            pte = int(_get_pte(k, mm, heap.start_vpn + page))
            cached = int(k.swap_cache[start + (pte >> 8)]) - 1 if pte and not pte & PTE_PRESENT else -1
            if cached >= 0 and k.pages[cached].flags & kind and k.pages[cached].flags & PG_uptodate:
                pages.append(page)
        return pages

    def program(task: Any) -> Program:
        heap = yield task.mmap(PRESSURE * PAGE)
        yield task.touch(heap, write=1.0)
        for kind in (PG_inactive_clean, PG_inactive_dirty):
            used = inactive_pages(heap, kind)[:8]
            before = counters(machine)
            yield task.touch(heap, from_arrays(np.array(used)))
            after = counters(machine)
            frames = [int(_get_pte(k, int(k.tasks[2].mm), heap.start_vpn + page)) for page in used]
            found.append((used, before, after, frames, [int(k.pages[pte >> PAGE_SHIFT].flags) for pte in frames]))

    machine.add(program)
    finish(machine)
    for used, before, after, frames, flags in found:
        assert len(used) > 0
        assert after["swap_cache_hit"] - before["swap_cache_hit"] == len(used)
        assert after["pswpin"] == before["pswpin"]
        assert all(pte & PTE_PRESENT for pte in frames)
        assert all(each & PG_active for each in flags)
    # The others, which nobody used, were reclaimed: their contents had to be read again.
    assert counters(machine)["reclaim_page"] > 0
    assert counters(machine)["pgactivate"] > 0


# Clean pages: taken directly, or freed by kreclaimd ------------------------------------------------------------------


def with_atomic_requests(*off: str) -> tuple[Machine, list[int]]:
    """A pressed machine on which an interrupt handler takes 16 pages three times within 60 us and gives them back."""
    machine = old(off=off)
    machine.add(sweep(PRESSURE, times=3))
    failed: list[int] = []

    def interrupts() -> Any:
        while not machine.tasks[0].outcome:
            yield machine.timeout(100_000)
            got = []
            for _ in range(3):
                machine.enter_kernel(0, 0)
                got += [int(_alloc_pages(machine.kernel, 0, 0, GFP_ATOMIC, 0)) for _ in range(16)]
                machine.attend()
                yield machine.timeout(20_000)
            failed.append(sum(pfn < 0 for pfn in got))
            machine.enter_kernel(0, 0)
            for pfn in got:
                if pfn >= 0:
                    _give_back(machine.kernel, pfn, 0)

    machine.process(interrupts())
    finish(machine)
    return machine, failed


@pytest.mark.row("S2-44")
def test_clean_pages_go_to_a_task_directly_or_through_kreclaimd_to_the_free_lists() -> None:
    on, failed_on = with_atomic_requests()
    counts = counters(on)
    assert counts["reclaim_page_direct"] > 0
    assert counts["reclaim_page"] > counts["reclaim_page_direct"]  # kreclaimd freed the rest
    assert counts["kreclaimd_wakeup"] > 0
    assert counts["pgsteal_kswapd"] == counts["reclaim_page"] - counts["reclaim_page_direct"]
    off, failed_off = with_atomic_requests("kreclaimd")
    counts = counters(off)
    assert counts["kreclaimd_wakeup"] == counts["pgsteal_kswapd"] == 0
    assert counts["reclaim_page"] == counts["reclaim_page_direct"] > 0
    assert sum(failed_off) / len(failed_off) > sum(failed_on) / len(failed_on)


# kswapd --------------------------------------------------------------------------------------------------------------


def test_kswapd_comes_once_a_second_and_pressure_decays() -> None:
    machine = old(run={"record_events": 10_000})
    seen = []

    def program(task: Any) -> Program:
        heap = yield task.mmap(64 * PAGE)
        yield task.touch(heap, write=1.0)
        machine.vm.memory_pressure = 6400
        for _ in range(3):
            yield task.sleep("1s")
            seen.append(int(machine.vm.memory_pressure))

    machine.add(program)
    finish(machine)
    wakes = event_times(machine, EV_KSWAPD_WAKE)
    assert len(wakes) == 3
    assert {later - earlier for earlier, later in zip(event_times(machine, EV_KSWAPD_SLEEP), wakes, strict=False)} == {
        SECOND_NS
    }
    assert seen == [6300, 6202, 6106]  # by a sixty-fourth each time
    assert counters(machine)["kswapd_wakeup"] == 0


def test_who_waits_for_kswapd_sleeps_until_its_round_ends() -> None:
    machine = old(run={"record_events": 300_000})
    machine.add(sweep(PRESSURE))
    finish(machine)
    events = machine.kernel.events[: machine.vm.events_used]
    rounds = events[events["code"] == EV_KSWAPD_DONE]
    assert int(rounds["a"].sum()) == counters(machine)["kswapd_wait"] > 0
    assert parts(machine)["kswapd_wait"] > 0


def test_one_alarm_wakes_kswapd_however_often_it_was_woken_before() -> None:
    machine = old()
    machine.add(sweep(PRESSURE))
    generation = machine.generation
    assert isinstance(generation, Generation240)
    alarms = []

    def watch() -> Any:
        while not machine.tasks[0].outcome:
            yield machine.timeout(1_000_000)
            alarms.append(len(machine._queue))

    machine.process(watch())
    finish(machine)
    assert counters(machine)["kswapd_wakeup"] > 10
    assert max(alarms) < 60  # requests under way, not one alarm per wake-up


# Out of memory -------------------------------------------------------------------------------------------------------


def test_without_swap_left_the_biggest_task_dies_and_the_other_goes_on() -> None:
    machine = old(swap=({**NVME, "size": "1MiB"},), cpus=("0-1",), run={"check": "full", "sample": "100us"})
    machine.add(sweep(PRESSURE), name="hog", cpus=[0])
    machine.add(sweep(64, times=200), name="little", cpus=[1])
    at_the_kill = []

    def watch(machine: Machine = machine) -> Any:
        while not machine.tasks[0].outcome:
            at_the_kill[:] = [free_pages(machine), int(machine.vm.nr_swap_pages)]
            yield machine.timeout(10_000)

    machine.process(watch())
    result = finish(machine)
    assert result.exit_state == "oom"
    assert [task.outcome for task in machine.tasks] == ["out of memory", "exited"]
    assert counters(machine)["oom_kill"] == 1
    assert at_the_kill[0] <= int(machine.vm.freepages_min) + 8
    assert at_the_kill[1] == 0


def test_the_last_pages_are_the_reserve_of_who_frees_memory() -> None:
    """Ordinary requests leave half of min alone: here nobody but a dying task goes below a quarter of it."""
    machine = old()
    lowest = [free_pages(machine)]

    def watch() -> Any:
        while not machine.tasks[0].outcome:
            lowest.append(free_pages(machine))
            yield machine.timeout(5_000)

    machine.add(sweep(PRESSURE))
    machine.process(watch())
    finish(machine)
    zone = machine.kernel.zones[0]
    assert 0 < min(lowest) >= int(zone.watermarks[zone.index, WMARK_MIN]) // 4


def test_a_machine_with_nobody_to_kill_panics() -> None:
    with pytest.raises(SimulationError, match="kernel panic: out of memory and no killable processes"):
        kill_a_process(old())


@pytest.mark.parametrize(("fallback", "outcome"), [("strict24", ""), ("nearest", "exited")])
def test_a_full_node_without_swap_is_waited_for_though_its_neighbour_is_empty(fallback: str, outcome: str) -> None:
    """C-1: requests for one page never leave their node, and out_of_memory() looks at the free pages of all nodes."""
    kernel = {"profile": "linux-2.4.0", "numa_fallback": fallback}
    machine = small(nodes=(4, 4), swap=(), kernel=kernel, run={"until": "200ms"})
    machine.add(sweep(5 * MIB_PAGES))
    result = machine.run_to_end()
    full, empty = machine.kernel.zones["free_pages"][machine.kernel.zones["size"] > 0].tolist()
    assert machine.tasks[0].outcome == outcome
    assert result.exit_state == ("ok" if outcome else "until")
    assert (full < machine.vm.freepages_min < empty) == (fallback == "strict24")
