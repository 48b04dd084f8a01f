"""Programs in a configuration: the operations a task may carry out, one table each."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.file_operations import (
    Close,
    Fsync,
    Madvise,
    Msync,
    Open,
    OpenName,
    Read,
    Truncate,
    Write,
)
from numa_sim.config.kernel_memory import (
    Churn,
    KernelTouch,
    Kfree,
    Kmalloc,
    LookUp,
    Vfree,
    Vmalloc,
)
from numa_sim.config.limits import Setrlimit
from numa_sim.config.memory_operations import Brk, Mlock, Mprotect, Mremap, Munlock, Protection
from numa_sim.config.mempolicy import Mbind, SetMempolicy
from numa_sim.config.network import Receive
from numa_sim.config.patterns import Accesses, Pattern
from numa_sim.config.quantities import (
    PAGE_BYTES,
    CpuList,
    PositiveSize,
    Section,
    ShortTime,
    Size,
    Time,
    refuse,
    size,
)
from numa_sim.config.scheduling import Nice, SchedYield
from numa_sim.config.signal_operations import CatchableSignal, Kill, Prctl

RegionName = Annotated[str, Field(min_length=1, max_length=64)]


class Mmap(Section):
    """Map memory, readable and writable: anonymous and private, or a file."""

    op: Literal["mmap"]
    as_: RegionName = Field(alias="as", description="name by which later operations know the region")
    size: PositiveSize | None = Field(
        None, description="size, rounded up to whole pages as mmap(2) does; of a file else up to its end"
    )
    at: str | None = Field(
        None,
        pattern=r"^0x[0-9a-fA-F]{1,12}$",
        description='address like "0x40000000", rounded down to a page; else first fit',
    )

    file: OpenName | None = Field(None, description="open file to map, as an earlier open named it")
    shared: bool = Field(
        False, description="stores reach the file, or all who share the memory; else they make a page the task's own"
    )
    offset: Size = Field(0, description="where in the file the region begins, whole pages")
    prot: Protection = Field("rw-", description="what may be done with it")
    fixed: bool = Field(True, description="`at` is where it must be; false: where it should be")
    growsdown: bool = Field(False, description="a stack: touching it below its start extends it")
    locked: bool = Field(False, description="all pages at once, never swapped out (MAP_LOCKED; root only)")
    reserve: bool = Field(True, description="false: do not ask whether there is memory enough (MAP_NORESERVE)")

    @model_validator(mode="after")
    def _file_or_size(self) -> Self:
        if self.file is None:
            if self.size is None:
                raise refuse("missing: anonymous memory needs it", ("a size like '64MiB'",), "size")
            if self.offset:
                raise refuse("goes with a file only", ("remove it",), "offset")
        if self.offset % PAGE_BYTES:
            raise refuse("not whole pages", (f"multiples of {PAGE_BYTES} bytes",), "offset")
        return self

    def at_bytes(self) -> int | None:
        """Wanted address in bytes, or None when the kernel may choose."""
        return None if self.at is None else int(self.at, 16)


class Touch(Section):
    """Access pages of a region."""

    op: Literal["touch"]
    on: RegionName = Field(description="region, as an earlier mmap named it")
    pattern: Pattern = Field(description="which page is next")
    accesses: Accesses = Field(description="how many accesses")
    write: float = Field(0.0, ge=0.0, le=1.0, description="share of accesses that write")
    lines: int = Field(1, ge=1, le=64, description="cache lines of 64 bytes moved per access")
    compute: ShortTime = Field(0, description="CPU time before each access")
    offset: Size = Field(0, description="where in the region, rounded down to whole pages")
    length: PositiveSize | None = Field(
        None, description="how much of it, rounded up to whole pages; else up to its end"
    )


Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{1,12}$")]


class Access(Section):
    """Access single bytes by their address, mapped or not: stacks grow, or the task crashes."""

    op: Literal["access"]
    at: Address = Field(description='address like "0xbfffe000"')
    write: bool = Field(True, description="false: it reads")
    esp: Address | None = Field(None, description="stack pointer at that time; else at the access")
    pages: int = Field(1, ge=1, le=1 << 20, description="accesses, each a page below the one before, esp too")

    @model_validator(mode="after")
    def _above_zero(self) -> Self:
        for name, address in (("at", self.at), ("esp", self.esp)):
            if address is not None and int(address, 16) < (self.pages - 1) * PAGE_BYTES:
                raise refuse(
                    f"{self.pages} pages below it there is no address", ("a higher one, or fewer pages",), name
                )
        return self


class Munmap(Section):
    """Unmap a region or a part of it."""

    op: Literal["munmap"]
    on: RegionName = Field(description="region, as an earlier mmap named it")
    offset: Size = Field(0, description="where in the region, rounded down to whole pages")
    length: PositiveSize | None = Field(
        None, description="how much of it, rounded up to whole pages; else up to its end"
    )


class Sleep(Section):
    """Leave the CPU for a time."""

    op: Literal["sleep"]
    for_: Time = Field(alias="for", description="how long")


class Compute(Section):
    """Use the CPU without touching memory."""

    op: Literal["compute"]
    for_: Time = Field(alias="for", description="how long")
    fpu: bool = Field(False, description="the FPU too: a core file then has its registers")


class Swapon(Section):
    """Switch a swap area on; the run goes on, with a warning, if that fails."""

    op: Literal["swapon"]
    area: str = Field(min_length=1, max_length=64, description="swap area, as a [[machine.swap]] is named")
    priority: int | None = Field(
        None, ge=0, le=0x7FFF, description="priority (SWAP_FLAG_PREFER); else the next lower one"
    )


class Swapoff(Section):
    """Switch a swap area off: its pages come back first; the run goes on, with a warning, if that fails."""

    op: Literal["swapoff"]
    area: str = Field(min_length=1, max_length=64, description="swap area, as a [[machine.swap]] is named")


class Exit(Section):
    """End the task; a program without it ends after its last operation."""

    op: Literal["exit"]
    status: int = Field(0, ge=0, le=255, description="what the parent's wait gives")


class Wait(Section):
    """Sleep until a child has ended, or all have; with no child the program goes on at once."""

    op: Literal["wait"]
    all: bool = Field(False, description="wait until no child is left")


Steps = Annotated[tuple["Operation", ...], Field(strict=False)]
"""A program within a program."""


class Repeat(Section):
    """Run operations several times."""

    op: Literal["repeat"]
    times: int = Field(ge=1, le=1_000_000_000, description="how often")
    program: Steps = Field(min_length=1, max_length=10_000, description="operations to repeat")


ChildName = Annotated[str, Field(min_length=1, max_length=64)]


class _Child(Section):
    cpus: CpuList | None = Field(None, min_length=1, description='CPUs it may run on, like "0-3"; else its parent\'s')


class Fork(_Child):
    """Make a child in a copy of the address space; the run goes on, with a warning, if that fails."""

    op: Literal["fork"]
    name: ChildName = Field("child", description="the child's name is its parent's, a slash, this and a number")
    program: Steps | None = Field(
        None, min_length=1, max_length=10_000, description="the child's operations; else those that follow here"
    )


class Clone(_Child):
    """Make a thread: a child in this very address space; the run goes on, with a warning, if that fails."""

    op: Literal["clone"]
    name: ChildName = Field("thread", description="the thread's name is its parent's, a slash, this and a number")
    program: Steps = Field(min_length=1, max_length=10_000, description="the thread's operations")


class Vfork(_Child):
    """Make a child in this very address space, and sleep until it execs or exits."""

    op: Literal["vfork"]
    name: ChildName = Field("child", description="the child's name is its parent's, a slash, this and a number")
    program: Steps = Field(min_length=1, max_length=10_000, description="the child's operations")


class Exec(Section):
    """Run another program in a new address space, instead of this one; the last operation of its program."""

    op: Literal["exec"]
    program: Steps = Field(min_length=1, max_length=10_000, description="operations of the new program")
    file: OpenName | None = Field(
        None, description='open file it is in: the regions "text", "data" and "bss" are its parts'
    )
    text: Size = Field(0, description="code: the file's first bytes, mapped for reading")
    data: Size = Field(0, description="initialised data: the file's next bytes, private")
    bss: Size = Field(0, description="zeros behind the data")
    arguments: Annotated[int, size(0, 32 * PAGE_BYTES)] = Field(
        0, description="arguments and environment, copied to the stack: at most 32 pages"
    )

    @model_validator(mode="after")
    def _parts_of_a_file(self) -> Self:
        if self.file is None:
            for name in ("text", "data", "bss"):
                if getattr(self, name):
                    raise refuse("goes with a file only", ("remove it",), name)
        elif not self.text:
            raise refuse("missing: a program has code", ("above 0",), "text")
        return self

    def regions(self) -> dict[str, int | None]:
        """Sizes of the regions the new program begins with, whole pages."""
        parts = {"text": self.text, "data": self.data, "bss": self.bss}
        return {name: -(-part // PAGE_BYTES) * PAGE_BYTES for name, part in parts.items() if part}


class SignalAction(Section):
    """Choose what a signal does when it is delivered: nothing, what it does by default, or a program."""

    op: Literal["signal"]
    signal: CatchableSignal = Field(description="signal")
    action: Literal["default", "ignore"] | None = Field(None, description="what it does; else `program`")
    program: Steps | None = Field(None, min_length=1, max_length=10_000, description="operations of the handler")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.action is None) == (self.program is None):
            raise refuse("exactly one of action and program must be given", ("action", "program"))
        return self


Operation = Annotated[
    Mmap
    | Touch
    | Access
    | Munmap
    | Sleep
    | Compute
    | Exit
    | Fork
    | Vfork
    | Clone
    | Exec
    | Wait
    | Repeat
    | Open
    | Read
    | Write
    | Fsync
    | Truncate
    | Close
    | Msync
    | Madvise
    | Brk
    | Mprotect
    | Mlock
    | Munlock
    | Mremap
    | SetMempolicy
    | Mbind
    | Swapon
    | Swapoff
    | SignalAction
    | Kill
    | Prctl
    | Nice
    | SchedYield
    | Receive
    | Setrlimit
    | Kmalloc
    | Kfree
    | Vmalloc
    | Vfree
    | KernelTouch
    | Churn
    | LookUp,
    Field(discriminator="op"),
]
for _section in (Repeat, Fork, Vfork, Clone, Exec, SignalAction):
    _section.model_rebuild()
