"""Configuration: frozen models of a run, read from TOML or JSON, with every error named by file, path and choice.

`load` reads a file; `Config` is the whole; `json_schema` describes the file for editors.  Nothing is imported until it
is used, so that the command line starts quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numa_sim.config.model import Config
    from numa_sim.config.reader import build, load
    from numa_sim.config.resolve import topology_of
    from numa_sim.config.schema import json_schema

__all__ = ["Config", "build", "json_schema", "load", "topology_of"]

_HOMES = {"Config": "model", "topology_of": "resolve", "build": "reader", "load": "reader", "json_schema": "schema"}


def __getattr__(name: str) -> Any:
    """Import the wanted name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
