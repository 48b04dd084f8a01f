"""Badness, the choice of a victim, and when out_of_memory kills at all."""

import pytest

from numa_sim.compiled import entry
from numa_sim.kernel import oom_kill
from numa_sim.state.constants import NIL, PF_MEMDIE, TASK_RUNNING
from numa_sim.state.counters import OOM_KILL, PART_COMPUTE, PART_SWAP_WAIT
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

_int_sqrt = entry(oom_kill.int_sqrt)
_badness = entry(oom_kill.badness)
_oom_kill = entry(oom_kill.oom_kill)
_out_of_memory = entry(oom_kill.out_of_memory)
SECOND = oom_kill.SECOND_NS


def machine(*total_vm: int) -> Kernel:
    """One task per entry, from task 2 on, each with its own mm of that many pages."""
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=1, tables=1, io_ring=1))
    for n, pages in enumerate(total_vm):
        task = k.tasks[2 + n]
        task.state, task.mm, k.mms[1 + n].total_vm = TASK_RUNNING, 1 + n, pages
    return k


@pytest.mark.parametrize(
    ("x", "root"),
    [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (8, 2), (9, 2), (15, 3), (16, 3), (25, 5), (64, 6), (100, 9), (1000, 31),
     (4096, 48), (65536, 192)],
)  # fmt: skip
def test_the_rough_square_root(x: int, root: int) -> None:  # spec B.7
    assert _int_sqrt(x) == root


def test_badness_counts_size_age_nice_and_privileges() -> None:
    k = machine(1000, 1000, 1000, 1000)
    k.tasks[3].nice = 5
    k.tasks[4].root = k.tasks[4].rawio = 1
    k.time_parts[5, PART_SWAP_WAIT] = 10**15
    k.time_parts[5, PART_COMPUTE] = 100 * (1 << 10) * 10_000_000
    assert [_badness(k, t) for t in range(2, 6)] == [1000, 2000, 62, 1000 // 9]
    k.tasks[3].flags |= PF_MEMDIE
    assert _badness(k, 3) == 0


def calls(k: Kernel, times_s: list[float]) -> list[int]:
    found = []
    for time_s in times_s:
        k.vm[0].now_ns = int(time_s * SECOND)
        found.append(int(_out_of_memory(k)))
    return found


@pytest.mark.row("X-09")
def test_a_kill_needs_a_second_of_ten_failures_and_five_seconds_since_the_last() -> None:
    k = machine(10, 500, 499)
    start = [100.0]  # a long pause before: a new series begins
    assert calls(k, start + [100.1 + n / 100 for n in range(80)]) == [NIL] * 81  # not yet a second
    assert calls(k, [101 + n / 100 for n in range(10)]) == [NIL] * 9 + [3]
    assert k.tasks[3].killed == 1
    assert k.tasks[3].flags & PF_MEMDIE
    assert k.vm[0].oom_victim == 3
    assert k.vmstat[0, OOM_KILL] == 1
    # The next series kills only once the victim has had five seconds; it is never chosen twice.
    assert set(calls(k, [102 + n / 10 for n in range(38)])) == {NIL}
    assert 4 in calls(k, [106 + n / 10 for n in range(20)])


def test_everybody_who_shares_the_victims_memory_dies_with_it() -> None:
    """Else its pages would stay: they go with the last user."""
    k = machine(10, 500, 20, 30)
    k.tasks[4].mm = k.tasks[3].mm
    k.vm[0].now_ns = 100 * SECOND
    assert _oom_kill(k) == 3
    assert [int(k.tasks[t].killed) for t in range(2, 6)] == [0, 1, 1, 0]
    assert [bool(k.tasks[t].flags & PF_MEMDIE) for t in range(2, 6)] == [False, True, True, False]


def test_nothing_is_killed_while_swap_is_free_and_nobody_left_is_said() -> None:
    k = machine(10)
    k.vm[0].nr_swap_pages = 1
    assert set(calls(k, [100 + n / 10 for n in range(40)])) == {NIL}
    k = machine()
    assert oom_kill.OOM_NOBODY in calls(k, [100 + n / 10 for n in range(40)])
