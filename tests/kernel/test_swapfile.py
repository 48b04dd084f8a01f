"""Swap slots and areas: the spec's worked examples, off/on, and a state machine against an independent model."""

from errno import ENODEV

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from numa_sim.compiled import entry
from numa_sim.errors import SwapError
from numa_sim.kernel import swapfile
from numa_sim.kernel.swap_header import for_area
from numa_sim.kernel.swapon import swapon, sys_swapon
from numa_sim.state.constants import SWAP_MAP_BAD
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

_get = entry(swapfile.get_swap_page)
_free = entry(swapfile.swap_free)
_duplicate = entry(swapfile.swap_duplicate)
_window = entry(swapfile.valid_swaphandles)
_begin = entry(swapfile.swapoff_begin)
_end = entry(swapfile.swapoff_end)
_fail = entry(swapfile.swapoff_fail)


def kernel(slots: int = 4096) -> Kernel:
    return new_kernel(Sizes(nodes=1, cpus=1, frames=1, tables=1, swap_slots=slots, io_ring=1))


def get(k: Kernel) -> tuple[int, int] | None:
    found = _get(k)
    return ((found >> 1) & 0x3F, found >> 8) if found else None


def free(k: Kernel, type_: int, offset: int) -> int:
    return int(_free(k, type_ << 1 | offset << 8))


def three_devices() -> Kernel:
    k = kernel()
    for priority in (None, 5, 5):
        swapon(k, 12, priority)
    return k


@pytest.mark.row("S2-15", "S2-26", "S3-134", "S3-135", "S3-149")
def test_equal_priorities_take_turns_and_lower_ones_wait_until_they_are_full() -> None:  # spec B.2
    k = three_devices()
    assert [get(k) for _ in range(6)] == [(2, 1), (1, 1), (2, 2), (1, 2), (2, 3), (1, 3)]
    assert [get(k) for _ in range(16)][-2:] == [(2, 11), (1, 11)]
    assert [get(k) for _ in range(3)] == [(0, 1), (0, 2), (0, 3)]
    free(k, 1, 3)
    assert [get(k), get(k)] == [(1, 3), (0, 4)]


@pytest.mark.row("S3-134")
def test_a_slot_freed_behind_a_running_cluster_waits_for_the_clusters_end() -> None:  # spec B.2
    k = three_devices()
    assert get(k) == (2, 1)
    free(k, 2, 1)
    got = [get(k) for _ in range(21)]
    assert got[-1] == (1, 11)
    assert (2, 1) not in got
    free(k, 1, 2)
    assert [get(k), get(k)] == [(2, 1), (1, 2)]


@pytest.mark.row("S2-14")
def test_a_cluster_is_257_slots_and_holes_are_used_only_when_no_free_run_is_left() -> None:  # spec B.3
    k = kernel()
    swapon(k, 600)
    got = []
    for n in range(1, 515):
        got.append(get(k))
        assert n != 1 or k.swap_info[0].cluster_nr == 256
        assert n != 257 or k.swap_info[0].cluster_nr == 0
        if n == 200:
            free(k, 0, 5)
            free(k, 0, 100)
    assert got == [(0, n) for n in range(1, 515)]
    assert get(k) == (0, 5)


@pytest.mark.parametrize(("bad", "first"), [(257, 1), (256, 257)])
def test_a_cluster_starts_only_in_a_free_run_of_256(bad: int, first: int) -> None:
    k = kernel()
    swapon(k, 600, bad=[bad])
    assert get(k) == (0, first)


def test_without_clusters_the_lowest_free_slot_is_taken() -> None:
    k = kernel()
    k.vm[0].swapfile_cluster = 0
    swapon(k, 600)
    assert [get(k) for _ in range(10)] == [(0, n) for n in range(1, 11)]
    free(k, 0, 5)
    assert get(k) == (0, 5)


def test_the_readahead_window_is_the_aligned_block_up_to_the_first_free_slot() -> None:
    k = kernel()
    swapon(k, 64, bad=[21])
    for _ in range(30):
        get(k)
    assert _window(k, 10 << 8) == (8, 8)
    assert _window(k, 3 << 8) == (1, 7)
    assert _window(k, 18 << 8) == (16, 5)
    k.vm[0].page_cluster = 0
    assert _window(k, 10 << 8) == (0, 0)


def test_swapon_refuses_what_cannot_be_an_area() -> None:
    k = kernel(100)
    for slots, bad in ((1, []), (10, [10]), (3, [1, 2]), (101, [])):
        with pytest.raises(SwapError, match="swapon"):
            swapon(k, slots, bad=bad)


@pytest.mark.row("S3-138")
def test_a_device_without_a_page_is_no_area() -> None:
    k = kernel(100)
    header = for_area(10)
    with pytest.raises(SwapError) as refused:
        sys_swapon(k, header, 0, 0)
    assert refused.value.code == ENODEV
    assert k.vm[0].nr_swapfiles == 0


class SwapMap(RuleBasedStateMachine):
    """Uses of slots, counted in a dict; no two live entries are ever the same slot."""

    def __init__(self) -> None:
        super().__init__()
        self.k = kernel(2048)
        self.uses: dict[tuple[int, int], int] = {}
        self.areas: dict[int, tuple[int, int, frozenset[int]]] = {}

    @precondition(lambda self: len(self.areas) < 4)
    @rule(
        slots=st.integers(4, 400), priority=st.none() | st.integers(0, 3), bad=st.sets(st.integers(1, 20), max_size=3)
    )
    def swapon(self, slots: int, priority: int | None, bad: set[int]) -> None:
        bad = {offset for offset in bad if offset < slots - 2}
        try:
            t = swapon(self.k, slots, priority, sorted(bad))
        except SwapError:
            return
        assert t not in self.areas
        self.areas[t] = (slots, int(self.k.swap_info[t].prio), frozenset(bad))

    @rule(times=st.integers(1, 300))
    def get(self, times: int) -> None:
        for _ in range(times):
            slot = get(self.k)
            room = {
                t: slots - 1 - len(bad) - sum(1 for used in self.uses if used[0] == t)
                for t, (slots, _, bad) in self.areas.items()
            }
            if slot is None:
                assert not any(room.values())
                return
            t, offset = slot
            slots, priority, bad = self.areas[t]
            assert slot not in self.uses
            assert offset not in bad
            assert 0 < offset < slots
            assert priority == max(self.areas[other][1] for other, left in room.items() if left > 0)
            self.uses[slot] = 1

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), times=st.integers(1, 60))
    def free(self, data: st.DataObject, times: int) -> None:
        slots = sorted(self.uses)
        first = data.draw(st.integers(0, len(slots) - 1))
        for slot in slots[first : first + times]:
            assert free(self.k, *slot) == 0
            self.uses[slot] -= 1
            if self.uses[slot] == 0:
                del self.uses[slot]

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def duplicate(self, data: st.DataObject) -> None:
        t, offset = data.draw(st.sampled_from(sorted(self.uses)))
        assert _duplicate(self.k, t << 1 | offset << 8) == 1
        self.uses[t, offset] += 1

    @rule(t=st.integers(0, 8), offset=st.integers(1, 500))
    def free_wrong(self, t: int, offset: int) -> None:
        if (t, offset) not in self.uses and not (t in self.areas and offset in self.areas[t][2]):
            assert free(self.k, t, offset) == 1
            assert _duplicate(self.k, t << 1 | offset << 8) == 0

    @precondition(lambda self: set(self.areas) - {t for t, _ in self.uses})
    @rule()
    def swapoff(self) -> None:
        t = min(set(self.areas) - {t for t, _ in self.uses})
        _begin(self.k, t)
        _end(self.k, t)
        del self.areas[t]

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), gets=st.integers(0, 40))
    def swapoff_of_an_area_in_use_gives_up(self, data: st.DataObject, gets: int) -> None:
        """While it is being emptied no slot of it is given; slots may be freed; then it works as before."""
        off = data.draw(st.sampled_from(sorted({t for t, _ in self.uses})))
        _begin(self.k, off)
        for _ in range(gets):
            slot = get(self.k)
            if slot is None:
                break
            assert slot[0] != off
            assert slot not in self.uses
            self.uses[slot] = 1
        emptied = data.draw(st.sampled_from(sorted(slot for slot in self.uses if slot[0] == off)))
        for _ in range(self.uses.pop(emptied)):
            assert free(self.k, *emptied) == 0
        _fail(self.k, off)

    @invariant()
    def counts_agree(self) -> None:
        vm = self.k.vm[0]
        assert vm.total_swap_pages == sum(slots - 1 - len(bad) for slots, _, bad in self.areas.values())
        assert vm.nr_swap_pages == vm.total_swap_pages - len(self.uses)
        for t, (slots, _, bad) in self.areas.items():
            si = self.k.swap_info[t]
            expected = [self.uses.get((t, offset), SWAP_MAP_BAD if offset in bad else 0) for offset in range(1, slots)]
            assert self.k.swap_map[si.map_start + 1 : si.map_start + slots].tolist() == expected
            assert si.inuse_pages == sum(1 for used in self.uses if used[0] == t)


TestSwapMap = SwapMap.TestCase
TestSwapMap.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
