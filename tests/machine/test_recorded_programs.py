"""A recorded program's address space in the machine: what /proc/PID/maps shows is what the recorded calls did."""

from pathlib import Path

import numpy as np
import pytest
from machine.small import counters, finish, small

from numa_sim import Machine
from numa_sim.compiled import COMPILED, entry
from numa_sim.kernel.pgtable import get_pte
from numa_sim.state.constants import NIL, VM_EXEC, VM_READ, VM_SHARED, VM_WRITE
from numa_sim.workloads.traces import MapCall, MoveCall, Runs, UnmapCall, trace_program, write_canonical
from numa_sim.workloads.traces.items import READ, WRITE

TRACES = Path(__file__).parents[2] / "configs" / "traces"
MMAP, MPROTECT, MUNMAP, BRK, MREMAP = 9, 10, 11, 12, 25
PAGE = 4096
_get_pte = entry(get_pte)


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


HEAP, ELSEWHERE, PAGES = 0x400000, 0x900000, 64


def moved_by_hand(task):
    """Write a heap, move it and make it longer, read what was moved and write the rest."""
    heap = yield task.mmap(PAGES * PAGE, at=HEAP)
    yield task.touch(heap, write=1.0)
    heap = yield task.mremap(heap, PAGES * PAGE, at=ELSEWHERE)
    more = yield task.mmap(8 * PAGE, at=ELSEWHERE + PAGES * PAGE)
    yield task.touch(heap)
    yield task.touch(more, write=1.0)
    yield task.munmap(heap, PAGE, PAGE)


def recorded_move(path):
    """The same as a trace; the growth is part of the recorded mremap."""
    heap, elsewhere = HEAP // PAGE, ELSEWHERE // PAGE
    one = np.ones(PAGES + 8, np.int64)
    written = Runs(heap + np.arange(PAGES), one[:PAGES], np.full(PAGES, WRITE, np.uint8))
    kinds = np.where(np.arange(PAGES + 8) < PAGES, READ, WRITE).astype(np.uint8)
    items = [
        MapCall(heap, PAGES),
        written,
        MoveCall(heap, PAGES, elsewhere),
        MapCall(elsewhere + PAGES, 8),
        Runs(elsewhere + np.arange(PAGES + 8), one, kinds),
        UnmapCall(elsewhere + 1, 1),
    ]
    write_canonical(path, items)
    return trace_program(path)


@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0", "linux-2.4.37"])
def test_a_replayed_mremap_does_what_the_call_does(tmp_path, profile):
    """Pages, their contents and faults are those of a program that calls mremap itself (spec 8.6)."""
    seen = []
    for program in (moved_by_hand, recorded_move(tmp_path / "t.npz")):
        machine = small(kernel={"profile": profile})
        machine.add(watched(program, machine, found := []), name="mine")
        finish(machine)
        assert not machine.warnings
        counts = counters(machine)
        seen.append([counts[name] for name in ("pgfault", "anon_write_faults", "zero_page_maps")] + found)
    assert seen[0] == seen[1]
    assert seen[0][:3] == [PAGES + 8, PAGES + 8, 0]


def watched(program, machine, found):
    """`program`, which notes what its memory holds before it ends."""

    def run(task):
        yield from program(task)
        k = machine.kernel
        for page in range(PAGES + 8):
            pte = int(_get_pte(k, int(k.tasks[2].mm), ELSEWHERE // PAGE + page))
            found.append(pte and int(k.tags[pte >> 12]))

    return run


def test_pages_that_cannot_be_moved_here_come_anew_with_a_warning(tmp_path):
    """The recording moved what two areas hold in the replay, of other permissions: the kernel refuses (EFAULT)."""
    write_canonical(
        tmp_path / "t.npz",
        [
            MapCall(0x400, 1, 3),
            MapCall(0x401, 1, 1),
            MoveCall(0x400, 2, 0x900),
            Runs(np.array([0x900, 0x901]), np.ones(2, np.int64), np.array([WRITE, READ], np.uint8)),
        ],
    )
    machine = small()
    machine.add(trace_program(tmp_path / "t.npz", mappings="recorded"), name="mine")
    finish(machine)
    assert any("mine: mremap failed" in warning for warning in machine.warnings)
    assert [task.outcome for task in machine.tasks] == ["exited"]
