"""What a replacement policy is told about pages: which came, which were used, which have gone.

The kernel's rules tell nobody; so before victims are chosen, all page tables and lists of cached pages are looked
through (compiled) and compared with what was there at the last look.  What happened in between is told in its order
(`Kernel.last_use`): of a page used many times, the last use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from numa_sim.compiled import entry
from numa_sim.kernel.page_search import FOUND_CACHED, FOUND_DIRTY, FOUND_MAPPED, FOUND_USED, find_pages
from numa_sim.state.kernel import Kernel

_find_pages = entry(find_pages)


class Seen(NamedTuple):
    """One page at a look."""

    page: int
    pfn: int
    is_new: bool  # it came since the last look; else it was used
    in_use: bool  # it is mapped, or (a page of a file) was used since the last look
    written: bool  # since it came


class PageWatch:
    """Compares looks at the pages in memory.

    Parameters
    ----------
    kernel : Kernel
        Whose pages; its ``track_use`` must be on.
    by_accessed_bits : bool
        Learn of uses of mapped pages from accessed bits, which costs simulated time, instead of from
        `Kernel.last_use`.
    files : bool
        Look at pages of files, too.
    """

    def __init__(self, kernel: Kernel, by_accessed_bits: bool, files: bool) -> None:
        frames = len(kernel.pages)
        self.kernel = kernel
        self.by_accessed_bits = by_accessed_bits
        self.files = files
        self._found = kernel.found
        self._page = np.full(frames, -1, np.int64)  # page known in each frame
        self._told = np.zeros(frames, np.int64)  # last use told
        self._seen_at = np.zeros(frames, np.int32)  # look at which the frame was last found in use
        self._frames = np.zeros(0, np.int64)  # frames in use at the last look
        self._look = 0

    def look(self) -> tuple[list[tuple[int, int]], Iterator[Seen]]:
        """Look now.

        Returns
        -------
        gone : list of (page, pfn)
            Pages that were known and are no longer there, in order of their frames.
        seen : iterator of Seen
            Pages that came or were used, in the order of use (of mapping, if uses are learnt from accessed bits).
        """
        n = _find_pages(self.kernel, int(self.by_accessed_bits), int(self.files))
        page, pfn, state = (np.ascontiguousarray(column) for column in self._found[:n, :3].T)
        self._look += 1
        self._seen_at[pfn] = self._look
        known = self._page[pfn]
        came = known != page
        before = self._page[self._frames]
        left = self._frames[(self._seen_at[self._frames] != self._look) & (before >= 0)]
        moved = pfn[came & (known >= 0)]
        away = np.sort(np.concatenate((left, moved)))
        gone = list(zip(self._page[away].tolist(), away.tolist(), strict=True))
        self._page[away] = -1
        use = self.kernel.last_use[pfn]
        used = numbered = use != self._told[pfn]
        in_use = (state & FOUND_MAPPED != 0) | (numbered & (state & FOUND_CACHED != 0))
        if self.by_accessed_bits:
            used = np.where(state & FOUND_CACHED != 0, numbered, state & FOUND_USED != 0)
        self._page[pfn] = page
        self._told[pfn] = use
        self._frames = pfn
        tell = np.flatnonzero(came | used)
        tell = tell[np.argsort(use[tell], kind="stable")]
        columns = (page, pfn, came, in_use, state & FOUND_DIRTY != 0)
        return gone, map(Seen._make, zip(*(column[tell].tolist() for column in columns), strict=True))

    def used_since(self, pfn: int) -> bool:
        """Whether a use of this frame has been numbered since the last look."""
        return bool(self.kernel.last_use[pfn] != self._told[pfn])

    def forget(self, pfn: int) -> None:
        """The policy has given up the page in this frame: if it is found again, it is new."""
        self._page[pfn] = -1

    def remember(self, page: int, pfn: int) -> None:
        """The policy has `page` in this frame again."""
        self._page[pfn] = page
        if pfn not in self._frames:
            self._frames = np.append(self._frames, pfn)
