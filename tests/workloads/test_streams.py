"""Random streams by name."""

import numpy as np

from numa_sim.workloads.streams import Draws, stream, words


def test_known_values_never_change():
    """A change here changes every result ever reported for a seed."""
    assert words("a")[0] == 0x1281_97CA  # SHA-256 of "a" begins ca978112
    assert stream(7, "task/db/touch 1").integers(1 << 62, size=2).tolist() == [3587211396612056568, 1786959318577423067]


def test_streams_are_independent_of_each_other():
    alone = stream(1, "x").random(100)
    other = stream(1, "y")
    other.random(1000)
    assert np.array_equal(stream(1, "x").random(100), alone)
    assert not np.array_equal(stream(1, "y").random(100), alone)
    assert not np.array_equal(stream(2, "x").random(100), alone)


def test_draws_follow_the_generator():
    draws = Draws(stream(3, "x"))
    taken = []
    for _ in range(3):
        draws.ready()
        taken.append(draws.block[draws.at :].copy())
        draws.at = Draws.SIZE
    assert np.array_equal(np.concatenate(taken), stream(3, "x").random(3 * Draws.SIZE))
