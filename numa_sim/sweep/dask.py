"""Dask's workers as an executor: the engine for sweeps beyond one machine (``pip install numa-sim[dask]``)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from numa_sim.errors import ConfigError

__all__ = ["dask_executor"]


@contextmanager
def dask_executor(address: str | None = None, workers: int = 2) -> Iterator[Executor]:
    """An executor of Dask's workers.

    Parameters
    ----------
    address : str, optional
        Scheduler, like ``tcp://10.0.0.1:8786``, or a file it wrote (``--scheduler-file``); else a cluster of
        processes on this machine, ended with the context.
    workers : int
        Processes of that cluster.

    Raises
    ------
    ConfigError
        If Dask is not installed or nobody answers at `address`.
    """
    try:
        import distributed
    except ImportError:
        raise ConfigError("--executor dask", "", "needs dask.distributed", ("pip install numa-sim[dask]",)) from None
    library: Any = distributed  # it has types for a part of itself only
    if address is not None:
        with _client(library.Client, address) as client:
            yield client.get_executor(pure=False)
        return
    quiet: dict[str, Any] = {"dashboard_address": None, "silence_logs": 50}
    # One thread each: a worker that dies takes one run along.
    with (
        library.LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, **quiet) as cluster,
        library.Client(cluster) as client,
    ):
        yield client.get_executor(pure=False)


def _client(make: Any, address: str) -> Any:
    try:
        if address.endswith(".json"):
            return make(scheduler_file=address, timeout=10)
        return make(address, timeout=10)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"--executor dask:{address}", "", f"no scheduler answers: {problem}") from None
