"""A sweep of 100 runs whose process is killed 50 times: ``python -m sweep.killed PLACE SEED``.

Each child, forked from one warm process, goes on with the sweep in ``PLACE/sweep``; it is ended by SIGKILL at a random
moment, the first 40 in their first run, the others in one of their first nine.  ``PLACE/begun`` has a line for each run
begun: the child's number and the run's name; ``PLACE/finished`` a line for each child: the runs that had their manifest
when it was forked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from sweep import tiny

from numa_sim.results.durable import FileLayer
from numa_sim.results.manifest import MANIFEST
from numa_sim.sweep import one, run_sweep

RUNS = 100
KILLS = 50
CONFIG = tiny.config(
    grid={"workload.0.program.1.write": [0.0, 0.3, 0.5, 0.7, 1.0], "kernel.sysctl.vm.vm_passes": [5, 60]},
    replicas=10,
)


def finished(sweep: Path) -> set[str]:
    """Runs whose manifest is there; folders still being written have none of a run's name."""
    return {file.parent.name for file in (sweep / "runs").glob("[0-9a-f]*/" + MANIFEST)}


def without_syncs() -> None:
    """What a killed process has written stays written: only a power cut needs fsync, and it takes most of the time."""
    FileLayer.sync = lambda self, path: None  # type: ignore[method-assign]


def kill_again_and_again(place: Path, seed: int) -> None:
    """Do it; the sweep is left unfinished, or nearly finished, as it comes."""
    sweep, begun = place / "sweep", place / "begun"
    run_sweep(tiny.config(), place / "warm", jobs=0)
    start = time.perf_counter()
    run_sweep(tiny.config(grid={"workload.0.program.1.write": [0.4]}), place / "timed", jobs=0)
    span_s = time.perf_counter() - start
    begun.touch()
    rng = np.random.Generator(np.random.PCG64DXSM(seed))
    for turn in range(KILLS):
        with (place / "finished").open("a") as file:
            print(*sorted(finished(sweep)), file=file)
        enough = _lines(begun) + (1 if turn < 40 else int(rng.integers(1, 10)))
        child = os.fork()
        if child == 0:
            _go_on(sweep, begun, turn)
        while _lines(begun) < enough and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(span_s * rng.random())
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it had finished the sweep
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _go_on(sweep: Path, begun: Path, child: int) -> NoReturn:
    """What a child does until it is killed."""
    healthy = one._simulate

    def noted(job: one.Job, log: Any) -> None:
        with begun.open("a") as file:
            file.write(f"{child} {job.run}\n")
        healthy(job, log)

    one._simulate = noted
    run_sweep(CONFIG, sweep, jobs=0)
    os._exit(0)


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


if __name__ == "__main__":
    without_syncs()
    kill_again_and_again(Path(sys.argv[1]), int(sys.argv[2]))
