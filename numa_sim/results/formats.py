"""Versions of the run folder's format: those of every older one are read as if written today.

A table here has one reader per version, each of which turns a manifest into that of the next version.  Folders of every
version that ever was are kept in ``tests/data/formats`` and opened by a test.

==  ===============================================================================================================
1   ``manifest.json``, ``environment.json``, ``summary.json``, series in Parquet, texts of ``proc``
2   inputs: the file the configuration asked for, and where the folder keeps it; ``topology.json``; version of the
    streams, and what the run had that its configuration does not say
==  ===============================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FORMAT_VERSION", "manifest_as_now", "unknown_version"]

FORMAT_VERSION: Final = 2
"""Of the folders written now."""

Document = dict[str, Any]


def _from_1(manifest: Document) -> Document:
    """Version 1 knew inputs by their bare names, kept none, and did not tell of programs given in Python."""
    inputs = [{**entry, "file": entry["name"], "kept": None} for entry in manifest["inputs"]]
    return {**manifest, "inputs": inputs, "beyond_config": [], "streams_version": 1}


_NEXT: Final[dict[int, Callable[[Document], Document]]] = {1: _from_1}
"""Of each older version: what makes its manifest one of the next."""


def unknown_version(document: Mapping[str, Any]) -> str:
    """What is wrong with a document's format version; empty if this numa_sim reads it."""
    version = document.get("format_version")
    if type(version) is int and 1 <= version <= FORMAT_VERSION:
        return ""
    newer = type(version) is int and version > FORMAT_VERSION
    hint = "; a newer numa_sim wrote it, upgrade this one" if newer else ""
    return f"format_version {version!r} is unknown, this numa_sim reads 1 to {FORMAT_VERSION}{hint}"


def manifest_as_now(manifest: Document) -> Document:
    """A manifest of a known version in today's form; ``format_version`` still says which one the folder has."""
    document = manifest
    for version in range(manifest["format_version"], FORMAT_VERSION):
        document = _NEXT[version](document)
    return document
