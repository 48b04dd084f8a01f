"""Errors survive pickling and SimPy's ``type(e)(*e.args)``, and print as one line."""

import pickle
from pathlib import Path

import pytest

from numa_sim import errors

EXAMPLES = [
    errors.NumaSimError("plain"),
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
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_rebuilt_from_args_and_pickle(error):
    for copy in (type(error)(*error.args), pickle.loads(pickle.dumps(error))):
        assert type(copy) is type(error)
        assert copy.args == error.args
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def test_text_is_one_line_and_complete():
    assert str(EXAMPLES[1]) == "run.toml: machine.preset: unknown preset 'x' (allowed: a, b)"
    assert str(EXAMPLES[4]) == "numactl.txt: line 3: row has 1 value"
    assert str(EXAMPLES[6]) == "invariant violated: free pages add up at t=1200 ns: node 0"
    assert str(errors.TopologyError("f", "", "two\nlines")) == "f: two lines"


def test_every_public_error_is_covered():
    assert {type(e).__name__ for e in EXAMPLES} == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), errors.NumaSimError) for name in errors.__all__)
