"""Series with known means: the M/M/1 queue and a first-order autoregression."""

import numpy as np

REPLICATIONS = 1000


def chance(seed=18):
    return np.random.Generator(np.random.PCG64DXSM(seed))


def waiting_times(rng, n, load, first=0.0):
    """Waiting times of `n` customers of an M/M/1 queue that is empty at first (Lindley's recursion).

    Customers arrive once a unit of time; `first` is how much work waits when the first one has been served.
    """
    steps = rng.exponential(load, n) - rng.exponential(1.0, n)
    steps[0] += first
    walk = np.concatenate(([0.0], np.cumsum(steps[:-1])))
    return walk - np.minimum.accumulate(np.minimum(walk, 0))


def mean_wait(load):
    """Mean waiting time of a customer (Pollaczek and Khinchine)."""
    return load * load / (1 - load)


def autoregressions(rng, n, phi, replications=REPLICATIONS):
    """Replications of x[i] = phi x[i-1] + noise, begun in equilibrium: float64 [replications, n], mean 0."""
    x = rng.normal(size=(n, replications))
    x[0] /= np.sqrt(1 - phi * phi)
    for i in range(1, n):
        x[i] += phi * x[i - 1]
    return x.T
