"""swapon and swapoff of 2.2: what counts as free meanwhile, what comes back, what a failed call uses up."""

from __future__ import annotations

from errno import ENOMEM

import pytest
from kernel.v2_2.small import BASE_VPN, TASK, Small

from numa_sim.compiled import entry
from numa_sim.errors import SwapError
from numa_sim.kernel import swapfile, swapoff
from numa_sim.kernel.numa import alloc_pages
from numa_sim.kernel.swapon import swapon
from numa_sim.kernel.v2_2.swap_out import try_to_swap_out
from numa_sim.state.answers import SWAPOFF_DONE, SWAPOFF_NO_MEMORY, SWAPOFF_RECLAIM, SWAPOFF_WAIT
from numa_sim.state.constants import GFP_USER, PF_MEMALLOC, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT

PAGES = 40

_begin = entry(swapfile.swapoff_begin)
_end = entry(swapfile.swapoff_end)
_fail = entry(swapfile.swapoff_fail)
_unuse_begin = entry(swapoff.unuse_begin)
_try_to_unuse = entry(swapoff.try_to_unuse)
_try_to_swap_out = entry(try_to_swap_out)
_alloc_pages = entry(alloc_pages)


def swapped() -> Small:
    """All the task wrote is unmapped and written."""
    machine = Small(slots=100)
    for page in range(PAGES):
        machine.touch(page, 1)
    for page in range(PAGES):
        machine.set_pte(page, machine.pte(page) & ~PTE_ACCESSED)
        row, index = machine.place(page)
        machine.enter(TASK)
        assert _try_to_swap_out(machine.k, TASK, machine.mms[TASK], BASE_VPN + page, row, index, GFP_USER) == 1
        machine.finish_io()
        if machine.k.tasks[TASK].wait_pfn >= 0:
            raise AssertionError("nothing was under way")
    return machine


def empty_area(machine: Small) -> int:
    k = machine.k
    _unuse_begin(k, TASK, 0)
    while (answer := int(_try_to_unuse(k, TASK))) in (SWAPOFF_RECLAIM, SWAPOFF_WAIT):
        if answer == SWAPOFF_WAIT:
            machine.finish_io()
        else:
            machine.finish_allocation()
        machine.enter(TASK)
    return answer


def test_every_page_comes_back_dirty_and_slots_count_until_the_end() -> None:
    machine = swapped()
    vm = machine.k.vm[0]
    free = int(vm.nr_swap_pages)
    _begin(machine.k, 0)
    assert vm.nr_swap_pages == free
    assert empty_area(machine) == SWAPOFF_DONE
    assert vm.nr_swap_pages == free + PAGES == machine.k.swap_info[0].pages
    _end(machine.k, 0)
    assert vm.nr_swap_pages == 0
    assert all(machine.pte(page) & (PTE_PRESENT | PTE_DIRTY) == PTE_PRESENT | PTE_DIRTY for page in range(PAGES))
    for page in range(PAGES):
        machine.touch(page, 0)
    machine.check()


def test_out_of_memory_the_area_goes_on_as_before() -> None:
    machine = swapped()
    vm = machine.k.vm[0]
    while machine.reclaim(TASK, GFP_USER) and vm.nr_swapcache_pages:
        pass
    free = int(vm.nr_swap_pages)
    machine.k.tasks[TASK].flags |= PF_MEMALLOC
    while vm.nr_free_pages > 5:
        _alloc_pages(machine.k, TASK, 0, GFP_USER, 0)
    _begin(machine.k, 0)
    assert empty_area(machine) == SWAPOFF_NO_MEMORY
    _fail(machine.k, 0)
    assert vm.nr_swap_pages == free + 5  # pages came back as long as there was room
    assert vm.swap_list_head == 0


def test_a_call_that_fails_has_used_its_priority_up() -> None:
    machine = Small(slots=100)
    assert machine.k.swap_info[0].prio == -1
    for _ in range(2):
        with pytest.raises(SwapError) as refused:
            swapon(machine.k, 200, device=5)
        assert refused.value.code == ENOMEM
    assert machine.k.vm[0].least_priority == -3


def test_version_2_counts_its_header_as_usable() -> None:
    machine = Small(slots=100)
    assert machine.k.swap_info[0].pages == 101 == machine.k.vm[0].nr_swap_pages
