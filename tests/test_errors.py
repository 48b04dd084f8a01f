"""R22: errors survive pickling, other processes and SimPy's ``type(e)(*e.args)``, and print as one line."""

import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from machine.small import NVME, small
from raising import raise_in_simpy, raise_it

import numa_sim
from numa_sim import errors
from numa_sim.sweep.processes import ProcessExecutor, WorkerDied

EXAMPLES = [
    errors.NumaSimError("plain"),
    errors.BudgetError("5 events", 1200, ("at 1.1us: kswapd wakes", "at 1.2us: it sleeps")),
    errors.BudgetError("1s of the host's time", 1200),
    errors.ConfigError("run.toml", "machine.preset", "unknown preset 'x'", ("a", "b")),
    errors.ConfigError(Path("run.toml"), "seed", "must be an integer"),
    errors.ConfigError("run.toml", "kernel", "unknown", ["linux-2.4.37"]),
    errors.TopologyError("numactl.txt", "line 3", "row has 1 value"),
    errors.TraceFormatError("t.nst", "byte 4096", "bad magic"),
    errors.InvariantViolation("free pages add up", 1200, "node 0"),
    errors.PolicyError("lru", "chose page 7, which is not in memory"),
    errors.RunFolderError("runs/1", "already exists"),
    errors.SimulationError("no progress"),
    errors.StatisticsError("samples", "value 3 is NaN"),
    errors.SwapError(22, "no signature"),
    WorkerDied("the worker process ended"),
]
IDS = [f"{type(error).__name__} {number}" for number, error in enumerate(EXAMPLES)]


def subclasses(of: type[errors.NumaSimError]) -> Iterator[type[errors.NumaSimError]]:
    yield of
    for below in of.__subclasses__():
        yield from subclasses(below)


def assert_is_copy(copy: BaseException, error: errors.NumaSimError) -> None:
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert str(copy) == str(error)
    assert {key: vars(copy)[key] for key in vars(error)} == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_rebuilt_from_args_and_pickle(error: errors.NumaSimError) -> None:
    for copy in (type(error)(*error.args), pickle.loads(pickle.dumps(error))):
        assert_is_copy(copy, error)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_raised_in_a_simpy_process_it_comes_out_whole(error: errors.NumaSimError) -> None:
    """SimPy makes an error of a process that nobody waits for anew, from its class and args."""
    with pytest.raises(type(error)) as caught:
        raise_in_simpy(error)
    assert_is_copy(caught.value, error)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_raised_in_a_machine_it_comes_out_whole(error: errors.NumaSimError) -> None:
    def program(task: Any) -> Any:
        yield task.compute("1us")
        raise error

    machine = small(swap=(NVME,))
    machine.add(program)
    with pytest.raises(type(error)) as caught:
        machine.run_to_end()
    assert_is_copy(caught.value, error)


@pytest.fixture(scope="module", params=[ProcessPoolExecutor, ProcessExecutor])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One process, of the standard library's kind or of the sweep's."""
    with request.param(1) as executor:
        yield executor


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
@pytest.mark.parametrize("raising", [raise_it, raise_in_simpy])
def test_raised_in_another_process_it_comes_back_whole(
    raising: Any, error: errors.NumaSimError, pool: Executor
) -> None:
    """By itself, or by a SimPy process there, which makes it anew before it is pickled."""
    with pytest.raises(type(error)) as caught:
        pool.submit(raising, error).result(timeout=60)
    assert_is_copy(caught.value, error)


def test_text_is_one_line_and_complete():
    assert str(EXAMPLES[3]) == "run.toml: machine.preset: unknown preset 'x' (allowed: a, b)"
    assert str(EXAMPLES[6]) == "numactl.txt: line 3: row has 1 value"
    assert str(EXAMPLES[8]) == "invariant violated: free pages add up at t=1200 ns: node 0"
    assert str(errors.TopologyError("f", "", "two\nlines")) == "f: two lines"


def test_every_error_of_the_package_is_covered() -> None:
    """Errors are found wherever a module defines one, not only among the public ones."""
    for module in pkgutil.walk_packages(numa_sim.__path__, "numa_sim."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {error for error in subclasses(errors.NumaSimError) if error.__module__.startswith("numa_sim.")}
    assert {type(error) for error in EXAMPLES} == found
    assert {error.__name__ for error in found if error.__module__ == "numa_sim.errors"} == set(errors.__all__) - {
        "FontWarning"
    }
