"""Operations on files in a program: open, read, write, fsync, msync, truncate, close, madvise."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.disk import Name
from numa_sim.config.patterns import Accesses, Pattern
from numa_sim.config.quantities import PositiveSize, Section, ShortTime, Size, refuse, size

OpenName = Annotated[str, Field(min_length=1, max_length=64)]
RecordSize = Annotated[int, size(1, 1 << 40)]


class Open(Section):
    """Open a file."""

    op: Literal["open"]
    file: Name = Field(description="file, as a [[machine.file]] is named")
    as_: OpenName = Field(alias="as", description="name by which later operations know the open file")
    access: Literal["read", "write", "read-write"] = Field("read-write", description="what it is opened for")


class _Transfer(Section):
    on: OpenName = Field(description="open file, as an earlier open named it")
    size: RecordSize = Field(description="bytes; with a pattern, of each record")
    offset: Size | None = Field(None, description="where in the file; else at its position, which moves on")
    pattern: Pattern | None = Field(None, description="which record of `size` bytes is next; else one transfer")
    count: Accesses | None = Field(None, description="records with a pattern; else the pattern's natural length")
    compute: ShortTime = Field(0, description="CPU time before each transfer")

    @model_validator(mode="after")
    def _pattern_or_offset(self) -> Self:
        if self.pattern is not None and self.offset is not None:
            raise refuse("goes without a pattern only", ("remove it, or the pattern",), "offset")
        if self.pattern is None and self.count is not None:
            raise refuse("goes with a pattern only", ("remove it, or add a pattern",), "count")
        return self


class Read(_Transfer):
    """Read from a file."""

    op: Literal["read"]


class Write(_Transfer):
    """Write to a file; it grows if need be."""

    op: Literal["write"]


class Fsync(Section):
    """Write everything dirty of a file to its disk, and wait for it."""

    op: Literal["fsync"]
    on: OpenName = Field(description="open file, as an earlier open named it")


class Truncate(Section):
    """Change the size of a file."""

    op: Literal["truncate"]
    on: OpenName = Field(description="open file, as an earlier open named it")
    size: Size = Field(description="new size in bytes")


class Close(Section):
    """Close a file; regions that map it keep it."""

    op: Literal["close"]
    on: OpenName = Field(description="open file, as an earlier open named it")


class Msync(Section):
    """Write what was stored to a file through a region, and wait for it."""

    op: Literal["msync"]
    on: OpenName = Field(description="region, as an earlier mmap named it")
    offset: Size = Field(0, description="where in the region, rounded down to whole pages")
    length: PositiveSize | None = Field(
        None, description="how much of it, rounded up to whole pages; else up to its end"
    )


class Madvise(Section):
    """Say how a region will be used, for the read-ahead of its file."""

    op: Literal["madvise"]
    on: OpenName = Field(description="region, as an earlier mmap named it")
    advice: Literal["normal", "random", "sequential"] = Field(description="how it will be used")
    offset: Size = Field(0, description="where in the region, rounded down to whole pages")
    length: PositiveSize | None = Field(
        None, description="how much of it, rounded up to whole pages; else up to its end"
    )


FileOperation = Open | Read | Write | Fsync | Truncate | Close
"""Operations on a file by its open name."""
RegionOperation = Msync | Madvise
