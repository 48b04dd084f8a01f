"""Data frames of a library that is not installed."""

import sys

import pytest

from numa_sim.errors import ConfigError
from numa_sim.results.frames import frame_library
from numa_sim.results.run import Run


@pytest.mark.parametrize("name", ["pandas", "polars", "xarray"])
def test_a_library_that_is_missing_is_named_and_how_to_get_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(ConfigError, match=rf"{name} is not installed \(allowed: pip install {name}\)"):
        frame_library(name)


def test_a_run_without_pandas_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pandas is not installed"):
        Run.to_pandas(object.__new__(Run))
