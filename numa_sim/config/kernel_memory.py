"""Operations of a program that acts inside the kernel: kmalloc, vmalloc, random requests, look-ups of names."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.quantities import PositiveSize, Section, refuse, size

KernelName = Annotated[str, Field(min_length=1, max_length=64)]
KMALLOC_MAX = 131072
MAX_REQUESTS = 10_000_000
KmallocSize = Annotated[int, size(1, KMALLOC_MAX)]


class Kmalloc(Section):
    """Allocate contiguous kernel memory; the run goes on, with a warning, if there is none."""

    op: Literal["kmalloc"]
    as_: KernelName = Field(alias="as", description="name by which later operations know the memory")
    size: KmallocSize = Field(description="bytes, at most 128 KiB")
    dma: bool = Field(False, description="true: below 16 MB (GFP_DMA)")
    atomic: bool = Field(False, description="true: never wait or reclaim (GFP_ATOMIC)")


class Kfree(Section):
    """Give back what a kmalloc took."""

    op: Literal["kfree"]
    on: KernelName = Field(description="memory, as an earlier kmalloc named it")


class Vmalloc(Section):
    """Allocate kernel memory that is contiguous in virtual addresses; the run goes on, with a warning, if it fails."""

    op: Literal["vmalloc"]
    as_: KernelName = Field(alias="as", description="name by which later operations know the area")
    size: PositiveSize = Field(description="size, rounded up to whole pages")


class Vfree(Section):
    """Give back what a vmalloc took."""

    op: Literal["vfree"]
    on: KernelName = Field(description="area, as an earlier vmalloc named it")


class KernelTouch(Section):
    """Access an area of vmalloc page by page, in kernel mode."""

    op: Literal["kernel_touch"]
    on: KernelName = Field(description="area, as an earlier vmalloc named it")
    write: float = Field(0.0, ge=0.0, le=1.0, description="share of accesses that write")
    overrun: int = Field(0, ge=0, le=1024, description="pages behind its end that are accessed, too: an oops")


class Churn(Section):
    """Make random requests of kernel memory, and give random ones back; what is held at the end stays taken."""

    op: Literal["churn"]
    of: Literal["kmalloc", "vmalloc"] = Field(description="which kind of memory")
    requests: int = Field(ge=1, le=MAX_REQUESTS, description="how many")
    smallest: PositiveSize = Field(description="least size asked for; sizes are log-uniform")
    largest: PositiveSize = Field(description="greatest size asked for; kmalloc: at most 128 KiB")
    live: int = Field(ge=0, le=MAX_REQUESTS, description="requests held at most at a time")

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.largest < self.smallest:
            raise refuse(f"less than smallest, {self.smallest} bytes", (f"{self.smallest}B or more",), "largest")
        if self.of == "kmalloc" and self.largest > KMALLOC_MAX:
            raise refuse(f"kmalloc gives at most {KMALLOC_MAX} bytes", ("up to 128KiB",), "largest")
        return self


class LookUp(Section):
    """Look names up in a directory, as find(1) does: each leaves a dentry and an inode in their slab caches."""

    op: Literal["look_up"]
    names: int = Field(ge=1, le=16_384, description="how many")
    first: int = Field(0, ge=0, le=16_383, description="number of the first name")

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.first + self.names > 16_384:
            raise refuse("there are 16384 names", (f"at most {16_384 - self.first}",), "names")
        return self


KernelOperation = Kmalloc | Kfree | Vmalloc | Vfree | KernelTouch | Churn | LookUp
"""What a program does inside the kernel."""


class KernelNames:
    """Follows the kernel memory a program holds."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def follow(self, operation: KernelOperation, path: str) -> None:
        """Check the names of `operation`, which stands at `path`."""
        if isinstance(operation, Kmalloc | Vmalloc):
            if operation.as_ in self._held:
                raise refuse(f"{operation.as_!r} is held already", ("a new name, or free it first",), f"{path}.as")
            self._held[operation.as_] = operation.op
        elif isinstance(operation, Kfree | Vfree | KernelTouch):
            kind = "kmalloc" if isinstance(operation, Kfree) else "vmalloc"
            if self._held.get(operation.on) != kind:
                known = tuple(name for name, held in self._held.items() if held == kind) or ("none is held here",)
                raise refuse(f"no {kind} {operation.on!r} before this operation", known, f"{path}.on")
            if not isinstance(operation, KernelTouch):
                del self._held[operation.on]
