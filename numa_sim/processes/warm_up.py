"""Compiling everything at once, so that no later run stops for it."""

from __future__ import annotations

from typing import Any

__all__ = ["warm_up"]

_MACHINE: dict[str, Any] = {
    "machine": {
        "nodes": [{"memory": "8MiB", "cpus": "0-1"}, {"memory": "8MiB", "cpus": "2-3"}],
        "distances": [[10, 21], [21, 10]],
        "disk": [{"device": "hdd", "name": "sda", "size": "8MiB"}],
        "swap": [{"device": "zram", "size": "4MiB", "priority": 5}, {"device": "nvme", "size": "256MiB"}],
        "file": [{"name": "file", "size": "1MiB", "disk": "sda"}],
    },
    "workload": [
        {
            "name": "files",
            "program": [
                {"op": "open", "file": "file", "as": "file"},
                {"op": "read", "on": "file", "size": "4KiB", "pattern": {"kind": "sequential"}},
                {"op": "write", "on": "file", "size": "1MiB"},
                {"op": "mmap", "as": "map", "file": "file", "shared": True},
                {"op": "touch", "on": "map", "pattern": {"kind": "sequential"}, "accesses": 256, "write": 1.0},
                {"op": "msync", "on": "map"},
                {"op": "truncate", "on": "file", "size": "5000B"},
                {"op": "close", "on": "file"},
                {"op": "sleep", "for": "6s"},
            ],
        },
        *(
            {
                "name": kind,
                "count": 2,
                "program": [
                    {"op": "mmap", "as": "heap", "size": "12MiB"},
                    {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 3072, "write": 0.5},
                    {"op": "touch", "on": "heap", "pattern": {"kind": kind, **more}, "accesses": 500, "write": 0.5},
                    {"op": "munmap", "on": "heap"},
                    {"op": "sleep", "for": "1us"},
                ],
            }
            for kind, more in (
                ("strided", {"stride": 3}),
                ("uniform", {}),
                ("zipf", {"s": 0.99}),
                ("pointer_chase", {}),
            )
        ),
    ],
}
"""A machine small enough to run in no time and short enough of memory to reach every rule."""


def warm_up() -> None:
    """Compile, or load, every rule that runs use, by running a small machine short of memory."""
    from numa_sim.config.model import Config
    from numa_sim.processes.machine import Machine

    Machine(Config.of(**_MACHINE)).run_to_end()
