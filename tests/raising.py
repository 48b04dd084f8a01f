"""What another process can be asked to do: raise an error."""

from numa_sim.errors import NumaSimError


def raise_it(error: NumaSimError) -> None:
    """Raise `error`."""
    raise error
