"""Random families of tasks: what is put between a program's operations so that it has children and threads."""

from __future__ import annotations

from typing import Any

from twin.random_draw import Draw, random_pattern


def have_children(d: Draw, workload: dict[str, Any]) -> None:
    """Put one to three forks between the operations of a program, and a wait now and then.

    Children use copies of their parent's memory; some have children of their own.
    """
    program = workload["program"]
    pages = int(program[0]["size"][:-1]) // 4096
    for _ in range(d.number(1, 3)):
        child: dict[str, Any] = {"op": "fork", "program": _childhood(d, pages)}
        if d.chance(0.2):
            child["program"].insert(0, {"op": "fork", "name": "grandchild", "program": _childhood(d, pages)})
        program.insert(d.number(2, len(program)), child)
        if d.chance(0.5):
            program.insert(d.number(2, len(program)), {"op": "wait", "all": d.chance(0.5)})


def bind(d: Draw, program: list[dict[str, Any]], cpus: int) -> None:
    """Bind a child in three to CPUs of its own."""
    for operation in program:
        if operation["op"] in ("fork", "vfork", "clone") and d.chance(0.3):
            operation["cpus"] = ",".join(map(str, sorted({d.number(0, cpus - 1) for _ in range(d.number(1, cpus))})))
        bind(d, operation.get("program", []), cpus)


def _childhood(d: Draw, pages: int) -> list[dict[str, Any]]:
    """What a child does: a few accesses to its parent's region, perhaps rest before, and an end."""
    program: list[dict[str, Any]] = [
        {
            "op": "touch",
            "on": "heap",
            "pattern": random_pattern(d),
            "accesses": d.number(1, max(2, pages)),
            "write": d.one(0.0, 0.3, 1.0, 1.0),
            "compute": f"{d.one(0, 0, 300)}ns",
        },
        {"op": "exit", "status": d.number(0, 255)},
    ]
    if d.chance(0.4):
        program.insert(0, {"op": "sleep", "for": f"{d.spread(100, 1_000_000)}ns"})
    return program


def have_threads(d: Draw, workload: dict[str, Any]) -> None:
    """Put one to three clones and vforks between the operations of a program, and an exec to its end now and then.

    Threads use their parent's memory at the same time, change its areas, and fork; who was vforked execs or exits.
    """
    program = workload["program"]
    pages = int(program[0]["size"][:-1]) // 4096
    for _ in range(d.number(1, 3)):
        if d.chance(0.6):
            relative: dict[str, Any] = {"op": "clone", "program": _thread(d, pages)}
        else:
            child = _childhood(d, pages)
            if d.chance(0.7):
                child[-1] = _another_program(d, pages)
            relative = {"op": "vfork", "program": child}
        program.insert(d.number(2, len(program)), relative)
    if d.chance(0.2):
        program.append(_another_program(d, pages))


def _thread(d: Draw, pages: int) -> list[dict[str, Any]]:
    """What a thread does: as a child, and with areas of its own; perhaps a fork or an exec in the end."""
    program = _childhood(d, pages)
    if d.chance(0.7):
        size = d.number(1, max(1, pages // 2))
        program.insert(0, {"op": "mmap", "as": "own", "size": f"{size * 4096}B"})
        touch = {"op": "touch", "on": "own", "pattern": {"kind": "sequential"}, "accesses": size, "write": 1.0}
        program.insert(d.number(1, len(program) - 1), touch)
        if d.chance(0.7):
            program.insert(-1, {"op": "munmap", "on": "own"})
    if d.chance(0.3):
        program.insert(d.number(0, len(program) - 1), {"op": "fork", "program": _childhood(d, pages)})
    if d.chance(0.3):
        program[-1] = _another_program(d, pages)
    return program


def _another_program(d: Draw, pages: int) -> dict[str, Any]:
    """An exec: a program with a small heap of its own."""
    size = d.number(1, max(1, pages // 3))
    steps: list[dict[str, Any]] = [
        {"op": "mmap", "as": "heap", "size": f"{size * 4096}B"},
        {
            "op": "touch",
            "on": "heap",
            "pattern": random_pattern(d),
            "accesses": d.number(1, 3 * size),
            "write": d.one(0.3, 1.0),
        },
    ]
    if d.chance(0.5):
        steps.append({"op": "exit", "status": d.number(0, 255)})
    return {"op": "exec", "arguments": f"{d.one(0, 1, d.number(0, 32 * 4096))}B", "program": steps}
