"""Strategy 2 of the notes: the least recently used page goes (row S2-34)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar

from numa_sim.policies.policy import Policy, Writes


class Lru(Policy):
    """The page whose last use is longest ago is written and freed, ahead of need where the machine has a kswapd.

    What was freed ahead and is wanted after all must be read again: it may thrash.
    """

    name = "lru"
    writes: ClassVar[Writes] = "all"

    def start(self, frames: int, rng: Any) -> None:
        """Begin with an empty list."""
        super().start(frames, rng)
        self.by_use: OrderedDict[int, None] = OrderedDict()

    def insert(self, page: int, write: bool) -> None:
        """Note `page` as the one used last."""
        self.by_use[page] = None

    def touch(self, page: int, write: bool) -> None:
        """Note `page` as the one used last."""
        self.by_use.move_to_end(page)

    def remove(self, page: int) -> None:
        """Forget `page`."""
        del self.by_use[page]

    def victim(self) -> int | None:
        """Take the page used longest ago."""
        return self.by_use.popitem(last=False)[0] if self.by_use else None
