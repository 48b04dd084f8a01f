"""Files and where they lie on their disks: as much of fs/inode.c and a file system as the page cache asks for.

A file is a mapping of KIND_INODE: its size in bytes, its disk, its extents (runs of pages on runs of blocks).  Pages no
extent covers are holes: they read as zeros.  Writing to one takes the next block no file has, so files written in turns
are fragmented.  What a block contains is one number, ``k.disk_tags``.

Simplified: no directories, no metadata I/O; blocks of truncated files are not used again.
"""

from __future__ import annotations

from collections.abc import Iterable

from numa_sim.compiled import part, rule
from numa_sim.errors import SimulationError
from numa_sim.state.constants import KIND_FILE, KIND_INODE, MAPPING_SWAP, NIL, PAGE_SHIFT, PAGE_SIZE, WRITEPAGE_FILE
from numa_sim.state.kernel import Kernel


@part
def size_pages(k: Kernel, mapping: int) -> int:
    """Size of a file in pages, the last one whole."""
    return (k.mappings[mapping].i_size + PAGE_SIZE - 1) >> PAGE_SHIFT


@part
def block_tag_index(k: Kernel, device: int, block: int) -> int:
    """Where a block's contents are in ``k.disk_tags``."""
    return k.disks[device].tags_start + block


@rule
def _take_extent(k: Kernel, mapping: int, index: int, block: int) -> int:
    """A new extent of one page for the file; 0 if ``k.extents`` is full."""
    at = k.vm[0].free_extent + 0
    if at == NIL:
        return 0
    extent = k.extents[at]
    k.vm[0].free_extent = extent.next
    extent.index = index
    extent.length = 1
    extent.block = block
    extent.next = k.mappings[mapping].extents
    k.mappings[mapping].extents = at
    return 1


@rule
def _new_block(k: Kernel, mapping: int, index: int) -> int:
    """Give page `index` of a file the next free block of its disk; NIL = ENOSPC."""
    disk = k.disks[k.mappings[mapping].device]
    if disk.next_block >= disk.blocks:
        return NIL
    block = disk.next_block + 0
    at = k.mappings[mapping].extents
    while at != NIL:
        extent = k.extents[at]
        if extent.index + extent.length == index and extent.block + extent.length == block:
            extent.length += 1
            disk.next_block += 1
            return block
        at = extent.next
    if _take_extent(k, mapping, index, block) == 0:
        return NIL
    disk.next_block += 1
    return block


@rule
def get_block(k: Kernel, mapping: int, index: int, create: int) -> int:
    """The block of page `index` of a file; NIL = a hole, or with `create` no space left for a new block."""
    at = k.mappings[mapping].extents
    while at != NIL:
        extent = k.extents[at]
        if extent.index <= index < extent.index + extent.length:
            return extent.block + index - extent.index
        at = extent.next
    return _new_block(k, mapping, index) if create != 0 else NIL


@rule
def truncate_blocks(k: Kernel, mapping: int, first: int) -> None:
    """Give up the blocks of page `first` of the file and all behind it."""
    at = k.mappings[mapping].extents + 0
    k.mappings[mapping].extents = NIL
    while at != NIL:
        extent = k.extents[at]
        behind = extent.next + 0
        if extent.index >= first:
            extent.next = k.vm[0].free_extent
            k.vm[0].free_extent = at
        else:
            extent.length = min(extent.length, first - extent.index)
            extent.next = k.mappings[mapping].extents
            k.mappings[mapping].extents = at
        at = behind


# From Python ---------------------------------------------------------------------------------------------------------


def add_disk(k: Kernel, device: int, blocks: int, sync_ns: int | None = None) -> None:
    """Make disk `device` known, with room for the contents of its blocks behind those of the disks before it.

    Parameters
    ----------
    blocks : int
        Its size in pages.
    sync_ns : int, optional
        A RAM-backed disk: each page costs this CPU time, and nobody waits.

    Raises
    ------
    SimulationError
        No such record, or no room in ``k.disk_tags``.
    """
    if not 0 <= device < len(k.disks):
        raise SimulationError(f"disk {device}: there is room for {len(k.disks)} disks")
    start = max((int(d.tags_start + d.blocks) for d in k.disks), default=0)
    if start + blocks > len(k.disk_tags):
        left = len(k.disk_tags) - start
        raise SimulationError(f"disk {device}: {blocks} blocks do not fit: disk_tags has {left} left")
    disk = k.disks[device]
    disk.tags_start, disk.blocks, disk.next_block = start, blocks, 0
    disk.synchronous, disk.sync_ns = (0, 0) if sync_ns is None else (1, sync_ns)


def new_inode(k: Kernel, device: int, size: int = 0, extents: Iterable[tuple[int, int, int]] = ()) -> int:
    """A file of `size` bytes on disk `device`; return its mapping.

    Parameters
    ----------
    extents : iterable of (index, length, block)
        Where its pages lie; what is left out is a hole.  The disk's `next_block` moves behind them.

    Raises
    ------
    SimulationError
        No free mapping or extent, or an extent beyond the end of the disk.
    """
    for mapping in range(MAPPING_SWAP + 1, len(k.mappings)):
        space = k.mappings[mapping]
        if space.kind == KIND_FILE and space.nrpages == 0 and space.writepage == 0:
            break
    else:
        raise SimulationError(f"more than {len(k.mappings) - MAPPING_SWAP - 1} files")
    space.kind, space.writepage, space.i_size, space.device = KIND_INODE, WRITEPAGE_FILE, size, device
    disk = k.disks[device]
    for index, length, block in sorted(extents, reverse=True):
        if block < 0 or block + length > disk.blocks:
            raise SimulationError(f"blocks {block} to {block + length - 1}: disk {device} has {disk.blocks}")
        if _take_extent(k, mapping, index, block) == 0:
            raise SimulationError(f"more than {len(k.extents)} extents in all files")
        k.extents[space.extents].length = length
        disk.next_block = max(int(disk.next_block), block + length)
    return mapping


def extents_of(k: Kernel, mapping: int) -> list[tuple[int, int, int]]:
    """(index, length, block) of each extent of a file, in the order of its pages."""
    found = []
    at = int(k.mappings[mapping].extents)
    while at != NIL:
        extent = k.extents[at]
        found.append((int(extent.index), int(extent.length), int(extent.block)))
        at = int(extent.next)
    return sorted(found)
