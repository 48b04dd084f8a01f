"""MSER-5 and batch means on series small enough to check by hand, and on what they must refuse."""

import math

import numpy as np
import pytest

from numa_sim.errors import StatisticsError
from numa_sim.statistics import batch_means, batch_ratio, mean_interval, mser5


def by_definition(values):
    """The rule as White states it, batch by batch; None for no steady state."""
    means = [float(np.mean(values[i : i + 5])) for i in range(0, len(values) // 5 * 5, 5)]
    errors = []
    for cut in range(len(means) - 5):
        rest = means[cut:]
        average = sum(rest) / len(rest)
        errors.append(sum((mean - average) ** 2 for mean in rest) / len(rest) ** 2)
    best = errors.index(min(errors))
    return 5 * best if 2 * best <= len(means) else None


@pytest.mark.parametrize("seed", range(20))
def test_mser5_is_its_definition(seed):
    rng = np.random.Generator(np.random.PCG64DXSM(seed))
    values = rng.normal(1e6 * (seed % 3), 1, 50 + 11 * seed) + 8 * np.exp(-np.arange(50 + 11 * seed) / 20)
    expected = by_definition(values)
    if expected is None:
        with pytest.raises(StatisticsError, match="no steady state"):
            mser5(values)
    else:
        assert mser5(values) == expected


@pytest.mark.parametrize("value", [0, 0.1, 7, 1e15])
def test_a_constant_series_has_no_warm_up(value):
    assert mser5([value] * 123) == 0


def test_a_step_is_cut_where_it_is():
    values = np.concatenate([np.full(35, 100.0), np.tile([1.0, 2.0], 100)])
    assert mser5(values) == 35


def test_a_late_change_is_no_steady_state():
    values = np.concatenate([np.tile([1.0, 2.0], 100), np.tile([100.0, 101.0], 75)])
    with pytest.raises(StatisticsError, match="series: no steady state in 350 values: the standard error"):
        mser5(values)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "series: is empty, 50 values needed at least"),
        ([1] * 49, "series: has 49 of the 50 values needed at least"),
        ([1] * 60 + [math.nan], "series: value 60 is nan"),
        (np.ones((10, 10)), "series: must have one dimension"),
    ],
)
def test_mser5_refuses_what_is_no_series(series, message):
    with pytest.raises(StatisticsError, match=message):
        mser5(series)


def test_batch_means_are_means_of_batches():
    answer = batch_means([100, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], batches=4)  # the 100 fills no batch
    assert answer.interval == mean_interval([2, 5, 8, 11])
    assert answer.batch_size == 3
    assert answer.lag1 == pytest.approx((4.5 * 1.5 - 1.5 * 1.5 + 1.5 * 4.5) / 45)


def test_independent_values_are_put_into_the_most_batches():
    values = np.random.Generator(np.random.PCG64DXSM(1)).normal(size=3200)
    answer = batch_means(values)
    assert (answer.interval.n, answer.batch_size, answer.independent) == (32, 100, True)
    assert "too narrow" not in repr(answer)


def test_correlated_values_are_put_into_fewer_and_larger_batches():
    i = np.arange(3200)
    noise = np.random.Generator(np.random.PCG64DXSM(2)).normal(size=3200)
    slow = np.repeat(np.random.Generator(np.random.PCG64DXSM(5)).normal(size=8), 400)
    answer = batch_means(noise + 10 * slow + 0 * i)
    assert answer.interval.n == 8
    assert answer.independent


def test_a_trend_is_never_called_independent():
    answer = batch_means(np.arange(1000))
    assert not answer.independent
    assert answer.lag1 > 0.5
    assert "too narrow: neighbouring batches are correlated" in repr(answer)


def test_a_constant_series_has_an_interval_of_width_zero():
    answer = batch_means([0.1] * 100)
    assert (answer.interval.half_width, answer.lag1, answer.independent) == (0, 0, True)


@pytest.mark.parametrize("batches", [0, 1, -3, 2.0, True, "8"])
def test_what_is_no_number_of_batches_is_refused(batches):
    with pytest.raises(StatisticsError, match="batches: must be a whole number of at least 2"):
        batch_means(range(100), batches=batches)


@pytest.mark.parametrize(("n", "batches"), [(7, None), (3, 4)])
def test_fewer_values_than_batches_are_refused(n, batches):
    with pytest.raises(StatisticsError, match=f"series: has {n} of the {batches or 8} values needed"):
        batch_means(range(n), batches=batches)


def test_a_ratio_of_series_is_that_of_their_sums():
    rng = np.random.Generator(np.random.PCG64DXSM(3))
    accesses = rng.integers(1, 100, 640)
    spent = 90 * accesses + rng.normal(0, 50, 640)
    answer = batch_ratio(spent, accesses)
    assert answer.interval.estimate == pytest.approx(spent.sum() / accesses.sum())
    assert (answer.interval.n, answer.batch_size) == (32, 20)
    assert not answer.interval.excludes(90)
    assert answer.interval.half_width < batch_means(spent / accesses).interval.half_width


def test_a_constant_ratio_is_certain():
    accesses = np.random.Generator(np.random.PCG64DXSM(3)).integers(1, 100, 64)
    assert batch_ratio(0.1 * accesses, accesses).interval.half_width == 0


@pytest.mark.parametrize(
    ("above", "below", "message"),
    [
        ([1] * 10, [1] * 9, "denominator: has 9 values and the numerator has 10"),
        ([1] * 10, [0] * 10, "denominator: its sum is 0"),
        ([1] * 3, [1] * 3, "series: has 3 of the 8 values needed"),
        (list(range(16)), [1, -1] * 7 + [1, 0], "its mean may be 0"),
    ],
)
def test_what_is_no_ratio_is_refused(above, below, message):
    with pytest.raises(StatisticsError, match=message):
        batch_ratio(above, below)
