"""Page ageing and the lists of 2.4.0: sequences of the specification, a model, and bugs that must be noticed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numa_sim.compiled import entry
from numa_sim.errors import InvariantViolation
from numa_sim.kernel import debug_problems, debug_vm
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.v2_4_0 import pressure, swap
from numa_sim.state.constants import (
    BUFFERS_CLEAN,
    BUFFERS_NONE,
    KERNEL_2_4_0,
    PG_active,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_locked,
    PG_ramdisk,
    PG_referenced,
)
from numa_sim.state.counters import PGACTIVATE, PGAGE_DOWN, PGAGE_UP, PGDEACTIVATE
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

RULES = {
    name: entry(getattr(swap, name))
    for name in ("age_page_up", "age_page_down", "age_page_down_ageonly", "activate_page", "deactivate_page",
                 "lru_cache_add", "lru_cache_del", "move_to_active", "move_to_inactive_dirty", "move_to_inactive_clean",
                 "add_page_to_active_list")
}  # fmt: skip
recalculate_vm_stats = entry(pressure.recalculate_vm_stats)
check_lru = entry(debug_vm._check_lru)
PAGES = 16


def machine() -> Kernel:
    """Two zones of half the frames each; every page is somebody's, locked, on no list, and young."""
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=PAGES, tables=1, io_ring=1, section_shift=3))
    k.vm[0].profile = KERNEL_2_4_0
    k.section_zone[:] = [0, 1]
    k.zones[1].index = 1
    k.pages["count"], k.pages["flags"], k.pages["age"] = 1, PG_locked, 2
    return k


def act(k: Kernel, name: str, pfn: int = 0) -> None:
    RULES[name](k, pfn)


def ages(k: Kernel, name: str, times: int) -> list[int]:
    found = []
    for _ in range(times):
        act(k, name)
        found.append(int(k.pages[0].age))
    return found


@pytest.mark.row("S2-46")
def test_ages_go_up_by_three_and_down_by_half() -> None:
    """Spec B.6."""
    k = machine()
    assert ages(k, "age_page_up", 22) == [*range(5, 63, 3), 64, 64]
    assert ages(k, "age_page_down_ageonly", 7) == [32, 16, 8, 4, 2, 1, 0]
    assert ages(k, "age_page_up", 1) == [5], "a page of age 0 starts at 2 again"
    assert (k.vmstat[0, PGAGE_UP], k.vmstat[0, PGAGE_DOWN]) == (23, 7)


def test_without_ageing_one_look_takes_the_whole_age() -> None:
    k = machine()
    k.vm[0].page_aging = 0
    ages(k, "age_page_up", 5)
    assert ages(k, "age_page_down_ageonly", 1) == [0]


def test_memory_pressure_decays_by_a_sixty_fourth_a_second() -> None:
    """Spec B.6."""
    k = machine()
    k.vm[0].memory_pressure = 10000
    seen = []
    for _ in range(5):
        recalculate_vm_stats(k)
        seen.append(int(k.vm[0].memory_pressure))
    assert seen == [9844, 9691, 9540, 9391, 9245]


@pytest.mark.row("S2-59")
@pytest.mark.parametrize(("age", "flag"), [(2, PG_active), (1, PG_active), (0, PG_inactive_dirty)])
def test_a_new_page_is_active_unless_its_age_is_0(age: int, flag: int) -> None:
    k = machine()
    k.pages[3].age = age
    act(k, "lru_cache_add", 3)
    assert k.pages[3]["flags"] & swap.ON_A_LIST == flag
    assert check_lru(k) == (0, 0)


@pytest.mark.parametrize(
    ("count", "buffers", "ramdisk", "moves"),
    [(2, 0, 0, True), (3, 0, 0, False), (3, 1, 0, True), (4, 1, 0, False), (2, 1, 1, False)],
)  # fmt: skip
def test_a_page_in_use_or_of_a_ram_disk_is_not_deactivated(count: int, buffers: int, ramdisk: int, moves: bool) -> None:
    k = machine()
    act(k, "lru_cache_add")
    page = k.pages[0]
    page.count, page.buffers = count, BUFFERS_CLEAN if buffers else BUFFERS_NONE
    page["flags"] |= PG_referenced | PG_ramdisk * ramdisk
    act(k, "deactivate_page")
    assert page.age == 0
    assert not page["flags"] & PG_referenced
    assert bool(page["flags"] & PG_inactive_dirty) == moves
    assert k.vmstat[0, PGDEACTIVATE] == moves


@pytest.mark.row("S2-60")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda k: act(k, "lru_cache_add"), "though it is on one"),
        (lambda k: k.pages["count"].__setitem__(0, 0), "nobody refers to it"),
        (lambda k: k.pages["flags"].__setitem__(0, 0), "without being locked"),
    ],
)
def test_pages_that_must_not_join_a_list_are_noticed(spoil: object, message: str) -> None:
    k = machine()
    spoil(k)  # type: ignore[operator]
    before = int(k.vm[0].nr_active_pages)
    act(k, "lru_cache_add")
    assert k.vm[0].nr_active_pages == before
    with pytest.raises(InvariantViolation, match=message):
        check_bug(k)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["lru_cache_add", "lru_cache_del", "move_to_active", "move_to_inactive_dirty",
                         "move_to_inactive_clean", "age_page_up", "age_page_down", "activate_page", "deactivate_page"]),
        st.integers(0, PAGES - 1),
    ),
    max_size=60,
)  # fmt: skip


@pytest.mark.row("S2-39", "S2-40", "S2-42", "S2-47")
@settings(deadline=None)
@given(_STEPS)
def test_every_page_is_on_one_list_at_most_and_the_counters_agree(steps: list[tuple[str, int]]) -> None:
    """Against a model of lists, heads first."""
    k = machine()
    active: list[int] = []
    dirty: list[int] = []
    clean: list[list[int]] = [[], []]
    all_lists = [active, dirty, *clean]

    def leave(pfn: int) -> None:
        for pages in all_lists:
            if pfn in pages:
                pages.remove(pfn)

    for name, pfn in steps:
        on = [pages for pages in all_lists if pfn in pages]
        if name in ("lru_cache_add", "add_page_to_active_list") and on:
            continue
        age = int(k.pages[pfn].age)
        act(k, name, pfn)
        deactivated = pfn in active and (name == "deactivate_page" or (name == "age_page_down" and age < 2))
        activated = pfn not in active and on and (name == "activate_page" or (name == "age_page_up" and age == 0))
        if name == "lru_cache_del":
            leave(pfn)
        elif name == "move_to_active" or activated or (name == "lru_cache_add" and age > 0):
            leave(pfn)
            active.insert(0, pfn)
        elif name == "move_to_inactive_dirty" or deactivated or name == "lru_cache_add":
            leave(pfn)
            dirty.insert(0, pfn)
        elif name == "move_to_inactive_clean":
            leave(pfn)
            clean[pfn // 8].insert(0, pfn)
        assert check_lru(k) == (0, 0)
        check_bug(k)
        vm = k.vm[0]
        heads = [vm.active_head, vm.inactive_dirty_head, *k.zones["inactive_clean_head"][:2]]
        assert [chain(k, int(head)) for head in heads] == all_lists
        assert (vm.nr_active_pages, vm.nr_inactive_dirty_pages) == (len(active), len(dirty))


def chain(k: Kernel, pfn: int) -> list[int]:
    found = []
    while pfn >= 0:
        found.append(pfn)
        pfn = int(k.pages[pfn].lru_next)
    return found


@pytest.mark.parametrize("flag", [PG_active, PG_inactive_dirty, PG_inactive_clean])
def test_the_checker_sees_a_page_whose_flag_lies(flag: int) -> None:
    k = machine()
    act(k, "lru_cache_add", 3)
    k.pages[3]["flags"] ^= PG_active
    k.pages[3]["flags"] |= flag if flag != PG_active else 0
    assert check_lru(k)[0] == debug_problems.LRU


def test_activation_is_counted_only_for_inactive_pages() -> None:
    k = machine()
    act(k, "lru_cache_add")
    act(k, "activate_page")
    assert k.vmstat[0, PGACTIVATE] == 0
    act(k, "move_to_inactive_clean")
    act(k, "activate_page")
    assert k.vmstat[0, PGACTIVATE] == 1
    assert k.pages[0].age == 2
