"""What a program's operations must fit together in: regions and files that are there, ranges within them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from numa_sim.config.file_operations import Close, FileOperation, Madvise, Msync, Open, Read, Truncate, Write
from numa_sim.config.kernel_memory import KernelNames, KernelOperation
from numa_sim.config.memory_operations import MemoryRange, Mremap
from numa_sim.config.mempolicy import MemPolicy
from numa_sim.config.program import (
    Clone,
    Exec,
    Fork,
    Mmap,
    Munmap,
    Operation,
    Repeat,
    SignalAction,
    Steps,
    Swapoff,
    Swapon,
    Touch,
    Vfork,
)
from numa_sim.config.quantities import PAGE_BYTES, refuse
from numa_sim.config.signal_operations import Kill

MAX_NESTING = 8


def check_program(program: Steps, path: str) -> None:
    """Raise an error at the first operation of `program`, at `path` of its workload, that cannot be meant."""
    _Reader().read(program, path, 1)


class _Reader:
    """Follows a program's regions and files, so that a name or range that cannot be meant is refused before the run."""

    def __init__(self, sizes: dict[str, int | None] | None = None, opened: Mapping[str, str] | None = None) -> None:
        self._sizes = dict(sizes or {})  # None: up to the end of a file
        self._open = dict(opened or {})  # what each is open for
        self._kernel = KernelNames()

    def read(self, program: tuple[Operation, ...], path: str, depth: int) -> None:
        """Check `program`, which stands at `path` of its workload."""
        if depth > MAX_NESTING:
            raise refuse("programs are nested too deep", (f"at most {MAX_NESTING} levels",), path)
        for index, operation in enumerate(program):
            here = f"{path}.{index}"
            if isinstance(operation, Mmap):
                self._map(operation, here)
            elif isinstance(operation, Touch | Munmap | Msync | Madvise | MemoryRange):
                self._check_range(operation, here)
                if isinstance(operation, Munmap) and operation.length is None and operation.offset < PAGE_BYTES:
                    del self._sizes[operation.on]
            elif isinstance(operation, Mremap):
                self._resize(operation, here)
            elif isinstance(operation, FileOperation):
                self._use_file(operation, here)
            elif isinstance(operation, KernelOperation):
                self._kernel.follow(operation, here)
            elif isinstance(operation, SignalAction):
                _Reader(self._sizes, self._open).read(operation.program or (), f"{here}.program", depth + 1)
            elif isinstance(operation, Repeat):
                # twice is enough to see what a second round meets that the first did not
                for _ in range(min(operation.times, 2)):
                    self.read(operation.program, f"{here}.program", depth + 1)
            elif isinstance(operation, Fork | Vfork | Clone):
                if "/" in operation.name:
                    raise refuse(f"{operation.name!r} has a slash", ("a name without one",), f"{here}.name")
                if operation.program is not None:
                    _Reader(self._sizes, self._open).read(operation.program, f"{here}.program", depth + 1)
            elif isinstance(operation, Exec):
                if operation is not program[-1]:
                    raise refuse("what follows an exec is never reached", ("exec as the last operation",), here)
                if operation.file is not None:
                    self._check_open(operation.file, f"{here}.file")
                _Reader(operation.regions(), self._open).read(operation.program, f"{here}.program", depth + 1)

    def _map(self, operation: Mmap, path: str) -> None:
        if operation.as_ in self._sizes:
            raise refuse(f"region {operation.as_!r} is mapped already", ("a new name, or munmap first",), f"{path}.as")
        if operation.file is not None:
            self._check_open(operation.file, f"{path}.file")
        size = operation.size
        self._sizes[operation.as_] = None if size is None else -(-size // PAGE_BYTES) * PAGE_BYTES

    def _use_file(self, operation: FileOperation, path: str) -> None:
        if isinstance(operation, Open):
            if operation.as_ in self._open:
                raise refuse(f"file {operation.as_!r} is open already", ("a new name, or close first",), f"{path}.as")
            self._open[operation.as_] = operation.access
            return
        self._check_open(operation.on, f"{path}.on")
        if isinstance(operation, Close):
            del self._open[operation.on]
        needed = {Read: "read", Write: "write", Truncate: "write"}.get(type(operation))
        if needed is not None and needed not in self._open[operation.on]:
            found = self._open[operation.on]
            allowed = (f'access = "{needed}"', 'access = "read-write"')
            raise refuse(f"file {operation.on!r} was opened with access = {found!r} only", allowed, f"{path}.on")

    def _check_open(self, name: str, path: str) -> None:
        if name not in self._open:
            known = tuple(sorted(self._open)) or ("none is open here",)
            raise refuse(f"no file {name!r} is open before this operation", known, path)

    def _resize(self, operation: Mremap, path: str) -> None:
        if operation.on not in self._sizes:
            known = tuple(self._sizes) or ("none is mapped here",)
            raise refuse(f"no region {operation.on!r} is mapped before this operation", known, f"{path}.on")
        self._sizes[operation.on] = None  # the old size or the new one

    def _check_range(self, operation: Touch | Munmap | Msync | Madvise | MemoryRange, path: str) -> None:
        if operation.on not in self._sizes:
            known = tuple(self._sizes) or ("none is mapped here",)
            raise refuse(f"no region {operation.on!r} is mapped before this operation", known, f"{path}.on")
        size = self._sizes[operation.on]
        if size is None:
            return
        if operation.offset >= size:
            raise refuse(f"offset is beyond the region of {size} bytes", (f"less than {size}B",), f"{path}.offset")
        if operation.length is not None and operation.offset // PAGE_BYTES * PAGE_BYTES + operation.length > size:
            raise refuse(
                f"range ends beyond the region of {size} bytes",
                (f"at most {size - operation.offset}B",),
                f"{path}.length",
            )


def opened(program: Steps, path: str) -> Iterator[tuple[str, str]]:
    """Path and name of every file a program opens."""
    for here, operation in _everything(program, path):
        if isinstance(operation, Open):
            yield f"{here}.file", operation.file


def switched(program: Steps, path: str) -> Iterator[tuple[str, str]]:
    """Path and name of every swap area a program switches on or off."""
    for here, operation in _everything(program, path):
        if isinstance(operation, Swapon | Swapoff):
            yield f"{here}.area", operation.area


def signalled(program: Steps, path: str) -> Iterator[tuple[str, str]]:
    """Path and name of every task a program sends signals to."""
    for here, operation in _everything(program, path):
        if isinstance(operation, Kill):
            yield f"{here}.task", operation.task


def policies(program: Steps, path: str) -> Iterator[tuple[str, MemPolicy]]:
    """Path and policy of every set_mempolicy and mbind of a program."""
    for here, operation in _everything(program, path):
        if isinstance(operation, MemPolicy):
            yield here, operation


def _everything(program: Steps, path: str) -> Iterator[tuple[str, Operation]]:
    """Every operation with its path, those of programs within the program included."""
    for index, operation in enumerate(program):
        yield f"{path}.{index}", operation
        if isinstance(operation, Repeat | Fork | Vfork | Clone | Exec | SignalAction) and operation.program is not None:
            yield from _everything(operation.program, f"{path}.{index}.program")
