"""Strategy 3 of the notes: a staging queue against thrashing (row S2-35)."""

from __future__ import annotations

from numa_sim.policies.lru import Lru


class Staging(Lru):
    """LRU in two steps: a page chosen ahead of need is unmapped and written, but its frame is kept until it is needed.

    A use in between finds the page in memory: no disk read.  It is written all the same.
    """

    name = "staging"
    staged = True
