"""Tables ``[[machine.disk]]``: drives, which swap partitions and files share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import Field

from numa_sim.config.quantities import PAGE_BYTES, Bandwidth, PositiveTime, Section, ShortTime, size

Name = Annotated[str, Field(min_length=1, max_length=64)]
DiskSize = Annotated[int, size(PAGE_BYTES, 1 << 46)]
Elevator: TypeAlias = Literal["linus", "noop", "none"]


def elevator(default: Elevator) -> Any:
    """Field of a drive's request queue."""
    return Field(
        default,
        description="request queue; linus: sorted by block, no request overtaken for ever; noop: first come, first "
        "served; both plug and merge; none: no queue, the drive takes each request at once",
    )


class HddDrive(Section):
    """A drive with one head: it waits for blocks that come soon, and seeks others."""

    device: Literal["hdd"]
    seek: PositiveTime = Field(
        8_000_000, description="mean seek and rotation; 7200 rpm class, generic latency reference (toolnova)"
    )
    bandwidth: Bandwidth = Field(150_000_000, description="sequential transfer; assumed, 7200 rpm class")
    elevator: Elevator = elevator("linus")


class SataSsdDrive(Section):
    """A SATA solid-state drive."""

    device: Literal["sata-ssd"]
    latency: PositiveTime = Field(
        140_000, description="4 KiB read at depth 1: about 40 % slower than NVMe (AnandTech 13704)"
    )
    bandwidth: Bandwidth = Field(550_000_000, description="what a 6 Gb/s SATA link carries")
    channels: int = Field(9, ge=1, le=1024, description="at once: 68 k IOPS at depth 32 (axboe/fio issue 278)")
    elevator: Elevator = elevator("none")


class NvmeDrive(Section):
    """An NVMe solid-state drive."""

    device: Literal["nvme"]
    latency: PositiveTime = Field(
        104_170, description="4 KiB read at depth 1, Micron 9100, mean (MicronSSD/unvme issue 18)"
    )
    bandwidth: Bandwidth = Field(6_193_000_000, description="sequential read, PM9A1 (treeru.com, 20 devices, fio)")
    channels: int = Field(32, ge=1, le=1024, description="requests served at once: 235 k IOPS with 32 jobs at depth 1")
    elevator: Elevator = elevator("none")


class ZramDrive(Section):
    """A compressed RAM device: no waiting, the CPU does the work (the memory it takes is not modelled)."""

    device: Literal["zram"]
    latency: ShortTime = Field(1_708, description="CPU time per 4 KiB page: lz4 (notes.xeome.dev, Zram)")


DriveModel: TypeAlias = HddDrive | SataSsdDrive | NvmeDrive | ZramDrive


class _Disk(Section):
    name: Name = Field(description="name by which swap partitions and files know it")
    size: DiskSize = Field(description="size; partitions and files lie on it one after the other, in their order")


class HddDisk(_Disk, HddDrive):
    """A hard disk."""


class SataSsdDisk(_Disk, SataSsdDrive):
    """A SATA solid-state drive."""


class NvmeDisk(_Disk, NvmeDrive):
    """An NVMe solid-state drive."""


class ZramDisk(_Disk, ZramDrive):
    """A compressed RAM device; swap partitions only."""


Disk = Annotated[HddDisk | SataSsdDisk | NvmeDisk | ZramDisk, Field(discriminator="device")]


class Drive(NamedTuple):
    """A disk of the machine: one of ``[[machine.disk]]``, or what a swap area brought along."""

    name: str
    model: DriveModel
    blocks: int


class Place(NamedTuple):
    """Where a swap area or a file lies: `blocks` blocks of 4 KiB from `block` on, on disk number `disk`."""

    disk: int
    block: int
    blocks: int
