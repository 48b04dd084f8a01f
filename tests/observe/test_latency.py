"""Time attribution: sums are exact, and a part that is missing or counted twice is noticed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import small_kernel

from numa_sim.errors import InvariantViolation
from numa_sim.observe.latency import check_sums, pair_rows, run_ns, task_parts
from numa_sim.state.constants import TASK_DEAD, TASK_RUNNING
from numa_sim.state.counters import TIME_PARTS

K = small_kernel()


def set_task(parts, start_ns, state, end_ns):
    task = K.tasks[2]
    task.start_ns, task.state, task.end_ns = start_ns, state, end_ns
    K.time_parts[2] = parts


parts = st.lists(st.integers(0, 10**12), min_size=len(TIME_PARTS), max_size=len(TIME_PARTS))


@settings(max_examples=50, deadline=None)
@given(parts, st.integers(0, 10**9), st.integers(0, len(TIME_PARTS) - 1), st.integers(-5, 5))
def test_sums_are_checked_to_the_nanosecond(values, start_ns, where, error_ns):
    total = sum(values)
    set_task(values, start_ns, TASK_DEAD, start_ns + total)
    check_sums(K, [2], end_ns=10**15)
    assert sum(task_parts(K, 2).values()) == run_ns(K, 2, 10**15) == total
    K.time_parts[2, where] += error_ns
    if error_ns:
        with pytest.raises(InvariantViolation, match="task 2"):
            check_sums(K, [2], end_ns=10**15)


def test_a_running_task_counts_to_the_end_of_the_run():
    set_task([3] + [0] * (len(TIME_PARTS) - 1), 10, TASK_RUNNING, 0)
    check_sums(K, [2], end_ns=13)
    with pytest.raises(InvariantViolation, match=r"ran 4 ns, its parts sum to 3 ns \(-1\)"):
        check_sums(K, [2], end_ns=14)


def test_negative_parts_are_refused_even_if_the_sum_is_right():
    set_task([-1, 6] + [0] * (len(TIME_PARTS) - 2), 0, TASK_DEAD, 5)
    with pytest.raises(InvariantViolation, match="compute"):
        check_sums(K, [2], end_ns=5)


def test_pairs_leave_out_those_without_traffic():
    k = small_kernel()
    pair = k.traffic[1, 0]
    pair.accesses, pair.lines, pair.latency_ns, pair.queue_ns = 3, 6, 400, 1
    assert pair_rows(k) == [
        {
            "cpu_node": 1, "memory_node": 0, "accesses": 3, "lines": 6, "latency_ns": 400, "queue_ns": 1,
            "mean_latency_ns": 133.667, "mean_queue_ns": 0.333,
        }
    ]  # fmt: skip
