"""The buddy allocator against the original's golden traces, the specification's example, and an independent model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden_traces import Command, replay
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from numa_sim.compiled import entry
from numa_sim.errors import InvariantViolation
from numa_sim.kernel import buddy
from numa_sim.kernel.bootmem import hand_over_range
from numa_sim.kernel.buddy import check_bug, free_blocks, free_lists
from numa_sim.kernel.mmzone import free_area_init_node
from numa_sim.kernel.profiles import get
from numa_sim.kernel.swap import lru_cache_add
from numa_sim.state.constants import (
    KERNEL_2_4_0,
    KERNEL_2_4_37,
    MAX_ORDER,
    NIL,
    PF_FREE_PAGES,
    PG_active,
    PG_dirty,
    PG_locked,
    PG_lru,
    PG_referenced,
    PG_reserved,
)
from numa_sim.state.counters import PGALLOC, PGFREE
from numa_sim.state.event_codes import EV_BAD_PAGE
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

rmqueue = entry(buddy.rmqueue)
free_pages = entry(buddy.free_pages)
free_pages_ok = entry(buddy.free_pages_ok)
page_zone = entry(buddy.page_zone)
is_reserved = entry(buddy.is_reserved)
add_to_lru = entry(lru_cache_add)


def one_zone(pages: int, start_pfn: int = 0, free: bool = True) -> Kernel:
    """A machine whose only zone (DMA) has this many pages."""
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=start_pfn + pages, tables=1, events=64))
    k.vm[0].record_events = 1
    free_area_init_node(k, 0, start_pfn, (pages, 0, 0), get("linux-2.4.37"))
    if free:
        hand_over_range(k, 0, start_pfn, start_pfn + pages)
    return k


def pair_bits(k: Kernel, zone_id: int) -> dict[int, list[int]]:
    """Order -> pairs whose bit is 1."""
    zone = k.zones[zone_id]
    bits = {}
    for order in range(MAX_ORDER - 1):
        first = int(zone.map_start[order])
        n = ((int(zone["size"]) - 1) >> (order + 1)) + 1
        bits[order] = [int(p) for p in np.flatnonzero(k.buddy_map[first : first + n])]
    return {order: pairs for order, pairs in bits.items() if pairs}


# Golden traces -------------------------------------------------------------------------------------------------------


def start_golden(init: Command, kernel: int = KERNEL_2_4_37) -> Any:
    base, pages = init.args["zone_start_pfn"], init.args["pages"]
    k = one_zone(pages, base, free=False)
    k.vm[0].profile = kernel
    reserved = np.zeros(pages, bool)
    for low, high in init.args["reserved"]:
        reserved[low:high] = True
        k.pages["flags"][base + low : base + high] |= PG_reserved
    for index in np.flatnonzero(~reserved):
        free_pages_ok(k, base + int(index), 0)
    k.vm[0].memory_pressure = init.args.get("memory_pressure", 0)

    def run(command: Command) -> Any:
        args = command.args
        if command.op == "init":
            return None
        if command.op == "alloc":
            pfn = rmqueue(k, 0, args["order"])
            if pfn == NIL:
                return None
            assert k.pages[pfn].count == 1
            return pfn - base
        pfn = base + args["block"]
        if command.op == "get":
            k.pages[pfn].count += 1
            return {"count": int(k.pages[pfn].count)}
        if k.pages[pfn]["flags"] & PG_reserved:
            free_pages(k, pfn, args["order"])
            return "ignored-reserved"
        free_pages(k, pfn, args["order"])
        count = int(k.pages[pfn].count)
        return {"count": count} if count else "freed"

    def step(command: Command) -> None:
        command.check("result", run(command), command.result)
        command.check("bug", int(k.vm[0].bug), 0)
        command.check("free_pages", int(k.zones[0].free_pages), command.state["free_pages"])
        if kernel == KERNEL_2_4_0:
            command.check("memory_pressure", int(k.vm[0].memory_pressure), command.state["memory_pressure"])
        if "lists" in command.state:
            ours = {str(o): [pfn - base for pfn in blocks] for o, blocks in free_lists(k, 0).items()}
            command.check("lists", ours, command.state["lists"])
            command.check("bits", {str(o): p for o, p in pair_bits(k, 0).items()}, command.state["bits"])

    return step


@pytest.mark.row("S1-13", "S1-14", "S1-26")
@pytest.mark.parametrize(("version", "kernel"), [("2.4.37", KERNEL_2_4_37), ("2.4.0", KERNEL_2_4_0)])
def test_golden_buddy(version, kernel):
    assert replay("buddy", lambda init: start_golden(init, kernel), version) > 100


# Examples ------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S0-61", "S0-62", "S1-05", "S1-06", "S1-08", "S1-16", "S1-23", "S1-30", "S2-08")
def test_worked_example():
    """Spec B.1, first table."""
    k = one_zone(16)
    assert free_lists(k, 0) == {4: [0]}
    assert rmqueue(k, 0, 0) == 15
    assert free_lists(k, 0) == {0: [14], 1: [12], 2: [8], 3: [0]}
    assert rmqueue(k, 0, 1) == 12
    assert rmqueue(k, 0, 0) == 14
    assert rmqueue(k, 0, 2) == 8
    assert free_lists(k, 0) == {3: [0]}
    free_pages(k, 15, 0)
    assert free_lists(k, 0) == {0: [15], 3: [0]}
    assert pair_bits(k, 0)[0] == [7]
    free_pages(k, 12, 1)
    assert pair_bits(k, 0)[1] == [3]
    free_pages(k, 14, 0)
    assert free_lists(k, 0) == {2: [12], 3: [0]}
    assert pair_bits(k, 0)[2] == [1]
    assert 0 not in pair_bits(k, 0)
    free_pages(k, 8, 2)
    assert free_lists(k, 0) == {4: [0]}
    assert k.zones[0].free_pages == 16


@pytest.mark.row("S0-17", "S1-03")
def test_odd_sized_zone():
    """Spec B.1, last line."""
    assert free_lists(one_zone(100), 0) == {6: [0], 5: [64], 2: [96]}


@pytest.mark.parametrize("start_pfn", [0, 1024])
@pytest.mark.parametrize(
    ("pages", "reserved"),
    [(16, ()), (512, ()), (1300, ()), (5000, ((0, 1), (256, 768))), (6000, ((700, 710), (3000, 3001), (5999, 6000)))],
)
def test_virgin_ranges_equal_freeing_page_by_page(pages, reserved, start_pfn):
    runs, at = [], 0
    for low, high in (*reserved, (pages, pages)):
        runs.append((start_pfn + at, start_pfn + low))
        at = high
    really, ranged = one_zone(pages, start_pfn, free=False), one_zone(pages, start_pfn, free=False)
    for low, high in runs:
        hand_over_range(ranged, 0, low, high)
        for pfn in range(low, high):
            free_pages_ok(really, pfn, 0)
    assert really.zones[0].nr_virgin == 0
    assert (ranged.zones[0].nr_virgin > 0) == any(9 in free_lists(k, 0) for k in (really,))

    def same() -> None:
        assert free_lists(ranged, 0) == free_lists(really, 0)
        assert pair_bits(ranged, 0) == pair_bits(really, 0)
        assert ranged.zones[0].nr_free.tolist() == really.zones[0].nr_free.tolist()
        assert ranged.zones[0].free_pages == really.zones[0].free_pages

    same()
    rng = np.random.Generator(np.random.PCG64DXSM(5))
    held = []
    for order in rng.integers(0, MAX_ORDER, 120).tolist():
        if held and rng.random() < 0.4:
            pfn, order = held.pop(int(rng.integers(len(held))))
            free_pages(ranged, pfn, order)
            free_pages(really, pfn, order)
        else:
            pfn = rmqueue(really, 0, order)
            assert rmqueue(ranged, 0, order) == pfn
            if pfn != NIL:
                held.append((pfn, order))
        same()


def test_many_virgin_ranges_still_equal():
    """More separate ranges than a zone can note: the rest are really linked."""
    runs = [(1024 * i, 1024 * i + 513) for i in range(12)]
    really, ranged = one_zone(12 * 1024, free=False), one_zone(12 * 1024, free=False)
    for low, high in runs:
        hand_over_range(ranged, 0, low, high)
        for pfn in range(low, high):
            free_pages_ok(really, pfn, 0)
    assert free_lists(ranged, 0) == free_lists(really, 0)
    assert [rmqueue(ranged, 0, 9) for _ in range(13)] == [rmqueue(really, 0, 9) for _ in range(13)]


# What a free does besides --------------------------------------------------------------------------------------------


def test_free_takes_page_off_lru_and_clears_flags():
    k = one_zone(64)
    pfn = rmqueue(k, 0, 0)
    add_to_lru(k, pfn)
    k.pages[pfn]["flags"] |= PG_referenced | PG_dirty
    free_pages(k, pfn, 0)
    assert k.pages[pfn]["flags"] & (PG_lru | PG_referenced | PG_dirty) == 0
    assert k.vm[0].nr_inactive_pages == 0
    assert k.vm[0].inactive_head == NIL


def test_counters_balance_free_pages():
    k = one_zone(1024)
    held = [(rmqueue(k, 0, order), order) for order in (0, 3, 9, 0)]
    for pfn, order in held[:3]:
        free_pages(k, pfn, order)
    assert k.vmstat[0, PGALLOC] == 1 + 8 + 512 + 1
    assert k.vmstat[0, PGFREE] == 1 + 8 + 512
    assert k.zones[0].free_pages == 1024 + k.vmstat[0, PGFREE] - k.vmstat[0, PGALLOC]


@pytest.mark.parametrize("local_pages", [1, 0])
def test_reclaimer_keeps_its_first_block(local_pages):
    """PF_FREE_PAGES: off (vm.local_pages = 0), every block goes to the lists."""
    k = one_zone(64)
    a, b = rmqueue(k, 0, 1), rmqueue(k, 0, 1)
    k.vm[0].local_pages = local_pages
    k.vm[0].current_task = 2
    k.tasks[2]["flags"] = PF_FREE_PAGES
    free_pages(k, a, 1)
    free_pages(k, b, 1)
    assert k.tasks[2].local_pfn == (a if local_pages else NIL)
    assert k.zones[0].free_pages == (62 if local_pages else 64)


def bug_of(k: Kernel) -> str:
    assert k.events[k.vm[0].events_used - 1].code == EV_BAD_PAGE
    with pytest.raises(InvariantViolation) as caught:
        check_bug(k)
    assert str(int(k.vm[0].bug_pfn)) in str(caught.value)
    return caught.value.what


def snapshot(k: Kernel) -> Any:
    return free_lists(k, 0), pair_bits(k, 0), int(k.zones[0].free_pages), k.pages.tobytes()


@pytest.mark.row("S1-24")
@pytest.mark.parametrize("kind", ["double", "double, merged", "tail", "wrong order", "wrong order up", "never", "hole"])
def test_bad_frees_are_detected_and_change_nothing(kind):
    k = one_zone(64)
    check_bug(k)
    pfn = rmqueue(k, 0, 2)
    single = rmqueue(k, 0, 0)
    bad = {
        "double": (single, 0),
        "double, merged": (pfn, 2),
        "tail": (pfn + 1, 0),
        "wrong order": (pfn, 1),
        "wrong order up": (single, 3),
        "never": (0, 0),
        "hole": (1 << 40, 0),
    }[kind]
    if kind.startswith("double"):
        free_pages(k, single, 0)
        free_pages(k, pfn, 2)
    before = snapshot(k)
    free_pages(k, *bad)
    expected = {"wrong": buddy.BUG_WRONG_ORDER, "hole": buddy.BUG_NO_ZONE}.get(kind.split()[0], buddy.BUG_DOUBLE_FREE)
    assert bug_of(k) == buddy.BUGS[expected]
    assert snapshot(k) == before


@pytest.mark.parametrize("field", ["mapping", "buffers", "locked", "active"])
def test_pages_in_use_are_not_freed(field):
    k = one_zone(64)
    pfn = rmqueue(k, 0, 0)
    if field in ("mapping", "buffers"):
        k.pages[pfn][field] = 1
    else:
        k.pages[pfn]["flags"] |= {"locked": PG_locked, "active": PG_active}[field]
    before = snapshot(k)
    free_pages(k, pfn, 0)
    assert bug_of(k) == buddy.BUGS[buddy.BUG_IN_USE]
    assert snapshot(k) == before


def test_misaligned_block_is_detected():
    k = one_zone(64)
    pfn = rmqueue(k, 0, 1)
    k.pages[pfn + 1].order, k.pages[pfn + 1].count = 1, 1
    free_pages(k, pfn + 1, 1)
    assert bug_of(k) == buddy.BUGS[buddy.BUG_MISALIGNED]


def test_mem_map_frames_are_reserved_unmarked():
    k = one_zone(64)
    k.nodes[0].mem_map_start, k.nodes[0].mem_map_end = 8, 12
    assert [pfn for pfn in range(16) if is_reserved(k, pfn)] == [8, 9, 10, 11]
    before = snapshot(k)
    free_pages(k, 9, 0)
    assert snapshot(k) == before
    assert k.vm[0].bug == 0


def test_page_zone_of_holes():
    k = one_zone(1024, 1024)
    assert [page_zone(k, pfn) for pfn in (0, 1023, 1024, 2047)] == [NIL, NIL, 0, 0]


# An independent model ------------------------------------------------------------------------------------------------


class Model:
    """Free memory as a set of pages, its blocks as a dict of ordered lists; knows nothing of pair bits."""

    def __init__(self, pages: int) -> None:
        self.lists: dict[int, list[int]] = {order: [] for order in range(MAX_ORDER)}
        for page in range(pages):
            self.free(page, 0)

    def alloc(self, order: int) -> int | None:
        for current in range(order, MAX_ORDER):
            if self.lists[current]:
                block = self.lists[current].pop(0)
                for split in reversed(range(order, current)):
                    self.lists[split].insert(0, block)
                    block += 1 << split
                return block
        return None

    def free(self, block: int, order: int) -> None:
        while order < MAX_ORDER - 1 and block ^ (1 << order) in self.lists[order]:
            self.lists[order].remove(block ^ (1 << order))
            block &= ~(1 << order)
            order += 1
        self.lists[order].insert(0, block)


class BuddyMachine(RuleBasedStateMachine):
    @initialize(pages=st.integers(1, 2100), start=st.sampled_from([0, 512, 4096]))
    def boot(self, pages: int, start: int) -> None:
        self.base = start
        self.n_pages = pages
        self.k = one_zone(pages, start)
        self.model = Model(pages)
        self.held: list[tuple[int, int, int]] = []

    @rule(order=st.one_of(st.integers(0, 2), st.integers(0, MAX_ORDER - 1)))
    def alloc(self, order: int) -> None:
        pfn = rmqueue(self.k, 0, order)
        block = self.model.alloc(order)
        assert (None if pfn == NIL else pfn - self.base) == block
        if block is not None:
            self.held.append((block, order, 1))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 1 << 20))
    def get(self, which: int) -> None:
        at = which % len(self.held)
        block, order, count = self.held[at]
        self.k.pages[self.base + block].count += 1
        self.held[at] = (block, order, count + 1)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 1 << 20))
    def free(self, which: int) -> None:
        at = which % len(self.held)
        block, order, count = self.held.pop(at)
        free_pages(self.k, self.base + block, order)
        if count > 1:
            self.held.insert(at, (block, order, count - 1))
        else:
            self.model.free(block, order)

    @precondition(lambda self: any(count == 1 for _, _, count in self.held))
    @rule(other=st.integers(1, MAX_ORDER - 1))
    def free_with_wrong_order(self, other: int) -> None:
        block, order, _ = next(h for h in self.held if h[2] == 1)
        free_pages(self.k, self.base + block, (order + other) % MAX_ORDER)
        assert self.k.vm[0].bug == buddy.BUG_WRONG_ORDER
        self.k.vm[0].bug = 0

    @invariant()
    def invariants(self) -> None:
        """Spec 2.4: sums, buddies never both free, pair bits, alignment, no overlap; and the lists themselves."""
        if not hasattr(self, "k"):
            return
        k, zone = self.k, self.k.zones[0]
        lists = {order: [pfn - self.base for pfn in free_blocks(k, 0, order)] for order in range(MAX_ORDER)}
        assert lists == self.model.lists
        assert sum(len(blocks) << order for order, blocks in lists.items()) == zone.free_pages
        assert [len(lists[order]) for order in range(MAX_ORDER)] == zone.nr_free.tolist()
        bits = pair_bits(k, 0)
        owner = np.zeros(self.n_pages, int)
        for order, blocks in lists.items():
            for block in blocks:
                assert block % (1 << order) == 0
                owner[block : block + (1 << order)] += 1
            if order < MAX_ORDER - 1:
                assert not set(blocks) & {block ^ (1 << order) for block in blocks}
                assert bits.get(order, []) == sorted(block >> (order + 1) for block in blocks)
        for block, order, _ in self.held:
            owner[block : block + (1 << order)] += 1
        assert (owner == 1).all()
        assert k.vm[0].bug == 0


TestBuddyMachine = BuddyMachine.TestCase
TestBuddyMachine.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
