"""The contract suite: ours pass it, and each bad policy fails it for its own reason."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any, ClassVar

import pytest

from numa_sim.policies import Policy, names
from numa_sim.policies.clock import Clock
from numa_sim.policies.fifo import Fifo
from numa_sim.policies.lru import Lru
from numa_sim.testing import check_policy


@pytest.mark.parametrize("name", names())
def test_ours_keep_the_contract(name: str) -> None:
    check_policy(name)


class Lottery(Policy):
    """A good policy that draws: from its own stream, in constant time."""

    name = "lottery"

    def start(self, frames: int, rng: Any) -> None:
        super().start(frames, rng)
        self.pages: list[int] = []
        self.place: dict[int, int] = {}

    def insert(self, page: int, write: bool) -> None:
        self.place[page] = len(self.pages)
        self.pages.append(page)

    def remove(self, page: int) -> None:
        last = self.pages.pop()
        at = self.place.pop(page)
        if last != page:
            self.pages[at] = last
            self.place[last] = at

    def victim(self) -> int | None:
        if not self.pages:
            return None
        page = self.pages[self.draw(len(self.pages))]
        self.remove(page)
        return page

    def draw(self, bound: int) -> int:
        return int(self.rng.integers(bound))


def test_a_policy_may_draw_from_its_own_stream() -> None:
    check_policy(Lottery)


class Hoarder(Fifo):
    name = "hoarder"

    def victim(self) -> int | None:
        return super().victim() if len(self.queue) > 4 else None


class Loser(Fifo):
    """Puts a page back under the wrong name: it never comes again."""

    name = "loser"

    def rescue(self, page: int, write: bool) -> None:
        pass


class Twice(Fifo):
    name = "twice"

    def victim(self) -> int | None:
        return next(iter(self.queue), None)


class Elephant(Fifo):
    name = "elephant"

    def remove(self, page: int) -> None:
        pass


class Inventor(Fifo):
    name = "inventor"

    def victim(self) -> int | None:
        page = super().victim()
        return None if page is None else page + 1


class Dealer(Fifo):
    name = "dealer"

    def victim(self) -> Any:
        page = super().victim()
        return None if page is None else (page,)


class Gambler(Lottery):
    name = "gambler"

    def draw(self, bound: int) -> int:
        return random.randrange(bound)


class Fragile(Lru):
    name = "fragile"

    def victim(self) -> int | None:
        return self.by_use.popitem(last=False)[0]


class TwoAtLeast(Lru):
    name = "two-at-least"

    def start(self, frames: int, rng: Any) -> None:
        super().start(frames, rng)
        self.every = 100 // (frames - 1)


class Careless(Lru):
    name = "careless"

    def start(self, frames: int, rng: Any) -> None:
        if not hasattr(self, "by_use"):
            super().start(frames, rng)


class Sentimental(Clock):
    """Keeps the bits of the run before."""

    name = "sentimental"

    def start(self, frames: int, rng: Any) -> None:
        used = getattr(self, "used", set())
        super().start(frames, rng)
        self.used = used


class Communist(Clock):
    """All policies of the class have their bits in common."""

    name = "communist"
    ours: ClassVar[set[int]] = set()

    def start(self, frames: int, rng: Any) -> None:
        super().start(frames, rng)
        if frames > 16:
            self.ours.clear()
        self.used = self.ours


class Sorter(Policy):
    name = "sorter"

    def start(self, frames: int, rng: Any) -> None:
        super().start(frames, rng)
        self.uses: dict[int, int] = {}

    def insert(self, page: int, write: bool) -> None:
        self.uses[page] = 1

    def touch(self, page: int, write: bool) -> None:
        self.uses[page] += 1

    def remove(self, page: int) -> None:
        del self.uses[page]

    def victim(self) -> int | None:
        if not self.uses:
            return None
        page = min(self.uses, key=self.uses.__getitem__)
        del self.uses[page]
        return page


class Plodder(Fifo):
    """Finds a page by going through a list."""

    name = "plodder"

    def start(self, frames: int, rng: Any) -> None:
        super().start(frames, rng)
        self.line: list[int] = []

    def insert(self, page: int, write: bool) -> None:
        self.line.append(page)

    def touch(self, page: int, write: bool) -> None:
        self.line.remove(page)
        self.line.insert(0, page)

    def remove(self, page: int) -> None:
        self.line.remove(page)

    def victim(self) -> int | None:
        return self.line.pop(0) if self.line else None


class Misspelt(Fifo):
    name = "misspelt"
    observes = "access bits"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Hoarder, r"policy 'hoarder' hoards: it gives no victim though it has 1 pages in 4 frames|in 1 frames"),
        (Loser, r"policy 'loser' raises KeyError|policy 'loser' hoards"),
        (Twice, r"policy 'twice' gives page \d+ as a victim, which left already \(a double free\)"),
        (Elephant, r"policy 'elephant' gives page \d+ as a victim, which was removed"),
        (Inventor, r"policy 'inventor' gives page \d+ as a victim, which was never inserted"),
        (Dealer, r"policy 'dealer' gives \(\d+,\) as a victim: not a page"),
        (Gambler, r"policy 'gambler' chooses differently when run again .* from rng alone"),
        (Fragile, r"policy 'fragile' raises KeyError .* in victims\(\) with 0 pages"),
        (TwoAtLeast, r"policy 'two-at-least' raises ZeroDivisionError .* in start\(\) with 0 pages in 1 frames"),
        (Careless, r"policy 'careless' gives page \d+ as a victim, which was never inserted"),
        (Sentimental, r"policy 'sentimental' remembers something of an earlier run over start\(\)"),
        (Communist, r"policy 'communist' (shares state with another|remembers|chooses differently)"),
        (Sorter, r"policy 'sorter' looks at pages \d+ times per victims\(\) with 2000 pages"),
        (Plodder, r"policy 'plodder' looks at pages \d+ times per touch\(\)"),
        (Misspelt, r"policy 'misspelt' has observes = 'access bits': must be accesses or accessed bits"),
    ],
)
def test_a_bad_policy_is_caught_for_its_reason(policy: type[Policy], reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        check_policy(policy)


def test_something_else_is_no_policy() -> None:
    with pytest.raises(AssertionError, match=r"is no numa_sim\.policies\.Policy"):
        check_policy(OrderedDict)  # type: ignore[arg-type]
