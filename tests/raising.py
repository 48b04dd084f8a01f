"""What another process can be asked to do: raise an error."""

from collections.abc import Iterator
from typing import Any

import simpy

from numa_sim.errors import NumaSimError


def raise_it(error: NumaSimError) -> None:
    """Raise `error`."""
    raise error


def raise_in_simpy(error: NumaSimError) -> None:
    """Have a SimPy process raise `error`, for which nobody waits."""

    def process(env: simpy.Environment) -> Iterator[Any]:
        yield env.timeout(1)
        raise error

    env = simpy.Environment()
    env.process(process(env))
    env.run()
