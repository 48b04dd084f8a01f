"""Policies in the whole machine: page tables, swap devices, kswapd, time; and what each idea buys there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from machine.small import NVME, PAGE, counters, finish, parts, small, sweep, walk

from numa_sim.cli.app import main
from numa_sim.config import load
from numa_sim.errors import ConfigError, PolicyError
from numa_sim.observe.hashes import event_hash
from numa_sim.policies import names, replay
from numa_sim.policies.lru import Lru
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import PG_locked
from numa_sim.state.counters import VMSTAT
from numa_sim.workloads.patterns import sequential

EVICTING = tuple(name for name in names() if name not in ("none", "whole-process"))
CONFIGS = Path(__file__).parents[2] / "configs"
PAGES = 1400
"""Of a program that does not fit in the 460 or so frames a machine of 4 MiB has for it."""


def visits(n: int = 1500, seed: int = 3, of: int = PAGES) -> tuple[Any, Any]:
    """Every page once, written; then a skewed mix, a third of it writes."""
    chance = np.random.default_rng(seed)
    pages = np.concatenate([np.arange(of), chance.zipf(1.2, n) * 37 % of])
    writes = np.concatenate([np.ones(of, int), chance.random(n) < 0.3])
    return pages, writes.astype(int)


def pressed(policy: Any, ahead: str = "0B", check: str = "cheap", n: int = 1500, **tables: Any) -> Machine:
    """A finished machine of 4 MiB whose reclaim went by `policy`."""
    kernel = {"reclaim_ahead": ahead, "switches": {"readahead": False}}
    if isinstance(policy, str):
        kernel["reclaim"] = policy
    else:
        tables["policy"] = policy
    machine = small(kernel=kernel, run={"check": check}, **tables)
    machine.add(walk(PAGES, *visits(n)))
    result = finish(machine)
    assert result.exit_state == "ok", result.warnings
    return machine


# Every policy runs the machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", EVICTING)
def test_a_policy_runs_the_whole_machine_and_nothing_is_lost(policy: str) -> None:
    machine = pressed(policy, check="full", n=300)
    counts = counters(machine)
    assert counts["policy_victims"] >= counts["pgsteal_kswapd"] + counts["pgsteal_direct"] > 900
    assert counts["pgrefill"] == 0, "the kernel's own lists were scanned"
    assert counts["pgfree"] == counts["pgalloc"]


def test_the_kernels_own_reclaim_asks_no_policy() -> None:
    machine = pressed("kernel")
    assert counters(machine)["policy_victims"] == 0 < counters(machine)["swap_out_ptes"]


@pytest.mark.parametrize("policy", ["lru", "clock", "dirty-clean"])
def test_two_runs_are_the_same_run(policy: str) -> None:
    hashes = {event_hash(pressed(policy, ahead="128KiB", n=600).kernel) for _ in range(2)}
    assert len(hashes) == 1


def test_without_replacement_the_program_is_killed() -> None:
    machine = small(kernel={"reclaim": "none"})
    machine.add(sweep(PAGES))
    result = machine.run_to_end()
    assert result.exit_state == "oom"
    assert counters(machine)["policy_victims"] == counters(machine)["pswpout"] == 0


def test_several_tasks_reclaim_at_once_on_several_nodes() -> None:
    machine = small(nodes=(4, 4), swap=(NVME, NVME), kernel={"reclaim": "clock"}, run={"check": "full"})
    for cpu in (0, 0, 1, 1):
        machine.add(sweep(1500, times=2), cpus=[cpu])
    assert finish(machine).exit_state == "ok"
    by_node = machine.kernel.vmstat[:, VMSTAT.index("policy_victims")]
    assert (by_node > 0).all()


# Closeness to a replay -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["lru", "fifo", "clock"])
def test_disk_reads_of_the_machine_are_near_those_of_a_replay(policy: str) -> None:
    """Near, not equal: page tables need frames, and kswapd keeps between its low and high marks free."""
    machine = pressed(policy)
    reads = counters(machine)["pswpin"]
    pages, writes = visits()
    frames = 462
    most, least = (replay((pages, writes == 1), size, policy).disk_reads for size in (frames - 62, frames))
    assert least <= reads <= most


# What each idea buys -------------------------------------------------------------------------------------------------


@pytest.mark.row("S2-33")
def test_immediate_replacement_is_slow_because_every_fault_waits_for_a_write() -> None:
    immediate, lru = pressed("immediate"), pressed("lru")
    assert counters(immediate)["pageoutrun"] == 0 < counters(lru)["pageoutrun"]
    assert counters(immediate)["allocstall"] > 5 * counters(lru)["allocstall"]
    assert parts(immediate)["direct_reclaim"] > 5 * parts(lru)["direct_reclaim"]
    assert immediate.now_ns > lru.now_ns


AHEAD = "512KiB"


@pytest.mark.row("S2-35")
def test_a_staging_queue_saves_disk_reads() -> None:
    needed, lru, staging = pressed("lru"), pressed("lru", AHEAD), pressed("staging", AHEAD)
    assert counters(lru)["pswpin"] > counters(needed)["pswpin"], "freeing ahead of need"
    assert counters(staging)["pswpin"] < counters(lru)["pswpin"]
    assert counters(staging)["policy_rescues"] > 20 > counters(lru)["policy_rescues"]


@pytest.mark.row("S2-36")
def test_dirty_and_clean_states_save_writes() -> None:
    staging, states = pressed("staging", AHEAD), pressed("dirty-clean", AHEAD)
    assert counters(states)["pswpout"] < counters(staging)["pswpout"]


@pytest.mark.row("S2-06")
def test_more_memory_saves_time() -> None:
    times = [pressed("lru", nodes=(mib,)).now_ns for mib in (4, 5, 6, 8)]
    assert times == sorted(times, reverse=True)
    assert times[0] > 3 * times[-1]


def _by_turns(policy: str) -> Machine:
    """Two programs of 300 pages on 462 frames use a few pages each by turns."""

    def program(task: Any) -> Any:
        heap = yield task.mmap(300 * PAGE)
        yield task.touch(heap, write=1.0)
        for _ in range(6):
            yield task.sleep("20ms")
            yield task.touch(heap, sequential(), accesses=8, write=1.0)

    machine = small(kernel={"reclaim": policy, "switches": {"readahead": False}}, run={"check": "full"})
    machine.add(program, name="one")
    machine.add(program, name="other", start_ns=10_000_000)
    assert finish(machine).exit_state == "ok"
    return machine


@pytest.mark.row("S2-05", "S3-009", "S3-012")
def test_swapping_whole_processes_is_slower_than_paging() -> None:
    whole, paged = _by_turns("whole-process"), _by_turns("lru")
    assert counters(whole)["pswpout"] > 5 * counters(paged)["pswpout"]
    assert counters(whole)["pswpin"] > 5 * counters(paged)["pswpin"]
    waits = [sum(parts(m, t)["swap_wait"] + parts(m, t)["direct_reclaim"] for t in (2, 3)) for m in (whole, paged)]
    assert waits[0] > 2 * waits[1]


@pytest.mark.row("S3-009")
def test_a_process_larger_than_memory_cannot_be_swapped_whole() -> None:
    machine = small(kernel={"reclaim": "whole-process"})
    machine.add(sweep(PAGES))
    assert machine.run_to_end().exit_state == "oom"
    paged = small(kernel={"reclaim": "lru"})
    paged.add(sweep(PAGES))
    assert finish(paged).exit_state == "ok"


@pytest.mark.row("S3-009")
def test_two_processes_of_more_than_half_the_memory_take_turns() -> None:
    settings = ["kernel.reclaim=whole-process"]
    for workload in range(2):
        settings += [f"workload.{workload}.program.0.size=3328KiB", f"workload.{workload}.program.1.accesses=832"]
    machine = Machine(load(CONFIGS / "thrashing.toml", settings))
    assert finish(machine).exit_state == "ok"
    assert counters(machine)["pswpin"] > 2 * 832


class Cautious(Lru):
    """Refuses while any page is being written or read."""

    name = "cautious"
    may_refuse = True
    pages: ClassVar[Any] = None

    def victims(self, wanted: int) -> Iterable[int]:
        """Least recently used ones, or none."""
        return () if (self.pages["flags"] & PG_locked).any() else super().victims(wanted)


def test_nobody_dies_while_pages_are_under_io() -> None:
    """Reclaim waits for the end of a transfer and asks again."""
    machine = small(cpus=("0-3",), swap=({"device": "hdd", "size": "16MiB"},), policy=Cautious())
    Cautious.pages = machine.kernel.pages
    for number in range(4):
        machine.add(walk(150, *visits(400, number, of=150)), name=f"t{number}", cpus=[number])
    assert finish(machine).exit_state == "ok"


# A user's own --------------------------------------------------------------------------------------------------------


class Newest(Lru):
    """The page that came last goes."""

    name = "newest"

    def victim(self) -> int | None:
        return self.by_use.popitem(last=True)[0] if self.by_use else None


def test_a_policy_may_be_given_as_an_object() -> None:
    machine = pressed(Newest())
    assert counters(machine)["policy_victims"] > 900
    assert event_hash(machine.kernel) != event_hash(pressed("lru").kernel)


def test_a_policy_that_chooses_a_page_that_is_not_in_memory_is_named() -> None:
    class Wild(Lru):
        name = "wild"

        def victim(self) -> int | None:
            return 99

    with pytest.raises(PolicyError, match="policy 'wild': chose page 0x63, which is not in memory"):
        pressed(Wild())


def test_an_unknown_policy_is_refused_with_near_matches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        ConfigError,
        match=r"<python>: kernel.reclaim: unknown .* 'clok'; did you mean 'clock'\? \(allowed: kernel, none",
    ):
        small(kernel={"reclaim": "clok"})
    config = tmp_path / "run.toml"
    config.write_text(
        '[machine]\nnodes = [{ memory = "4MiB", cpus = "0" }]\ndistances = [[10]]\n[kernel]\nreclaim = "clok"\n'
        '[[workload]]\nname = "w"\nprogram = [{ op = "compute", for = "1ms" }]\n'
    )
    with pytest.raises(SystemExit) as ended:
        main(["run", str(config), "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(
        f"numa-sim: error: {config}: kernel.reclaim: unknown replacement policy 'clok'; did you"
    )
    assert "(allowed: kernel, none, " in shown.err


def test_what_is_kept_ahead_is_kept() -> None:
    plain, ahead = pressed("fifo"), pressed("fifo", AHEAD)
    runs = [counters(m)["pageoutrun"] for m in (plain, ahead)]
    assert runs[1] < runs[0] / 2, "kswapd frees 128 pages more at a time"
