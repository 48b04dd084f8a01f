"""Sweeps: designs of runs with replicas, run by any executor, resumable, and collected into one table.

`run_sweep` makes every run of a configuration's ``[sweep]`` table that is not in the sweep's folder yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numa_sim.sweep.again import SweepReproduction, reproduce_sweep
    from numa_sim.sweep.processes import ProcessExecutor, SerialExecutor
    from numa_sim.sweep.runner import SweepOutcome, run_sweep
    from numa_sim.sweep.shards import Shard
    from numa_sim.sweep.status import SweepStatus, sweep_status

__all__ = [
    "ProcessExecutor",
    "SerialExecutor",
    "Shard",
    "SweepOutcome",
    "SweepReproduction",
    "SweepStatus",
    "reproduce_sweep",
    "run_sweep",
    "sweep_status",
]

_HOMES = {
    "ProcessExecutor": "processes",
    "SerialExecutor": "processes",
    "Shard": "shards",
    "SweepOutcome": "runner",
    "SweepReproduction": "again",
    "SweepStatus": "status",
    "reproduce_sweep": "again",
    "run_sweep": "runner",
    "sweep_status": "status",
}


def __getattr__(name: str) -> Any:
    """Import the wanted name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
