"""Any executor will do: those that break, those that are handed over, and our own."""

from __future__ import annotations

import multiprocessing
import operator
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sweep import faulty, tiny

from numa_sim.errors import ConfigError, SimulationError
from numa_sim.sweep import ProcessExecutor, SerialExecutor, run_sweep
from numa_sim.sweep.design import make_plan
from numa_sim.sweep.processes import WorkerDied

EIGHT = {**tiny.FORTY, "replicas": 1}


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial") / "sweep"
    assert run_sweep(tiny.config(**EIGHT), folder, SerialExecutor()).done == 8
    return folder


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_pool_that_breaks_is_replaced_and_nothing_is_lost(serial: Path, tmp_path: Path, handed_over: bool) -> None:
    """R14: the standard library's pool loses all its work when one worker is killed; the sweep loses nothing.

    The fifth run kills the worker that makes it, the first time.
    """
    orders, pools = tmp_path / "orders", list[ProcessPoolExecutor]()
    orders.mkdir()
    (orders / make_plan(tiny.config(**EIGHT)).runs[4].run).write_text("kill 1")

    def make() -> ProcessPoolExecutor:
        pools.append(faulty.FaultyPool(orders))
        return pools[-1]

    outcome = run_sweep(tiny.config(**EIGHT), tmp_path / "sweep", make() if handed_over else make, jobs=1)
    assert sum(faulty.begun(orders).values()) >= (5 if handed_over else 9)
    assert len(pools) == (1 if handed_over else 2)
    assert outcome.whole
    assert not list((tmp_path / "sweep" / "failures").iterdir())
    assert tiny.result_set(tmp_path / "sweep") == tiny.result_set(serial)


def test_threads_do_the_runs_one_after_the_other_and_leave_what_belongs_to_the_process(
    serial: Path, tmp_path: Path
) -> None:
    """R14: any executor will do, also one whose workers share a process, its standard output and its rules."""
    streams = sys.stdout, sys.stderr
    with ThreadPoolExecutor(4) as threads:
        assert run_sweep(tiny.config(**EIGHT), tmp_path / "sweep", threads).whole
    assert (sys.stdout, sys.stderr) == streams
    assert not list((tmp_path / "sweep" / "failures").iterdir())
    assert tiny.result_set(tmp_path / "sweep") == tiny.result_set(serial)


def test_a_dask_worker_with_several_threads_loses_no_run(serial: Path, tmp_path: Path) -> None:
    """R14: a plain ``dask worker`` has a thread for each CPU, none of which has loaded a rule before."""
    with ProcessExecutor(1) as fresh:
        assert fresh.submit(_sweep_in_dask_threads, tmp_path / "sweep").result(120) == (8, [])
    assert tiny.result_set(tmp_path / "sweep") == tiny.result_set(serial)


def _sweep_in_dask_threads(folder: Path) -> tuple[int, list[str]]:
    import distributed

    with distributed.Client(processes=False, n_workers=1, threads_per_worker=4, dashboard_address=None) as client:
        done = run_sweep(tiny.config(**EIGHT), folder, client.get_executor(pure=False)).done
    return done, [path.name for path in (folder / "failures").iterdir()]


def test_the_death_of_one_worker_is_the_end_of_its_own_work_only() -> None:
    with ProcessExecutor(2) as executor:
        fine = [executor.submit(pow, 2, power) for power in range(5)]
        dead = executor.submit(os._exit, 5)
        more = [executor.submit(pow, 3, power) for power in range(5)]
        assert [future.result(60) for future in fine + more] == [2**n for n in range(5)] + [3**n for n in range(5)]
        with pytest.raises(WorkerDied, match="code 5"):
            dead.result(60)
        raised = executor.submit(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            raised.result(60)
        unpicklable = executor.submit(threading.Lock)
        with pytest.raises(TypeError, match="pickle"):
            unpicklable.result(60)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(pow, 2, 3)


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1) as executor:
        yield executor


def test_errors_cross_from_workers_as_what_they_are(worker: ProcessExecutor) -> None:
    """R22: an exception is the same class with the same arguments in the sweep's process."""
    future = worker.submit(_refuse)
    with pytest.raises(ConfigError) as refused:
        future.result(60)
    assert refused.value.allowed == ("a", "b")


def test_a_worker_has_let_go_of_a_machine_before_it_makes_the_next(worker: ProcessExecutor) -> None:
    """R14: what a worker takes does not grow with the number of its runs."""
    assert [worker.submit(_machines_left_over).result(60) for _ in range(4)] == [0, 0, 0, 0]


_KERNELS: list[weakref.ref[Any]] = []


def _machines_left_over() -> int:
    from numa_sim.processes.machine import Machine

    left = sum(kernel() is not None for kernel in _KERNELS)
    _KERNELS.append(weakref.ref(Machine(tiny.config().varied(lambda _: None)).run_to_end().kernel))
    return left


def _refuse() -> None:
    raise ConfigError("file", "path", "message", ("a", "b"))


def test_a_worker_beyond_its_patience_is_killed_and_the_next_work_is_done() -> None:
    with ProcessExecutor(1, patience_s=1.0) as executor:
        slow, quick = executor.submit(time.sleep, 600), executor.submit(pow, 2, 5)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            slow.result(60)
        assert quick.result(60) == 32


def test_workers_that_cannot_start_are_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numa_sim.sweep.processes._work", operator.attrgetter("not_there"))  # raises at once
    with pytest.raises(SimulationError, match=r"workers cannot start: .* code 1; in a script, .*__main__"):
        run_sweep(tiny.config(), tmp_path / "sweep", jobs=1)


def test_a_script_without_a_guard_is_told_once_not_by_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that imports such a script is asked for workers itself: it leaves at once, without a traceback."""
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="1"):
        ProcessExecutor(1)


def test_shutting_down_at_once_kills_what_is_under_way() -> None:
    executor = ProcessExecutor(1)
    slow, waiting = executor.submit(time.sleep, 600), executor.submit(pow, 2, 5)
    deadline = time.monotonic() + 60
    while not slow.running() and time.monotonic() < deadline:  # until the worker has started
        time.sleep(0.01)
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    assert isinstance(slow.exception(), WorkerDied)
