"""Compiling the rules: said once, and done from both ends at a time where there is a second CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

_WARM_UP: dict[str, Any] = {
    "machine": {
        "nodes": [{"memory": "32MiB", "cpus": "0-1"}, {"memory": "32MiB", "cpus": "2-3"}],
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
                    {"op": "mmap", "as": "heap", "size": "48MiB"},
                    {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 12288, "write": 0.5},
                    {"op": "touch", "on": "heap", "pattern": {"kind": kind, **more}, "accesses": 2000, "write": 0.5},
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


@contextmanager
def compiling_together(talk: Console) -> Iterator[None]:
    """Say when rules must be compiled, and have a second process compile them from the other end until this is left.

    Whichever of the two comes to a rule first compiles it and keeps it for the other (`numa_sim.rule_cache`).
    """
    from numa_sim.compiled import announce_compiling

    started: list[subprocess.Popen[bytes]] = []

    def compile_begins(message: str) -> None:
        talk.print(message, highlight=False)
        if _cpus() > 1:
            started.append(_process_from_the_end())

    before = announce_compiling(compile_begins)
    try:
        yield
    finally:
        announce_compiling(before)
        for other in started:
            other.terminate()
            other.wait()


def _cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _process_from_the_end() -> subprocess.Popen[bytes]:
    command = "from numa_sim.cli.compiling import compile_from_the_end; compile_from_the_end()"
    return subprocess.Popen(
        [sys.executable, "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def compile_from_the_end() -> None:
    """Compile what `compile_all` does, of what each rule calls the last first."""
    from numa_sim import rule_calls

    rule_calls.last_called_first = True
    _warm_up()


def compile_all() -> None:
    """Compile every rule that runs use, by running a small machine short of memory."""
    talk = Console(stderr=True)
    from numa_sim.compiled import COMPILED, cache_folder

    if not COMPILED:
        talk.print("NUMBA_DISABLE_JIT is set: nothing to compile")
        return
    started = time.perf_counter()
    with compiling_together(talk):
        _warm_up()
    talk.print(f"compiled code in {cache_folder()}, {time.perf_counter() - started:.1f} s", highlight=False)


def _warm_up() -> None:
    from numa_sim.config.model import Config
    from numa_sim.processes.machine import Machine

    Machine(Config.of(**_WARM_UP)).run_to_end()
