"""Swapping as it was before paging: processes come and go whole (rows S3-009, S2-05)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from numa_sim.policies.policy import Policy, process_of

NOBODY = -1


class WholeProcess(Policy):
    """When a frame is needed, every page of the process that ran longest ago goes; when it runs again, all come back.

    The process in need never gives pages up itself, so one larger than memory cannot run.
    """

    name = "whole-process"
    writes = "all"
    in_background = False
    may_refuse = True

    def start(self, frames: int, rng: Any) -> None:
        """Begin with no process."""
        super().start(frames, rng)
        self.inside: OrderedDict[int, OrderedDict[int, None]] = OrderedDict()  # processes by last use: their pages
        self.outside: dict[int, list[int]] = {}

    def insert(self, page: int, write: bool) -> None:
        """Note `page` and that its process runs."""
        self.inside.setdefault(process_of(page), OrderedDict())[page] = None
        self.touch(page, write)

    def touch(self, page: int, write: bool) -> None:
        """Note that the process of `page` runs."""
        self.inside.move_to_end(process_of(page))

    def remove(self, page: int) -> None:
        """Forget `page`."""
        pages = self.inside[process_of(page)]
        del pages[page]
        if not pages:
            del self.inside[process_of(page)]

    def victim(self) -> int | None:
        """Take the first page of the process that ran longest ago; the one in need runs now."""
        running = NOBODY if self.needed_by is None else process_of(self.needed_by)
        if running in self.inside:
            self.inside.move_to_end(running)
        if not self.inside or self._longest_ago() == running:
            return None
        page = next(iter(self.inside[self._longest_ago()]))
        self.remove(page)
        return page

    def victims(self, wanted: int) -> Iterable[int]:
        """Take all pages of the process that ran longest ago, however few are wanted."""
        first = self.victim()
        if first is None:
            return []
        process = process_of(first)
        self.outside[process] = [first, *self.inside.pop(process, ())]
        return self.outside[process]

    def along_with(self, page: int) -> Iterable[int]:
        """All that left with the process of `page`."""
        return [other for other in self.outside.pop(process_of(page), ()) if other != page]

    def _longest_ago(self) -> int:
        return next(iter(self.inside))
