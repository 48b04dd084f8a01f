"""Policies on traces: exact counts, and what each idea of the notes buys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies.second_opinion import SECOND

from numa_sim.errors import ConfigError, NumaSimError, PolicyError
from numa_sim.policies import PROCESS_SHIFT, PageTrace, Policy, names, replay
from numa_sim.policies.lru import Lru

SHIPPED = Path(__file__).parents[2] / "configs" / "traces"
TRACES = Path(os.environ.get("NUMA_SIM_TRACES", SHIPPED))

# Faults at 10, 25 and 50 % of the pages: counted by those who recorded the traces, with array models of their own.
EXPECTED = {
    "gcc-cc1": {"lru": (33380, 7991, 5531), "clock": (35631, 8293, 5684)},
    "graph-bfs-pagerank": {"lru": (487753, 183023, 45004), "clock": (507821, 201543, 45911)},
    "numpy-stencil": {"lru": (124897, 62222, 19505), "clock": (126259, 60708, 18618)},
    "pandas-groupby-merge": {"lru": (242703, 140614, 65706), "clock": (247294, 142992, 66491)},
    "sort-text": {"lru": (197572, 65468, 5740), "clock": (197525, 66428, 5959)},
    "sqlite-query": {"lru": (19957, 18747, 16923), "clock": (19937, 18809, 16897)},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_lru_and_clock_give_the_published_fault_counts(name: str) -> None:
    file = TRACES / f"{name}.npz"
    if not file.exists():
        pytest.skip(f"{name} does not ship with the project; NUMA_SIM_TRACES names a folder that has it")
    trace = PageTrace.read(file)
    pages = trace.footprint
    for policy, expected in EXPECTED[name].items():
        found = tuple(replay(trace, pages * percent // 100, policy).faults for percent in (10, 25, 50))
        assert found == expected, policy


@settings(deadline=None, max_examples=150)
@given(
    pages=st.lists(st.integers(0, 14), max_size=120), frames=st.integers(1, 9), policy=st.sampled_from(sorted(SECOND))
)
def test_faults_equal_a_second_implementation(pages: list[int], frames: int, policy: str) -> None:
    assert replay(pages, frames, policy).faults == SECOND[policy](pages, frames)


# Books: what came in has gone or is still there ----------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(
    accesses=st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=150),
    frames=st.integers(1, 9),
    ahead=st.integers(0, 5),
    policy=st.sampled_from([n for n in names() if n not in ("none", "whole-process")]),
)
def test_the_books_of_a_replay_balance(accesses: list[Any], frames: int, ahead: int, policy: str) -> None:
    pages, writes = zip(*accesses, strict=True)
    found = replay((pages, writes), frames, policy, ahead=ahead)
    assert found.records == len(pages)
    assert found.disk_reads == found.faults - len(set(pages))
    assert 0 <= found.faults - found.evictions <= frames
    assert found.disk_writes <= found.evictions + found.rescues + frames
    if not any(writes) and policy in ("fifo", "clock", "dirty-clean"):
        assert found.disk_writes == 0


def test_the_same_seed_gives_the_same_run_and_streams_reach_the_policy() -> None:
    class Lottery(Lru):
        name = "lottery"

        def victim(self) -> int | None:
            pages = list(self.by_use)
            page = pages[int(self.rng.integers(len(pages)))]
            self.remove(page)
            return page

    trace = np.arange(3000) * 7919 % 60
    first, again, other = (replay(trace, 20, Lottery, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


# What each idea of note 002 buys -------------------------------------------------------------------------------------

AHEAD = 64


def _thrashing(name: str = "graph-bfs-pagerank") -> tuple[PageTrace, int]:
    trace = PageTrace.read(SHIPPED / f"{name}.npz", limit=400_000)
    return trace, trace.footprint // 4


@pytest.mark.row("S2-34")
def test_lru_makes_fewer_reads_than_immediate_replacement() -> None:
    trace, frames = _thrashing()
    immediate, lru = replay(trace, frames, "immediate"), replay(trace, frames, "lru")
    assert lru.disk_reads < immediate.disk_reads
    assert lru.disk_writes < immediate.disk_writes


@pytest.mark.row("S2-35")
def test_lru_ahead_of_need_thrashes_and_a_staging_queue_saves_the_reads() -> None:
    trace, frames = _thrashing()
    needed, lru, staging = (
        replay(trace, frames, "lru"),
        *(replay(trace, frames, policy, ahead=AHEAD) for policy in ("lru", "staging")),
    )
    assert lru.disk_reads > needed.disk_reads
    assert staging.disk_reads < lru.disk_reads
    assert staging.rescues > 0 == lru.rescues
    assert staging.disk_writes > staging.evictions, "it writes pages that are rescued, too"


@pytest.mark.row("S2-36")
def test_dirty_and_clean_states_save_writes_and_no_reads() -> None:
    trace, frames = _thrashing()
    staging, states = (replay(trace, frames, policy, ahead=AHEAD) for policy in ("staging", "dirty-clean"))
    assert states.disk_writes < staging.disk_writes / 2
    assert (states.faults, states.disk_reads, states.rescues) == (staging.faults, staging.disk_reads, staging.rescues)


def _two_processes(pages_each: int, turns: int, touched: int) -> Any:
    """Two processes take turns; each starts by using all its pages, then uses a few of them."""
    visits: list[int] = []
    for turn in range(turns):
        process = 1 + turn % 2
        visits += [process << PROCESS_SHIFT | page for page in range(pages_each if turn < 2 else touched)]
    return visits


@pytest.mark.row("S3-009")
def test_swapping_whole_processes_moves_much_for_little() -> None:
    visits = _two_processes(2048, turns=10, touched=8)
    whole, paged = replay(visits, 3072, "whole-process"), replay(visits, 3072, "lru")
    assert whole.refused_at is None
    # Each turn of 8 pages moves a whole process of 2048 pages (8 MiB) out and another in.
    assert whole.disk_writes == 9 * 2048
    assert whole.disk_reads == 8 * 2048
    assert whole.disk_reads > 10 * paged.disk_reads > 0


@pytest.mark.row("S3-009")
def test_a_process_larger_than_memory_cannot_run_under_whole_process_swapping() -> None:
    visits = [1 << PROCESS_SHIFT | page for page in range(101)]
    found = replay(visits, 100, "whole-process")
    assert (found.refused_at, found.records, found.evictions) == (100, 100, 0)
    assert replay(visits, 101, "whole-process").refused_at is None
    assert replay(visits, 100, "lru").refused_at is None


def test_without_replacement_the_program_ends_when_memory_is_full() -> None:
    found = replay([1, 2, 1, 3, 2, 4], 2, "none")
    assert (found.refused_at, found.faults, found.evictions) == (3, 3, 0)


# Faults of users and policies ----------------------------------------------------------------------------------------


def test_a_victim_that_is_not_in_memory_is_an_error() -> None:
    class Wild(Lru):
        name = "wild"

        def victim(self) -> int:
            return 99

    with pytest.raises(PolicyError, match="policy 'wild': chose page 99, which is not in memory"):
        replay([1, 2, 3], 2, Wild)


@pytest.mark.parametrize(("frames", "ahead"), [(0, 0), (-3, 0), (4, -1)])
def test_impossible_memories_are_refused(frames: int, ahead: int) -> None:
    with pytest.raises(ConfigError, match="frames >= 1"):
        replay([1], frames, "lru", ahead=ahead)


def test_a_missing_trace_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(NumaSimError, match="no such file"):
        replay(tmp_path / "nothing.npz", 4, "lru")


def test_traces_may_be_empty_arrays_or_pairs() -> None:
    assert replay([], 4, "lru").faults == 0
    assert replay(np.array([5, 6, 5]), 1, "lru").disk_writes == 2
    assert replay(([5, 6, 5], [True, False, False]), 1, "clock").disk_writes == 1
    assert replay(PageTrace(np.array([5]), np.array([True])), 1, "clock").faults == 1


def test_replay_takes_seconds_for_a_million_records() -> None:
    """Calls per record, not time: what costs is asking the policy."""
    calls = 0

    class Counting(Lru):
        name = "counting"

        def touch(self, page: int, write: bool) -> None:
            nonlocal calls
            calls += 1
            super().touch(page, write)

    found = replay(np.arange(10_000) % 100, 100, Counting)
    assert (found.faults, calls) == (100, 9_900)
    assert issubclass(Counting, Policy)
