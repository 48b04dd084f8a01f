"""malloc and free as the kernel sees them: GNU libc's allocator reduced to its system calls.

Blocks of 128 KiB and more (M_MMAP_THRESHOLD) are mappings of their own; smaller ones lie one behind the other on the
heap, whose end `brk` moves up by what is missing and 128 KiB more (M_TOP_PAD), and down again when as much
(M_TRIM_THRESHOLD) is free at its top.

Simplified: what is freed below the top is not used again before everything above it is free.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from numa_sim.state.constants import PAGE_SHIFT, PAGE_SIZE
from numa_sim.workloads.program import Region, TaskHandle

THRESHOLD_BYTES: Final = 128 << 10
"""M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of GNU libc."""


class Malloc:
    """The allocator of one task.

    Parameters
    ----------
    task : TaskHandle
        Whose.

    Examples
    --------
    >>> def program(task):
    ...     heap = Malloc(task)
    ...     block = yield from heap.malloc(64 << 10)
    ...     yield from heap.free(block)
    """

    def __init__(self, task: TaskHandle) -> None:
        self._task = task
        self._mapped: dict[int, Region] = {}
        self._blocks: list[tuple[int, bool]] = []  # address and whether it is free, in the order of their addresses
        self._top: int | None = None
        self._end = 0

    def malloc(self, size: int) -> Generator[Any, Any, int]:
        """Allocate `size` bytes; ``yield from`` gives the address."""
        if size >= THRESHOLD_BYTES:
            region = yield self._task.mmap(size)
            address = region.start_vpn << PAGE_SHIFT
            self._mapped[address] = region
            return int(address)
        if self._top is None:
            self._top = self._end = yield self._task.sbrk()
        if self._top + size > self._end:
            missing = self._top + size - self._end + THRESHOLD_BYTES
            self._end = yield self._task.sbrk(-(-missing // PAGE_SIZE) * PAGE_SIZE)
        address = self._top
        self._blocks.append((address, False))
        self._top += size
        return int(address)

    def free(self, address: int) -> Generator[Any, Any, None]:
        """Give the block at `address` back."""
        region = self._mapped.pop(address, None)
        if region is not None:
            yield self._task.munmap(region)
            return
        self._blocks[self._blocks.index((address, False))] = (address, True)
        while self._blocks and self._blocks[-1][1]:
            self._top = self._blocks.pop()[0]
        assert self._top is not None
        if self._end - self._top >= 2 * THRESHOLD_BYTES:
            excess = (self._end - self._top - THRESHOLD_BYTES) // PAGE_SIZE * PAGE_SIZE
            self._end = yield self._task.sbrk(-excess)
