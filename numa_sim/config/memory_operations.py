"""Operations on the address space in a program: brk, mprotect, mlock, munlock, mremap."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.quantities import PositiveSize, Section, Size, refuse

Protection = Literal["---", "r--", "-w-", "--x", "rw-", "r-x", "-wx", "rwx"]
"""As in /proc/PID/maps."""
_RegionName = Annotated[str, Field(min_length=1, max_length=64)]


class Brk(Section):
    """Move the end of the heap; the run goes on, with a warning, if that is refused."""

    op: Literal["brk"]
    grow: Size = Field(0, description="how far up")
    shrink: Size = Field(0, description="how far down")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.grow == 0) == (self.shrink == 0):
            raise refuse("exactly one of grow and shrink must be above 0", ("grow", "shrink"))
        return self


class MemoryRange(Section):
    """A region or a part of it."""

    on: _RegionName = Field(description="region, as an earlier mmap named it")
    offset: Size = Field(0, description="where in the region, rounded down to whole pages")
    length: PositiveSize | None = Field(
        None, description="how much of it, rounded up to whole pages; else up to its end"
    )


class Mprotect(MemoryRange):
    """Change what may be done with memory."""

    op: Literal["mprotect"]
    prot: Protection = Field(description="what may be done with it from now on")


class Mlock(MemoryRange):
    """Bring memory in and keep it there (root only)."""

    op: Literal["mlock"]


class Munlock(MemoryRange):
    """Let memory be swapped out again."""

    op: Literal["munlock"]


class Mremap(Section):
    """Change the size of a whole region."""

    op: Literal["mremap"]
    on: _RegionName = Field(description="region, as an earlier mmap named it")
    size: PositiveSize = Field(description="new size, rounded up to whole pages")
    may_move: bool = Field(True, description="it may go elsewhere if there is no room behind it")
