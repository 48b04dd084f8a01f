"""What every trace reader yields: runs of accesses, and the calls that map and unmap what they touch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from numa_sim.compiled import entry, rule
from numa_sim.state.constants import PAGE_SHIFT, VM_READ, VM_WRITE
from numa_sim.workloads.patterns.source import MAX_COMPUTE_NS, MAX_LINES

READ = 1
WRITE = 2
EXECUTE = 4
"""The run holds instruction fetches; alone: nothing but fetches."""
FILL = 8
"""First touch of a page that had contents before the program read it: counts as a write (see `MapCall.contents`)."""

USER_PAGES = 1 << (47 - PAGE_SHIFT)
"""Pages of a process's half of the x86-64 address space."""
CHUNK = 1 << 16
"""Runs read at a time."""
MAX_COUNT = 2**32 - 1


class Runs(NamedTuple):
    """Successive stays on a page, in time order (parallel arrays)."""

    vpn: Any  # i8
    count: Any  # i8: accesses (instructions for fetches), 1 or more
    flags: Any  # u1: READ, WRITE, EXECUTE, or-ed over the run; FILL


class Accesses(NamedTuple):
    """Accesses ready for the simulated machine."""

    chunk: Any  # recarray of ACCESS


class MapCall(NamedTuple):
    """Pages become mapped.

    `contents`: what the program will find there is not zeros (a file, the program itself, or unknown).  The simulated
    memory is anonymous, where a page that is only read takes no frame at all; so the first touch of such a page counts
    as the write that puts the contents there.
    """

    vpn: int
    pages: int
    prot: int = VM_READ | VM_WRITE
    contents: bool = False
    shared: bool = False


class UnmapCall(NamedTuple):
    """Pages cease to be mapped."""

    vpn: int
    pages: int


class MoveCall(NamedTuple):
    """Mapped pages move to `to_vpn`, with what they hold (mremap).

    `contents`: pages that nobody has touched yet are not zeros, as in `MapCall`.
    """

    vpn: int
    pages: int
    to_vpn: int
    contents: bool = False


class ProtectCall(NamedTuple):
    """Mapped pages are given other permissions: `prot` of VM_READ, VM_WRITE, VM_EXEC."""

    vpn: int
    pages: int
    prot: int


class Wait(NamedTuple):
    """What follows was recorded that long after the trace's beginning: it is not replayed before."""

    until_ns: int


Item: TypeAlias = Runs | MapCall | UnmapCall | MoveCall | ProtectCall | Wait


def touching_flags(instructions: bool) -> int:
    """Flags of which a run needs one to be replayed: all, or those of data accesses only."""
    return READ | WRITE | EXECUTE if instructions else READ | WRITE


@rule
def convert_runs(
    out: Any, vpn: Any, count: Any, flags: Any, touching: int, hit_ns: int, carry_ns: int
) -> tuple[int, int]:
    """Turn runs into accesses; runs without a flag of `touching` leave only their time behind.

    Returns
    -------
    tuple of int
        Accesses written, and the time not yet charged to one (of runs left out, or beyond what a record holds).
    """
    n = 0
    for i in range(len(vpn)):
        carry_ns = min(carry_ns + count[i] * hit_ns, 1 << 61)
        if flags[i] & touching == 0:
            continue
        compute_ns = min(carry_ns, MAX_COMPUTE_NS)
        carry_ns -= compute_ns
        out[n].vpn = vpn[i]
        out[n].compute_ns = compute_ns
        out[n].lines = min(count[i], MAX_LINES)
        out[n].write = 1 if flags[i] & (WRITE | FILL) != 0 else 0
        n += 1
    return n, carry_ns


convert = entry(convert_runs)


def limited(items: Iterator[Item], records: int | None) -> Iterator[Item]:
    """Yield `items` up to the `records`-th run."""
    left = records
    for item in items:
        if left is None or not isinstance(item, Runs):
            yield item
            continue
        n = min(left, len(item.vpn))
        yield Runs(item.vpn[:n], item.count[:n], item.flags[:n])
        left -= n
        if left == 0:
            return


def new_runs(length: int) -> Runs:
    """Return empty columns for `length` runs."""
    return Runs(np.zeros(length, np.int64), np.zeros(length, np.int64), np.zeros(length, np.uint8))
