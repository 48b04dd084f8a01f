"""Programs written in a config file: operation by operation, from the models of ``[[workload]]``.

The models are read by their field names alone, so nothing here depends on the library that checked them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from numa_sim.errors import ConfigError
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


OPERATIONS = ("mmap", "touch", "munmap", "sleep", "compute", "repeat", "exit")


def pattern_from_config(pattern: Any) -> Pattern:
    """Make the access pattern a config table describes (by its `kind`)."""
    make = PATTERNS.get(pattern.kind)
    if make is None:
        raise ConfigError("", "pattern.kind", f"no pattern {pattern.kind!r}", tuple(PATTERNS))
    return make(pattern)


def program_from_config(workload: Any, folder: Path | None = None) -> Program:
    """Make the program of one ``[[workload]]`` table: its `program` list, or the replay of its `trace`.

    Parameters
    ----------
    workload : object
        With `program` (operations) or `trace` (file, format, cache_hit, limit, instructions).
    folder : Path, optional
        Folder a relative trace file is looked up in.
    """
    if workload.trace is not None:
        from numa_sim.workloads.traces import trace_program

        t = workload.trace
        return trace_program(
            (folder or Path()) / t.file,
            t.format,
            cache_hit_ns=t.cache_hit,
            limit=t.limit,
            instructions=t.instructions,
        )
    operations = tuple(workload.program)

    def program(task: TaskHandle) -> Generator[Operation, Any, None]:
        yield from _run(task, operations, {})

    return program


def _run(task: TaskHandle, operations: Iterable[Any], regions: dict[str, Region]) -> Generator[Operation, Any, bool]:
    """Yield `operations` in order; return True if one of them was an exit."""
    for op in operations:
        match op.op:
            case "mmap":
                at = op.at_bytes()
                regions[op.as_] = yield task.mmap(op.size, at, op.as_)
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
            case "munmap":
                yield task.munmap(regions[op.on], op.offset, op.length)
            case "sleep":
                yield task.sleep(op.for_)
            case "compute":
                yield task.compute(op.for_)
            case "repeat":
                for _ in range(op.times):
                    if (yield from _run(task, op.program, regions)):
                        return True
            case "exit":
                yield task.exit()
                return True
            case _:
                raise ConfigError("", "program.op", f"no operation {op.op!r}", OPERATIONS)
    return False
