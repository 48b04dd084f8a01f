"""Takes spans: those that overlap a window of time, up to a number; what is dropped is counted."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from numa_sim.observe.timeline.spans import AT, COLUMNS, Kind

__all__ = ["Recorder"]

_BEGIN, _END = AT["begin_ns"], AT["end_ns"]


class Recorder:
    """Collects rows of `COLUMNS`.

    Parameters
    ----------
    from_ns, until_ns : int
        Spans that end before the one or begin at the other or later are left out.
    most : int
        Rows to keep, each 112 bytes; what comes later is dropped and counted.

    Attributes
    ----------
    cut_ns : int
        End of the span dropped that ended first, -1 if none was: all spans that had ended before are there.
    dropped : int
        Rows dropped because there were too many.
    """

    def __init__(self, from_ns: int, until_ns: int, most: int) -> None:
        self.from_ns, self.until_ns, self.most = from_ns, until_ns, most
        self.cut_ns = -1
        self.dropped = 0
        self._used = 0
        self._rows = array("q")
        self._blocks: list[Any] = []

    def add(
        self,
        kind: Kind,
        begin_ns: int,
        end_ns: int,
        middle_ns: int,
        task: int = -1,
        cpu: int = -1,
        node: int = -1,
        disk: int = -1,
        where: int = 0,
        pages: int = 0,
        scanned: int = 0,
        freed: int = 0,
        detail: int = 0,
        request: int = -1,
    ) -> None:
        """Take one span."""
        if end_ns < self.from_ns or begin_ns >= self.until_ns:
            return
        if self._used >= self.most:
            self._drop(end_ns, 1)
            return
        self._used += 1
        self._rows.extend(
            (kind, begin_ns, end_ns, middle_ns, task, cpu, node, disk, where, pages, scanned, freed, detail, request)
        )

    def add_block(self, rows: Any) -> None:
        """Take many at once: int64 [spans, columns], in order of time."""
        rows = rows[(rows[:, _END] >= self.from_ns) & (rows[:, _BEGIN] < self.until_ns)]
        room = max(self.most - self._used, 0)
        if len(rows) > room:
            self._drop(int(rows[room:, _END].min()), len(rows) - room)
            rows = rows[:room]
        if len(rows):
            self._used += len(rows)
            self._blocks.append(rows)

    def _drop(self, end_ns: int, n: int) -> None:
        self.dropped += n
        if self.cut_ns < 0 or end_ns < self.cut_ns:
            self.cut_ns = end_ns

    def rows(self) -> Any:
        """All rows: int64 [spans, columns], by begin, then by end from the last on, then as they came."""
        one_by_one = np.array(self._rows, np.int64).reshape(-1, len(COLUMNS))
        rows = np.concatenate((one_by_one, *self._blocks))
        return rows[np.lexsort((-rows[:, _END], rows[:, _BEGIN]))]
