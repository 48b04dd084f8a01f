"""Signals and resource limits: sent at one time, delivered on the way back to user mode."""

from __future__ import annotations

from errno import EINVAL, EPERM, ESRCH
from typing import Any

import pytest
from machine.small import MIB_PAGES, PAGE, finish, free_pages, small, sweep

from numa_sim.errors import ConfigError, SimulationError
from numa_sim.kernel.resource import rlimit
from numa_sim.observe.events import recorded_events
from numa_sim.state.constants import (
    RLIM_INFINITY,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SIGBUS,
    SIGKILL,
    SIGSEGV,
    SIGTERM,
    SIGUSR1,
    VM_READ,
)

RECORDED = {"record_events": 20_000, "check": "full"}
HOLE = 0x7000_0000
DISK = ({"name": "ssd", "device": "nvme", "size": "1MiB"},)


def wild(task: Any) -> Any:
    """Write where nothing is mapped."""
    heap = yield task.mmap(4 * PAGE)
    yield task.munmap(heap, offset=2 * PAGE)
    yield task.touch(heap, write=1.0)
    raise AssertionError("unreachable")


@pytest.mark.row("S0-38", "S3-096")
def test_a_fault_sends_sigsegv_and_the_way_back_to_user_mode_delivers_it() -> None:
    machine = small(run=RECORDED)
    machine.add(wild, name="wild")
    finish(machine)
    task = machine.kernel.tasks[2]
    seen = recorded_events(machine.kernel, "segv", "send_sig", "do_signal", "task_exit")
    assert [(event.name, event.b) for event in seen] == [
        ("segv", 1), ("send_sig", SIGSEGV), ("do_signal", SIGSEGV), ("task_exit", 0),
    ]  # fmt: skip
    assert machine.tasks[0].outcome == "segmentation fault"
    assert int(task.exit_code) == SIGSEGV
    assert (int(task.si_code), int(task.si_addr) // PAGE) == (SEGV_MAPERR, seen[0].a)


def test_a_store_to_a_read_only_area_is_an_access_error() -> None:
    def program(task: Any) -> Any:
        heap = yield task.mmap(PAGE, prot=VM_READ)
        yield task.touch(heap, write=1.0)

    machine = small(run=RECORDED)
    machine.add(program)
    finish(machine)
    assert int(machine.kernel.tasks[2].si_code) == SEGV_ACCERR


@pytest.mark.row("S3-102")
def test_an_access_beyond_the_end_of_a_file_is_a_bus_error() -> None:
    def program(task: Any) -> Any:
        file = yield task.open("data")
        view = yield task.mmap(8 * PAGE, file=file)
        yield task.touch(view)

    machine = small(run=RECORDED, disk=DISK, file=({"name": "data", "disk": "ssd", "size": f"{4 * PAGE}B"},))
    machine.add(program)
    finish(machine)
    assert [event.b for event in recorded_events(machine.kernel, "send_sig", "do_signal")] == [SIGBUS, SIGBUS]
    assert machine.tasks[0].outcome == "bus error"


def test_a_handler_mends_the_fault_and_the_access_is_made_again() -> None:
    repaired = []

    def handler(task: Any) -> Any:
        repaired.append((yield task.mmap(2 * PAGE, at=HOLE)))

    def program(task: Any) -> Any:
        yield task.signal("SIGSEGV", handler)
        heap = yield task.mmap(2 * PAGE, at=HOLE)
        yield task.munmap(heap)
        yield task.touch(heap, accesses=6, write=1.0)

    machine = small(run=RECORDED)
    machine.add(program)
    finish(machine)
    assert len(repaired) == 1
    assert machine.tasks[0].outcome == "exited"
    assert int(machine.kernel.tasks[2].accesses_done) == 6


def test_a_handler_that_touches_leaves_what_it_interrupted_as_it_was() -> None:
    def program(task: Any) -> Any:
        def handler(task: Any) -> Any:
            yield task.touch(other, accesses=100, write=1.0)

        other = yield task.mmap(16 * PAGE)
        heap = yield task.mmap(64 * PAGE)
        yield task.signal("SIGUSR1", handler)
        yield task.touch(heap, accesses=5000, write=1.0, compute="1us")

    def sender(task: Any) -> Any:
        yield task.sleep("1ms")
        yield task.kill("worker", "SIGUSR1")

    machine = small(cpus=("0-1",), run=RECORDED)
    machine.add(program, name="worker")
    machine.add(sender)
    finish(machine)
    assert machine.tasks[0].outcome == "exited"
    assert int(machine.kernel.tasks[2].accesses_done) == 5000 + 100
    sent, handled = recorded_events(machine.kernel, "send_sig", "do_signal")
    assert handled.t_ns - sent.t_ns < 100_000


def test_a_fault_in_its_own_handler_kills() -> None:
    def program(task: Any) -> Any:
        def handler(task: Any) -> Any:
            yield task.touch(heap)

        yield task.signal("SIGSEGV", handler)
        heap = yield task.mmap(2 * PAGE)
        yield task.munmap(heap)
        yield task.touch(heap)

    machine = small(run=RECORDED)
    machine.add(program)
    finish(machine)
    assert machine.tasks[0].outcome == "segmentation fault"


def test_sigterm_ends_a_sleep_at_once_and_leaves_nothing() -> None:
    def sleeper(task: Any) -> Any:
        heap = yield task.mmap(MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.sleep("1h")

    def killer(task: Any) -> Any:
        yield task.sleep("10ms")
        yield task.kill(100)

    machine = small(cpus=("0-1",), run=RECORDED)
    before = free_pages(machine)
    machine.add(sleeper)
    machine.add(killer)
    result = finish(machine)
    assert machine.tasks[0].outcome == "killed by SIGTERM"
    assert int(machine.kernel.tasks[2].exit_code) == SIGTERM
    assert result.end_ns < 1_000_000_000
    assert free_pages(machine) == before


def test_ignored_and_caught_signals_do_not_kill() -> None:
    caught = []

    def handler(task: Any) -> Any:
        caught.append(task.name)
        yield task.compute("1us")

    def tough(task: Any) -> Any:
        yield task.signal("SIGTERM", "ignore")
        yield task.signal("SIGUSR1", handler)
        yield task.compute("100ms")

    def killer(task: Any) -> Any:
        yield task.sleep("10ms")
        for signal in ("SIGTERM", "SIGUSR1", "SIGUSR1"):
            yield task.kill("tough", signal)
            yield task.sleep("10ms")

    machine = small(cpus=("0-1",), run=RECORDED)
    machine.add(tough)
    machine.add(killer)
    result = finish(machine)
    assert machine.tasks[0].outcome == "exited"
    assert caught == ["tough", "tough"]
    assert [event.b for event in recorded_events(machine.kernel, "do_signal")] == [SIGUSR1, SIGUSR1]
    assert 100_000_000 <= result.end_ns < 110_000_000, "its computing takes as long as it would have"


def test_what_kill_and_signal_answer() -> None:
    errors = []

    def program(task: Any) -> Any:
        for operation in (task.kill(9999), task.kill("root"), task.signal("SIGKILL", "ignore")):
            try:
                yield operation
            except OSError as error:
                errors.append(error.errno)

    def idle(task: Any) -> Any:
        yield task.sleep("50ms")

    machine = small(cpus=("0-1",))
    machine.add(program)
    machine.add(idle, name="root", root=True)
    finish(machine)
    assert errors == [ESRCH, EPERM, EINVAL]


def test_sigkill_cannot_be_caught() -> None:
    def program(task: Any) -> Any:
        yield task.compute("1h")

    def killer(task: Any) -> Any:
        yield task.kill("program", "SIGKILL")

    machine = small(cpus=("0-1",))
    machine.add(program)
    machine.add(killer, start_ns=1_000_000)
    result = finish(machine)
    assert int(machine.kernel.tasks[2].exit_code) == SIGKILL
    assert result.exit_state == "ok", "nobody was short of memory"


def test_a_handler_may_end_the_task() -> None:
    def handler(task: Any) -> Any:
        yield task.exit()

    def program(task: Any) -> Any:
        yield task.signal("SIGUSR1", handler)
        yield task.kill("program", "SIGUSR1")
        raise AssertionError("unreachable")

    machine = small()
    machine.add(program)
    finish(machine)
    assert machine.tasks[0].outcome == "exited"
    assert int(machine.kernel.tasks[2].exit_code) == 0


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda task: task.signal("SIGFOO", "ignore"), "signal.signal"),
        (lambda task: task.signal("SIGTERM", "catch"), "signal.action"),
        (lambda task: task.kill(3.5), "kill.to"),
        (lambda task: task.setrlimit("nofile", 3), "setrlimit.resource"),
        (lambda task: task.setrlimit("core", "plenty"), "setrlimit.limit"),
        (lambda task: task.setrlimit("core", -1), "setrlimit.limit"),
    ],
)
def test_wrong_arguments_name_themselves(make: Any, path: str) -> None:
    def program(task: Any) -> Any:
        yield make(task)

    machine = small()
    machine.add(program, name="it")
    with pytest.raises(ConfigError, match=f"it: {path}"):
        machine.run_to_end()


def test_kill_of_an_unknown_name_lists_the_tasks() -> None:
    def program(task: Any) -> Any:
        yield task.kill("nobody")

    machine = small()
    machine.add(program, name="it")
    with pytest.raises(SimulationError, match="no task 'nobody'; tasks are: it"):
        machine.run_to_end()


@pytest.mark.row("X-10")
def test_limits_are_those_of_init_and_may_be_changed() -> None:
    def program(task: Any) -> Any:
        yield task.setrlimit("stack", "1MiB")
        yield task.setrlimit("core", "unlimited")

    machine = small()
    machine.add(program)
    machine.add(sweep(1))
    finish(machine)
    k = machine.kernel
    assert [rlimit(k, 3, name) for name in ("stack", "data", "core")] == [8 << 20, RLIM_INFINITY, 0]
    assert [rlimit(k, 2, name) for name in ("stack", "data", "core")] == [1 << 20, RLIM_INFINITY, RLIM_INFINITY]
