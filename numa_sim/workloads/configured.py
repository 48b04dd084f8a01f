"""Programs written in a config file: operation by operation, from the models of ``[[workload]]``.

The models are read by their field names alone, so nothing here depends on the library that checked them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import strerror
from pathlib import Path
from typing import Any

from numa_sim.errors import ConfigError
from numa_sim.state.constants import PAGE_SIZE
from numa_sim.workloads.children import Exit
from numa_sim.workloads.files import OpenFile
from numa_sim.workloads.kernel_memory import KernelMemory, kernel_operation
from numa_sim.workloads.patterns import mix, none, phases, pointer_chase, sequential, strided, uniform, zipf
from numa_sim.workloads.patterns.source import Pattern
from numa_sim.workloads.program import Operation, Program, Region, TaskHandle

PATTERNS: dict[str, Callable[[Any], Pattern]] = {
    "none": lambda p: none(),
    "sequential": lambda p: sequential(),
    "strided": lambda p: strided(p.stride),
    "uniform": lambda p: uniform(),
    "zipf": lambda p: zipf(p.s, p.scramble),
    "pointer_chase": lambda p: pointer_chase(),
    "phases": lambda p: phases([(pattern_from_config(phase.pattern), phase.accesses) for phase in p.phases]),
    "mix": lambda p: mix([(part.weight, pattern_from_config(part.pattern)) for part in p.parts]),
}
"""How to make each `kind` of pattern from its table."""


OPERATIONS = (
    "mmap", "touch", "access", "munmap", "sleep", "compute", "repeat", "exit",
    "fork", "vfork", "clone", "exec", "wait",
    "open", "read", "write", "fsync", "truncate", "close", "msync", "madvise", "swapon", "swapoff",
    "signal", "kill", "prctl", "setrlimit", "sched_yield", "nice", "receive",
    "brk", "mprotect", "mlock", "munlock", "mremap", "set_mempolicy", "mbind",
    "kmalloc", "kfree", "vmalloc", "vfree", "kernel_touch", "churn", "look_up",
)  # fmt: skip
_FAILURE = 1
"""EXIT_FAILURE."""


def pattern_from_config(pattern: Any) -> Pattern:
    """Make the access pattern a config table describes (by its `kind`)."""
    make = PATTERNS.get(pattern.kind)
    if make is None:
        raise ConfigError("", "pattern.kind", f"no pattern {pattern.kind!r}", tuple(PATTERNS))
    return make(pattern)


def program_from_config(workload: Any, place: Callable[[str], Path] = Path, path: str = "workload") -> Program:
    """Make the program of one ``[[workload]]`` table: its `program` list, or the replay of its `trace`.

    A written program that is refused what it cannot do without (memory, a file, a transfer) exits with status 1, as
    one does that checks what mmap(2) returned; it says where.

    Parameters
    ----------
    workload : object
        With `program` (operations) or `trace` (file, format, strace, target, write, mappings, cache_hit,
        limit, instructions).
    place : callable, optional
        Says where the file of a name is (`Config.place`).
    path : str, optional
        Where the table stands in the configuration, for example ``"workload.0"``.
    """
    if workload.trace is not None:
        from numa_sim.workloads.traces import trace_program

        t = workload.trace
        return trace_program(
            place(t.file),
            t.format,
            cache_hit_ns=t.cache_hit,
            limit=t.limit,
            instructions=t.instructions,
            mappings=t.mappings,
            **({} if t.strace is None else {"strace": place(t.strace)}),
            **({"target": t.target, "write": t.write} if t.format == "damon" else {}),
        )
    return _program(_Position([_Frame(tuple(workload.program), f"{path}.program")], {}, {}))


@dataclass(slots=True)
class _Frame:
    """A list of operations being gone through: where it stands in the file, which is next, and in how many rounds."""

    operations: tuple[Any, ...]
    path: str
    rounds: int = 1
    at: int = 0


@dataclass(slots=True)
class _Position:
    """Where a program stands: in its list and the repeats around it; what it has mapped and opened."""

    frames: list[_Frame]
    regions: dict[str, Region]
    files: dict[str, OpenFile]
    kernel: dict[str, KernelMemory] = field(default_factory=dict)

    def next(self) -> Any:
        """The next operation that is not a repeat; None at the end."""
        while self.frames:
            frame = self.frames[-1]
            if frame.at == len(frame.operations):
                frame.rounds, frame.at = frame.rounds - 1, 0
                if not frame.rounds:
                    self.frames.pop()
                continue
            operation = frame.operations[frame.at]
            frame.at += 1
            if operation.op != "repeat":
                return operation
            self.frames.append(_Frame(tuple(operation.program), f"{self.path}.program", operation.times))
        return None

    @property
    def path(self) -> str:
        """Where in the file the operation stands that `next` gave last."""
        frame = self.frames[-1]
        return f"{frame.path}.{frame.at - 1}"

    def of_child(self, program: Iterable[Any] | None) -> _Position:
        """Where a child begins: at `program`, or here, like its parent."""
        if program is None:
            frames = [replace(frame) for frame in self.frames]
        else:
            frames = [_Frame(tuple(program), f"{self.path}.program")]
        return _Position(frames, dict(self.regions), dict(self.files), dict(self.kernel))


def _program(start: _Position) -> Program:
    """A program that goes on from `start`."""

    def program(task: TaskHandle) -> Generator[Operation, Any, None]:
        here = start.of_child(None)  # each task its own
        here.regions.update(task.regions)
        while (operation := here.next()) is not None:
            try:
                yield from _carry_out(task, operation, here)
            except OSError as refused:
                yield Exit(_FAILURE, f"{here.path}: {operation.op} refused ({strerror(refused.errno or 0)})")

    return program


def _carry_out(task: TaskHandle, op: Any, here: _Position) -> Generator[Operation, Any, None]:
    """Yield one operation of a program that stands `here`."""
    regions, files = here.regions, here.files
    match op.op:
        case "mmap":
            file = None if op.file is None else files[op.file]
            regions[op.as_] = yield task.mmap(
                op.size, op.at_bytes(), op.as_, op.prot, file, op.shared, op.offset,
                op.fixed, op.growsdown, op.locked, op.reserve,
            )  # fmt: skip
        case "touch":
            yield task.touch(
                regions[op.on],
                pattern_from_config(op.pattern),
                op.accesses,
                op.write,
                op.lines,
                op.compute,
                op.offset,
                op.length,
            )
        case "access":
            for page in range(op.pages):
                below = page * PAGE_SIZE
                esp = None if op.esp is None else int(op.esp, 16) - below
                yield task.access(int(op.at, 16) - below, op.write, esp)
        case "munmap":
            yield task.munmap(regions[op.on], op.offset, op.length)
        case "sleep":
            yield task.sleep(op.for_)
        case "compute":
            yield task.compute(op.for_, op.fpu)
        case "fork" | "vfork" | "clone" | "exec" | "wait" | "exit":
            yield from _child_operation(task, op, here)
        case "msync":
            yield task.msync(regions[op.on], op.offset, op.length)
        case "madvise":
            yield task.madvise(regions[op.on], op.advice, op.offset, op.length)
        case "receive":
            yield task.receive(op.packets, op.interval, op.hold)
        case "sched_yield":
            yield task.sched_yield()
        case "swapon" | "swapoff" | "nice" | "kill":
            with suppress(OSError):  # the machine has warned; or the task has no right, or the other has ended
                yield _administration(task, op)
        case "brk" | "mprotect" | "mlock" | "munlock" | "set_mempolicy" | "mbind":
            with suppress(OSError):  # the machine has warned
                yield _memory_operation(task, op, regions)
        case "mremap":
            with suppress(OSError):
                regions[op.on] = yield task.mremap(regions[op.on], op.size, op.may_move)
        case "signal" | "prctl" | "setrlimit":
            yield _signal_operation(task, op, here)
        case "kmalloc" | "kfree" | "vmalloc" | "vfree" | "kernel_touch" | "churn" | "look_up":
            yield from kernel_operation(task, op, here.kernel)
        case "open":
            files[op.as_] = yield task.open(op.file, op.access)
        case "read" | "write" | "fsync" | "truncate" | "close":
            yield _file_operation(task, files[op.on], op)
        case _:
            raise ConfigError("", "program.op", f"no operation {op.op!r}", OPERATIONS)


def _child_operation(task: TaskHandle, op: Any, here: _Position) -> Generator[Operation, Any, None]:
    """Yield an operation on other tasks, or on the program itself."""
    match op.op:
        case "exec":
            program = _program(_Position([_Frame(tuple(op.program), f"{here.path}.program")], {}, dict(here.files)))
            file = None if op.file is None else here.files[op.file]
            yield task.exec(program, file, op.text, op.data, op.bss, op.arguments)
        case "wait":
            with suppress(OSError):  # no child is left
                yield task.wait()
                while op.all:
                    yield task.wait()
        case "exit":
            yield task.exit(op.status)
        case _:
            child = _program(here.of_child(op.program))
            with suppress(OSError):  # the machine has warned
                yield getattr(task, op.op)(child, op.name, op.cpus)


def _administration(task: TaskHandle, op: Any) -> Operation:
    """The operation `op` describes, on swap areas or the standing of tasks."""
    match op.op:
        case "swapon":
            return task.swapon(op.area, op.priority)
        case "swapoff":
            return task.swapoff(op.area)
        case "nice":
            return task.nice(op.by)
    return task.kill(op.task, op.signal)


def _signal_operation(task: TaskHandle, op: Any, here: _Position) -> Operation:
    """The operation `op` describes, on signals or limits; a handler knows what the program has mapped by then."""
    match op.op:
        case "prctl":
            return task.prctl(op.dumpable)
        case "setrlimit":
            return task.setrlimit(op.resource, op.limit)
    return task.signal(op.signal, op.action or _program(here.of_child(op.program)))


def _memory_operation(task: TaskHandle, op: Any, regions: dict[str, Region]) -> Operation:
    """The operation `op` describes, on the address space."""
    if op.op in ("set_mempolicy", "mbind"):
        return _policy_operation(task, op, regions)
    if op.op == "brk":
        return task.sbrk(op.grow or -op.shrink)
    if op.op == "mprotect":
        return task.mprotect(regions[op.on], op.prot, op.offset, op.length)
    call = task.mlock if op.op == "mlock" else task.munlock
    return call(regions[op.on], op.offset, op.length)


def _policy_operation(task: TaskHandle, op: Any, regions: dict[str, Region]) -> Operation:
    """The operation `op` describes, on memory policies."""
    if op.op == "set_mempolicy":
        return task.set_mempolicy(op.mode, op.nodes, op.weights)
    return task.mbind(regions[op.on], op.mode, op.nodes, op.weights, op.offset, op.length)


def _file_operation(task: TaskHandle, file: OpenFile, op: Any) -> Operation:
    """The operation `op` describes, on an open file."""
    match op.op:
        case "fsync":
            return task.fsync(file)
        case "truncate":
            return task.truncate(file, op.size)
        case "close":
            return task.close(file)
    call = task.read if op.op == "read" else task.write
    pattern = None if op.pattern is None else pattern_from_config(op.pattern)
    return call(file, op.size, op.offset, pattern, op.count, op.compute)
