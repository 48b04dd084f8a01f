"""A recorded program's address space in the machine: what /proc/PID/maps shows is what the recorded calls did."""

from pathlib import Path

import numpy as np
import pytest

from numa_sim import Machine
from numa_sim.compiled import COMPILED
from numa_sim.state.constants import NIL, VM_EXEC, VM_READ, VM_SHARED, VM_WRITE
from numa_sim.workloads.traces import trace_program

TRACES = Path(__file__).parents[2] / "configs" / "traces"
MMAP, MPROTECT, MUNMAP, BRK, MREMAP = 9, 10, 11, 12, 25
PAGE = 4096


def recorded_effect(name):
    """Permissions of every page after all calls of a trace: a model of its own, page by page."""
    with np.load(TRACES / f"{name}.npz") as trace:
        vma0, number, args, result = (trace[key].tolist() for key in ("vma0", "sys_no", "sys_args", "sys_ret"))
    pages = {}

    def put(start, length, prot):
        for vpn in range(start // PAGE, -(-(start + length) // PAGE)):
            pages[vpn] = prot

    def drop(start, length):
        for vpn in range(start // PAGE, -(-(start + length) // PAGE)):
            pages.pop(vpn, None)

    for start, end, prot in vma0:
        if start < 1 << 47:
            put(start, end - start, (prot, False))
    brk = None
    for no, arg, got in zip(number, args, result, strict=True):
        if got >= 2**64 - 4095:
            continue
        if no == MMAP:
            put(got, arg[1], (arg[2], arg[3] & 15 == 1))
        elif no == MUNMAP:
            drop(arg[0], arg[1])
        elif no == MPROTECT:
            for vpn in range(arg[0] // PAGE, -(-(arg[0] + arg[1]) // PAGE)):
                pages[vpn] = (arg[2], pages[vpn][1])
        elif no == BRK:
            if brk is not None and got > brk:
                put(-(-brk // PAGE) * PAGE, got - -(-brk // PAGE) * PAGE, (3, False))
            elif brk is not None:
                drop(-(-got // PAGE) * PAGE, -(-brk // PAGE) * PAGE - -(-got // PAGE) * PAGE)
            brk = got
        elif no == MREMAP:
            kept = pages[arg[0] // PAGE]
            drop(arg[0], arg[1])
            put(got, arg[2], kept)
    return pages


def areas_of(machine, task):
    """Permissions of every mapped page but the stack that exec made, from the machine's areas."""
    k = machine.kernel
    mm = int(k.tasks[task].mm)
    pages, vma = {}, int(k.mms[mm].mmap)
    while vma != NIL:
        area = k.vmas[vma]
        flags = int(area.vm_flags)
        prot = flags & (VM_READ | VM_WRITE | VM_EXEC)
        for vpn in range(int(area.vm_start), int(area.vm_end)):
            pages[vpn] = (prot, bool(flags & VM_SHARED))
        vma = int(area.vm_next)
    top = int(k.vm[0].task_size_vpn)
    return {vpn: what for vpn, what in pages.items() if vpn < top - 64}


@pytest.mark.skipif(not COMPILED, reason="millions of records")
@pytest.mark.parametrize("name", ["sort-text", "sqlite-query"])
def test_areas_of_a_replay_are_those_the_recorded_calls_made(name):
    machine = Machine.of(nodes=[{"memory": "256MiB", "cpus": "0"}], distances=[[10]])
    replay = trace_program(TRACES / f"{name}.npz", mappings="recorded")
    seen, text = {}, []

    def program(task):
        yield from replay(task)
        seen.update(areas_of(machine, 2))
        text.append(machine.procfs(f"{name}/maps"))

    machine.add(program, name=name)
    result = machine.run_to_end()
    assert result.exit_state == "ok"
    assert not any("fault" in warning for warning in result.warnings)
    assert seen == recorded_effect(name)
    shown = {}
    for line in text[0].splitlines():
        place, flags = line.split()[:2]
        start, end = (int(part, 16) // PAGE for part in place.split("-"))
        for vpn in range(start, end):
            if vpn in seen:
                shown[vpn] = flags
    assert shown == {
        vpn: "".join(c if prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4))) + ("s" if shared else "p")
        for vpn, (prot, shared) in seen.items()
    }


@pytest.mark.skipif(not COMPILED, reason="many records")
def test_by_default_everything_is_private_and_writable():
    machine = Machine.of(nodes=[{"memory": "256MiB", "cpus": "0"}], distances=[[10]])
    replay = trace_program(TRACES / "sqlite-query.npz", limit=1000)
    seen = {}

    def program(task):
        yield from replay(task)
        seen.update(areas_of(machine, 2))

    machine.add(program)
    assert machine.run_to_end().exit_state == "ok"
    assert set(seen.values()) == {(VM_READ | VM_WRITE, False)}
