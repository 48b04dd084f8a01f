"""Scenario 7: a fork bomb with copy-on-write, then exit; and what fork and exec do not copy."""

from __future__ import annotations

import pytest
from scenarios.shipped import CONFIGS, run, task, total

from numa_sim.config import load
from numa_sim.processes.machine import Machine
from numa_sim.results import Run

EAGER = "kernel.switches.copy_on_write=false"
SMALL = "machine.memory_per_node=8MiB"


@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.37"])
@pytest.mark.parametrize("settings", [(), (EAGER,), (SMALL,)], ids=["shared", "copied at once", "short of memory"])
@pytest.mark.row("S0-26", "S3-081", "X-11")
def test_nothing_is_left_of_a_fork_bomb(profile: str, settings: tuple[str, ...]) -> None:
    machine = Machine(load(CONFIGS / "fork-bomb.toml", (f"kernel.profile={profile}", *settings)))
    k = machine.kernel
    free = int(k.zones["free_pages"].sum())
    result = Run.of(machine.run_to_end())
    assert len(machine.tasks) == 64
    assert total(result, "forks") == 63
    assert {one["state"] for one in result.summary["tasks"]} == {"exited"}
    assert not k.mms.used[1:].any()
    assert not k.mms.rss.any()
    assert not k.mms.total_vm.any()
    # What the swap cache still holds nobody has (2.4.0 leaves such pages to age out, spec C-12).
    slots = k.swap_map < 0x8000
    assert ((k.swap_map == 1) == (k.swap_cache != 0))[slots].all()
    assert k.swap_map[slots].max() <= 1
    cached = int((k.swap_cache != 0).sum())
    assert int(k.zones["free_pages"].sum()) == free - cached
    assert cached == 0 or profile == "linux-2.4.0"
    assert total(result, "table_pages") == total(result, "table_pages_freed")


def test_a_bomb_copies_what_is_written_and_no_more() -> None:
    shared, eager = run("fork-bomb"), run("fork-bomb", EAGER)
    # Each of 64 tasks writes to 128 of its 512 pages; of each page's 64 owners the last one left need not copy.
    faults, reuses = total(shared, "cow_faults"), total(shared, "cow_reuses")
    assert faults == 64 * 128
    assert 128 <= reuses < 0.1 * faults
    assert total(shared, "fork_ptes") == 63 * 512
    assert total(shared, "pswpout") == 0
    # Pages that are in swap are shared there all the same.
    assert 0.5 * 63 * 512 < total(eager, "fork_copies") < 63 * 512
    assert total(eager, "fork_ptes") == 63 * 512
    assert total(eager, "pswpout") > 1000


@pytest.mark.row("S3-082", "S3-084", "S3-151")
def test_a_shell_copies_two_pages_for_each_program_it_starts() -> None:
    lazy, eager = run("fork-and-exec"), run("fork-and-exec", EAGER)
    assert total(lazy, "forks") == total(eager, "forks") == 16
    assert total(lazy, "cow_faults") == 16 * 2
    assert total(eager, "fork_copies") == 16 * 8192
    assert task(lazy, "shell")["end_ns"] < 0.6 * task(eager, "shell")["end_ns"]
    # Loaded by faults, from a cache that all of them share.
    assert total(lazy, "file_faults_read") < 32 + 4
    assert total(lazy, "file_faults") > 16 * 20
