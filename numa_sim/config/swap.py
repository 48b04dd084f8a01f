"""Tables ``[[machine.swap]]``: swap areas, in the order of swapon."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from numa_sim.config.disk import HddDrive, Name, NvmeDrive, SataSsdDrive, ZramDrive
from numa_sim.config.quantities import PAGE_BYTES, Section, size

SWAP_FLAG_PRIO_MASK = 0x7FFF
"""Highest priority swapon(2) takes, include/linux/swap.h @2.4.37."""

SwapSize = Annotated[int, size(10 * PAGE_BYTES, 1 << 44)]


class SwapArea(Section):
    """What every swap area has."""

    size: SwapSize = Field(description="size of the area; the first page is its header, a broken last page is not used")
    priority: int | None = Field(
        None,
        ge=0,
        le=SWAP_FLAG_PRIO_MASK,
        description="priority given to swapon; without one the areas get -1, -2, ... in their order",
    )
    name: Name | None = Field(None, description="name in reports; else device and number")


class Partition(SwapArea):
    """A part of a disk that others share."""

    device: Literal["partition"]
    disk: Name = Field(description="disk it lies on, as a [[machine.disk]] is named")


class Hdd(SwapArea, HddDrive):
    """A hard disk of its own."""


class SataSsd(SwapArea, SataSsdDrive):
    """A SATA solid-state drive of its own."""


class Nvme(SwapArea, NvmeDrive):
    """An NVMe solid-state drive of its own."""


class Zram(SwapArea, ZramDrive):
    """A compressed RAM device."""


Swap = Annotated[Hdd | SataSsd | Nvme | Zram | Partition, Field(discriminator="device")]
