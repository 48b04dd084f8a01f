r"""A recorded program: its accesses (lackey) and its memory calls (strace), put together.

The two logs of one run do not tell how their lines follow each other; the addresses do.  A page cannot be touched
before it is mapped, so each call is made as late as the accesses allow: when a run needs a page, or a permission, that
is not there, the calls that follow are made until it is.  Calls that are left at the end of the accesses are made
there.  What no call maps (the program and its stack, which the kernel maps in execve) is mapped just before its first
touch.

Record with valgrind under strace, so that both see the same addresses::

    strace -f -e trace=%memory,%process -o PROG.strace \
        valgrind --tool=lackey --trace-mem=yes --log-file=PROG.lackey PROG

Memory that valgrind maps for itself is mapped in the replay, too; nothing touches it, so it takes no frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from numa_sim.errors import TraceFormatError
from numa_sim.state.constants import VM_EXEC, VM_READ, VM_WRITE
from numa_sim.workloads.traces.address_space import AddressSpace, Call
from numa_sim.workloads.traces.items import FILL, WRITE, Item, MapCall, MoveCall, ProtectCall, Runs, touching_flags
from numa_sim.workloads.traces.lackey import read_runs
from numa_sim.workloads.traces.strace import read_strace

_ANY = VM_READ | VM_WRITE | VM_EXEC


def read_recording(
    path: Path, *, instructions: bool = True, strace: str | Path | None = None, exact: bool = False
) -> Iterator[Item]:
    """Yield the mappings and runs of a lackey trace, with the calls of its strace log in between.

    Parameters
    ----------
    path : Path
        Lackey text, plain or gzip.
    instructions : bool
        Whether fetches will be replayed (else the pages of code are not mapped unless the log maps them).
    strace : str or Path
        Log of the same run.
    exact : bool
        Whether areas keep their permissions (see `numa_sim.workloads.traces.address_space`).

    Raises
    ------
    TraceFormatError
        Naming file and line; or the page that no call makes writable.
    """
    if strace is None:
        raise TraceFormatError(path, "strace", "this format needs the strace log of the same run")
    touching = touching_flags(instructions)
    log = _Log(Path(strace), exact)
    for runs in read_runs(path):
        start = 0
        while start < len(runs.vpn):
            end = log.may_run(runs, start, touching)
            if end > start:
                yield log.note_first_touches(Runs(*(column[start:end] for column in runs)), touching)
            if end < len(runs.vpn):
                yield from log.make_ready(path, runs, end, touching)
            start = end
    yield from log.rest()


class _Log:
    """The calls of a log, made one after the other, and what each page may be used for so far."""

    def __init__(self, path: Path, exact: bool) -> None:
        self._exact = exact
        self._made = 0
        self._steps = self._read(path, AddressSpace(exact=True))
        self._areas: list[tuple[int, int, int]] = []  # first page, end, permissions: sorted, apart
        self._unfilled: set[int] = set()  # pages with contents that nobody has touched

    @staticmethod
    def _read(path: Path, space: AddressSpace) -> list[list[Call]]:
        """What each call of the log changes."""
        steps = []
        for n, call in enumerate(read_strace(path), 1):
            try:
                steps.append(space.call(*call))
            except ValueError as problem:
                raise TraceFormatError(path, f"memory call {n}", str(problem)) from None
        return steps

    def may_run(self, runs: Runs, start: int, touching: int) -> int:
        """Index of the first run from `start` on that needs a page or a permission that is not there."""
        used = runs.flags[start:] & touching != 0
        vpn, needs = runs.vpn[start:], np.where(runs.flags[start:] & WRITE != 0, VM_WRITE, _ANY)
        first, end, prot = np.array(self._areas, np.int64).reshape(-1, 3).T
        at = np.searchsorted(first, vpn, "right") - 1
        if len(first):
            ready = (at >= 0) & (vpn < end[at]) & (prot[at] & needs != 0)
        else:
            ready = np.zeros(len(vpn), np.bool_)
        blocked = np.flatnonzero(used & ~ready)
        return start + int(blocked[0]) if len(blocked) else len(runs.vpn)

    def make_ready(self, path: Path, runs: Runs, at: int, touching: int) -> Iterator[Item]:
        """Make calls until run `at` can happen; map its page, and those like it, if no call ever does."""
        vpn = int(runs.vpn[at])
        needs = VM_WRITE if runs.flags[at] & WRITE else _ANY
        wanted = next((n for n in range(self._made, len(self._steps)) if self._gives(n, vpn, needs)), None)
        if wanted is not None:
            while self._made <= wanted:
                yield from self._next_step()
            return
        unknown = self._never_mapped(runs, at, touching)
        if vpn not in unknown:
            raise TraceFormatError(path, f"page {vpn:#x}", "is used as no call of the strace log permits")
        stretches = np.split(unknown, np.flatnonzero(np.diff(unknown) > 1) + 1)
        yield from self._note([MapCall(int(pages[0]), len(pages), _ANY, contents=True) for pages in stretches])

    def _gives(self, n: int, vpn: int, needs: int) -> bool:
        return any(
            (isinstance(c, MapCall | ProtectCall) and c.vpn <= vpn < c.vpn + c.pages and c.prot & needs)
            or (isinstance(c, MoveCall) and c.to_vpn <= vpn < c.to_vpn + c.pages)
            for c in self._steps[n]
        )

    def _never_mapped(self, runs: Runs, at: int, touching: int) -> Any:
        """Pages, of those that `runs` touch from `at` on, which neither an area nor a call to come holds."""
        pages = np.unique(runs.vpn[at:][runs.flags[at:] & touching != 0])
        to_come = [call for step in self._steps[self._made :] for call in step]
        held = [(c.vpn, c.vpn + c.pages) for c in to_come if isinstance(c, MapCall)]
        held += [(c.to_vpn, c.to_vpn + c.pages) for c in to_come if isinstance(c, MoveCall)]
        for first, end in [*held, *((first, end) for first, end, _ in self._areas)]:
            low, high = np.searchsorted(pages, (first, end))
            pages = np.delete(pages, slice(low, high))
        return pages

    def rest(self) -> Iterator[Item]:
        """The calls after the last access."""
        while self._made < len(self._steps):
            yield from self._next_step()

    def _next_step(self) -> Iterator[Item]:
        step = self._steps[self._made]
        self._made += 1
        return self._note(step)

    def _note(self, calls: list[Any]) -> Iterator[Item]:
        for call in calls:
            self._change(call)
            if self._exact or not isinstance(call, ProtectCall):
                yield call

    def _change(self, call: Call) -> None:
        """Bring areas, and pages not yet filled, up to date."""
        start, end = call.vpn, call.vpn + call.pages
        kept: list[tuple[int, int, int]] = []
        for first, last, prot in self._areas:
            if last <= start or end <= first:
                kept.append((first, last, prot))
                continue
            kept += [(a, b, prot) for a, b in ((first, start), (end, last)) if a < b]
            low, high = max(first, start), min(last, end)
            if isinstance(call, ProtectCall):
                kept.append((low, high, call.prot))
            elif isinstance(call, MoveCall):
                kept.append((low + call.to_vpn - start, high + call.to_vpn - start, prot))
        if isinstance(call, MapCall):
            kept.append((start, end, call.prot))
        self._areas = sorted(kept)
        if not isinstance(call, ProtectCall):
            unfilled = [vpn for vpn in self._unfilled if start <= vpn < end]
            self._unfilled.difference_update(unfilled)
            if isinstance(call, MoveCall):
                self._unfilled.update(vpn + call.to_vpn - start for vpn in unfilled)
        if isinstance(call, MapCall) and call.contents:
            self._unfilled.update(range(start, end))

    def note_first_touches(self, runs: Runs, touching: int) -> Runs:
        """`runs`, with FILL where a page that had contents is touched for the first time."""
        used = np.flatnonzero(runs.flags & touching)
        vpns, first = np.unique(runs.vpn[used], return_index=True)
        for vpn, at in zip(vpns.tolist(), first.tolist(), strict=True):
            if vpn in self._unfilled:
                self._unfilled.remove(vpn)
                runs.flags[used[at]] |= FILL
        return runs
