"""Workers that go wrong as they are told, in the middle of a run.

What a run shall do stands in a file of its name in a folder; the file beside it counts how often it was begun.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from numa_sim.sweep import one
from numa_sim.sweep.processes import ProcessExecutor

_HEALTHY = one._simulate


class Unpicklable(Exception):
    """An exception that no other process can rebuild, whose text cannot be had either."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __str__(self) -> str:
        raise RuntimeError("no text")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """The whole process stands still, the clock that would end it too."""
    os.kill(os.getpid(), signal.SIGSTOP)


def hang() -> None:
    time.sleep(3600)


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def eat() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * (32 << 20)))


def throw() -> None:
    print("what the run printed")
    raise ValueError("as told")


def throw_unpicklable() -> None:
    raise Unpicklable


FAULTS = {f.__name__: f for f in (kill, stop, hang, crash, eat, throw, throw_unpicklable)}


def faulty(folder: str, job: one.Job) -> dict[str, Any]:
    """Do the job, but go wrong where the folder says so."""

    def simulate(job: one.Job, log: Any) -> None:
        one._enter("run", log)
        FAULTS[fault]()

    place = Path(folder) / job.run
    with place.with_suffix(".begun").open("a") as begun:
        begun.write("x")
    fault, times = place.read_text().split() if place.exists() else ("", 0)
    begun_before = len(place.with_suffix(".begun").read_text()) - 1
    one._simulate = simulate if begun_before < int(times) else _HEALTHY
    try:
        return one.run_one(job)
    finally:
        one._simulate = _HEALTHY


def begun(folder: Path) -> dict[str, int]:
    """How often each run was begun."""
    return {file.stem: len(file.read_text()) for file in folder.glob("*.begun")}


class FaultyExecutor(ProcessExecutor):
    """Processes whose workers go wrong as they are told."""

    def __init__(self, folder: Path, workers: int, patience_s: float | None = None) -> None:
        self._folder = str(folder)
        super().__init__(workers, patience_s)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if fn is one.run_one:
            return super().submit(faulty, self._folder, *args)
        return super().submit(fn, *args, **kwargs)


class FaultyPool(ProcessPoolExecutor):
    """The standard library's pool with one worker that goes wrong as it is told."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        super().__init__(1, mp_context=get_context("spawn"))

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if fn is one.run_one:
            return super().submit(faulty, self._folder, *args)
        return super().submit(fn, *args, **kwargs)
