"""What must hold whatever the numbers: other units, another origin, another order."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numa_sim.errors import StatisticsError
from numa_sim.statistics import batch_means, compare, mean_interval, mser5, paired, precise_enough, quantile_interval

number = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
samples = st.lists(number, min_size=2, max_size=30)
scale = st.sampled_from([0.001, 0.5, 3.0, 1000.0])
quick = settings(max_examples=60, deadline=None, derandomize=True)


def near(value):
    return pytest.approx(value, rel=1e-9, abs=1e-6)


@quick
@given(samples, scale, number)
def test_means_follow_units_and_origin(values, factor, shift):
    one, other = mean_interval(values), mean_interval(np.multiply(values, factor) + shift)
    assert other.estimate == near(one.estimate * factor + shift)
    assert other.half_width == near(one.half_width * factor)


@quick
@given(samples)
def test_means_lie_in_their_intervals_and_confidence_widens_them(values):
    narrow, wide = mean_interval(values, 0.8), mean_interval(values, 0.99)
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high
    assert not wide.excludes(wide.estimate)


@quick
@given(samples, st.randoms(use_true_random=False))
def test_order_of_replicas_does_not_matter(values, chance):
    shuffled = chance.sample(values, len(values))
    assert mean_interval(shuffled).estimate == near(mean_interval(values).estimate)
    assert quantile_interval(shuffled, 0.5) == quantile_interval(values, 0.5)


@quick
@given(st.lists(st.tuples(number, number), min_size=2, max_size=20))
def test_comparisons_do_not_depend_on_who_comes_first(pairs):
    a, b = zip(*pairs, strict=True)
    one, other = paired(a, b), paired(b, a)
    assert one.difference.estimate == near(-other.difference.estimate)
    assert (one.difference.low, one.difference.high) == (near(-other.difference.high), near(-other.difference.low))
    assert one.p_value == near(other.p_value)
    assert compare(a, b, ("a", "b")).better == compare(b, a, ("b", "a")).better


@quick
@given(st.lists(st.tuples(number, st.floats(90, 110)), min_size=3, max_size=20))
def test_ratios_to_what_is_surely_not_zero_are_bounded(pairs):
    a, b = zip(*pairs, strict=True)
    ratio = paired(a, b).ratio
    assert math.isfinite(ratio.low)
    assert ratio.low <= ratio.estimate <= ratio.high


@quick
@given(st.integers(0, 1000), scale, st.integers(-1000, 1000))
def test_warm_up_and_batches_follow_units_and_origin(seed, factor, shift):
    noise = np.random.Generator(np.random.PCG64DXSM(seed)).normal(size=600)
    series = noise + 5 * np.exp(-np.arange(600) / 30)
    try:
        cut = mser5(series)
    except StatisticsError:
        cut = None
    assume(cut is not None)
    other = series * factor + shift
    assert mser5(other) == cut
    one, moved = batch_means(series[cut:]), batch_means(other[cut:])
    assert moved.interval.n == one.interval.n
    assert moved.interval.half_width == near(one.interval.half_width * factor)


@quick
@given(samples, st.sampled_from([0.001, 0.1, 10.0]))
def test_precision_is_relative(values, within):
    assert precise_enough(values, within, at_least=2) == precise_enough(np.multiply(values, 4.0), within, at_least=2)
    if precise_enough(values, within, at_least=2):
        assert precise_enough(values, 2 * within, at_least=2)


@quick
@given(samples, st.floats(0.05, 0.95))
def test_quantiles_are_samples_between_their_bounds(values, q):
    answer = quantile_interval(values, q)
    assert answer.estimate in values
    assert answer.low <= answer.estimate <= answer.high
