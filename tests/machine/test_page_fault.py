"""The decisions of do_page_fault: every outcome, in user mode and in the kernel's."""

from __future__ import annotations

import errno
from itertools import product
from typing import Any

import pytest
from machine.small import PAGE, Program, counters, finish, small

from numa_sim.compiled import entry
from numa_sim.kernel.fault import PF_PROT, PF_USER, PF_WRITE, TRAP_PAGE_FAULT
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.uaccess import do_page_fault
from numa_sim.observe.events import recorded_events
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import FAULT_FIXUP, FAULT_INVALID_OPCODE, FAULT_MINOR, FAULT_OOPS, FAULT_SEGV
from numa_sim.state.constants import (
    NIL,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    SEGV_ACCERR,
    SEGV_MAPERR,
    VM_EXEC,
    VM_READ,
    VM_WRITE,
)
from numa_sim.workloads.program import Region

TASK = 2
STACK_TOP = 1 << 47
STACK = STACK_TOP - 2 * PAGE
"""Where the stack area begins in every new program."""
_do_page_fault = entry(do_page_fault)
_get_pte = entry(get_pte)


def fault(machine: Machine, address: int, error_code: int) -> int:
    """One fault of the task, as its processor would report it; the caller's program is inside its own code."""
    k = machine.kernel
    k.vm[0].now_ns, k.vm[0].current_task, k.vm[0].current_cpu = machine.now_ns, TASK, 0
    return int(_do_page_fault(k, TASK, address, error_code))


def inside(check: Any, **tables: Any) -> Machine:
    """A machine whose only program maps a page, and then calls `check` with the machine and the page's region."""

    def program(task: Any) -> Program:
        region = yield task.mmap(PAGE)
        yield task.touch(region, write=1.0)
        check(machine, region)
        yield task.compute(1)

    machine = small((8,), **tables)
    machine.add(program)
    finish(machine)
    return machine


def run_one(*operations: Any, **tables: Any) -> tuple[Machine, list[Any]]:
    """Run a program of operations, each made from its handle; the machine, and the answers (errors by their number)."""
    answers: list[Any] = []

    def program(task: Any) -> Program:
        for make in operations:
            try:
                answers.append((yield make(task)))
            except OSError as error:
                answers.append(error.errno)

    machine = small((8,), run={"check": "full", "record_events": 10_000}, **tables)
    machine.add(program, name="victim")
    finish(machine)
    return machine, answers


def outcome(machine: Machine) -> tuple[int, int, int]:
    """Address, error code and SEGV_* of the fault that killed the task."""
    record = machine.kernel.tasks[TASK]
    assert record.trap_no == TRAP_PAGE_FAULT
    return int(record.cr2), int(record.error_code), int(record.fault_code)


# In user mode ---------------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-085", "S3-086", "S3-087", "S3-096", "S3-025")
def test_above_every_mapping_is_a_bad_area_and_the_program_is_told_by_a_signal() -> None:
    address = STACK_TOP + 12_345
    machine, _ = run_one(lambda task: task.access(address, write=True))
    assert outcome(machine) == (address, PF_USER | PF_WRITE, SEGV_MAPERR)
    assert machine.kernel.tasks[TASK].exit_code & 0x7F == 11
    assert machine.tasks[0].outcome == "segmentation fault"


@pytest.mark.row("S3-088", "S0-37")
def test_a_hole_below_an_area_that_does_not_grow_is_a_bad_area() -> None:
    def program(task: Any) -> Program:
        first = yield task.mmap(PAGE)
        yield task.mmap(PAGE, at=(first.start_vpn + 5) * PAGE)
        areas.append(int(machine.kernel.mms[int(machine.kernel.tasks[TASK].mm)].map_count))
        yield task.access((first.start_vpn + 4) * PAGE)

    areas: list[int] = []
    machine = small((8,), run={"check": "full"})
    machine.add(program)
    finish(machine)
    assert outcome(machine)[1:] == (PF_USER, SEGV_MAPERR)
    assert counters(machine)["stack_pages_grown"] == 0


@pytest.mark.parametrize(("below_esp", "grows"), [(0, True), (32, True), (33, False), (4096, False)])
@pytest.mark.row("S0-36", "S3-088", "S3-089", "S3-090")
def test_a_stack_grows_for_what_is_at_most_32_bytes_below_its_pointer(below_esp: int, grows: bool) -> None:
    address = STACK - 3 * PAGE + 100
    machine, _ = run_one(lambda task: task.access(address, write=True, esp=address + below_esp))
    grown = counters(machine)["stack_pages_grown"]
    assert grown == (3 if grows else 0)
    if grows:
        assert machine.tasks[0].outcome == "exited"
    else:
        assert outcome(machine) == (address, PF_USER | PF_WRITE, SEGV_MAPERR)


@pytest.mark.row("S0-36", "S3-090")
def test_a_stack_stops_at_its_limit() -> None:
    fits, too_deep = STACK_TOP - (8 << 20), STACK_TOP - (8 << 20) - 1
    machine, _ = run_one(lambda task: task.access(fits, write=True), lambda task: task.access(too_deep, write=True))
    assert counters(machine)["stack_pages_grown"] == (8 << 20) // PAGE - 2
    assert outcome(machine)[0] == too_deep


@pytest.mark.row("S3-091", "S3-092", "S3-093", "S3-094")
@pytest.mark.parametrize("flags", [0, VM_READ, VM_WRITE, VM_EXEC, VM_READ | VM_WRITE, VM_READ | VM_EXEC])
def test_the_four_cases_against_what_an_area_permits(flags: int) -> None:
    def check(machine: Machine, region: Region) -> None:
        k = machine.kernel
        vma = int(k.mms[int(k.tasks[TASK].mm)].mmap_cache)
        assert k.vmas[vma].vm_start <= region.start_vpn < k.vmas[vma].vm_end
        plain = int(k.vmas[vma].vm_flags)
        k.vmas[vma].vm_flags = plain & ~(VM_READ | VM_WRITE | VM_EXEC) | flags
        for present, write in product((0, PF_PROT), (0, PF_WRITE)):
            permitted = flags & VM_WRITE if write else not present and flags & (VM_READ | VM_EXEC)
            status = fault(machine, region.start_vpn * PAGE, PF_USER | present | write)
            assert status == (FAULT_MINOR if permitted else FAULT_SEGV), (present, write)
            if not permitted:
                assert k.tasks[TASK].fault_code == SEGV_ACCERR
                assert k.tasks[TASK].error_code & PF_WRITE == write
        k.vmas[vma].vm_flags = plain

    inside(check)


@pytest.mark.row("S3-110", "S3-111", "S3-114")
def test_a_fault_that_finds_its_page_there_only_sets_the_bits() -> None:
    def check(machine: Machine, region: Region) -> None:
        k = machine.kernel
        row, index = int(k.mms[int(k.tasks[TASK].mm)].leaf_row), region.start_vpn & 511
        k.tables[row, index] &= ~(PTE_ACCESSED | PTE_DIRTY)
        before = int(k.tasks[TASK].min_flt)
        assert fault(machine, region.start_vpn * PAGE, PF_USER | PF_WRITE) == FAULT_MINOR
        assert int(k.tables[row, index]) & (PTE_ACCESSED | PTE_DIRTY) == PTE_ACCESSED | PTE_DIRTY
        assert int(k.tasks[TASK].min_flt) == before + 1
        assert int(k.tasks[TASK].maj_flt) == 0

    inside(check)


# In the kernel --------------------------------------------------------------------------------------------------------

DISK = {"name": "d", "device": "nvme", "size": "1MiB"}
FILE = {"name": "f", "disk": "d", "size": "64KiB"}


@pytest.mark.row("S3-099", "S3-098")
def test_a_bad_buffer_is_efault_and_nobody_dies() -> None:
    got: list[Any] = []

    def program(task: Any) -> Program:
        file = yield task.open("f")
        heap = yield task.mmap(4 * PAGE)
        got.append((yield task.read(file, 2 * PAGE, offset=0, buffer=heap)))
        got.append((yield task.read(file, 8 * PAGE, offset=0, buffer=heap)))
        for call in (task.read, task.write):
            try:
                yield call(file, PAGE, offset=0, buffer=0x1000)
            except OSError as error:
                got.append(error.errno)
        vma = int(_get_pte(machine.kernel, int(machine.kernel.tasks[TASK].mm), heap.start_vpn))
        got.append(bool(vma & PTE_DIRTY))

    machine = small((8,), run={"check": "full"}, disk=[DISK], file=[FILE])
    machine.add(program)
    finish(machine)
    # What is mapped is filled; the rest ends the read.
    assert got == [2 * PAGE, 4 * PAGE, errno.EFAULT, errno.EFAULT, True]
    assert counters(machine)["fixups"] == 3
    assert counters(machine)["oops"] == 0
    assert machine.tasks[0].outcome == "exited"


@pytest.mark.row("S3-098", "S3-101")
@pytest.mark.parametrize(("address", "what"), [(8, "NULL pointer dereference"), (0x5000_0000, "paging request")])
def test_a_kernel_fault_nobody_expects_is_an_oops_and_the_task_dies(address: int, what: str) -> None:
    machine, _ = run_one(lambda task: task.access(address, write=True, in_kernel=True))
    assert counters(machine)["oops"] == 1
    assert [event.a for event in recorded_events(machine.kernel, "oops")] == [address >> PAGE_SHIFT]
    assert machine.tasks[0].outcome == "oops"
    assert any(f"unable to handle kernel {what} at address {address:#x}" in text for text in machine.warnings)
    assert outcome(machine) == (address, PF_WRITE, SEGV_MAPERR)
    assert machine.kernel.tasks[TASK].exit_code == 9


@pytest.mark.row("S3-098")
def test_in_an_interrupt_or_without_user_memory_there_is_no_context() -> None:
    def check(machine: Machine, region: Region) -> None:
        k = machine.kernel
        k.vm[0].in_interrupt = 1
        assert fault(machine, region.start_vpn * PAGE, PF_WRITE) == FAULT_OOPS
        k.tasks[TASK].fixup = 1
        assert fault(machine, region.start_vpn * PAGE, PF_WRITE) == FAULT_FIXUP
        k.vm[0].in_interrupt = k.tasks[TASK].fixup = 0
        mm = int(k.tasks[TASK].mm)
        k.tasks[TASK].mm = NIL
        assert fault(machine, region.start_vpn * PAGE, PF_WRITE) == FAULT_OOPS
        k.tasks[TASK].mm = mm

    assert counters(inside(check))["fixups"] == 1


@pytest.mark.row("S3-097")
def test_the_f00f_bug_is_an_invalid_opcode_at_entry_6_of_the_idt_only() -> None:
    def check(machine: Machine, region: Region) -> None:
        k = machine.kernel
        idt = 0x7000_0000
        assert fault(machine, idt + 6 * 8, PF_WRITE) == FAULT_OOPS
        k.vm[0].f00f_idt = idt
        assert fault(machine, idt + 6 * 8 + 4, PF_WRITE) == FAULT_INVALID_OPCODE
        assert fault(machine, idt + 5 * 8, PF_WRITE) == FAULT_OOPS
        assert fault(machine, idt + 6 * 8, PF_WRITE | PF_USER) == FAULT_SEGV

    inside(check)


@pytest.mark.row("S3-095", "S3-102")
def test_beyond_the_end_of_a_file_is_sigbus_in_user_mode_and_in_the_kernels() -> None:
    def program(task: Any) -> Program:
        file = yield task.open("f")
        region = yield task.mmap(32 * PAGE, file=file)
        yield task.write(file, PAGE, offset=0, buffer=(region.start_vpn + 20) * PAGE)

    def touching(task: Any) -> Program:
        file = yield task.open("f")
        region = yield task.mmap(32 * PAGE, file=file)
        yield task.touch(region, offset=20 * PAGE, length=PAGE)

    machine = small((8,), run={"check": "full"}, disk=[DISK], file=[FILE])
    machine.add(program, name="kernel")
    machine.add(touching, name="user")
    finish(machine)
    assert counters(machine)["fixups"] == 1  # the copy ended, and the signal was sent all the same
    assert [int(machine.kernel.tasks[t].exit_code) & 0x7F for t in (2, 3)] == [7, 7]


def test_wrong_addresses_are_refused() -> None:
    from numa_sim.errors import ConfigError

    for call in (
        lambda task: task.access(-1),
        lambda task: task.access(0, esp="top"),
    ):
        with pytest.raises(ConfigError, match="access"):
            run_one(call)
