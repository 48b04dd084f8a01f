"""Running a sweep: which runs are missing, who does them, and what becomes of those that fail."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from numa_sim.config.model import Config
from numa_sim.errors import SimulationError
from numa_sim.results.sweep_folder import PlannedRun
from numa_sim.results.sweep_table import collect
from numa_sim.sweep.crew import Crew
from numa_sim.sweep.design import Plan, make_plan
from numa_sim.sweep.one import Job, log_tail, stage_in, this_process, why_it_was_ended
from numa_sim.sweep.processes import usable_cpus
from numa_sim.sweep.rounds import missing_runs
from numa_sim.sweep.shards import Shard
from numa_sim.sweep.store import Failure, SweepFolder
from numa_sim.sweep.values import Values

__all__ = ["Progress", "SweepOutcome", "run_sweep"]

_AT_ONCE: Final = 4096
"""Most runs given to an executor at a time: each carries its configuration."""
_UNTRIED: Final = 20
"""Times an executor may fail a run that it has not begun."""
_ATTEMPT: Final = ("stage", "error", "message", "traceback", "log")


@dataclass(frozen=True)
class Progress:
    """What is told while a sweep runs; see `numa_sim.sweep.progress`."""

    begin: Callable[[int, int], None] = lambda total, done: None
    """Runs wanted in this round, and how many of them are there already."""
    ended: Callable[[str, float], None] = lambda state, seconds: None
    """A run has ended: "done", "there", "retried" or "quarantined", after so many seconds."""


@dataclass
class SweepOutcome:
    """How a sweep ended.

    Attributes
    ----------
    folder : Path
        The sweep's folder.
    done, there : int
        Runs made now; runs whose results were there before.
    quarantined : list of str
        Runs that failed each time they were tried.
    complete : bool
        Whether every run of the whole sweep is there or quarantined.
    seconds : float
        Host time.
    """

    folder: Path
    done: int = 0
    there: int = 0
    quarantined: list[str] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether no run failed."""
        return not self.quarantined


def run_sweep(
    config: Config,
    folder: Path | str,
    executor: Executor | Callable[[], Executor] | None = None,
    *,
    jobs: int | None = None,
    shard: Shard | None = None,
    retry: bool = False,
    progress: Progress | None = None,
) -> SweepOutcome:
    """Make every run of a sweep that is not there yet.

    Parameters
    ----------
    config : Config
        A configuration with a ``[sweep]`` table.
    folder : path
        The sweep's folder; made if it is not there, continued if it is.
    executor : Executor, or callable that makes one, optional
        Who does the runs; else processes of this machine.  One that is handed over is left open; one that is made here
        is shut down, and made again if it breaks.
    jobs : int, optional
        Processes, without an `executor`; else one for each CPU.  0: this process does the runs itself, and no limit on
        host time or memory is kept.
    shard : Shard, optional
        Part of the sweep; else all.
    retry : bool
        Whether runs that were quarantined are tried again.
    progress : Progress, optional
        Whom to tell.

    Returns
    -------
    SweepOutcome
        What was done.  Its results are in the folder whatever ends this process.

    Raises
    ------
    NumaSimError
        For what is wrong with the configuration or the folder; nothing has been run then.
    """
    started = time.perf_counter()
    plan = make_plan(config)
    store = SweepFolder(folder)
    store.prepare(plan)
    crew = Crew(executor, usable_cpus() if jobs is None else jobs, plan.sweep.limits.wall)
    sweeping = _Sweeping(plan, store, crew, _once((shard or Shard()).of(plan)), retry, progress or Progress())
    with crew:
        sweeping.go()
    store.tidy(run.run for run in sweeping.runs)
    outcome = sweeping.outcome
    outcome.complete = _is_complete(plan, store, Values(store, plan.sweep.replicas.metric))
    if outcome.complete:
        collect(store.path)
    outcome.seconds = time.perf_counter() - started
    return outcome


class _Sweeping:
    """A sweep under way."""

    def __init__(
        self,
        plan: Plan,
        store: SweepFolder,
        crew: Crew,
        runs: list[PlannedRun],
        retry: bool,
        progress: Progress,
    ) -> None:
        self._plan, self._store, self._crew, self.runs, self._progress = plan, store, crew, runs, progress
        self._values = Values(store, plan.sweep.replicas.metric)
        self._suspects: list[PlannedRun] = []
        self._alone = False
        self._untried: dict[str, int] = {}
        self._settled: set[str] = set()
        self.outcome = SweepOutcome(store.path)
        for run in runs:
            self._look_up(run, retry)

    def _look_up(self, run: PlannedRun, retry: bool) -> None:
        """Find out whether a run is there or quarantined already."""
        if self._store.holds(run.run):
            self.outcome.there += 1
            self._settled.add(run.run)
        elif retry:
            self._store.forget_failure(run.run)
        elif self._failure(run).quarantined:
            self.outcome.quarantined.append(run.run)
            self._settled.add(run.run)

    def _failure(self, run: PlannedRun) -> Failure:
        return self._store.failure(run.run, run.seed, run.factors)

    def go(self) -> None:
        """Round after round, until nothing is missing."""
        while missing := missing_runs(self.runs, self._plan.sweep.replicas, self._is_settled, self._values.of):
            self._crew.get_ready(len(missing))
            self._progress.begin(len(self._settled) + len(missing), len(self._settled))
            self._round(deque(missing))
            self._try_suspects()

    def _is_settled(self, run: str) -> bool:
        return run in self._settled

    def _round(self, missing: deque[PlannedRun]) -> None:
        """See to it that each of these runs is there, quarantined, or suspected of breaking the executor."""
        while missing or self._crew.busy:
            while missing and self._crew.busy < _AT_ONCE:
                self._submit(missing.popleft())
            run, future = self._crew.next_ended()
            if self._take(run, future):
                missing.append(run)

    def _try_suspects(self) -> None:
        """Runs during which the executor broke: one at a time, so that it is known whose fault it is."""
        self._alone = True
        while self._suspects:
            self._round(deque([self._suspects.pop()]))
        self._alone = False

    def _submit(self, run: PlannedRun) -> None:
        limits, config = self._plan.sweep.limits, self._plan.config
        attempt = len(self._failure(run).attempts) + self._untried.get(run.run, 0)
        job = Job(
            run=run.run,
            folder=str(self._store.run_folder(run.run)),
            log=str(self._store.log(run.run)),
            document=self._plan.document_of(run),
            origin=config.origin,
            base=str(config.base.absolute()),
            python=config.from_python,
            wall_ns=limits.wall,
            memory_bytes=limits.memory,
            sweeper=this_process(),
            attempt=attempt,
        )
        self._crew.submit(run, job)

    def _take(self, run: PlannedRun, future: Future[dict[str, Any]]) -> bool:
        """Book how a run ended; whether it is to be tried again."""
        try:
            outcome = future.result()
        except CancelledError:
            raise SimulationError("the executor was shut down before the sweep was done") from None
        except Exception as problem:
            return self._take_loss(run, problem)
        if outcome["state"] == "failed":
            return self._take_failure(run, outcome)
        self._take_success(run, outcome)
        return False

    def _take_success(self, run: PlannedRun, outcome: dict[str, Any]) -> None:
        if outcome["state"] == "done":
            self.outcome.done += 1
        else:
            self.outcome.there += 1
        self._settled.add(run.run)
        self._store.forget_failure(run.run)
        self._progress.ended(outcome["state"], outcome.get("wall_seconds", 0.0))

    def _take_loss(self, run: PlannedRun, problem: Exception) -> bool:
        """Book that the executor lost a run: its worker died, or another's did and took this one along."""
        log = self._store.log(run.run)
        stage, said = stage_in(log), log_tail(log)
        log.unlink(missing_ok=True)
        if self._store.holds(run.run):  # it died after its work was done
            self._take_success(run, {"state": "done"})
            return False
        if not stage:
            self._untried[run.run] = self._untried.get(run.run, 0) + 1
            if self._untried[run.run] < _UNTRIED:
                return True
        elif isinstance(problem, BrokenExecutor) and not self._alone:
            self._suspects.append(run)
            return False
        outcome = {
            "stage": stage or "before it began",
            "error": type(problem).__name__,
            "message": f"{why_it_was_ended(said)}{problem}",
            "traceback": "",
            "log": said,
        }
        return self._take_failure(run, outcome)

    def _take_failure(self, run: PlannedRun, outcome: dict[str, Any]) -> bool:
        failure = self._failure(run)
        self._store.add_attempt(failure, {key: outcome[key] for key in _ATTEMPT})
        if not failure.quarantined:
            self._progress.ended("retried", outcome.get("wall_seconds", 0.0))
            return True
        self.outcome.quarantined.append(run.run)
        self._settled.add(run.run)
        self._progress.ended("quarantined", outcome.get("wall_seconds", 0.0))
        return False


def _once(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Each run once, although several points may be the same run."""
    return list({run.run: run for run in runs}.values())


def _is_complete(plan: Plan, store: SweepFolder, values: Values) -> bool:
    """Whether no run of the whole sweep is missing, of whichever shard."""
    settled = store.present() | {run for run, record in store.failed().items() if record["quarantined"]}
    return not missing_runs(plan.runs, plan.sweep.replicas, settled.__contains__, values.of)
