"""The request queue of a disk: plugging, merging, elevators, counters; by itself, under a plain SimPy clock."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, isqrt
from types import SimpleNamespace
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from numa_sim.config.disk import Drive, HddDrive, NvmeDrive
from numa_sim.processes.block.drives import HeadDisk
from numa_sim.processes.block.elevator import MAX_REQUEST_PAGES, PATIENCE, Request, linus, noop
from numa_sim.processes.block.queue import QUEUE_NR_REQUESTS, RequestQueue
from numa_sim.state.constants import IO_READ, IO_WRITE

BLOCKS = 1 << 20
MIB_PER_S = 4096 * 256


class Desk:
    """A queue with its clock, and what it has finished, in order."""

    def __init__(self, elevator: str = "linus", plugging: bool = True, model: Any = None) -> None:
        self.env = simpy.Environment(initial_time=0)
        self.finished: list[Request] = []
        model = model or HddDrive(device="hdd", seek=8_000_000, bandwidth=150_000_000, elevator=elevator)
        self.queue = RequestQueue(
            self.env, Drive("sda", model, BLOCKS), SimpleNamespace(), plugging, self.finished.append
        )

    @property
    def count(self) -> Any:
        """What the queue has counted, as the rules see it."""
        self.queue.settle()
        return self.queue._record

    def add(self, *blocks: int, op: int = IO_WRITE) -> None:
        for block in blocks:
            self.queue.add(op, block, 7_000_000 + block)

    def run(self) -> list[tuple[int, int]]:
        """Pull the plug and finish everything; (block, pages) of each request."""
        self.queue.unplug()
        self.env.run()
        return [(request.block, len(request.pfns)) for request in self.finished]


def test_behind_a_plug_neighbours_join_back_and_front() -> None:
    desk = Desk()
    desk.add(10, 11, 12, 9, 8)
    desk.env.run()
    assert desk.finished == []
    assert desk.run() == [(8, 5)]
    assert desk.finished[0].pfns == [7_000_000 + block for block in range(8, 13)]
    assert (desk.count.writes, desk.count.write_merges, desk.count.sectors_written) == (1, 4, 40)
    assert (desk.count.plugs, desk.count.in_flight, desk.count.reads) == (1, 0, 0)


def test_without_plugging_the_first_request_goes_alone() -> None:
    desk = Desk(plugging=False)
    desk.add(10, 11, 12, 13)
    assert desk.run() == [(10, 1), (11, 3)]
    assert desk.count.plugs == 0


def test_reads_and_writes_do_not_join() -> None:
    desk = Desk()
    desk.add(10, op=IO_READ)
    desk.add(11)
    desk.add(9, op=IO_READ)
    assert desk.run() == [(9, 2), (11, 1)]
    assert (desk.count.reads, desk.count.writes) == (1, 1)


def test_a_request_ends_at_128_kib() -> None:
    desk = Desk()
    desk.add(*range(100))
    assert [pages for _, pages in desk.run()] == [32, 32, 32, 4]
    assert MAX_REQUEST_PAGES == 32


def test_a_full_queue_pulls_its_own_plug() -> None:
    desk = Desk()
    desk.add(*range(0, 3 * (QUEUE_NR_REQUESTS - 1), 3))
    assert desk.queue.plugged
    desk.add(3 * QUEUE_NR_REQUESTS)
    assert not desk.queue.plugged
    desk.env.run()
    assert len(desk.finished) == QUEUE_NR_REQUESTS


def test_linus_sweeps_upwards_and_noop_keeps_the_order() -> None:
    blocks = [500, 100, 900, 300, 700, 200]
    desk = Desk("linus", plugging=False)
    desk.add(*blocks)
    assert [block for block, _ in desk.run()] == [500, 700, 900, 100, 200, 300]
    fcfs = Desk("noop", plugging=False)
    fcfs.add(*blocks)
    assert [block for block, _ in fcfs.run()] == blocks


def test_sorting_saves_seek_time() -> None:
    blocks = [(i * 387_421) % BLOCKS for i in range(100)]
    times = {}
    for elevator in ("linus", "noop"):
        desk = Desk(elevator)
        desk.add(*blocks)
        desk.run()
        times[elevator] = desk.env.now
        assert desk.count.busy_ns == desk.env.now
        assert desk.count.seeks == 99  # the first is where the head is
    assert times["linus"] < 0.7 * times["noop"]


def test_a_sequence_needs_one_seek() -> None:
    desk = Desk()
    desk.add(*range(1000, 1000 + 10 * MAX_REQUEST_PAGES))
    desk.run()
    assert (desk.count.seeks, desk.count.writes) == (1, 10)


def head_at(block: int) -> HeadDisk:
    """A disk of 150 MB/s and 8 ms whose head stands in front of `block`, free at instant 0."""
    disk = HeadDisk(8_000_000, 150_000_000, BLOCKS)
    disk.head = block
    return disk


PAGE_NS = Fraction(4096 * 10**9, 150_000_000)
SHORTEST_MOVE_NS = 3_200_000


@pytest.mark.row("X-06")
@pytest.mark.parametrize("gap", [0, 1, 2, 16, 117])
def test_a_skipped_page_costs_the_time_of_a_page_and_no_seek(gap: int) -> None:
    disk = head_at(1000)
    assert disk.completion_ns(0, 1000 + gap, 8) == ceil(gap * PAGE_NS) + ceil(8 * PAGE_NS)
    assert disk.seeks == 0
    assert disk.head == 1008 + gap


@pytest.mark.row("X-06")
def test_a_gap_longer_than_a_move_is_jumped() -> None:
    """0.4 of the mean is 117.2 pages at 150 MB/s; the square root adds to a move over a longer gap."""
    disk = head_at(1000)
    assert ceil(117 * PAGE_NS) < SHORTEST_MOVE_NS < ceil(118 * PAGE_NS)
    gap = 200
    move_ns = 8_000_000 * (400 + 600 * isqrt(3 * gap * 10**6 // BLOCKS) // 1000) // 1000
    assert SHORTEST_MOVE_NS < move_ns < ceil(gap * PAGE_NS)
    assert disk.completion_ns(0, 1000 + gap, 1) == move_ns + ceil(PAGE_NS)
    assert disk.seeks == 1


@pytest.mark.row("X-06")
def test_a_third_of_the_disk_takes_the_mean_and_a_block_behind_the_head_a_short_seek() -> None:
    third = BLOCKS // 3
    assert head_at(0).completion_ns(0, third, 0) == pytest.approx(8_000_000, rel=0.001)
    assert head_at(third).completion_ns(0, 0, 0) == pytest.approx(8_000_000, rel=0.001)
    assert head_at(1000).completion_ns(0, 999, 0) == pytest.approx(SHORTEST_MOVE_NS, rel=0.01)
    assert head_at(0).completion_ns(0, BLOCKS - 1, 0) == pytest.approx(8_000_000 * (0.4 + 0.6 * 3**0.5), rel=0.001)


@given(st.integers(0, BLOCKS - 32), st.integers(0, BLOCKS - 32))
@settings(deadline=None, max_examples=200)
def test_farther_never_takes_less_and_no_gap_more_than_a_move(near: int, far: int) -> None:
    near, far = sorted((near, far))
    ahead = [head_at(0).completion_ns(0, block, 0) for block in (near, far)]
    behind = [head_at(BLOCKS).completion_ns(0, BLOCKS - distance, 0) for distance in (near or 1, far or 1)]
    assert ahead == sorted(ahead)
    assert behind == sorted(behind)
    assert ahead[1] <= behind[1]


@pytest.mark.parametrize("op", [IO_READ, IO_WRITE])
def test_nobody_is_overtaken_for_ever(op: int) -> None:
    """A far request, and a stream of requests that all belong in front of it."""
    waiting = [Request(IO_WRITE, 1, [0], 0), Request(op, 500_000, [1], 0)]
    far = waiting[1]
    for i in range(1000):
        new = Request(IO_WRITE, 2 + 3 * i, [2], 0)
        waiting.insert(linus(waiting, None, new), new)
    assert waiting.index(far) == 1 + PATIENCE[op == IO_READ]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 3_000_000)), max_size=120),
    st.sampled_from(["linus", "noop"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_page_is_transferred_once(arrivals: list[tuple[int, bool, int]], elevator: str, plugging: bool) -> None:
    """Whatever comes when: no page lost, none twice, neighbours in block order, counters add up."""
    desk = Desk(elevator, plugging)
    wanted = list(dict.fromkeys((IO_READ if read else IO_WRITE, block) for block, read, _ in arrivals))
    pauses = [pause for _, _, pause in arrivals]

    def come() -> Any:
        for (op, block), pause in zip(wanted, pauses, strict=False):
            yield desk.env.timeout(pause)
            desk.queue.add(op, block, 1000 * op + block)

    desk.env.process(come())
    desk.env.run()
    desk.run()
    got = [(r.op, r.block + i, pfn) for r in desk.finished for i, pfn in enumerate(r.pfns)]
    assert sorted(got) == sorted((op, block, 1000 * op + block) for op, block in wanted)
    assert max((len(r.pfns) for r in desk.finished), default=0) <= MAX_REQUEST_PAGES
    count = desk.count
    assert count.reads + count.writes == len(desk.finished)
    assert count.read_merges + count.write_merges == len(wanted) - len(desk.finished)
    assert count.sectors_read + count.sectors_written == 8 * len(wanted)
    assert count.await_ns >= count.busy_ns >= 0
    assert count.in_flight == 0


def test_a_drive_without_a_queue_works_on_many_at_once() -> None:
    model = NvmeDrive(device="nvme", latency=100_000, channels=4)
    desk = Desk(model=model)
    assert not desk.queue.is_queued
    for block in range(8):
        desk.queue.take(IO_READ, 50 * block, [block])
    assert desk.count.in_flight == 8
    desk.env.run()
    assert 200_000 <= desk.env.now < 210_000
    assert desk.count.busy_ns == desk.env.now
    assert desk.count.seeks == 0


def test_an_ssd_with_a_queue_is_given_as_many_as_it_has_channels() -> None:
    model = NvmeDrive(device="nvme", latency=100_000, channels=4, elevator="linus")
    desk = Desk(model=model)
    desk.add(*range(0, 80, 10))
    desk.queue.unplug()
    desk.add(1, 41)
    assert [r.block for r in desk.queue._waiting] == [40, 50, 60, 70, 1]
    desk.env.run()
    assert desk.count.write_merges == 1
    assert [len(r.pfns) for r in desk.finished if r.block == 40] == [2]


def test_settling_counts_what_is_under_way() -> None:
    desk = Desk(plugging=False)
    desk.add(1000)
    desk.env.run(until=1_000_000)
    desk.queue.settle()
    assert desk.count.busy_ns == 1_000_000
    desk.env.run()
    assert desk.count.busy_ns == desk.env.now


def test_noop_appends() -> None:
    assert noop([Request(IO_READ, 5, [1], 0)], None, Request(IO_READ, 1, [2], 0)) == 1
