"""The trace formats by name; reading, importing and describing a trace of any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.state.hardware_layout import ACCESS
from numa_sim.state.kernel import zeros
from numa_sim.workloads.traces.canonical import read_canonical
from numa_sim.workloads.traces.canonical_writer import write_canonical
from numa_sim.workloads.traces.csv import read_csv
from numa_sim.workloads.traces.damon import read_damon
from numa_sim.workloads.traces.items import (
    EXECUTE,
    READ,
    WRITE,
    Accesses,
    Item,
    MapCall,
    MoveCall,
    ProtectCall,
    Runs,
    UnmapCall,
    Wait,
    convert,
    limited,
    touching_flags,
)
from numa_sim.workloads.traces.lackey import read_lackey
from numa_sim.workloads.traces.oracle_general import read_oracle_general
from numa_sim.workloads.traces.recording import read_recording

MAX_HIT_NS = 1_000_000

FORMATS: dict[str, Callable[..., Iterator[Item]]] = {
    "numa_sim": read_canonical,
    "lackey": read_lackey,
    "lackey+strace": read_recording,
    "oracleGeneral": read_oracle_general,
    "csv": read_csv,
    "damon": read_damon,
}
"""Readers: called with a path and ``instructions=``."""


def read_items(
    path: str | Path, format: str = "numa_sim", *, instructions: bool = True, limit: int | None = None, **options: Any
) -> Iterator[Item]:
    """Yield the mappings and runs of a trace, in order, with bounded memory.

    Parameters
    ----------
    path : str or Path
        The trace.
    format : str
        A name in `FORMATS`.
    instructions : bool
        False: instruction fetches will be left out (see `convert_runs`).
    limit : int, optional
        Stop after this many runs.
    **options
        Of the reader (`columns` of CSV, `strace` of lackey+strace, `exact`, `target`, `write` of damon).

    Raises
    ------
    TraceFormatError
        Naming the file and the line or byte.
    ConfigError
        No such format.
    """
    reader = FORMATS.get(format)
    if reader is None:
        raise ConfigError(path, "format", f"no trace format {format!r}", tuple(FORMATS))
    return limited(reader(Path(path), instructions=instructions, **options), limit)


def check_hit_ns(cache_hit_ns: int) -> int:
    """Return `cache_hit_ns`, the time of one access of a run, if it is 0 to 1 ms."""
    if not 0 <= cache_hit_ns <= MAX_HIT_NS:
        raise ConfigError("", "trace.cache_hit", f"{cache_hit_ns} ns is out of range", (f"0 to {MAX_HIT_NS} ns",))
    return cache_hit_ns


def read_accesses(
    path: str | Path,
    format: str = "numa_sim",
    *,
    cache_hit_ns: int = 1,
    instructions: bool = True,
    limit: int | None = None,
    **options: Any,
) -> Iterator[Accesses | MapCall | UnmapCall | MoveCall | ProtectCall]:
    """Yield a trace as accesses of the simulated machine, and the mappings they need.

    A run of `count` accesses becomes one access that moves ``min(count, 64)`` cache lines after ``count *
    cache_hit_ns`` of computing; it writes if any access of the run did, or if it is the first touch of a page that
    had contents.  Recorded waiting is left out.  Parameters and errors: `read_items`; `cache_hit_ns` in ns, 0 to 1 ms.
    """
    check_hit_ns(cache_hit_ns)
    carry_ns = 0
    for item in read_items(path, format, instructions=instructions, limit=limit, **options):
        if isinstance(item, Runs):
            chunk = zeros(len(item.vpn), ACCESS)
            n, carry_ns = convert(chunk, *item, touching_flags(instructions), cache_hit_ns, carry_ns)
            yield Accesses(chunk[:n])
        elif not isinstance(item, Wait):
            yield item


def import_trace(format: str, src: str | Path, dst: str | Path, **options: Any) -> int:
    """Convert trace `src` of `format` to the project's own form in `dst`; return the number of records.

    That form has no times: those of DAMON's records are lost.
    """
    return write_canonical(Path(dst), read_items(src, format, **options))


def describe(path: str | Path, format: str = "numa_sim", **options: Any) -> dict[str, int | str]:
    """Read a whole trace and count.

    Returns
    -------
    dict
        ``file``, ``format``, ``records``, ``accesses``, ``pages`` touched, ``data_pages`` (by other than fetches),
        ``written_pages``, ``write_records``, ``mapped_pages`` (most at a time), ``maps``, ``moves``, ``unmaps``.
    """
    found = {"records": 0, "accesses": 0, "write_records": 0, "mapped_pages": 0, "maps": 0, "moves": 0, "unmaps": 0}
    pages: dict[str, set[int]] = {"pages": set(), "data_pages": set(), "written_pages": set()}
    mapped = 0
    for item in read_items(path, format, **options):
        match item:
            case Runs(vpn, count, flags):
                found["records"] += len(vpn)
                found["accesses"] += int(count.sum())
                found["write_records"] += int(np.count_nonzero(flags & WRITE))
                for name, mask in (("pages", READ | WRITE | EXECUTE), ("data_pages", READ | WRITE)):
                    pages[name].update(np.unique(vpn[(flags & mask) != 0]).tolist())
                pages["written_pages"].update(np.unique(vpn[(flags & WRITE) != 0]).tolist())
            case MapCall():
                found["maps"] += 1
                mapped += item.pages
            case MoveCall():
                found["moves"] += 1
            case UnmapCall():
                found["unmaps"] += 1
                mapped -= item.pages
        found["mapped_pages"] = max(found["mapped_pages"], mapped)
    return {"file": Path(path).name, "format": format, **found, **{name: len(p) for name, p in pages.items()}}
