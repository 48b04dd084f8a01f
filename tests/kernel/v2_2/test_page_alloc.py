"""`__get_free_pages` of 2.2: the duty to reclaim, and when a request fails."""

from __future__ import annotations

from kernel.v2_2.small import TASK, Small

from numa_sim.compiled import entry
from numa_sim.kernel.buddy import free_pages as give_back
from numa_sim.kernel.numa import alloc_after_reclaim, alloc_pages
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, ALLOC_YIELD
from numa_sim.state.constants import GFP_ATOMIC, GFP_KERNEL, GFP_USER, PF_MEMALLOC

_alloc_pages = entry(alloc_pages)
_alloc_after_reclaim = entry(alloc_after_reclaim)
_give_back = entry(give_back)


def ask(machine: Small, gfp: int = GFP_USER, order: int = 0) -> int:
    return int(_alloc_pages(machine.k, TASK, 0, gfp, order))


def take_until(machine: Small, left: int) -> list[int]:
    """Pages a reclaimer takes until `left` are free."""
    k = machine.k
    k.tasks[TASK].flags |= PF_MEMALLOC
    taken = []
    while k.vm[0].nr_free_pages > left:
        taken.append(ask(machine))
    k.tasks[TASK].flags &= ~PF_MEMALLOC
    return taken


def test_whoever_meets_too_little_memory_reclaims_and_so_does_everybody_until_high() -> None:
    machine = Small(slots=0)
    vm = machine.k.vm[0]
    taken = take_until(machine, vm.freepages_min + 1)
    assert ask(machine) >= 0
    assert vm.nr_free_pages == vm.freepages_min
    assert ask(machine) == ALLOC_RECLAIM
    assert vm.low_on_memory == 1
    assert _alloc_after_reclaim(machine.k, TASK, 1) >= 0
    # Above min, but not yet high again.
    while vm.nr_free_pages < vm.freepages_high - 1:
        _give_back(machine.k, taken.pop(), 0)
    assert ask(machine) == ALLOC_RECLAIM
    taken.append(int(_alloc_after_reclaim(machine.k, TASK, 1)))
    while vm.nr_free_pages < vm.freepages_high:
        _give_back(machine.k, taken.pop(), 0)
    assert ask(machine) >= 0
    assert vm.low_on_memory == 0


def test_without_hysteresis_the_duty_ends_above_min() -> None:
    machine = Small(slots=0)
    vm = machine.k.vm[0]
    vm.hysteresis = 0
    taken = take_until(machine, vm.freepages_min)
    assert ask(machine) == ALLOC_RECLAIM
    assert _alloc_after_reclaim(machine.k, TASK, 1) >= 0
    for _ in range(3):
        _give_back(machine.k, taken.pop(), 0)
    assert vm.freepages_min < vm.nr_free_pages < vm.freepages_high
    assert ask(machine) >= 0


def test_reclaim_that_freed_nothing_fails_ordinary_requests_only() -> None:
    machine = Small(slots=0)
    take_until(machine, int(machine.k.vm[0].freepages_min))
    assert ask(machine, GFP_USER) == ALLOC_RECLAIM
    assert _alloc_after_reclaim(machine.k, TASK, 0) == ALLOC_FAIL
    assert ask(machine, GFP_KERNEL) == ALLOC_RECLAIM
    assert _alloc_after_reclaim(machine.k, TASK, 0) >= 0


def test_who_may_not_wait_only_wakes_kswapd_and_takes_what_there_is() -> None:
    machine = Small(slots=0)
    vm = machine.k.vm[0]
    take_until(machine, 1)
    vm.kswapd_asleep = 1
    assert ask(machine, GFP_ATOMIC) >= 0
    assert vm.kswapd_wanted == 1
    assert ask(machine, GFP_ATOMIC) == ALLOC_FAIL


def test_who_may_wait_lets_others_run_before_the_request_fails() -> None:
    machine = Small(slots=0)
    take_until(machine, 0)
    machine.k.tasks[TASK].flags |= PF_MEMALLOC
    assert ask(machine) == ALLOC_YIELD
    assert _alloc_after_reclaim(machine.k, TASK, 0) == ALLOC_FAIL
    assert machine.count("alloc_yield") == 1


def test_blocks_of_64_pages_do_not_exist() -> None:
    assert ask(Small(slots=0), GFP_KERNEL, 6) == ALLOC_FAIL
