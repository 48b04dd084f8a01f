"""Strategy 1 of the notes: page out at the instant of need (row S2-33)."""

from __future__ import annotations

from numa_sim.policies.fifo import Fifo


class Immediate(Fifo):
    """Nothing is prepared: the fault that finds no frame has one page written and freed at once, and waits for it.

    The oldest page goes, since there is no record of uses, and it is written, since there is none of stores.
    """

    name = "immediate"
    writes = "all"
    in_background = False
