"""First in, first out."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from numa_sim.policies.policy import Policy


class Fifo(Policy):
    """The page that has been in memory longest goes, used or not."""

    name = "fifo"

    def start(self, frames: int, rng: Any) -> None:
        """Begin with an empty queue."""
        super().start(frames, rng)
        self.queue: OrderedDict[int, None] = OrderedDict()

    def insert(self, page: int, write: bool) -> None:
        """Put `page` at the end of the queue."""
        self.queue[page] = None

    def remove(self, page: int) -> None:
        """Take `page` out of the queue."""
        del self.queue[page]

    def victim(self) -> int | None:
        """Take the page at the front."""
        return self.queue.popitem(last=False)[0] if self.queue else None
