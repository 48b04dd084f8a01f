"""Configurations compared with common random numbers."""

import math
from itertools import product

import numpy as np
import pytest
from statistics_series import chance
from sweep_folders import BASE, with_value

from numa_sim.config.model import Config
from numa_sim.errors import StatisticsError
from numa_sim.processes.machine import Machine
from numa_sim.results.summary import summarise
from numa_sim.statistics import bootstrap_interval, compare, mean_interval, paired, permutation_p, quantile_interval

A, B = [10.0, 12.0, 9.0, 15.0, 11.0], [8.0, 11.0, 8.5, 12.0, 10.0]


def test_the_interval_of_a_difference_is_that_of_the_differences():
    answer = paired(A, B)
    assert answer.difference == mean_interval(np.subtract(A, B))
    assert answer.variance_reduction == pytest.approx(
        (np.var(A, ddof=1) + np.var(B, ddof=1)) / np.var(np.subtract(A, B), ddof=1)
    )


def test_p_value_is_that_of_the_paired_test():
    from scipy.stats import ttest_rel

    assert paired(A, B).p_value == pytest.approx(ttest_rel(A, B).pvalue, rel=1e-12)


def test_fiellers_interval_solves_its_equation():
    """Where the interval ends, the mean of a - r b is just significantly different from 0."""
    ratio = paired(A, B).ratio
    assert ratio.estimate == pytest.approx(np.mean(A) / np.mean(B))
    for end in (ratio.low, ratio.high):
        rest = mean_interval(np.array(A) - end * np.array(B))
        assert abs(rest.estimate) == pytest.approx(rest.half_width, rel=1e-9)


def test_a_ratio_to_what_may_be_zero_has_no_interval():
    assert paired(A, [1, -1, 2, -2, 0.5]).ratio is None
    assert paired([1], [0]).ratio is None


def test_one_pair_says_nothing_about_the_spread():
    answer = paired([3], [2])
    assert answer.difference.half_width == math.inf
    assert answer.ratio.half_width == math.inf
    assert (answer.p_value, answer.variance_reduction) == (1, 1)
    assert compare([3], [2]).better is None


def test_a_constant_difference_is_certain():
    answer = paired([2, 3, 5], [1, 2, 4])
    assert (answer.difference.low, answer.difference.high, answer.p_value) == (1, 1, 0)
    assert answer.variance_reduction == math.inf
    equal = paired([2, 2], [2, 2])
    assert (equal.variance_reduction, equal.p_value) == (1, 1)


def test_better_is_named_only_if_the_difference_shows():
    assert compare(A, B, ("old", "new")).better == "new"
    assert compare(A, B, ("old", "new"), prefer="higher").better == "old"
    assert compare(B, A, ("old", "new")).better == "old"
    unclear = compare(A, [*B[:4], 19.0])
    assert unclear.better is None
    assert "no difference shown; a - b: difference" in repr(unclear)
    assert repr(compare(A, B, ("old", "new"))).startswith("new is better; old - new: difference 1.5")


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, 2], [1, 2, 3], "b: has 3 values and a has 2; they are compared in pairs"),
        ([], [], "a: is empty"),
        ([1, 2], [1, math.nan], "b: value 1 is nan"),
    ],
)
def test_what_is_no_pair_of_samples_is_refused(a, b, message):
    for function in (paired, compare, permutation_p):
        with pytest.raises(StatisticsError, match=message):
            function(a, b)


def test_what_is_no_preference_is_refused():
    with pytest.raises(StatisticsError, match="prefer: must be lower or higher, not 'more'"):
        compare(A, B, prefer="more")


def test_permutations_of_few_pairs_are_all_tried():
    differences = np.subtract(A, B)
    flipped = [np.dot(signs, differences) for signs in product((-1, 1), repeat=5)]
    at_least = sum(abs(total) >= differences.sum() - 1e-9 for total in flipped)
    assert permutation_p(A, B) == pytest.approx(at_least / 32)
    assert permutation_p([1, 2], [1, 2]) == 1


def test_common_random_numbers_reduce_variance_in_a_monotone_system():
    """R18: mean wait of two queues with the same customers; the second server is a tenth quicker."""
    rng = chance()
    arrivals, services = rng.exponential(1.0, (200, 400)), rng.exponential(0.7, (200, 400))

    def mean_waits(services):
        walk = np.cumsum(services - arrivals, axis=1)
        return (walk - np.minimum.accumulate(np.minimum(walk, 0), axis=1)).mean(1)

    slow, quick = mean_waits(services), mean_waits(0.9 * services)
    answer = paired(slow, quick)
    assert answer.variance_reduction > 5
    assert answer.difference.low > 0
    unpaired = paired(slow, chance(19).permutation(quick))
    assert unpaired.difference.half_width > 2 * answer.difference.half_width


def test_common_random_numbers_reduce_variance_between_two_machines():
    """R18: replicas of one number draw the same accesses on both machines, so that their faults vary together."""

    def major_faults(memory, seed):
        config = with_value(with_value(BASE, "machine.memory_per_node", memory), "run.seed", seed)
        summary = summarise(Machine(Config.of(**config)).run_to_end())
        return summary["totals"]["vmstat"]["pgmajfault"]

    small, large = ([major_faults(memory, seed) for seed in range(6)] for memory in ("8MiB", "9MiB"))
    answer = compare(small, large, ("8 MiB", "9 MiB"))
    assert answer.better == "9 MiB"
    assert answer.paired.variance_reduction > 1.5


def test_quantiles_lie_between_order_statistics():
    # Median of 10: between the 2nd and the 9th, 97.9 % (Conover, Practical Nonparametric Statistics)
    answer = quantile_interval(range(1, 11), 0.5)
    assert (answer.estimate, answer.low, answer.high) == (5, 2, 9)


def test_a_high_percentile_of_few_samples_has_no_upper_bound():
    assert quantile_interval(range(367), 0.99).high == math.inf
    assert quantile_interval(range(368), 0.99).high == 367
    assert quantile_interval([3], 0.5) == quantile_interval([3], 0.4)
    assert (quantile_interval([3], 0.5).low, quantile_interval([3], 0.5).high) == (-math.inf, math.inf)


@pytest.mark.parametrize("q", [0, 1, 99, math.nan])
def test_what_is_no_quantile_is_refused(q):
    with pytest.raises(StatisticsError, match="q: must be between 0 and 1"):
        quantile_interval([1, 2, 3], q)


def test_the_bootstrap_gives_the_same_interval_for_the_same_seed():
    samples = chance().exponential(1.0, 60)
    first, again = (bootstrap_interval(samples, np.median, resamples=999) for _ in range(2))
    assert first == again
    assert first.low < first.estimate < first.high
    assert first != bootstrap_interval(samples, np.median, resamples=999, rng=1)


def test_the_bootstrap_of_a_mean_is_near_students_interval():
    samples = chance().normal(5.0, 1.0, 100)
    student, resampled = mean_interval(samples), bootstrap_interval(samples, np.mean, resamples=1999)
    assert resampled.low == pytest.approx(student.low, abs=0.05)
    assert resampled.high == pytest.approx(student.high, abs=0.05)


def test_the_bootstrap_knows_its_limits():
    assert bootstrap_interval([2, 2, 2], np.mean).half_width == 0
    with pytest.raises(StatisticsError, match="samples: has 1 of the 2 values needed"):
        bootstrap_interval([2], np.mean)
    with pytest.raises(StatisticsError, match="statistic: has no bootstrap interval"):
        bootstrap_interval([1, 2, 3, 4], lambda values, axis=-1: np.zeros(np.shape(values)[:-1]), resamples=99)
