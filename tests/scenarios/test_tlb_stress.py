"""Scenario 12: threads on all CPUs, one of which unmaps pages: who is interrupted for it, and who is spared."""

from __future__ import annotations

from typing import Any

import pytest
from scenarios.shipped import CONFIGS, run, task

from numa_sim.config import load
from numa_sim.results import Run

UNMAPS = 50
BUSY, ASLEEP = range(1, 5), range(5, 8)
EAGER = "kernel.switches.lazy_tlb=false"


def cpu(result: Run, number: int) -> dict[str, Any]:
    found: dict[str, Any] = result.summary["cpus"][number]
    return found


@pytest.mark.row("X-05", "S3-125")
def test_every_cpu_with_the_address_space_is_interrupted_for_each_munmap() -> None:
    result = run("tlb-stress")
    cpus = result.summary["cpus"]
    for number in BUSY:
        assert UNMAPS <= cpu(result, number)["ipis_received"] <= UNMAPS + 2, "what more there is, exits send"
        assert cpu(result, number)["tlb_flushes"] >= UNMAPS
    assert sum(c["ipis_sent"] for c in cpus) == sum(c["ipis_received"] for c in cpus)
    assert cpu(result, 0)["ipis_sent"] >= UNMAPS * len(BUSY)


@pytest.mark.row("X-05")
def test_lazy_cpus_leave_once_and_are_skipped_from_then_on() -> None:
    lazy, eager = run("tlb-stress"), run("tlb-stress", EAGER)
    for number in ASLEEP:
        assert cpu(lazy, number)["ipis_received"] == cpu(lazy, number)["lazy_leaves"] <= 2
        assert cpu(lazy, number)["ipis_spared"] >= UNMAPS - 1
        assert cpu(eager, number)["ipis_received"] >= UNMAPS
        assert cpu(eager, number)["ipis_spared"] == 0


@pytest.mark.row("X-05")
def test_the_interrupted_pay_for_the_handler_and_nobody_else_does() -> None:
    result = run("tlb-stress")
    handler_ns = int(load(CONFIGS / "tlb-stress.toml").costs.ipi_handler)
    for number in BUSY:
        assert task(result, f"process/busy-{number}")["parts_ns"]["shootdown"] == UNMAPS * handler_ns
    for number in ASLEEP:
        assert task(result, f"process/sleeper-{number}")["parts_ns"]["shootdown"] == 0


def test_without_a_tlb_user_nobody_is_interrupted() -> None:
    """One CPU: the same program flushes its own TLB and sends nothing."""
    result = run("tlb-stress", "workload.0.cpus=0")
    assert [c["ipis_sent"] for c in result.summary["cpus"]] == [0] * 8
    assert cpu(result, 0)["tlb_flushes"] >= UNMAPS
