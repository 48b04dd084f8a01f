"""try_to_unuse of 2.4.0: the lowest slot first, every PTE dirty, permanent entries forced free."""

from __future__ import annotations

import pytest
from kernel.v2_4_0.small import BASE_VPN, MIB, TASK, Small

from numa_sim.compiled import entry
from numa_sim.errors import SwapError
from numa_sim.kernel import swapfile, swapoff
from numa_sim.kernel.mmap import do_munmap
from numa_sim.kernel.swapon import swapon
from numa_sim.state.answers import SWAPOFF_DONE, SWAPOFF_RECLAIM, SWAPOFF_WAIT
from numa_sim.state.constants import NIL, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, SWAP_MAP_MAX

KEPT = 64

_begin = entry(swapfile.swapoff_begin)
_end = entry(swapfile.swapoff_end)
_unuse_begin = entry(swapoff.unuse_begin)
_try_to_unuse = entry(swapoff.try_to_unuse)


def swapped() -> Small:
    """Nearly all a task wrote is unmapped again; the rest is in swap."""
    small = Small(pages=6 * MIB)
    for page in range(6 * MIB):
        small.touch(page, write=1)
    do_munmap(small.k, TASK, BASE_VPN + 4 * MIB, 2 * MIB)
    do_munmap(small.k, TASK, BASE_VPN, 4 * MIB - KEPT)
    small.finish_io()
    return small


def empty_area(small: Small) -> list[int]:
    """Swapoff of area 0; the answers of try_to_unuse that were not waits."""
    k = small.k
    _begin(k, 0)
    _unuse_begin(k, TASK, 0)
    answers = []
    while True:
        small.enter(TASK)
        answer = int(_try_to_unuse(k, TASK))
        if answer == SWAPOFF_RECLAIM:
            small.finish_allocation()
        elif answer == SWAPOFF_WAIT:
            assert k.tasks[TASK].wait_pfn != NIL
            small.finish_io()
        else:
            answers.append(answer)
            return answers
        small.daemons()


@pytest.mark.row("S3-138", "S3-140")
def test_every_page_comes_back_dirty() -> None:
    small = swapped()
    pages = range(4 * MIB - KEPT, 4 * MIB)
    out = [page for page in pages if not small.pte(page) & PTE_PRESENT]
    assert len(out) > 20
    assert empty_area(small) == [SWAPOFF_DONE]
    _end(small.k, 0)
    assert small.k.swap_info[0].inuse_pages == 0
    for page in out:
        assert small.pte(page) & PTE_DIRTY
        assert small.pte(page) & PTE_ACCESSED
    assert small.count("swapoff_pages") >= len(out)
    for page in pages:
        small.touch(page, write=0)
    small.check()


def test_a_permanent_entry_is_forced_free() -> None:
    small = swapped()
    k = small.k
    page = next(
        page for page in range(4 * MIB - KEPT, 4 * MIB) if small.pte(page) and not small.pte(page) & PTE_PRESENT
    )
    k.swap_map[k.swap_info[0].map_start + (small.pte(page) >> 8)] = SWAP_MAP_MAX
    assert empty_area(small) == [SWAPOFF_DONE]
    assert k.swap_info[0].inuse_pages == 0
    small.touch(page, write=0)


@pytest.mark.row("S2-19")
def test_a_ninth_area_is_refused() -> None:
    small = Small(slots=0)
    with pytest.raises(SwapError, match="ENOMEM"):
        swapon(small.k, 100)
    small = Small(slots=2000)
    _begin(small.k, 0)
    _end(small.k, 0)
    assert swapon(small.k, 100) == 0
    for index in range(1, 8):
        assert swapon(small.k, 100) == index
    with pytest.raises(SwapError, match="all 8 swap areas are in use"):
        swapon(small.k, 100)
