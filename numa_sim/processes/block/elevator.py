"""Elevators: in which order a queue's requests go to the drive, drivers/block/elevator.c @2.4.37 in our own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simpy import Event

from numa_sim.state.constants import IO_READ

MAX_REQUEST_PAGES = 32
"""Most pages of one request: 128 KiB, the usual limit of the 2.4 block layer."""
PATIENCE = {True: 64, False: 256}
"""How many requests may overtake a read (True), a write (False); ours, as 2.4 changed its bounds with every release."""


class Request(Event):
    """One transfer: `op` (IO_READ, IO_WRITE) of the frames `pfns`, neighbouring blocks from `block` on.

    It came at `submitted_ns` and went to its drive at `given_ns`.
    It is the event of its own end, which comes when its drive is done with it.
    """

    def __init__(self, op: int, block: int, pfns: list[int], submitted_ns: int) -> None:
        self._ok = True
        self._value = None
        self.op = op
        self.block = block
        self.pfns = pfns
        self.submitted_ns = self.given_ns = submitted_ns
        self.patience = PATIENCE[op == IO_READ]

    def __repr__(self) -> str:
        return f"<{'read' if self.op == IO_READ else 'write'} of blocks {self.block} to {self.end - 1}>"

    @property
    def end(self) -> int:
        """First block behind it."""
        return self.block + len(self.pfns)


Elevator = Callable[[Sequence[Request], "Request | None", Request], int]
"""Given the waiting requests, the one under way and a new one: the position at which the new one joins."""


def noop(waiting: Sequence[Request], under_way: Request | None, new: Request) -> int:
    """First come, first served (ELEVATOR_NOOP)."""
    del under_way, new
    return len(waiting)


def linus(waiting: Sequence[Request], under_way: Request | None, new: Request) -> int:
    """Between its neighbours by block, as near to the end as possible (ELEVATOR_LINUS: `elevator_linus_merge`).

    The queue is a row of upward sweeps.  Behind the last request nothing is "between": what fits nowhere begins a new
    sweep there.  A request whose patience is used up is overtaken by nobody.
    """
    at = len(waiting) - 1
    while at >= 0:
        if waiting[at].patience <= 0:
            break
        before = waiting[at - 1] if at > 0 else under_way
        if before is not None and _is_between(before.block, new.block, waiting[at].block):
            for overtaken in waiting[at:]:
                overtaken.patience -= 1
            return at
        at -= 1
    return len(waiting)


def _is_between(before: int, block: int, after: int) -> bool:
    """Whether a sweep from `before` to `after` (one that turns back, if `after` is lower) comes by `block`."""
    if before < after:
        return before < block < after
    return block > before or block < after


ELEVATORS: dict[str, Elevator] = {"linus": linus, "noop": noop}
