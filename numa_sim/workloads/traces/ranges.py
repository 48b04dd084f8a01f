"""Sets of pages as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Ranges:
    """Disjoint ranges ``[start, end)`` of page numbers, in order; neighbours are one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add [start, end), joining what it overlaps or touches."""
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def cut(self, start: int, end: int) -> list[tuple[int, int]]:
        """Take [start, end) out; what of it was there."""
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last or start >= end:
            return []
        ranges = list(zip(self._starts[first:last], self._ends[first:last], strict=True))
        kept = [(a, b) for s, e in ranges for a, b in ((s, max(s, start)), (min(e, end), e)) if a < b]
        self._starts[first:last] = [a for a, _ in kept]
        self._ends[first:last] = [b for _, b in kept]
        return [(max(s, start), min(e, end)) for s, e in ranges]

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any page of [start, end) is there."""
        return bisect_right(self._ends, start) < bisect_left(self._starts, end)

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is there."""
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and end <= self._ends[at]

    def end_before(self, page: int) -> int:
        """End of the last range that begins before `page`; `page` if there is none."""
        at = bisect_left(self._starts, page) - 1
        return self._ends[at] if at >= 0 else page
