"""The sampler reads the right numbers, quickly, and changes nothing."""

import time

import numpy as np
import pytest
from synthetic_run import FRAMES, play, small_kernel

from numa_sim.errors import InvariantViolation
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.observe.sampler import CPU_COLUMNS, NODE_COLUMNS, SWAP_COLUMNS, TimeSeries
from numa_sim.state.constants import NR_ZONES, ZONE_HIGHMEM, ZONE_NORMAL
from numa_sim.state.counters import PGFAULT, VMSTAT
from numa_sim.state.kernel import ARRAYS


def value(series: TimeSeries, name: str, row: int = -1) -> int:
    return int(series.nodes.column(name)[row])


def test_one_row_per_sample_and_node_area_cpu():
    k = small_kernel(nodes=3, cpus=6, areas=2)
    series = TimeSeries(k, capacity=1)
    for t_ns in (0, 10, 30):
        series.sample(t_ns)
    assert series.nodes.column("t_ns").tolist() == [0, 0, 0, 10, 10, 10, 30, 30, 30]
    assert series.nodes.column("node").tolist() == [0, 1, 2] * 3
    assert series.swap.rows.shape == (6, len(SWAP_COLUMNS))
    assert series.cpus.rows.shape == (18, len(CPU_COLUMNS))
    assert series.cpus.column("node").tolist() == [0, 0, 1, 1, 2, 2] * 3
    assert len(series) == 3
    assert series.nodes.rows.dtype == np.int64


def test_values_are_those_of_the_state():
    k = small_kernel()
    zones = k.zones
    zones[NR_ZONES + ZONE_NORMAL].free_pages = 100
    # A NORMAL page counts in NORMAL and HIGHMEM: the node's total must not count it twice.
    zones[NR_ZONES + ZONE_NORMAL].nr_active_pages = zones[NR_ZONES + ZONE_HIGHMEM].nr_active_pages = 40
    k.vmstat[1, PGFAULT] = 7
    k.traffic[1, 1].accesses, k.traffic[1, 0].accesses = 5, 3
    k.traffic[1, 0].queue_ns = 11
    k.swap_info[1].inuse_pages = 9
    k.cpus[3].busy_ns = 123
    series = TimeSeries(k)
    series.sample(5)
    assert value(series, "free_pages") == 100
    assert value(series, "used_pages") == FRAMES - 100
    assert value(series, "active_pages") == 40
    assert value(series, "pgfault") == 7
    assert [value(series, f"accesses_{way}") for way in ("local", "remote")] == [5, 3]
    assert [value(series, "accesses_served", row) for row in (0, 1)] == [3, 5]
    assert value(series, "queue_ns") == 11
    assert series.swap.column("used_pages").tolist() == [0, 9]
    assert series.cpus.column("busy_ns").tolist() == [0, 0, 0, 123]


def test_every_counter_has_a_column_of_its_own():
    k = small_kernel()
    k.vmstat[:] = np.arange(k.vmstat.size).reshape(k.vmstat.shape) + 1000
    series = TimeSeries(k)
    series.sample(0)
    for i, name in enumerate(VMSTAT):
        assert value(series, name, 0) == k.vmstat[0, i]
        assert value(series, name, 1) == k.vmstat[1, i]
    names = [column.name for column in NODE_COLUMNS]
    assert len(set(names)) == len(names)
    with pytest.raises(KeyError):
        series.nodes.column("no such counter")


def test_a_second_sample_of_an_instant_replaces_the_first():
    k = small_kernel()
    series = TimeSeries(k)
    series.sample(0)
    series.sample(10)
    k.vmstat[0, PGFAULT] = 3
    series.sample(10)
    assert series.nodes.column("t_ns").tolist() == [0, 0, 10, 10]
    assert series.nodes.column("pgfault").tolist() == [0, 0, 3, 0]
    assert len(series.swap) == 4
    assert len(series.cpus) == 8


def test_time_does_not_go_back():
    series = TimeSeries(small_kernel())
    series.sample(10)
    with pytest.raises(InvariantViolation, match="last sample was at 10 ns"):
        series.sample(9)


def test_interval_means_are_differences():
    k = small_kernel()
    series = TimeSeries(k)
    series.sample(0)
    pair = k.traffic[0, 1]
    pair.accesses, pair.latency_ns, pair.queue_ns = 10, 1000, 50
    series.sample(1)
    pair.accesses, pair.latency_ns, pair.queue_ns = 14, 1400, 90
    series.sample(2)
    series.sample(3)
    latency, queue, known = series.interval_means()
    assert latency[::2].tolist() == [0, 105, 110, 0]
    assert queue[::2].tolist() == [0, 5, 10, 0]
    assert known.tolist() == [False, False, True, False, True, False, False, False]


def test_sampling_changes_nothing():
    k, watched = small_kernel(), small_kernel()
    play(k, TimeSeries(k), samples=20)
    series = TimeSeries(watched)
    play(watched, series, samples=20)
    arrays = [getattr(watched, name) for name in ARRAYS]
    before = [array.tobytes() for array in arrays]
    hashes = event_hash(watched), state_hash(watched)
    for t_ns in range(series.t_ns, series.t_ns + 50):
        series.sample(t_ns)
    assert [array.tobytes() for array in arrays] == before
    assert hashes == (event_hash(watched), state_hash(watched)) == (event_hash(k), state_hash(k))


def test_rows_cannot_be_written():
    series = TimeSeries(small_kernel())
    series.sample(0)
    with pytest.raises(ValueError, match="read-only"):
        series.nodes.rows[0, 0] = 1
    series.sample(1)  # the sampler itself still can


def test_a_sample_is_cheap():
    series = TimeSeries(small_kernel(nodes=4, cpus=16, areas=2))
    best_us = 1e9
    for start in range(0, 2000, 100):
        begin = time.perf_counter()
        for t_ns in range(start, start + 100):
            series.sample(t_ns)
        best_us = min(best_us, (time.perf_counter() - begin) / 100 * 1e6)
    assert best_us < 100  # about 25 us on a quiet host
