"""What a worker does: one run, from its configuration to its folder, and an account of what went wrong if it fails."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

__all__ = ["Job", "log_tail", "run_one", "stage_in", "this_process", "why_it_was_ended"]

_LOG_TAIL_BYTES: Final = 4000
_STAGE: Final = "numa-sim: stage "
_WATCH_SECONDS: Final = 0.05
_TIMEOUT: Final = "Timeout ("  # as faulthandler says it
_TOO_MUCH: Final = "numa-sim: the process took "
_OUT_OF_MEMORY: Final = 77
"""Exit code of a worker that went beyond its memory."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""Held by the run of this process: standard output, the clock of `faulthandler` and rules being loaded are one each."""


@dataclass(frozen=True)
class Job:
    """One run, as it is sent to a worker.

    Attributes
    ----------
    run : str
        Its name.
    folder, log : str
        Run folder to write; file that holds what the run says while it is under way.
    document : dict
        Its configuration, as a file would have it.
    origin, base : str
        Where that came from, and what its file names are relative to.
    python : bool
        Whether quantities may be integers.
    wall_ns, memory_bytes : int or None
        What it may take.
    sweeper : str
        Process that runs the sweep (`this_process`): there, a run that takes too much cannot be stopped by ending the
        process.
    attempt : int
        Which attempt it is: executors that know equal work by its arguments must not give the old answer.
    """

    run: str
    folder: str
    log: str
    document: dict[str, Any]
    origin: str
    base: str
    python: bool
    wall_ns: int | None
    memory_bytes: int | None
    sweeper: str
    attempt: int = 1


def this_process() -> str:
    """Name of this process, different from that of any other on any host."""
    return f"{platform.node()}:{os.getpid()}"


def run_one(job: Job) -> dict[str, Any]:
    """Do `job` and say how it went, in plain values that can cross to another process.

    Threads of one process wait for each other; the time they wait is not counted.

    Returns
    -------
    dict
        ``state``: "done", "there" (the results were there already) or "failed"; when failed ``stage``, ``error`` (the
        name of its class), ``message``, ``traceback`` and ``log``.
    """
    with _ONE_AT_A_TIME:
        return _run(job)


def _run(job: Job) -> dict[str, Any]:
    from numa_sim.results.manifest import MANIFEST

    if (Path(job.folder) / MANIFEST).is_file():
        return {"state": "there"}
    started = time.perf_counter()
    log = Path(job.log)
    try:
        with _logged(job) as stream, _limited(job, stream):
            _simulate(job, stream)
    except Exception as problem:
        if (Path(job.folder) / MANIFEST).is_file():  # another has written it meanwhile: the bytes are the same
            outcome = {"state": "there"}
        else:
            outcome = {
                "state": "failed",
                "stage": stage_in(log) or "start",
                "error": type(problem).__name__,
                "message": _text(problem),
                "traceback": "".join(traceback.format_exception(problem)),
                "log": log_tail(log),
            }
    else:
        outcome = {"state": "done"}
    with contextlib.suppress(OSError):
        log.unlink()
    return outcome | {"wall_seconds": round(time.perf_counter() - started, 6)}


def _simulate(job: Job, log: TextIO) -> None:
    _enter("configuration", log)
    from numa_sim.config.reader import build
    from numa_sim.config.resolve import topology_of

    config = build(job.document, job.origin, Path(job.base), python=job.python)
    topology = topology_of(config)
    from numa_sim.processes.machine import Machine
    from numa_sim.results.run_folder import write_run

    _enter("boot", log)
    machine = Machine(config, topology)
    _enter("run", log)
    result = machine.run_to_end()
    _enter("writing", log)
    write_run(result, job.folder, picture=False)


def _enter(stage: str, log: TextIO) -> None:
    log.write(f"{_STAGE}{stage}\n")
    log.flush()


def stage_in(log: Path) -> str:
    """What a run was doing last, by its log; empty if it had not begun."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix(_STAGE) for line in reversed(lines) if line.startswith(_STAGE)), "start")


def log_tail(log: Path) -> str:
    """The end of what a run said."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _LOG_TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def why_it_was_ended(log: str) -> str:
    """What a log says of the limit that ended its process; empty if nothing."""
    if _TIMEOUT in log:
        return "it took longer than sweep.limits.wall (if it needs that long, raise it and give --retry): "
    if _TOO_MUCH in log:
        return "it took more than sweep.limits.memory: "
    return ""


def _text(problem: BaseException) -> str:
    try:
        return str(problem)[:2000]
    except Exception:
        return "(it cannot say)"


@contextlib.contextmanager
def _logged(job: Job) -> Iterator[TextIO]:
    """The run's log, which what is printed goes to; the file is there from the beginning to the end of the run.

    A thread beside the one that runs the sweep leaves what is printed where it was: the sweep's progress is among it.
    """
    with Path(job.log).open("w", encoding="utf-8") as stream, contextlib.ExitStack() as redirected:
        if this_process() != job.sweeper or threading.current_thread() is threading.main_thread():
            redirected.enter_context(contextlib.redirect_stdout(stream))
            redirected.enter_context(contextlib.redirect_stderr(stream))
        yield stream


@contextlib.contextmanager
def _limited(job: Job, log: TextIO) -> Iterator[None]:
    """End this process when the run takes too long or too much memory, or crashes; its log says why.

    The clock is a thread of `faulthandler`, which needs nothing of the interpreter: it also ends a run that hangs in
    compiled code.  Not in the process of the sweep itself.
    """
    if this_process() == job.sweeper:
        yield
        return
    faulthandler.enable(log)
    if job.wall_ns is not None:
        faulthandler.dump_traceback_later(job.wall_ns / 1e9, exit=True, file=log)
    ended = threading.Event()
    if job.memory_bytes is not None:
        threading.Thread(target=_watch_memory, args=(job.memory_bytes, ended, log), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()


def _watch_memory(limit_bytes: int, ended: threading.Event, log: TextIO) -> None:
    while not ended.wait(_WATCH_SECONDS):
        used = _resident_bytes()
        if used > limit_bytes:
            log.write(f"{_TOO_MUCH}{used} bytes of memory, {limit_bytes} are allowed\n")
            log.flush()
            faulthandler.dump_traceback(log)
            os._exit(_OUT_OF_MEMORY)


def _resident_bytes() -> int:
    """Memory of this process, bytes: now on Linux, at most so far elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
