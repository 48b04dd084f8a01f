"""Where swap areas and files lie: one after the other on their disk, swap areas first, both in their own order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from numa_sim.config.disk import Disk, Drive, Place, ZramDrive
from numa_sim.config.file import File
from numa_sim.config.quantities import PAGE_BYTES, refuse
from numa_sim.config.swap import Partition, Swap, SwapFile

NOWHERE = Place(0, 0, 0)
"""Of a swap file, until its file has a place."""


class Placing(NamedTuple):
    """The disks of a machine, and the place of each swap area and file on them."""

    drives: tuple[Drive, ...]
    swap: tuple[Place, ...]
    files: tuple[Place, ...]


def swap_names(swap: Sequence[Swap]) -> tuple[str, ...]:
    """Names of the swap areas: as given, else device (a partition: its disk) and position (``nvme0``)."""
    return tuple(area.name or _default_name(area, index) for index, area in enumerate(swap))


def _default_name(area: Swap, index: int) -> str:
    if isinstance(area, SwapFile):
        return area.file
    return f"{area.disk}-swap{index}" if isinstance(area, Partition) else f"{area.device}{index}"


def place(disks: Sequence[Disk], swap: Sequence[Swap], files: Sequence[File]) -> Placing:
    """Lay everything out.

    Raises
    ------
    PydanticCustomError
        A name stands twice, a disk is unknown or full, or a file is on a zram device.
    """
    for kind, sections in (("disk", disks), ("swap", swap), ("file", files)):
        _check_names(kind, sections)
    drives = [Drive(disk.name, disk, disk.size // PAGE_BYTES) for disk in disks]
    shared = {disk.name: number for number, disk in enumerate(disks)}
    used = [0] * len(drives)

    def take(path: str, name: str, blocks: int) -> Place:
        if name not in shared:
            raise refuse(
                f"there is no disk {name!r}", tuple(shared) or ("no [[machine.disk]] is given",), f"{path}.disk"
            )
        disk = shared[name]
        start, left = used[disk], drives[disk].blocks - used[disk]
        if blocks > left:
            raise refuse(
                f"needs {blocks * PAGE_BYTES} bytes, and disk {name!r} has {left * PAGE_BYTES} left",
                (f"at most {left * PAGE_BYTES}B with what is kept beside it",),
                f"{path}.size",
            )
        used[disk] += blocks
        return Place(disk, start, blocks)

    swap_places: list[Place] = []
    on_files = {}
    for index, (area, label) in enumerate(zip(swap, swap_names(swap), strict=True)):
        if isinstance(area, SwapFile):
            on_files[index] = area.file
            swap_places.append(NOWHERE)
            continue
        blocks = area.size // PAGE_BYTES
        if isinstance(area, Partition):
            swap_places.append(take(f"swap.{index}", area.disk, blocks))
            continue
        if label in shared:
            raise refuse(f"a disk is named {label!r} too", ("a name of its own",), f"swap.{index}.name")
        swap_places.append(Place(len(drives), 0, blocks))
        drives.append(Drive(label, area, blocks))
    file_places: list[Place] = []
    for index, file in enumerate(files):
        file_places.append(take(f"file.{index}", file.disk, file.reserved_blocks))
        if isinstance(drives[file_places[-1].disk].model, ZramDrive):
            others = tuple(disk.name for disk in disks if not isinstance(disk, ZramDrive))
            raise refuse("zram devices hold swap only", others or ("another disk",), f"file.{index}.disk")
    by_name = {file.name: (file, at) for file, at in zip(files, file_places, strict=True)}
    for index, name in on_files.items():
        if name not in by_name:
            raise refuse(
                f"there is no file {name!r}", tuple(by_name) or ("no [[machine.file]] is given",), f"swap.{index}.file"
            )
        file, at = by_name[name]
        swap_places[index] = Place(at.disk, at.block, file.size // PAGE_BYTES)
    return Placing(tuple(drives), tuple(swap_places), tuple(file_places))


def _check_names(kind: str, sections: Sequence[Disk] | Sequence[Swap] | Sequence[File]) -> None:
    names = [section.name for section in sections]
    for index, name in enumerate(names):
        if name is not None and names.count(name) > 1:
            what = {"disk": "disks", "swap": "swap areas", "file": "files"}[kind]
            raise refuse(f"two {what} are named {name!r}", ("a name of its own",), f"{kind}.{index}.name")
