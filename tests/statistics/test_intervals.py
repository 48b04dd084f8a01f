"""Means of replicas with intervals: against tables and formulas, and against what cannot be answered."""

import math

import numpy as np
import pytest

from numa_sim.errors import StatisticsError
from numa_sim.statistics import Interval, mean_interval, precise_enough


def test_interval_of_the_mean_is_the_textbooks():
    # NIST/SEMATECH e-Handbook, 1.3.5.2: t of 95 % and 4 degrees of freedom is 2.776
    answer = mean_interval([9, 10, 11, 12, 13])
    assert answer.estimate == 11
    assert answer.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)
    assert (answer.n, answer.confidence) == (5, 0.95)
    assert mean_interval([9, 10, 11, 12, 13], 0.99).half_width == pytest.approx(4.604095 * math.sqrt(0.5), rel=1e-6)


def test_one_sample_has_no_interval_and_says_so():
    answer = mean_interval([7])
    assert (answer.estimate, answer.low, answer.high) == (7, -math.inf, math.inf)
    assert answer.half_width == math.inf
    assert not answer.excludes(1e300)
    assert repr(answer) == "7 (no interval, n = 1)"


@pytest.mark.parametrize("value", [0, 0.1, -3, 1e300, 2**53 + 2])
def test_equal_samples_have_an_interval_of_width_zero(value):
    answer = mean_interval([value] * 7)
    assert (answer.estimate, answer.low, answer.high) == (value, value, value)
    assert answer.relative_half_width == 0
    assert answer.excludes(np.nextafter(value, math.inf))


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(12.3456, 11.9333, 12.7579, 10), "12.35 ± 0.41 (95 %, n = 10)"),
        (Interval(12, 11.2, 12.8, 3, 0.999), "12.00 ± 0.80 (99.9 %, n = 3)"),
        (Interval(1234567, 1222222, 1246912, 5), "1 235 000 ± 12 000 (95 %, n = 5)"),
        (Interval(10, 0.04, 19.96, 5), "10 ± 10 (95 %, n = 5)"),
        (Interval(-0.001, -1.001, 0.999, 5), "0.0 ± 1.0 (95 %, n = 5)"),
        (Interval(0.1, 0.1, 0.1, 2), "0.1 ± 0 (95 %, n = 2)"),
        (Interval(4960, 4960, 4960, 3), "4 960 ± 0 (95 %, n = 3)"),
        (Interval(1e6, -math.inf, math.inf, 1), "1 000 000 (no interval, n = 1)"),
        (Interval(math.nan, -math.inf, math.inf, 0), "nan (no interval, n = 0)"),
        (Interval(4.4, 3.91, 5.52, 1000), "4.40 (3.91 to 5.52) (95 %, n = 1000)"),
        (Interval(4.4, 3.91, math.inf, 20), "4.4 (3.91 to inf) (95 %, n = 20)"),
        (Interval(4e-12, 3.8e-12, 4.2e-12, 9), "4e-12 ± 2e-13 (95 %, n = 9)"),
    ],
)
def test_intervals_are_shown_with_two_digits_of_their_half_width(interval, text):
    assert repr(interval) == text


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "samples: is empty, 1 value needed at least"),
        ([1, math.nan, 2], "samples: value 1 is nan, not a finite number"),
        ([1, 2, math.inf], "samples: value 2 is inf, not a finite number"),
        ([[1, 2], [3, 4]], "samples: must have one dimension, not the shape (2, 2)"),
        (3, "samples: must have one dimension, not the shape ()"),
        (["1", "2"], "samples: must be numbers"),
        ([1, [2, 3]], "samples: must be numbers"),
        ([1j], "samples: must be numbers"),
        ([None, 1.0], "samples: value 0 is nan, not a finite number"),
        ([{}, 1.0], "samples: must be numbers"),
    ],
)
def test_what_is_no_sample_is_refused_in_one_line(samples, message):
    with pytest.raises(StatisticsError) as refusal:
        mean_interval(samples)
    assert str(refusal.value) == message


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, math.nan, "0.95", None, True])
def test_what_is_no_confidence_is_refused(confidence):
    with pytest.raises(StatisticsError, match="confidence: must be between 0 and 1"):
        mean_interval([1, 2, 3], confidence)


def test_precise_enough_compares_the_half_width_with_the_mean():
    samples = [9, 10, 11, 12, 13]  # 11 ± 1.963: 17.8 %
    assert precise_enough(samples, within=0.18)
    assert not precise_enough(samples, within=0.17)
    assert precise_enough([-x for x in samples], within=0.18)
    assert not precise_enough(samples, within=0.18, confidence=0.99)


def test_precise_enough_wants_a_few_samples_first():
    assert not precise_enough([], within=0.1)
    assert not precise_enough([5, 5, 5, 5], within=0.1)
    assert precise_enough([5, 5, 5], within=0.1, at_least=3)
    assert not precise_enough([5], within=0.1, at_least=1)


def test_a_mean_of_zero_is_never_precise_unless_all_samples_are_zero():
    assert not precise_enough([-1, 1, -1, 1, 0], within=1e6)
    assert precise_enough([0] * 5, within=0.01)


@pytest.mark.parametrize("within", [0, -0.1, math.nan, math.inf, "5%", True])
def test_what_is_no_precision_is_refused(within):
    with pytest.raises(StatisticsError, match="within: must be a positive number"):
        precise_enough([1, 2, 3, 4, 5], within)
