"""Disks and files as they are when the machine boots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from numa_sim.config.disk import Place
from numa_sim.config.file import File
from numa_sim.config.model import Config
from numa_sim.kernel.inode import add_disk, new_inode
from numa_sim.state.constants import PAGE_SIZE
from numa_sim.state.kernel import Kernel
from numa_sim.workloads.streams import stream

_GROWTH_EXTENTS = 1 << 16
"""Extents kept for files that grow."""
_OPEN_FILES = 4096
_SHARED_OBJECTS = 1024
"""Objects of shared memory without a file at a time."""
_TAG_SHIFT = 32

Extent = tuple[int, int, int]


def file_sizes(config: Config) -> dict[str, int]:
    """What files need of `numa_sim.state.kernel.Sizes`."""
    files, placing = config.machine.file, config.machine.placing()
    if not files:
        return {"mappings": _SHARED_OBJECTS + 2, "files": _OPEN_FILES}
    holding = {place.disk for place in placing.files}
    return {
        "mappings": len(files) + _SHARED_OBJECTS + 2,
        "files": _OPEN_FILES,
        "extents": _GROWTH_EXTENTS + sum(file.fragments + len(file.holes) + 1 for file in files),
        "disk_blocks": sum(placing.drives[disk].blocks for disk in holding),
    }


def make_files(k: Kernel, config: Config) -> dict[str, int]:
    """Put the configured files on their disks; their mappings by name.

    Page `i` of file number `n` contains ``n + 1 << 32 | i``: every block of every file is told from all others.
    """
    placing, mappings = config.machine.placing(), {}
    for disk in sorted({place.disk for place in placing.files}):
        add_disk(k, disk, placing.drives[disk].blocks)
    for number, (file, place) in enumerate(zip(config.machine.file, placing.files, strict=True)):
        extents = list(lay_out(file, place, stream(config.run.seed, f"file/{file.name}/layout")))
        mappings[file.name] = new_inode(k, place.disk, file.size, extents)
        k.disks[place.disk].next_block = max(int(k.disks[place.disk].next_block), place.block + place.blocks)
        start = int(k.disks[place.disk].tags_start)
        for index, length, block in extents:
            tags = np.arange(index, index + length, dtype=np.int64) | (number + 1) << _TAG_SHIFT
            k.disk_tags[start + block : start + block + length] = tags
    return mappings


def lay_out(file: File, place: Place, rng: Any) -> Iterator[Extent]:
    """(first page, pages, first block) of each extent of a file, in the order of its pages."""
    bounds = [place.blocks * piece // file.fragments for piece in range(file.fragments + 1)]
    order = rng.permutation(file.fragments).tolist() if file.fragments > 1 else [0]
    starts, block = {}, place.block
    for piece in order:
        starts[piece] = block
        block += bounds[piece + 1] - bounds[piece]
    at = piece = 0  # position among the file's blocks, in the order of its pages
    for index, length in _page_runs(file):
        while length > 0:
            while at >= bounds[piece + 1]:
                piece += 1
            n = min(length, bounds[piece + 1] - at)
            yield index, n, starts[piece] + at - bounds[piece]
            index, length, at = index + n, length - n, at + n


def _page_runs(file: File) -> Iterator[tuple[int, int]]:
    """(first page, pages) of what is not a hole, the room to grow included."""
    index = 0
    for hole in file.holes:
        yield index, hole.offset // PAGE_SIZE - index
        index = (hole.offset + hole.length) // PAGE_SIZE
    yield index, file.pages - index + file.reserved_blocks - file.blocks
