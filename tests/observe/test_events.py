"""Sequences of named kernel functions, and the event log as ``numa-sim events`` prints it."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine.small import MIB_PAGES, NVME, finish, small, sweep

from numa_sim.cli.app import main
from numa_sim.errors import SimulationError
from numa_sim.observe.events import OPERANDS, recorded_events
from numa_sim.processes.machine import Machine
from numa_sim.results import open_run, write_run
from numa_sim.state.constants import WMARK_LOW, WMARK_MIN
from numa_sim.state.event_codes import EVENTS

TASK = 2


@pytest.fixture(scope="module")
def machine() -> Machine:
    machine = small(swap=(NVME,), run={"record_events": 1_000_000})
    machine.add(sweep(6 * MIB_PAGES, times=2), name="hog")
    finish(machine)
    return machine


def test_operands_are_known_events() -> None:
    assert set(OPERANDS) <= set(EVENTS)
    assert all(len(names) <= 2 for names in OPERANDS.values())


@pytest.mark.row("X-14")
def test_kswapd_is_woken_before_the_min_pass_allocates(machine: Machine) -> None:
    """Page by page above the low mark; then the wake-up, and at the same instant the MIN pass takes the page."""
    k = machine.kernel
    log = recorded_events(k, "wakeup_kswapd", "rmqueue")
    at = next(i for i, event in enumerate(log) if event.name == "wakeup_kswapd")
    before, woken, taken = log[:at], log[at], log[at + 1]
    assert {event.name for event in before} == {"rmqueue"}
    assert (taken.name, taken.task, taken.t_ns) == ("rmqueue", woken.task, woken.t_ns)
    assert (taken.task, taken.a) == (TASK, woken.a)
    # Nothing was freed yet, so what was left then follows from what there was after boot.
    zone = small(swap=(NVME,)).kernel.zones[woken.a]
    left = int(zone.free_pages) - sum(event.a == woken.a for event in before) - 1
    marks = zone.watermarks[zone.index]
    assert marks[WMARK_MIN] < left <= marks[WMARK_LOW]


@pytest.mark.row("X-14")
def test_a_page_goes_out_and_comes_back_in_the_order_of_the_kernels_functions(machine: Machine) -> None:
    log = recorded_events(machine.kernel)
    fault = next(event for event in log if event.name == "do_swap_page" and event.task == TASK)
    entry = next(e.a for e in reversed(log[: log.index(fault)]) if e.name == "end_swap_read" and e.b == fault.b)
    vpn = fault.a
    life = [
        event.name
        for event in log[: log.index(fault) + 1]
        if (event.name in ("do_anonymous_page", "try_to_swap_out", "do_swap_page") and event.a == vpn)
        or (event.name in ("swap_writepage", "end_swap_write", "swap_readpage", "end_swap_read") and event.a == entry)
        or (event.name == "leave_swap_cache" and event.b == entry)
    ]
    assert life == [
        "do_anonymous_page", "try_to_swap_out", "swap_writepage", "end_swap_write", "leave_swap_cache",
        "swap_readpage", "end_swap_read", "do_swap_page",
    ]  # fmt: skip


def test_times_never_go_back_and_names_filter(machine: Machine) -> None:
    log = recorded_events(machine.kernel)
    assert len(log) == machine.vm.event_count
    assert {event.name for event in log if event.task == 1} >= {"kswapd_wake", "swap_writepage"}
    assert [event for event in log if event.name == "kswapd_wake"] == recorded_events(machine.kernel, "kswapd_wake")
    with pytest.raises(SimulationError, match="no event is called 'kswapd_nap'"):
        recorded_events(machine.kernel, "kswapd_nap")


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(machine._recording.result(), tmp_path_factory.mktemp("runs") / "run", picture=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    with pytest.raises(SystemExit) as ended:
        main(["events", *arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out.splitlines(), err


@pytest.mark.row("X-14")
def test_lines_are_those_of_ftrace(machine: Machine, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = printed(capsys, str(folder))
    assert code == 0
    assert len(lines) == machine.vm.event_count == open_run(folder).events.num_rows
    woken = recorded_events(machine.kernel, "wakeup_kswapd")
    code, lines, _ = printed(capsys, str(folder), "--name", "wakeup_kswapd")
    assert len(lines) == len(woken) > 0
    first = woken[0]
    assert lines[0] == f"{'hog-100':>24}     0.{first.t_ns:09d}: wakeup_kswapd: zone={first.a}"
    _, lines, _ = printed(capsys, str(folder), "--name", "kswapd_sleep", "--name", "kswapd_wake", "--task", "kswapd")
    assert [line.split()[0] for line in lines] == ["kswapd-1"] * len(lines)
    assert lines[0].endswith(": kswapd_sleep")
    assert "kswapd_wake: zones=1" in lines[1]


def test_what_there_is_not(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = printed(capsys, str(folder), "--name", "kswapd_nap")
    assert (code, "wakeup_kswapd" in err, "Traceback" in err) == (2, True, False)
    code, _, err = printed(capsys, str(folder), "--task", "cat")
    assert code == 2
    assert "kswapd-1, hog-100" in err
    plain = small(swap=())
    plain.add(sweep(4))
    write_run(finish(plain), tmp_path / "run", picture=False)
    code, _, err = printed(capsys, str(tmp_path / "run"))
    assert code == 2
    assert "has no events.parquet" in err
