"""Scenario 9: areas come and go by the hundred; every index gives the same run, and nothing is left of it."""

from __future__ import annotations

import pytest
from scenarios.shipped import CONFIGS, run, total

from numa_sim.config import load
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine
from numa_sim.state.counters import TABLE_PAGES, TABLE_PAGES_FREED

FREE_STEPS = "costs.find_vma_step=0ns"


def tortured(*settings: str) -> Machine:
    """A finished run of the shipped configuration, checked while its process lived and afterwards."""
    machine = Machine(load(CONFIGS / "address-space-torture.toml", settings))
    free = int(machine.kernel.zones["free_pages"].sum())
    result = machine.run_to_end()
    assert result.exit_state == "ok", result.warnings
    machine.check()
    k = machine.kernel
    assert int(k.zones["free_pages"].sum()) == free
    assert not k.mms.used[1:].any()
    unused, area = 0, int(k.vm[0].free_vma)
    while area >= 0:
        unused, area = unused + 1, int(k.vmas[area].vm_next)
    assert unused == k.vm[0].vma_used, "every area is free again"
    return machine


@pytest.mark.row("S0-24", "S3-063")
def test_every_index_gives_the_same_run() -> None:
    hashes = {
        str(event_hash(tortured(FREE_STEPS, f"kernel.vma_index={index}").kernel))
        for index in ("list", "avl", "rbtree", "vmacache")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0", "linux-2.4.37"])
@pytest.mark.row("S3-168")
def test_nothing_is_left(profile: str) -> None:
    k = tortured(f"kernel.profile={profile}").kernel
    assert not k.mms.rss.any()
    taken, given_back = (int(k.vmstat[:, counter].sum()) for counter in (TABLE_PAGES, TABLE_PAGES_FREED))
    assert taken == given_back > 0, "page tables"


def test_merging_and_the_index_act() -> None:
    plain = run("address-space-torture")
    apart = run("address-space-torture", "kernel.switches.vma_merge=false")
    listed = run("address-space-torture", "kernel.vma_index=list")
    assert total(plain, "vma_merges") > 0 == total(apart, "vma_merges")
    assert total(plain, "vma_splits") > 0
    assert total(listed, "find_vma_steps") != total(plain, "find_vma_steps")
    assert total(listed, "vma_splits") == total(plain, "vma_splits")
