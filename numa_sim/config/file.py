"""Tables ``[[machine.file]]``: files that are on the disks when the machine boots."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from numa_sim.config.disk import Name
from numa_sim.config.quantities import PAGE_BYTES, Section, refuse, size

FileSize = Annotated[int, size(0, 1 << 44)]
PieceSize = Annotated[int, size(PAGE_BYTES, 1 << 44)]


class Hole(Section):
    """A part of a file that has no blocks on the disk: it reads as zeros."""

    offset: FileSize = Field(description="where in the file, whole pages")
    length: PieceSize = Field(description="how much of it, whole pages")

    @model_validator(mode="after")
    def _whole_pages(self) -> Self:
        for name in ("offset", "length"):
            if getattr(self, name) % PAGE_BYTES:
                raise refuse("not whole pages", (f"multiples of {PAGE_BYTES} bytes",), name)
        return self


class File(Section):
    """A file on a disk, with contents of its own."""

    name: Name = Field(description="name by which programs open it")
    size: FileSize = Field(description="size in bytes; it takes whole blocks of 4 KiB")
    disk: Name = Field(description="disk it lies on, as a [[machine.disk]] is named")
    room: FileSize = Field(0, description="blocks kept for it behind its end, to grow into")
    fragments: int = Field(
        1, ge=1, le=1 << 20, description="pieces of about equal size it lies in, in an order drawn from the seed"
    )
    holes: Annotated[tuple[Hole, ...], Field(strict=False)] = Field(
        (), max_length=1000, description="parts without blocks, in ascending order"
    )

    @model_validator(mode="after")
    def _holes_inside(self) -> Self:
        end = 0
        for index, hole in enumerate(self.holes):
            if hole.offset < end:
                before = f"at least {end}B"
                raise refuse("holes must be in ascending order and apart", (before,), f"holes.{index}.offset")
            end = hole.offset + hole.length
            if end > self.pages * PAGE_BYTES:
                raise refuse(
                    f"the hole ends beyond the file of {self.size} bytes",
                    (f"at most {max(0, self.size - hole.offset)}B",),
                    f"holes.{index}.length",
                )
        if self.fragments > max(1, self.blocks):
            raise refuse(
                f"a file of {self.blocks} blocks cannot lie in {self.fragments} pieces",
                (f"1 to {max(1, self.blocks)}",),
                "fragments",
            )
        return self

    @property
    def pages(self) -> int:
        """Pages of the file, holes included."""
        return -(-self.size // PAGE_BYTES)

    @property
    def blocks(self) -> int:
        """Blocks on the disk its pages take."""
        return self.pages - sum(hole.length for hole in self.holes) // PAGE_BYTES

    @property
    def reserved_blocks(self) -> int:
        """Blocks kept for it, the room to grow included."""
        return self.blocks + -(-self.room // PAGE_BYTES)
