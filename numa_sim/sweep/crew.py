"""Those who do the runs: an executor that may break, and be made again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final

from numa_sim.errors import SimulationError
from numa_sim.processes.warm_up import warm_up
from numa_sim.results.sweep_folder import PlannedRun
from numa_sim.sweep.one import Job, run_one
from numa_sim.sweep.processes import ProcessExecutor, SerialExecutor

__all__ = ["Crew"]

_BREAKS: Final = 50
"""Times in a row an executor may break."""
_GRACE_S: Final = 10.0
"""Host time beyond its limit after which a run that does not end itself is killed, s."""

Ended = tuple[PlannedRun, Executor, Future[dict[str, Any]]]


class Crew:
    """An executor, and the runs it was given.

    Parameters
    ----------
    executor : Executor, callable or None
        As for `numa_sim.sweep.run_sweep`.
    jobs : int
        Processes if there is no executor; 0: none.
    wall_ns : int, optional
        Host time a run may take.
    """

    def __init__(self, executor: Executor | Callable[[], Executor] | None, jobs: int, wall_ns: int | None) -> None:
        self._given = executor if isinstance(executor, Executor) else None
        self._make = executor if not isinstance(executor, Executor) else None
        self._jobs, self._wall_ns = jobs, wall_ns
        self._executor = self._given
        self._ended: SimpleQueue[Ended] = SimpleQueue()
        self._under_way: dict[str, Future[dict[str, Any]]] = {}
        self._breaks = 0

    @property
    def busy(self) -> int:
        """Runs given out and not yet taken back."""
        return len(self._under_way)

    def get_ready(self, runs: int) -> None:
        """Be ready for so many runs: one worker compiles what the others then load."""
        if self._executor is None:
            self._executor = self._new(runs)
            if not isinstance(self._executor, SerialExecutor):
                self._warm_up(self._executor)

    def _warm_up(self, executor: Executor) -> None:
        """Compile; if that fails, so will the runs, and they say why."""
        problem = executor.submit(warm_up).exception()
        if isinstance(problem, BrokenExecutor) and isinstance(executor, ProcessExecutor):
            hint = 'in a script, put the call under `if __name__ == "__main__":`'
            raise SimulationError(f"{problem}; {hint}")

    def submit(self, run: PlannedRun, job: Job) -> None:
        """Give out a run."""
        assert self._executor is not None
        executor = self._executor
        try:
            future = executor.submit(run_one, job)
        except BrokenExecutor as problem:
            future = Future()
            future.set_exception(problem)
        self._under_way[run.run] = future
        future.add_done_callback(lambda done: self._ended.put((run, executor, done)))

    def next_ended(self) -> tuple[PlannedRun, Future[dict[str, Any]]]:
        """The next run that has ended; the executor is made anew if it broke."""
        run, executor, future = self._ended.get()
        del self._under_way[run.run]
        if future.cancelled() or not isinstance(future.exception(), BrokenExecutor):
            self._breaks = 0
        elif executor is self._executor:
            self._replace(future.exception())
        return run, future

    def _new(self, runs: int) -> Executor:
        if self._make is not None:
            return self._make()
        if self._jobs == 0:
            return SerialExecutor()
        patience_s = None if self._wall_ns is None else self._wall_ns / 1e9 + _GRACE_S
        return ProcessExecutor(max(1, min(self._jobs, runs)), patience_s)

    def _replace(self, problem: BaseException | None) -> None:
        """Another executor for the broken one; ours for one that was handed over."""
        self._breaks += 1
        if self._breaks > _BREAKS or self._executor is None:
            raise SimulationError(f"the executor breaks whatever it is given: {problem}")
        self._executor.shutdown(wait=False)
        self._executor = self._new(self._jobs)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _where: TracebackType | None) -> None:
        """Let go of an executor that was made here; at once if something went wrong."""
        if kind is not None:
            for future in list(self._under_way.values()):
                future.cancel()
        if self._executor is None or self._executor is self._given:
            return
        if kind is not None and isinstance(self._executor, ProcessExecutor):
            self._executor.shutdown(cancel_futures=True)
        else:
            self._executor.shutdown(wait=kind is None)
