"""CLOCK, or second chance: LRU from one bit per page."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numa_sim.policies.policy import Policy


class Clock(Policy):
    """A hand goes round the pages: one used since it last came by loses its bit and stays, the first other one goes.

    A new page is put right behind the hand with its bit clear.
    """

    name = "clock"
    observes = "accessed bits"

    def start(self, frames: int, rng: Any) -> None:
        """Begin with an empty ring."""
        super().start(frames, rng)
        self.ring: OrderedDict[int, None] = OrderedDict()  # from the hand on, round to right behind it
        self.used: set[int] = set()

    def insert(self, page: int, write: bool) -> None:
        """Put `page` right behind the hand."""
        self.ring[page] = None

    def touch(self, page: int, write: bool) -> None:
        """Set the bit of `page`."""
        self.used.add(page)

    def remove(self, page: int) -> None:
        """Take `page` out of the ring."""
        del self.ring[page]
        self.used.discard(page)

    def victim(self) -> int | None:
        """Move the hand to the first page whose bit is clear."""
        while self.ring:
            page, _ = self.ring.popitem(last=False)
            if page not in self.used:
                return page
            self.used.discard(page)
            self.ring[page] = None
        return None
