"""Data frames of libraries that numa_sim does without unless somebody asks for one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from numa_sim.errors import ConfigError

__all__ = ["frame_library"]


def frame_library(name: str) -> Any:
    """Import pandas, polars or xarray.

    Raises
    ------
    ConfigError
        It is not installed; the text says how to.
    """
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError("data frames", "", f"{name} is not installed", (f"pip install {name}",)) from None
