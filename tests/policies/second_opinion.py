"""LRU, FIFO and CLOCK a second time: written from their textbook definitions, with lists and counters only."""

from __future__ import annotations

from collections.abc import Sequence


def lru_faults(pages: Sequence[int], frames: int) -> int:
    """Faults by stack distance: a use misses if `frames` or more different pages were used since the last one."""
    faults = 0
    for i, page in enumerate(pages):
        since: set[int] = set()
        for earlier in reversed(pages[:i]):
            if earlier == page:
                break
            since.add(earlier)
        else:
            since.update(range(-1, -1 - frames, -1))
        faults += len(since) >= frames
    return faults


def fifo_faults(pages: Sequence[int], frames: int) -> int:
    """Faults of a circular array of frames, replaced in turn."""
    held: list[int | None] = [None] * frames
    turn = faults = 0
    for page in pages:
        if page not in held:
            held[turn % frames] = page
            turn += 1
            faults += 1
    return faults


def clock_faults(pages: Sequence[int], frames: int) -> int:
    """Faults of a circular array of frames with one bit each and a hand; a new page's bit is clear."""
    held: list[int | None] = [None] * frames
    bits = [False] * frames
    hand = faults = 0
    for page in pages:
        if page in held:
            bits[held.index(page)] = True
            continue
        faults += 1
        while bits[hand]:
            bits[hand] = False
            hand = (hand + 1) % frames
        held[hand] = page
        hand = (hand + 1) % frames
    return faults


SECOND = {"lru": lru_faults, "fifo": fifo_faults, "clock": clock_faults}
