"""Tables ``[[machine.swap]]``: swap areas, in the order of swapon."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.disk import HddDrive, Name, NvmeDrive, SataSsdDrive, ZramDrive
from numa_sim.config.quantities import PAGE_BYTES, Section, refuse, size

SWAP_FLAG_PRIO_MASK = 0x7FFF
"""Highest priority swapon(2) takes, include/linux/swap.h @2.4.37."""

SwapSize = Annotated[int, size(10 * PAGE_BYTES, 1 << 44)]


MAX_BAD_PAGES = 637
"""Bad pages a version-2 header has room for."""
BadPage = Annotated[int, Field(ge=1, lt=1 << 24)]


class _Area(Section):
    """What every swap area has."""

    priority: int | None = Field(
        None,
        ge=0,
        le=SWAP_FLAG_PRIO_MASK,
        description="priority given to swapon; without one the areas get -1, -2, ... in their order",
    )
    name: Name | None = Field(None, description="name in reports and for swapon and swapoff; else device and number")
    on: bool = Field(True, description="swapon at boot; false: a program does it")
    header: int = Field(2, ge=1, le=2, description="1: SWAP-SPACE, at most 32687 usable pages; 2: SWAPSPACE2")
    bad: Annotated[tuple[BadPage, ...], Field(strict=False)] = Field(
        (), max_length=MAX_BAD_PAGES, description="pages of the area that cannot be used, as its header lists them"
    )
    image: str | None = Field(
        None,
        min_length=1,
        description="file whose first page is the area's header, as mkswap writes it, relative to the configuration",
    )

    @model_validator(mode="after")
    def _header_from_one_place(self) -> Self:
        if self.image is not None:
            for name in ("bad", "header"):
                if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                    raise refuse("goes without an image only: the image's header says it", ("remove it",), name)
        return self


class SwapArea(_Area):
    """What every area has that is no file."""

    size: SwapSize = Field(description="size of the area; the first page is its header, a broken last page is not used")


class Partition(SwapArea):
    """A part of a disk that others share."""

    device: Literal["partition"]
    disk: Name = Field(description="disk it lies on, as a [[machine.disk]] is named")


class SwapFile(_Area):
    """A regular file on a disk that others share; without holes."""

    device: Literal["file"]
    file: Name = Field(description="the file, as a [[machine.file]] is named")


class Hdd(SwapArea, HddDrive):
    """A hard disk of its own."""


class SataSsd(SwapArea, SataSsdDrive):
    """A SATA solid-state drive of its own."""


class Nvme(SwapArea, NvmeDrive):
    """An NVMe solid-state drive of its own."""


class Zram(SwapArea, ZramDrive):
    """A compressed RAM device."""


Swap = Annotated[Hdd | SataSsd | Nvme | Zram | Partition | SwapFile, Field(discriminator="device")]
