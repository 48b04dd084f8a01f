"""The twin's request queues, written again from what they are said to do: plug, join neighbours, sweep, be patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy
from twin.hardware import HeadDisk, make_device

FULL = 128
MOST_PAGES = 32
READ = 0


class Transfer:
    """Pages to or from neighbouring blocks."""

    def __init__(self, op: int, block: int, pfns: list[int]) -> None:
        self.op, self.block, self.pfns = op, block, pfns
        self.overtaken = 0
        self.bound = 64 if op == READ else 256


class TwinDisk:
    """A disk; `done` is called with each transfer that has ended."""

    def __init__(
        self, env: simpy.Environment, model: Any, blocks: int, plugging: bool, done: Callable[[Transfer], None]
    ) -> None:
        self.env, self.done, self.plugging = env, done, plugging
        self.device = make_device(model, blocks)
        self.elevator = getattr(model, "elevator", "none")
        self.at_once = 1 if isinstance(self.device, HeadDisk) else getattr(model, "channels", 1)
        self.waiting: list[Transfer] = []
        self.working: list[Transfer] = []
        self.newest: Transfer | None = None
        self.plugged = False

    def page(self, op: int, block: int, pfn: int) -> None:
        """One page more."""
        for old in self.waiting:
            if old.op == op and old.block + len(old.pfns) == block and len(old.pfns) < MOST_PAGES:
                old.pfns.append(pfn)
                return
        for old in self.waiting:
            if old.op == op and old.block == block + 1 and len(old.pfns) < MOST_PAGES:
                old.block, old.pfns = block, [pfn, *old.pfns]
                return
        if self.plugging and not self.waiting and not self.working:
            self.plugged = True
        self.line_up(Transfer(op, block, [pfn]))
        if not self.plugged or len(self.waiting) == FULL:
            self.pull_plug()

    def line_up(self, new: Transfer) -> None:
        gaps = []
        if self.elevator == "linus":
            stubborn = [i for i, old in enumerate(self.waiting) if old.overtaken >= old.bound]
            for gap in range(max(stubborn, default=-1) + 1, len(self.waiting)):
                before = self.waiting[gap - 1] if gap else (self.newest if self.working else None)
                if before is None:
                    continue
                low, high = before.block, self.waiting[gap].block
                rises = low < high
                if (rises and low < new.block < high) or (not rises and not high <= new.block <= low):
                    gaps.append(gap)
        place = gaps[-1] if gaps else len(self.waiting)
        for old in self.waiting[place:]:
            old.overtaken += 1
        self.waiting.insert(place, new)

    def pull_plug(self) -> None:
        self.plugged = False
        while self.waiting and len(self.working) < self.at_once:
            self.start(self.waiting.pop(0))

    def start(self, transfer: Transfer) -> None:
        assert self.device is not None
        self.working.append(transfer)
        self.newest = transfer
        done_ns = self.device.done_ns(self.env.now, transfer.block, len(transfer.pfns))
        self.env.timeout(done_ns - self.env.now).callbacks.append(lambda _: self.ended(transfer))

    def ended(self, transfer: Transfer) -> None:
        self.working.remove(transfer)
        if self.waiting and not self.plugged:
            self.pull_plug()
        self.done(transfer)
