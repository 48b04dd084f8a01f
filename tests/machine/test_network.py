"""Packets: atomic requests in a whole machine, the reserve they may use, and who fills it again."""

from __future__ import annotations

from typing import Any

import pytest
from machine.small import MIB_PAGES, NVME, counters, finish, free_pages, small, sweep

from numa_sim.config.kernel import Kernel as KernelTable
from numa_sim.errors import ConfigError
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import WMARK_MIN

PROFILES = ("linux-2.4.0", "linux-2.4.22", "linux-2.4.37")
assert set(PROFILES) <= set(KernelTable.model_fields["profile"].annotation.__args__)


def receiver(lost: list[int], packets: int, interval: str = "20us", hold: str = "1ms") -> Any:
    def program(task: Any) -> Any:
        lost.append((yield task.receive(packets, interval, hold)))

    return program


def under_pressure(profile: str, *off: str, packets: int = 1500, hold: str = "600us") -> tuple[Machine, int]:
    """A machine that swaps while packets come in; how many of them were lost."""
    switches = dict.fromkeys(off, False)
    machine = small(
        cpus=("0-1",), swap=(NVME,), kernel={"profile": profile, "switches": switches}, run={"check": "full"}
    )
    lost: list[int] = []
    machine.add(sweep(6 * MIB_PAGES, times=2), cpus=[0])
    machine.add(receiver(lost, packets, hold=hold), name="receiver", cpus=[1])
    assert finish(machine).exit_state == "ok"
    return machine, lost[0]


@pytest.mark.parametrize("profile", PROFILES[1:])
def test_packets_find_pages_below_the_min_mark_and_leave_none_behind(profile: str) -> None:
    """Nothing is reclaimed, so what others leave free goes: below min, down to the last reserve, then they are lost."""
    machine = small(swap=(), kernel={"profile": profile})
    k, least = machine.kernel, []
    enter = machine.enter_kernel

    def watch(task: int, cpu: int) -> None:
        least.append(free_pages(machine))
        enter(task, cpu)

    machine.enter_kernel = watch  # type: ignore[method-assign]
    before = free_pages(machine)
    lost: list[int] = []
    machine.add(receiver(lost, before + 50, "1us", "100ms"))
    finish(machine)
    marks = sum(int(zone.watermarks[zone.index, WMARK_MIN]) for zone in k.zones)
    assert min(least) < marks
    assert 0 < lost[0] == counters(machine)["pgalloc_fail"] < 200
    assert counters(machine)["allocstall"] == 0
    assert free_pages(machine) == before


@pytest.mark.row("S2-44")
def test_kreclaimd_frees_pages_for_packets() -> None:
    on, lost_on = under_pressure("linux-2.4.0", hold="2ms")
    off, lost_off = under_pressure("linux-2.4.0", "kreclaimd", hold="2ms")
    assert counters(on)["kreclaimd_wakeup"] > 0 == counters(off)["kreclaimd_wakeup"]
    assert counters(on)["reclaim_page"] > counters(on)["reclaim_page_direct"]
    assert counters(off)["reclaim_page"] == counters(off)["reclaim_page_direct"]
    assert 10 * lost_on < lost_off


@pytest.mark.parametrize("profile", PROFILES)
def test_packets_do_not_wait(profile: str) -> None:
    machine, lost = under_pressure(profile, packets=300)
    receiver_ns = machine.tasks[1].record.end_ns
    assert 300 * 20_000 + 600_000 <= receiver_ns < 300 * 20_000 + 800_000
    assert 0 <= lost < 300


def test_a_wrong_number_of_packets_is_refused() -> None:
    machine = small()
    machine.add(receiver([], 0))
    with pytest.raises(ConfigError, match=r"receive.packets: got 0"):
        machine.run_to_end()
