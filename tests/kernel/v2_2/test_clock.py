"""The clock of 2.2 against a model of its own, and the work that one do_try_to_free_pages does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from kernel.file_machine import PAGE, FileMachine
from kernel.v2_2.small import KSWAPD, TASK, Small, booted

from numa_sim.compiled import entry
from numa_sim.kernel.filemap import add_to_page_cache, unlock_page
from numa_sim.kernel.inode import new_inode
from numa_sim.kernel.numa import alloc_pages
from numa_sim.kernel.swapfile import get_swap_page, swap_duplicate
from numa_sim.kernel.swapon import swapon
from numa_sim.kernel.swapper_space import add_to_swap_cache
from numa_sim.kernel.v2_2.vmscan import GFP_KSWAPD_2_2, shrink_mmap
from numa_sim.state.answers import FILE_DONE, RECLAIM_DONE, RECLAIM_FAILED
from numa_sim.state.constants import BUF_CLEAN, GFP_USER, NIL, PG_locked, PG_referenced, PG_reserved
from numa_sim.state.counters import VMSTAT
from numa_sim.state.kernel import Kernel

_shrink_mmap = entry(shrink_mmap)
_alloc_pages = entry(alloc_pages)
_add_to_swap_cache = entry(add_to_swap_cache)
_add_to_page_cache = entry(add_to_page_cache)
_get_swap_page = entry(get_swap_page)
_swap_duplicate = entry(swap_duplicate)
_unlock_page = entry(unlock_page)


@dataclass
class Page:
    """What the clock sees of a frame in use."""

    kind: str
    users: int
    referenced: bool
    locked: bool
    slot_uses: int = 0


def model_clock(pages: dict[int, Page], hand: int, frames: int, budget: int, file_is_small: bool) -> tuple[int, int]:
    """Where the hand stops and the frame it frees (NIL: none), by the words of the specification."""
    while budget > 0:
        hand = (hand + 1) % frames
        page = pages.get(hand)
        if page is None or page.users != 1:
            continue
        budget -= 1
        was_referenced, page.referenced = page.referenced, False
        if page.locked:
            continue
        if page.kind == "swap":
            if not was_referenced or page.slot_uses == 1:
                return hand, hand
        elif page.kind == "file" and not was_referenced and not file_is_small:
            return hand, hand
    return hand, NIL


def random_pages(k: Kernel, rng: np.random.Generator, n: int, mapping: int) -> dict[int, Page]:
    """Frames taken for anonymous memory, a file and the swap cache, in all the states the clock can meet."""
    pages = {}
    for index in range(n):
        pfn = int(_alloc_pages(k, TASK, 0, GFP_USER, 0))
        kind = str(rng.choice(["anonymous", "file", "swap"]))
        page = Page(kind, int(rng.choice([1, 1, 1, 2])), bool(rng.random() < 0.5), bool(rng.random() < 0.1))
        if kind == "file":
            _add_to_page_cache(k, pfn, mapping, index)
            _unlock_page(k, pfn)
        elif kind == "swap":
            entry_ = int(_get_swap_page(k))
            page.slot_uses = int(rng.integers(1, 4))
            for _ in range(page.slot_uses - 1):
                _swap_duplicate(k, entry_)
            _add_to_swap_cache(k, pfn, entry_)
        k.pages[pfn].count = page.users
        k.pages[pfn].flags |= (PG_referenced if page.referenced else 0) | (PG_locked if page.locked else 0)
        pages[pfn] = page
    return pages


@pytest.mark.parametrize("seed", range(4))
def test_the_hand_stops_and_frees_where_the_model_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = booted((4,), slots=1024)
    swapon(k, 1025)
    k.vm[0].current_task = TASK
    pages = random_pages(k, rng, 200, new_inode(k, 0, 1 << 20))
    hand, freed = 0, 0
    for _ in range(120):
        priority = int(rng.integers(0, 7))
        small = int(k.vm[0].page_cache_size) * 100 < 2 * int(k.vm[0].total_pages)
        hand, victim = model_clock(pages, hand, len(k.pages), int(k.vm[0].total_pages) >> priority, small)
        assert bool(_shrink_mmap(k, TASK, priority)) == (victim != NIL)
        assert k.vm[0].clock == hand
        if victim != NIL:
            assert k.pages[victim].count == 0
            del pages[victim]
            freed += 1
        assert {pfn: bool(k.pages[pfn]["flags"] & PG_referenced) for pfn in pages} == {
            pfn: page.referenced for pfn, page in pages.items()
        }
        for pfn, page in pages.items():  # some pages are used meanwhile
            if rng.random() < 0.02:
                page.referenced = True
                k.pages[pfn].flags |= PG_referenced
    assert freed > 20
    assert {page.kind for page in pages.values()} >= {"anonymous"}


def cached(k: Kernel, n: int, referenced: bool) -> list[int]:
    """Pages of a file, all used lately or none."""
    mapping = new_inode(k, 0, n << 12)
    frames = []
    for index in range(n):
        pfn = int(_alloc_pages(k, TASK, 0, GFP_USER, 0))
        _add_to_page_cache(k, pfn, mapping, index)
        _unlock_page(k, pfn)
        k.pages[pfn].count = 1
        k.pages[pfn].flags |= PG_referenced if referenced else 0
        frames.append(pfn)
    return frames


def sweep(k: Kernel) -> int:
    """Pages freed until one call finds none."""
    freed = 0
    while _shrink_mmap(k, TASK, 0):
        freed += 1
    return freed


def test_a_used_page_gets_a_second_chance_unless_that_is_off() -> None:
    freed = {}
    for chance in (1, 0):
        k = booted((4,))
        k.vm[0].second_chance, k.vm[0].current_task = chance, TASK
        cached(k, 100, referenced=True)
        _shrink_mmap(k, TASK, 4)
        freed[chance] = int(k.vmstat[:, VMSTAT.index("pgsteal_direct")].sum())
    assert freed == {1: 0, 0: 1}


def test_two_percent_of_memory_are_left_to_the_page_cache() -> None:
    k = booted((4,))
    k.vm[0].current_task = TASK
    cached(k, 100, referenced=False)
    least = -(-2 * int(k.vm[0].total_pages) // 100)
    assert sweep(k) == 100 - least + 1
    assert k.vm[0].page_cache_size == least - 1


def test_two_percent_of_memory_are_left_to_pages_whose_buffers_were_written() -> None:
    m = FileMachine(profile="linux-2.2")
    file = m.file()
    assert m.write(file, 0, 100 * PAGE) == m.fsync(file) == FILE_DONE
    m.k.pages["flags"][list(m.cached(file).values())] &= ~PG_referenced
    sweep(m.k)
    least = -(-2 * int(m.k.vm[0].total_pages) // 100)
    assert len(m.cached(file)) == int(m.k.vm[0].nr_buffers_type[BUF_CLEAN]) == least - 1


def test_a_machine_without_pages_of_one_user_does_not_keep_the_hand_going() -> None:
    k = booted((4,))
    k.vm[0].current_task = TASK
    assert not ((k.pages["count"] == 1) & (k.pages["flags"] & PG_reserved == 0)).any()
    assert not _shrink_mmap(k, TASK, 0)


def test_success_is_32_pages_freed_or_writes_started() -> None:
    machine = Small()
    for page in range(300):
        machine.touch(page, 1)
    before = {name: machine.count(name) for name in ("pswpout", "pgsteal_direct")}
    assert machine.reclaim(TASK, GFP_USER) == RECLAIM_DONE
    started = machine.count("pswpout") - before["pswpout"]
    assert started + machine.count("pgsteal_direct") - before["pgsteal_direct"] == 32
    machine.finish_io()
    for _ in range(11):  # the hand comes to what was written
        assert machine.reclaim(TASK, GFP_USER) == RECLAIM_DONE
        machine.finish_io()
    assert machine.count("pgsteal_direct") > 32
    machine.check()


def test_without_swap_and_without_cached_pages_reclaim_fails_at_the_end_of_its_priorities() -> None:
    machine = Small(slots=0)
    for page in range(100):
        machine.touch(page, 1)
    assert machine.reclaim(KSWAPD, GFP_KSWAPD_2_2) == RECLAIM_FAILED
    assert machine.k.tasks[KSWAPD].reclaim_priority == -1
