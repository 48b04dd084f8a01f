"""What every replacement policy must fulfil, as one call: `check_policy`.

It needs no test framework: a broken rule is an AssertionError that says which, with the policy's name and the page.
All chance is drawn from fixed seeds, so a policy that fails, fails always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from numa_sim.policies.policy import PROCESS_SHIFT, Policy
from numa_sim.policies.registry import find
from numa_sim.state.constants import FIRST_FILE
from numa_sim.workloads.streams import stream

__all__ = ["check_policy"]

Factory = Callable[[], Policy]

PROCESSES = 4
"""Address spaces whose pages are used; the last one is a file."""
PAGES_PER_PROCESS = 12
MANY = 2000
"""Pages of the check of costs."""
DEAREST = 48
"""Comparisons and look-ups of pages that one call may take on average: ample for a heap of `MANY`."""


def check_policy(factory: str | Factory) -> None:
    """Check that a policy keeps its contract.

    It must not hoard (give no victim though it has pages), give a page it does not have (removed, gone already, never
    inserted), lose pages, draw chance from elsewhere than ``rng``, share state with another of its kind, keep pages
    over `Policy.start`, break on no or one frame, or take time in proportion to its pages at each call.

    Parameters
    ----------
    factory : callable or str
        Makes a new policy at each call (the class itself will do), or the name of one.

    Raises
    ------
    AssertionError
        For the first rule that is broken.

    Examples
    --------
    >>> from numa_sim.testing import check_policy
    >>> check_policy("lru")
    """
    make: Factory = (lambda: find(factory)) if isinstance(factory, str) else factory
    _check_description(make())
    for check in (
        _check_empty,
        _check_one_frame,
        _check_fill_and_drain,
        _check_removed_pages,
        _check_chance,
        _check_start_again,
        _check_independence,
        _check_cost,
    ):
        check(make)


class _Memory:
    """Frames, the policy that decides about them, and what it must not do."""

    def __init__(self, policy: Policy, frames: int) -> None:
        self.policy = policy
        self.frames = frames
        self.resident: dict[int, None] = {}
        self.left: dict[int, str] = {}  # page: how it left
        self.used: dict[int, bool] = {}
        self.given: list[int] = []
        with self.calling("start"):
            policy.start(frames, stream(7, "check_policy"))

    def fail(self, what: str) -> None:
        raise AssertionError(f"policy {self.policy.name or type(self.policy).__name__!r} {what}")

    @contextmanager
    def calling(self, method: str) -> Iterator[None]:
        try:
            yield
        except AssertionError:
            raise
        except Exception as problem:
            raise AssertionError(
                f"policy {self.policy.name!r} raises {type(problem).__name__} ({problem}) in {method}() "
                f"with {len(self.resident)} pages in {self.frames} frames"
            ) from problem

    def access(self, page: int, write: bool) -> None:
        """Use `page`; where it is not in memory and no frame is free, ask for a victim."""
        if page in self.resident:
            if self.policy.observes == "accesses":
                with self.calling("touch"):
                    self.policy.touch(page, write)
            else:
                self.used[page] = write or self.used.get(page, False)
            return
        if len(self.resident) == self.frames and not self.evict(1, page):
            return
        with self.calling("insert"):
            self.policy.insert(page, write)
        self.resident[page] = None

    def evict(self, wanted: int, needed_by: int | None) -> list[int]:
        """Ask for victims, after reporting the accessed bits; each must be a page the policy has."""
        for page, write in self.used.items():
            if page in self.resident:
                with self.calling("touch"):
                    self.policy.touch(page, write)
        self.used.clear()
        self.policy.needed_by = needed_by
        with self.calling("victims"):
            victims = list(self.policy.victims(wanted))
        self.policy.needed_by = None
        for page in victims:
            self._check_resident(page)
            del self.resident[page]
            self.left[page] = "left already (a double free)"
        if not victims and self.resident and not self.policy.may_refuse:
            self.fail(f"hoards: it gives no victim though it has {len(self.resident)} pages in {self.frames} frames")
        self.given += victims
        return victims

    def _check_resident(self, page: Any) -> None:
        if not isinstance(page, int | np.integer):
            self.fail(f"gives {page!r} as a victim: not a page")
        if page not in self.resident:
            self.fail(f"gives page {page} as a victim, which {self.left.get(page, 'was never inserted')}")

    def remove(self, page: int) -> None:
        with self.calling("remove"):
            self.policy.remove(page)
        del self.resident[page]
        self.left[page] = "was removed"

    def rescue(self, page: int) -> None:
        with self.calling("rescue"):
            self.policy.rescue(page, False)
        self.resident[page] = None

    def drain(self) -> None:
        """Ask for victims until there are none: every page must come."""
        while self.resident:
            if not self.evict(1, None):
                return
        if list(self.evict(1, None)):
            self.fail("gives a victim though it has no pages")


def _page(process: int, number: int) -> int:
    return (FIRST_FILE + process if process == PROCESSES else process) << PROCESS_SHIFT | number


def _live(memory: _Memory, accesses: int = 1500) -> None:
    """Uses, unmapping and rescues of the pages of some processes, the same ones at each call."""
    chance = np.random.Generator(np.random.PCG64(20))
    for _ in range(accesses):
        kind, number = chance.random(), int(chance.zipf(1.3)) % PAGES_PER_PROCESS
        process, write = int(chance.integers(1, PROCESSES + 1)), bool(chance.random() < 0.3)
        if kind < 0.9:
            memory.access(_page(process, number), write)
        elif kind < 0.95 and memory.resident:
            memory.remove(list(memory.resident)[number % len(memory.resident)])
        else:
            for page in memory.evict(2, None)[:1]:
                memory.rescue(page)


def _check_description(policy: Policy) -> None:
    assert isinstance(policy, Policy), f"{policy!r} is no numa_sim.policies.Policy"
    for name, allowed in (("observes", ("accesses", "accessed bits")), ("writes", ("dirty", "all"))):
        value = getattr(policy, name)
        assert value in allowed, f"policy {policy.name!r} has {name} = {value!r}: must be {' or '.join(allowed)}"


def _check_empty(make: Factory) -> None:
    memory = _Memory(make(), 4)
    memory.drain()
    memory.access(_page(1, 1), write=True)
    memory.remove(_page(1, 1))
    memory.drain()


def _check_one_frame(make: Factory) -> None:
    memory = _Memory(make(), 1)
    for number in (0, 1, 1, 0, 2):
        memory.access(_page(number, number), write=False)
    memory.drain()


def _check_fill_and_drain(make: Factory) -> None:
    memory = _Memory(make(), 16)
    _live(memory)
    memory.drain()


def _check_removed_pages(make: Factory) -> None:
    memory = _Memory(make(), 16)
    for number in range(16):
        memory.access(_page(number % 2, number), write=False)
    for number in range(0, 16, 3):
        memory.access(_page(number % 2, number), write=False)
        memory.remove(_page(number % 2, number))
    for number in range(16, 20):
        memory.access(_page(0, number), write=False)
    memory.drain()


def _check_start_again(make: Factory) -> None:
    fresh = _Memory(make(), 16)
    _live(fresh)
    policy = make()
    _live(_Memory(policy, 16), accesses=97)
    again = _Memory(policy, 16)
    _live(again)
    if again.given != fresh.given:
        again.fail("remembers something of an earlier run over start()")


def _check_chance(make: Factory) -> None:
    runs = [_Memory(make(), 16) for _ in range(3)]
    for memory in runs:
        _live(memory)
        if memory.given != runs[0].given:
            at = next(i for i, pair in enumerate(zip(memory.given, runs[0].given, strict=False)) if pair[0] != pair[1])
            memory.fail(f"chooses differently when run again from victim {at} on: chance must come from rng alone")


def _check_independence(make: Factory) -> None:
    alone, one, other = (_Memory(make(), 16) for _ in range(3))
    _live(alone)
    for number in range(16):
        other.access(_page(1, number), write=False)
    _live(one)
    other.drain()
    if one.given != alone.given:
        one.fail("shares state with another policy of its class")


class _CountingPage(int):
    """A page that counts how often it is looked at."""

    looks = 0

    def __hash__(self) -> int:
        _CountingPage.looks += 1
        return int.__hash__(self)

    def __eq__(self, other: object) -> bool:
        _CountingPage.looks += 1
        return int.__eq__(self, other)

    def __lt__(self, other: int) -> bool:
        _CountingPage.looks += 1
        return int.__lt__(self, other)


def _check_cost(make: Factory) -> None:
    policy = make()
    memory = _Memory(policy, MANY)
    pages = [_CountingPage(_page(1 + number * PROCESSES // MANY, number)) for number in range(MANY)]

    def ask(number: int) -> int:
        policy.needed_by = _page(PROCESSES + 1, number)
        return len(list(policy.victims(1)))

    _check_cost_of(memory, "insert", MANY, lambda number: policy.insert(pages[number], False))
    _check_cost_of(memory, "touch", MANY, lambda number: policy.touch(pages[number], False))
    _check_cost_of(memory, "remove", MANY // 4, lambda number: policy.remove(pages[2 * number]))
    _check_cost_of(memory, "victims", MANY // 2, ask)


def _check_cost_of(memory: _Memory, method: str, calls: int, call: Callable[[int], int | None]) -> None:
    """Call a method many times, counting looks at pages; a call that gives n victims may look as often as n calls."""
    _CountingPage.looks = 0
    allowed = DEAREST * MANY  # a hand that must go round once
    for number in range(calls):
        allowed += DEAREST * (call(number) or 1)
        if _CountingPage.looks > allowed:
            each = _CountingPage.looks // (number + 1)
            memory.fail(
                f"looks at pages {each} times per {method}() with {MANY} pages: it must not go through them all"
            )
