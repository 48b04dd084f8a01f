"""Adding a swap area: sys_swapon, mm/swapfile.c @2.4.37, @2.4.0 and @2.2.1 (spec 6.9).

Plain functions, called rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EBUSY, EINVAL, ENODEV, ENOMEM, EPERM

from numa_sim.compiled import entry
from numa_sim.errors import SwapError
from numa_sim.kernel.inode import extents_of
from numa_sim.kernel.swap_header import V1_MAX_PAGES, SwapHeader
from numa_sim.kernel.swapfile import insert_swap
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    MAX_SWAPFILES,
    NIL,
    PAGE_SIZE,
    SWAP_MAP_BAD,
    WRITEPAGE_ASYNC,
)
from numa_sim.state.kernel import Kernel

SWAP_FLAG_PREFER = 0x8000
SWAP_FLAG_PRIO_MASK = 0x7FFF
_MAX_SWAPFILES_2_4_0 = 8

_insert_swap = entry(insert_swap)


def max_swapfiles(k: Kernel) -> int:
    """Areas this kernel can have at a time: MAX_SWAPFILES, 8 @2.2 and @2.4.0, 32 later (spec G-1)."""
    return _MAX_SWAPFILES_2_4_0 if k.vm[0].profile <= KERNEL_2_4_0 else MAX_SWAPFILES


def sys_swapon(
    k: Kernel,
    header: SwapHeader,
    pages: int,
    swap_flags: int = 0,
    *,
    privileged: bool = True,
    writepage: int = WRITEPAGE_ASYNC,
    sync_ns: int = 0,
    device: int | None = None,
    start_block: int = 0,
    file: int = 0,
    map_start: int | None = None,
) -> int:
    """Add a swap area; it takes the first unused index.

    Parameters
    ----------
    header : SwapHeader
        What its first page says.
    pages : int
        Length of the device or file.
    swap_flags : int
        SWAP_FLAG_PREFER with a priority in its low 15 bits; without that flag the priority is -1, -2, ... in order of
        the calls that succeed (@2.2: of all calls).
    privileged : bool
        Whether the caller has CAP_SYS_ADMIN.
    writepage : int
        WRITEPAGE_ASYNC for a device, WRITEPAGE_SYNC for a RAM-backed one, whose pages cost `sync_ns` of CPU time.
    device, start_block : int
        Disk the area lies on, and where; by default from block 0 of a disk that has the area's own number.
    file : int
        Mapping of the regular file that is the area; 0: it is a partition.
    map_start : int, optional
        Where its slots are in ``swap_map``; by default the first place where they fit.

    Returns
    -------
    int
        The area's index (type).

    Raises
    ------
    SwapError
        EPERM: not privileged, or no index left.  EBUSY: the area is in use.  ENODEV: it has no page.  EINVAL: it is
        shorter than its header says, or a file with holes ("bad swap file"; the kernel finds those at the first I/O
        only).  ENOMEM: no room in ``swap_map``.
    """
    if not privileged:
        raise SwapError(EPERM, "swapon: needs root (CAP_SYS_ADMIN)")
    limit = max_swapfiles(k)
    type_ = next((t for t in range(limit) if k.swap_info[t].flags == 0), NIL)
    if type_ == NIL:
        raise SwapError(EPERM, f"swapon: all {limit} swap areas are in use")
    vm, si = k.vm[0], k.swap_info[type_]
    prio = swap_flags & SWAP_FLAG_PRIO_MASK if swap_flags & SWAP_FLAG_PREFER else int(vm.least_priority) - 1
    if vm.profile == KERNEL_2_2:
        # A call that fails further down has used its number up.
        vm.least_priority = min(int(vm.least_priority), prio)
    _check_area(k, header, pages, type_ if device is None else device, start_block, file)
    start = _place(k, header.slots) if map_start is None else map_start
    if start + header.slots > len(k.swap_map):
        raise SwapError(ENOMEM, f"swapon: {header.slots} slots do not fit: swap_map has {len(k.swap_map) - start} left")

    si.writepage, si.sync_ns, si.cluster_nr, si.inuse_pages = writepage, sync_ns, 0, 0
    si.device, si.start_block, si.file = type_ if device is None else device, start_block, file
    si.prio, vm.least_priority = prio, min(int(vm.least_priority), prio)
    _make_map(k, type_, header, start)
    vm.nr_swapfiles = max(vm.nr_swapfiles, type_ + 1)
    _insert_swap(k, type_)
    return type_


def swapon(
    k: Kernel,
    slots: int,
    priority: int | None = None,
    bad: Sequence[int] = (),
    version: int = 2,
    **more: int,
) -> int:
    """Add an area of `slots` slots, the header's included, as a header of `version` with `bad` slots describes it.

    A priority of None is the default one.  Version 1 describes at most 32688 slots, and bad slots at its ends shorten
    the area.  `more` and what is raised: see `sys_swapon`.
    """
    if any(not 0 < offset < slots for offset in bad):
        raise SwapError(EINVAL, f"swapon: bad slots must lie in 1..{slots - 1}")
    end = min(slots, V1_MAX_PAGES) if version == 1 else slots
    unusable = set(bad)
    while version == 1 and end > 1 and end - 1 in unusable:
        end -= 1
    header = SwapHeader(version, end, tuple(sorted(offset for offset in unusable if offset < end)))
    return sys_swapon(k, header, slots, 0 if priority is None else SWAP_FLAG_PREFER | priority, **more)  # type: ignore[arg-type]


def adding_swap(k: Kernel, type_: int) -> str:
    """What the kernel says about a new area."""
    si = k.swap_info[type_]
    return f"Adding Swap: {int(si.pages) * PAGE_SIZE >> 10}k swap-space (priority {int(si.prio)})"


def _check_area(k: Kernel, header: SwapHeader, pages: int, device: int, start_block: int, file: int) -> None:
    """Everything that is refused before the area is touched."""
    for si in k.swap_info:
        if si.flags != 0 and (si.device, si.start_block, si.file) == (device, start_block, file):
            raise SwapError(EBUSY, "swapon: the area is in use already")
    if pages == 0:
        raise SwapError(ENODEV, "swapon: the device has no page")
    if pages < header.slots:
        raise SwapError(EINVAL, f"swapon: the area has {pages} pages, its header says {header.slots}")
    if header.usable <= 0:
        raise SwapError(EINVAL, "swapon: the area has no usable slot")
    if file and sum(length for _, length, _ in extents_of(k, file)) < pages:
        raise SwapError(EINVAL, "swapon: bad swap file: it has holes")


def _place(k: Kernel, slots: int) -> int:
    """The first place in ``swap_map`` with room for `slots` slots between those of other areas, or behind them all."""
    start = 0
    for si in sorted((si for si in k.swap_info if si.flags != 0), key=lambda si: int(si.map_start)):
        if start + slots <= si.map_start:
            break
        start = int(si.map_start + si.max)
    return start


def _make_map(k: Kernel, type_: int, header: SwapHeader, start: int) -> None:
    """The area's swap_map and bounds, as the header has them; @2.2 the header of version 2 counts as a usable slot."""
    si = k.swap_info[type_]
    lowest = 1
    while header.version == 1 and lowest in header.bad:
        lowest += 1
    si.map_start, si.max, si.pages = start, header.slots, header.usable
    if k.vm[0].profile == KERNEL_2_2 and header.version > 1:
        si.pages += 1
    si.lowest_bit, si.highest_bit = lowest, header.slots - 1
    k.swap_map[start : start + header.slots] = 0
    k.swap_cache[start : start + header.slots] = 0
    k.swap_lockmap[start : start + header.slots] = 0
    k.swap_map[start] = SWAP_MAP_BAD
    for slot in header.bad:
        k.swap_map[start + slot] = SWAP_MAP_BAD
