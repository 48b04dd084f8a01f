"""Honest numbers from simulations: means with intervals, warm-up removed, configurations compared.

Every function is pure and takes array-likes: samples (one value per replica) or series (one value per step of a run).
scipy is imported when it is first needed.

========================  ====================================================================================
`mean_interval`           mean of replicas, with Student's interval
`precise_enough`          whether more replicas are needed
`mser5`                   where the warm-up of a series ends
`batch_means`             mean of one long, correlated series, with an interval
`batch_ratio`             ratio of two such series, like time per access
`paired`, `compare`       two configurations under common random numbers
`quantile_interval`       a percentile, with an interval that assumes no distribution
`bootstrap_interval`      any other statistic
`ratio_interval`          ratio of two means
`permutation_p`           how often chance alone would give such a difference
========================  ====================================================================================
"""

from numa_sim.statistics.interval import Interval, mean_interval, precise_enough
from numa_sim.statistics.pairs import Comparison, Paired, compare, paired, permutation_p, ratio_interval
from numa_sim.statistics.quantiles import bootstrap_interval, quantile_interval
from numa_sim.statistics.steady import BatchMeans, batch_means, batch_ratio, mser5

__all__ = [
    "BatchMeans",
    "Comparison",
    "Interval",
    "Paired",
    "batch_means",
    "batch_ratio",
    "bootstrap_interval",
    "compare",
    "mean_interval",
    "mser5",
    "paired",
    "permutation_p",
    "precise_enough",
    "quantile_interval",
    "ratio_interval",
]
