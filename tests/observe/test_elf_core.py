"""Core files: what the kernel's checks let through, and what readelf and gdb make of them."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine.small import PAGE, finish, small

from numa_sim.kernel.coredump import HOLE, CoreDump, maydump, refuses
from numa_sim.kernel.mmap import do_mmap
from numa_sim.observe.elf_core import core_file, core_name, page_bytes
from numa_sim.observe.events import recorded_events
from numa_sim.processes.machine import Machine
from numa_sim.results import verify_run, write_run
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_2_4_37,
    NIL,
    PF_DUMPCORE,
    SIGSEGV,
    VM_EXEC,
    VM_IO,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)

HEAP = 0x5000_0000
READ_ONLY = 0x6000_0000
NOTES_AND_HEADERS = 4096
PAGES = 8
TOUCHED = 4
CRASH_OPERATION = 6
"""The program's operation that crashes, counting from 1."""


def crash(task: Any) -> Any:
    """Write pages 0 to 3 of a heap of 8, read page 4, and then where nothing is."""
    heap = yield task.mmap(PAGES * PAGE, at=HEAP)
    yield task.mmap(2 * PAGE, at=READ_ONLY, prot=VM_READ)
    yield task.touch(heap, length=TOUCHED * PAGE, write=1.0)
    yield task.touch(heap, offset=TOUCHED * PAGE, length=PAGE)
    gone = yield task.mmap(PAGE)
    yield task.munmap(gone)
    yield task.touch(gone)


def crashed(arch: str = "x86-64", profile: str = "linux-2.4.37", core: str = "unlimited", fpu: bool = False) -> Machine:
    """A machine on which `crash` has run, with a limit for its core file."""

    def program(task: Any) -> Any:
        yield task.setrlimit("core", core)
        if fpu:
            yield task.compute("1us", fpu=True)
        yield from crash(task)

    machine = small(arch=arch, kernel={"profile": profile}, run={"record_events": 5000, "check": "full"})
    machine.add(program, name="crash")
    finish(machine)
    return machine


def dump_of(machine: Machine) -> CoreDump:
    (dump,) = machine.cores
    return dump


def heap_of(dump: CoreDump) -> Any:
    return next(segment for segment in dump.segments if segment.start_vpn * PAGE == HEAP)


def tool(name: str, *arguments: str) -> str:
    """What a tool of the system says of a core file."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def written(machine: Machine, folder: Path) -> Path:
    """The core file, written."""
    dump = dump_of(machine)
    path = folder / core_name(dump)
    path.write_bytes(core_file(dump).contents)
    return path


# When there is a core file -------------------------------------------------------------------------------------------


@pytest.mark.row("S3-189", "S3-194", "S3-096")
def test_a_segmentation_fault_leaves_a_core_file() -> None:
    machine = crashed()
    task = machine.kernel.tasks[2]
    dump = dump_of(machine)
    assert (dump.name, dump.pid, dump.signal) == ("crash", 100, SIGSEGV)
    assert int(task.exit_code) == SIGSEGV | 0x80
    assert int(task.flags) & PF_DUMPCORE
    (event,) = recorded_events(machine.kernel, "elf_core_dump")
    assert event.b == TOUCHED, "pages written"


def test_copying_the_pages_takes_time() -> None:
    with_core, without = crashed(), crashed(core="0B")
    difference = with_core.now_ns - without.now_ns
    assert difference == TOUCHED * int(with_core.costs.copy_page_ns)


@pytest.mark.row("S3-191", "X-10")
@pytest.mark.parametrize("core", ["0B", "4095B"])
def test_by_default_and_below_a_page_there_is_none(core: str) -> None:
    machine = crashed(core=core)
    assert machine.cores == []
    assert int(machine.kernel.tasks[2].exit_code) == SIGSEGV
    assert [w for w in machine.warnings if "no core file" in w] != [] if core != "0B" else True


@pytest.mark.row("S3-191")
def test_what_is_not_dumpable_is_not_dumped() -> None:
    def program(task: Any) -> Any:
        yield task.setrlimit("core", "unlimited")
        yield task.prctl(dumpable=False)
        yield from crash(task)

    machine = small()
    machine.add(program)
    finish(machine)
    assert machine.cores == []
    assert any("not dumpable" in warning for warning in machine.warnings)


@pytest.mark.row("S3-191")
@pytest.mark.parametrize("profile", [KERNEL_2_2, KERNEL_2_4_0, KERNEL_2_4_37])
def test_a_shared_address_space_is_dumped_by_the_latest_kernel_only(profile: int) -> None:
    """Two tasks with one mm; nothing runs, the check alone is asked."""
    machine = small()
    machine.add(crash)
    k = machine.kernel
    machine.run(until=1)
    mm = int(k.tasks[2].mm)
    assert mm != NIL
    k.vm[0].profile, k.tasks[2].rlim_core = profile, PAGE
    assert refuses(k, 2) is None
    k.mms[mm].mm_users = 2
    assert (refuses(k, 2) is None) == (profile >= KERNEL_2_4_37)


@pytest.mark.row("S3-191")
@pytest.mark.parametrize(("profile", "dumps"), [("linux-2.2", 0), ("linux-2.4.0", 0), ("linux-2.4.37", 1)])
def test_a_thread_that_crashes_while_another_lives(profile: str, dumps: int) -> None:
    def thread(task: Any) -> Any:
        yield task.sleep("1ms")
        yield from crash(task)

    def parent(task: Any) -> Any:
        yield task.setrlimit("core", "unlimited")
        yield task.clone(thread)
        yield task.compute("10ms")

    machine = small(cpus=("0-1",), arch="i386", kernel={"profile": profile})
    machine.add(parent, name="parent")
    finish(machine)
    assert [task.outcome for task in machine.tasks] == ["exited", "segmentation fault"]
    assert len(machine.cores) == dumps
    assert all(dump.ppid == 100 for dump in machine.cores)


@pytest.mark.row("S3-191")
def test_a_child_is_as_dumpable_as_its_parent() -> None:
    def parent(task: Any) -> Any:
        yield task.setrlimit("core", "unlimited")
        yield task.fork(crash)
        yield task.prctl(dumpable=False)
        yield task.fork(crash)

    machine = small()
    machine.add(parent, name="parent")
    finish(machine)
    assert [task.outcome for task in machine.tasks[1:]] == ["segmentation fault"] * 2
    assert [dump.name for dump in machine.cores] == [machine.tasks[1].name]


# What is in it -------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-196")
def test_pages_that_were_never_touched_are_holes() -> None:
    heap = heap_of(dump_of(crashed()))
    assert (heap.contents[:TOUCHED] != HOLE).all()
    assert len(set(heap.contents[:TOUCHED].tolist())) == TOUCHED, "each page has contents of its own"
    assert (heap.contents[TOUCHED:] == HOLE).all(), "page 4 shows ZERO_PAGE"


@pytest.mark.row("S3-196")
def test_2_4_0_writes_the_zero_page() -> None:
    heap = heap_of(dump_of(crashed(profile="linux-2.4.0")))
    assert heap.contents[TOUCHED] == 0
    assert (heap.contents[TOUCHED + 1 :] == HOLE).all()


@pytest.mark.row("S3-196")
def test_read_only_areas_have_a_header_and_no_contents() -> None:
    dump = dump_of(crashed())
    (area,) = (segment for segment in dump.segments if segment.start_vpn * PAGE == READ_ONLY)
    assert (area.pages, len(area.contents)) == (2, 0)


@pytest.mark.row("S3-196")
@pytest.mark.parametrize(
    ("flags", "early", "late"),
    [
        (0, False, False),
        (VM_READ, False, False),
        (VM_READ | VM_EXEC, False, False),
        (VM_READ | VM_SHARED, False, False),
        (VM_READ | VM_WRITE, True, True),
        (VM_READ | VM_WRITE | VM_SHARED, True, True),
        (VM_READ | VM_WRITE | VM_IO, False, False),
        (VM_WRITE, True, False),
    ],
)
def test_maydump(flags: int, early: bool, late: bool) -> None:
    machine = small()
    machine.add(crash)
    machine.run(until=1)
    k = machine.kernel
    vpn = do_mmap(k, 2, 1)
    vma = next(v for v in range(len(k.vmas)) if k.vmas[v].vm_start == vpn)
    k.vmas[vma].vm_flags = flags
    answers = []
    for profile in (KERNEL_2_2, KERNEL_2_4_0, KERNEL_2_4_37):
        k.vm[0].profile = profile
        answers.append(maydump(k, vma))
    assert answers == [early, early, late]


def test_a_page_in_swap_is_dumped_with_its_contents() -> None:
    """A heap larger than memory: every page has its own tag, wherever it is."""
    pages = 1400

    def program(task: Any) -> Any:
        yield task.setrlimit("core", "unlimited")
        heap = yield task.mmap(pages * PAGE, at=HEAP)
        yield task.touch(heap, write=1.0)
        gone = yield task.mmap(PAGE)
        yield task.munmap(gone)
        yield task.touch(gone)

    machine = small()
    machine.add(program)
    finish(machine)
    assert machine.kernel.vmstat.sum(axis=0).max() > 0
    heap = heap_of(dump_of(machine))
    vpn = np.arange(HEAP // PAGE, HEAP // PAGE + pages)
    assert np.array_equal(heap.contents, vpn + 1), "what one store to a fresh page leaves (numa_sim.hardware.loop)"


@pytest.mark.row("S3-192")
def test_2_2_counts_areas_up_to_the_limit() -> None:
    """The heap (8 pages) fits a limit of 9 pages, the stack (2 pages) behind it does not; headers are not counted."""
    sizes = []
    for limit in (PAGES, PAGES + 1, PAGES + 2, PAGES + 3):
        dump = dump_of(crashed("i386", "linux-2.2", core=f"{limit * PAGE}B"))
        sizes.append(sum(len(segment.contents) for segment in dump.segments))
    assert sizes == [0, PAGES, PAGES, PAGES + 2]


@pytest.mark.row("S3-196")
def test_2_2_has_no_holes() -> None:
    heap = heap_of(dump_of(crashed("i386", "linux-2.2")))
    assert len(set(heap.contents[:TOUCHED].tolist())) == TOUCHED
    assert heap.contents[TOUCHED:].tolist() == [0] * (PAGES - TOUCHED)


@pytest.mark.row("S3-192")
def test_2_4_stops_writing_at_the_limit() -> None:
    whole = core_file(dump_of(crashed()))
    cut = core_file(dump_of(crashed(core=f"{NOTES_AND_HEADERS + 2 * PAGE}B")))
    assert len(cut.contents) < len(whole.contents)
    assert cut.contents[NOTES_AND_HEADERS:] == whole.contents[NOTES_AND_HEADERS : len(cut.contents)]
    assert sum(end - start for start, end in cut.written) <= NOTES_AND_HEADERS + 2 * PAGE


@pytest.mark.row("S3-193")
def test_the_file_is_named_after_the_command() -> None:
    assert core_name(dump_of(crashed())) == "core.crash.100"


@pytest.mark.row("S3-196")
@pytest.mark.parametrize("arch", ["i386", "x86-64"])
def test_the_sizes_add_up(arch: str) -> None:
    dump = dump_of(crashed(arch))
    file = core_file(dump)
    contents = sum(len(segment.contents) for segment in dump.segments) * PAGE
    assert len(file.contents) % PAGE == 0
    start = len(file.contents) - contents
    assert start % PAGE == 0
    at = start + sum(
        len(segment.contents) * PAGE for segment in dump.segments[: dump.segments.index(heap_of(dump))]
    )  # fmt: skip
    heap = heap_of(dump)
    for number in range(TOUCHED):
        page = file.contents[at + number * PAGE :][:PAGE]
        assert page == page_bytes(int(heap.contents[number]))
    inside = [end for begin, end in file.written if begin >= start]
    assert inside == [at + TOUCHED * PAGE], "nothing else is written"


def test_the_run_folder_has_it_and_its_holes_take_no_room(tmp_path: Path) -> None:
    def program(task: Any) -> Any:
        yield task.setrlimit("core", "unlimited")
        heap = yield task.mmap("64MiB", at=HEAP)
        yield task.touch(heap, accesses=3, write=1.0)
        gone = yield task.mmap(PAGE)
        yield task.munmap(gone)
        yield task.touch(gone)

    machine = small()
    machine.add(program, name="a/b c")
    folder = write_run(finish(machine), tmp_path / "run", picture=False)
    assert verify_run(folder) == []
    (core,) = (folder / "cores").iterdir()
    assert core.name == "core.a_b_c.100"
    assert core.stat().st_size > 64 << 20
    if core.stat().st_blocks * 512 > 32 << 20:
        pytest.skip("this file system has no holes")
    summary = (folder / "summary.json").read_text()
    assert "killed (SIGSEGV, core dumped)" in summary


# What the tools say of it --------------------------------------------------------------------------------------------


@pytest.mark.row("S3-190", "S3-195", "S3-196", "S3-193")
@pytest.mark.parametrize("fpu", [False, True])
@pytest.mark.parametrize("arch", ["i386", "x86-64"])
def test_readelf_reads_it(tmp_path: Path, arch: str, fpu: bool) -> None:
    machine = crashed(arch, fpu=fpu)
    dump = dump_of(machine)
    text = tool("readelf", "-hlnW", str(written(machine, tmp_path)))
    assert not re.search("Warning|Error", text), text
    assert "CORE (Core file)" in text
    assert ("ELF32" if arch == "i386" else "ELF64") in text
    assert ("Intel 80386" if arch == "i386" else "X86-64") in text
    notes = re.findall(r"CORE\s+0x\S+\s+NT_(\w+)", text)
    assert notes == ["PRSTATUS", "PRPSINFO", "TASKSTRUCT", *(["FPREGSET"] if fpu else [])]
    loads = re.findall(r"LOAD\s+0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) ([RWE ]{3})", text)
    assert len(loads) == len(dump.segments)
    offset = int(loads[0][0], 16)
    for (at, start, in_file, in_memory, _), segment in zip(loads, dump.segments, strict=True):
        assert int(at, 16) == offset
        assert offset % PAGE == 0
        assert int(start, 16) == segment.start_vpn * PAGE
        assert int(in_file, 16) == len(segment.contents) * PAGE
        assert int(in_memory, 16) == segment.pages * PAGE
        offset += int(in_file, 16)


@pytest.mark.row("S3-190", "S3-189")
@pytest.mark.parametrize(("arch", "pointer", "entry"), [("i386", "eip", 0x0804_8000), ("x86-64", "rip", 0x40_0000)])
def test_gdb_opens_it(tmp_path: Path, arch: str, pointer: str, entry: int) -> None:
    machine = crashed(arch)
    dump = dump_of(machine)
    tags = heap_of(dump).contents
    text = tool(
        "gdb", "-batch", "-nx", "-c", str(written(machine, tmp_path)),
        "-ex", f"p/x ${pointer}", "-ex", f"x/2gx {HEAP:#x}", "-ex", f"x/1gx {HEAP + PAGE - 8:#x}",
        "-ex", f"x/1gx {HEAP + (TOUCHED + 1) * PAGE:#x}",
    )  # fmt: skip
    if "not in executable format" in text or "no core file handler" in text:
        pytest.skip(f"this gdb does not read {arch} core files")
    assert "terminated with signal SIGSEGV" in text
    assert f"$1 = {dump.eip:#x}" in text
    assert (dump.eip - entry) // 16 == CRASH_OPERATION + 2, "setrlimit comes before; the touch is the seventh"
    first = int(tags[0])
    assert f"{HEAP:#x}:\t0x{first:016x}\t0x{first:016x}" in text
    assert f"{HEAP + PAGE - 8:#x}:\t0x{first:016x}" in text
    assert f"{HEAP + (TOUCHED + 1) * PAGE:#x}:\t0x{0:016x}" in text, "a hole reads as zeros"


def test_prstatus_has_the_sizes_of_the_kernel_s_own() -> None:
    """struct elf_prstatus is 144 bytes on i386 and 336 on x86-64, elf_prpsinfo 124 and 136."""
    from numa_sim.observe.elf_core import I386, X86_64

    assert [struct.calcsize(layout.prstatus) for layout in (I386, X86_64)] == [144, 336]
    assert [struct.calcsize(layout.prpsinfo) for layout in (I386, X86_64)] == [124, 136]
