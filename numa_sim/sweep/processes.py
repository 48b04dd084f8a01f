"""Executors of this machine: worker processes that can die one by one, and none at all.

The standard library's pool gives up all its work when one worker dies.  Here the run of that worker fails, a new worker
takes its place, and the others go on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from numa_sim.errors import SimulationError

__all__ = ["ProcessExecutor", "SerialExecutor", "WorkerDied", "usable_cpus"]

_SPAWN: Final = multiprocessing.get_context("spawn")  # a forked child may hang on what threads held at the fork

_NEVER: Final = float("inf")
_FALSE_STARTS: Final = 3
"""Workers in a row that may end before they are ready."""
_STARTED_BY_A_STARTING_ONE: Final = 1
"""How a worker ends that was asked for workers before it was one."""


class WorkerDied(SimulationError):  # noqa: N818 - reads as what it reports
    """A worker process ended in the middle of its work."""


def usable_cpus() -> int:
    """CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class SerialExecutor(Executor):
    """Does each piece of work at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do the work; the future is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


def _leave_if_starting() -> None:
    """End this process at once if it is itself a worker that only just starts, by importing the caller's script.

    A script that begins a sweep without ``if __name__ == "__main__":`` begins it again in each worker.  Who started us
    tells the user so, once; the page of text by which multiprocessing refuses it would come from every worker.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(_STARTED_BY_A_STARTING_ONE)


@dataclass(eq=False)
class _Worker:
    """A process, the way to it, and what it is doing."""

    process: Any
    pipe: Connection
    ready: bool = False
    future: Future[Any] | None = None
    deadline: float = _NEVER


class ProcessExecutor(Executor):
    """Worker processes, started by spawn; the death of one fails its own work only.

    Parameters
    ----------
    workers : int
        Processes.
    patience_s : float, optional
        Host time after which a worker is killed in the middle of one piece of work, s.
    """

    def __init__(self, workers: int, patience_s: float | None = None) -> None:
        _leave_if_starting()
        self._patience_s = patience_s
        self._queue: deque[tuple[Future[Any], bytes]] = deque()
        self._lock = threading.Lock()
        self._closing = self._killed = False
        self._false_starts = 0
        self._bell, self._button = _SPAWN.Pipe(duplex=False)
        self._workers = [self._start() for _ in range(workers)]
        self._thread = threading.Thread(target=self._serve, name="sweep workers", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn(*args, **kwargs)`` done by the next free worker.

        The future raises `WorkerDied` if the worker ends before it has answered.
        """
        future: Future[Any] = Future()
        work = pickle.dumps((fn, args, kwargs))
        with self._lock:
            if self._closing:
                raise RuntimeError("the executor was shut down")
            self._queue.append((future, work))
            self._button.send_bytes(b"")
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work and end the workers; with `cancel_futures` at once, killing them."""
        with self._lock:
            self._closing = True
            if cancel_futures:
                self._killed = True
                while self._queue:
                    self._queue.popleft()[0].cancel()
                for worker in self._workers:
                    worker.process.kill()
            self._button.send_bytes(b"")
        if wait:
            self._thread.join()

    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [worker.process.pid for worker in self._workers]

    def _start(self) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_work, args=(theirs,), name="sweep worker", daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _serve(self) -> None:
        """Give out work and take answers until shut down and idle."""
        while True:
            with self._lock:
                self._give_out()
                busy = any(worker.future is not None for worker in self._workers)
                if self._closing and not busy and not self._queue:
                    break
            deadline = min((worker.deadline for worker in self._workers), default=_NEVER)
            timeout = None if deadline == _NEVER else max(0.0, deadline - time.monotonic())
            ready = set(wait([self._bell, *(worker.pipe for worker in self._workers)], timeout))
            if self._bell in ready:
                self._bell.recv_bytes()
            for worker in list(self._workers):
                if worker.pipe in ready:
                    self._take_answer(worker)
                elif time.monotonic() > worker.deadline:
                    worker.process.kill()  # its pipe will be ready
                    worker.deadline = _NEVER
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()

    def _give_out(self) -> None:
        for worker in self._workers:
            while self._queue and worker.ready and worker.future is None:
                future, work = self._queue.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                worker.future = future
                if self._patience_s is not None:
                    worker.deadline = time.monotonic() + self._patience_s
                try:
                    worker.pipe.send_bytes(work)
                except OSError:  # it has just died: its pipe will be ready
                    break

    def _take_answer(self, worker: _Worker) -> None:
        try:
            good, answer = pickle.loads(worker.pipe.recv_bytes())
        except (EOFError, OSError):
            self._bury(worker)
            return
        if not worker.ready:
            worker.ready, self._false_starts = True, 0
            return
        future, worker.future, worker.deadline = worker.future, None, _NEVER
        if future is None:
            return
        if good:
            future.set_result(answer)
        else:
            future.set_exception(answer)

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended: so has its work; another takes its place."""
        worker.process.join()
        worker.pipe.close()
        if worker.future is not None:
            worker.future.set_exception(WorkerDied(_how_it_ended(worker.process.exitcode)))
        self._false_starts += not worker.ready
        with self._lock:
            self._workers.remove(worker)
            if self._false_starts < _FALSE_STARTS and not self._killed:
                self._workers.append(self._start())
            elif not self._workers:
                message = f"workers cannot start: {_how_it_ended(worker.process.exitcode)}"
                self._closing = True
                while self._queue:
                    self._queue.popleft()[0].set_exception(BrokenExecutor(message))


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"the worker process ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the worker process was ended by {name}"


def _work(pipe: Connection) -> None:
    """A worker: do what comes through the pipe until it is closed, or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    import numa_sim.processes.machine
    import numa_sim.results.run_folder  # noqa: F401 - both while the first work is on its way
    from numa_sim.processes.collector import set_all_aside

    with contextlib.suppress(EOFError, OSError):  # the parent has gone, or wants no more
        pipe.send_bytes(pickle.dumps((True, "ready")))
        while True:
            function, args, kwargs = pickle.loads(pipe.recv_bytes())
            pipe.send_bytes(_answer(function, args, kwargs))
            del function, args, kwargs
            set_all_aside()


def _answer(function: Callable[..., Any], args: Any, kwargs: Any) -> bytes:
    """What came of one piece of work."""
    try:
        return pickle.dumps((True, function(*args, **kwargs)))
    except Exception as problem:
        return _packed(problem)


def _packed(problem: Exception) -> bytes:
    """An exception as bytes; one that cannot be rebuilt elsewhere as what it says."""
    try:
        packed = pickle.dumps((False, problem))
        pickle.loads(packed)
    except Exception:
        return pickle.dumps((False, SimulationError(f"{type(problem).__name__}: {problem}")))
    return packed


def _end_with(parent: Any) -> None:
    """End this process when its parent has ended, however that was."""
    wait([parent])
    os._exit(1)
