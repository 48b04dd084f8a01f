"""The engine against its slow twin: the same events, one by one, at the same instants, on random machines."""

from __future__ import annotations

import os
from collections import Counter
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
from twin.machine import Twin
from twin.random_machines import random_config, random_topology

from numa_sim.config.model import Config
from numa_sim.kernel.locks import mmap_sem_lock
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import KSWAPD, TASK_DEAD
from numa_sim.state.counters import (
    ALLOCSTALL,
    INTERLEAVE_HIT,
    PART_DAEMON,
    PART_QUEUEING,
    PGMAJFAULT,
    PGSCAN_DIRECT,
    PGSCAN_KSWAPD,
    PSWPOUT,
    TIME_PARTS,
    VMSTAT,
)
from numa_sim.state.event_codes import EVENTS
from numa_sim.state.kernel import Kernel
from numa_sim.topology import Topology

SEEDS = int(os.environ.get("NUMA_SIM_TWIN_SEEDS", "24"))
"""How many machines to compare; a few hundred make a thorough check of a change to the engine."""


def event_text(k: Kernel, i: int) -> str:
    if i >= k.vm[0].events_used:
        return "nothing more"
    event = k.events[i]
    return f"at {event.t_ns} ns, task {event.task}: {EVENTS[event.code]}({event.a}, {event.b})"


def first_difference(engine: Kernel, twin: Kernel) -> str | None:
    """The first event that differs, with what came before it; None if the logs are equal."""
    n = min(int(engine.vm[0].events_used), int(twin.vm[0].events_used))
    equal = np.ones(n, bool)
    for name in ("t_ns", "code", "a", "b", "task"):
        equal &= engine.events[name][:n] == twin.events[name][:n]
    at = n if equal.all() else int(np.flatnonzero(~equal)[0])
    if at == n and engine.vm[0].events_used == twin.vm[0].events_used:
        return None
    before = "\n".join(f"    {event_text(engine, i)}" for i in range(max(0, at - 8), at))
    return f"event {at}\n{before}\n  engine {event_text(engine, at)}\n  twin   {event_text(twin, at)}"


def table_difference(what: str, names: tuple[str, ...], engine: np.ndarray, twin: np.ndarray) -> str | None:
    rows = min(len(engine), len(twin))
    wrong = np.argwhere(np.asarray(engine[:rows]) != np.asarray(twin[:rows]))
    return "\n".join(
        f"  {what} {row}: {names[column]}: engine {engine[row, column]}, twin {twin[row, column]}"
        for row, column in wrong
    )  # fmt: skip


def compare(config: Config, topology: Topology) -> tuple[Kernel, Kernel]:
    """Run both; fail with the first difference."""
    seed = config.run.seed
    machine = Machine(config, topology)
    machine.run_to_end()
    twin = Twin(config, topology)
    twin.run_to_end()
    k, other = machine.kernel, twin.k
    difference = first_difference(k, other)
    assert difference is None, f"seed {seed}: {difference}"
    for name in ("event_count", "event_hash"):
        assert k.vm[0][name] == other.vm[0][name], f"seed {seed}: {name}"
    assert machine.now_ns == twin.now, f"seed {seed}: end of the run"
    for what, names, table in (("node", VMSTAT, "vmstat"), ("task", TIME_PARTS, "time_parts")):
        difference = table_difference(what, names, getattr(k, table), getattr(other, table))
        assert not difference, f"seed {seed}: {table}\n{difference}"
    for cpu, mine in enumerate(twin.cpus):
        record = k.cpus[cpu]
        for name in ("tlb_misses", "tlb_flushes", "tlb_invlpg", "ipis_sent", "ipis_received", "context_switches"):
            assert record[name] == getattr(mine.record, name), f"seed {seed}: {name} of CPU {cpu}"
    for task in twin.tasks:
        for name in ("accesses_done", "min_flt", "maj_flt", "killed", "state"):
            assert k.tasks[task.index][name] == getattr(task.record, name), f"seed {seed}: {name} of {task.index}"
    assert np.array_equal(k.traffic["lines"], twin.memory.lines), f"seed {seed}: cache lines moved"
    for mm in range(min(len(k.mms), len(other.mms))):
        for name in ("acquisitions", "contentions", "hold_ns", "wait_ns"):
            sems = (state.locks[mmap_sem_lock(state, mm)][name] for state in (k, other))
            assert next(sems) == next(sems), f"seed {seed}: {name} of mmap_sem {mm}"
    # What memory and swap contain: a stale translation would have written to the wrong frame.
    for table in ("tags", "swap_tags", "swap_map", "swap_cache"):
        assert np.array_equal(getattr(k, table), getattr(other, table)), f"seed {seed}: {table}"
    for name in ("flags", "count", "mapping"):
        assert np.array_equal(k.pages[name], other.pages[name]), f"seed {seed}: page {name}"
    return k, other


@pytest.mark.parametrize("seed", range(SEEDS))
def test_same_events_on_a_random_machine(seed: int) -> None:
    config = random_config(seed)
    k, _ = compare(config, random_topology(config))
    assert k.vm[0].event_count > 0


def families(number: int) -> list[Config]:
    """Small machines of several CPUs, each of whose tasks has children and threads."""
    drawn = (random_config(seed, 1500, families=True) for seed in count(10_000))
    several = (config for config in drawn if sum(len(node.cpus) for node in config.machine.nodes or ()) > 1)
    return list(islice(several, number))


@pytest.mark.row("X-11")
@pytest.mark.parametrize("config", families(max(20, SEEDS)), ids=lambda config: str(config.run.seed))
def test_same_events_with_fork_vfork_clone_and_exec(config: Config) -> None:
    k, _ = compare(config, random_topology(config))
    assert k.vm[0].event_count > 0


def test_random_families_reach_every_part() -> None:
    """Together they fork, vfork, clone and exec, kill and wait, and meet at mmap_sem both ways."""
    seen: Counter[str] = Counter()
    for config in families(20):
        machine = Machine(config, random_topology(config))
        machine.run_to_end()
        k = machine.kernel
        first = mmap_sem_lock(k, 0)
        sems = k.locks[first : first + len(k.mms)]
        seen["slept on mmap_sem"] += int(sems.contentions.sum())
        seen["took mmap_sem"] += int(sems.acquisitions.sum())
        seen.update(EVENTS[code] for code in k.events["code"][: k.vm[0].events_used])
        text = config.model_dump_json()
        seen.update(op for op in ("vfork", "clone", "exec", "set_mempolicy", "mbind") if f'"op":"{op}"' in text)
        seen["bound"] += '"mode":"bind"' in text
        seen["interleaved"] += int(k.vmstat[:, INTERLEAVE_HIT].sum())
    for what in ("set_mempolicy", "mbind", "bound", "interleaved"):
        assert seen[what] >= 2, what
    for what in ("fork", "exec", "wait", "vfork", "clone", "slept on mmap_sem", "took mmap_sem"):
        assert seen[what] >= 5, what


def test_random_machines_reach_every_part() -> None:
    """Most of the drawn machines are short of memory, and together they do everything the engine can.

    More of them are drawn than are compared, as long as something has not been met twice.
    """
    wanted = ("slice_end", "wait_on_page", "task_wake", "kswapd_wake", "do_swap_page", "swap_cache_hit", "munmap")
    devices = ("hdd", "sata-ssd", "nvme", "zram")
    others = (
        "allocstall", "major fault", "shoot-down", "queueing", "daemon's time", "curve", "shared disk", "plug", "merge",
    )  # fmt: skip
    seen: Counter[str] = Counter()
    reclaiming = 0
    for seed in range(4 * SEEDS):
        rare = {name for name in (*wanted, *devices, *others) if seen[name] < 2}
        if seed >= SEEDS and not rare:
            break
        config = random_config(seed)
        machine = Machine(config, random_topology(config))
        machine.run_to_end()
        k = machine.kernel
        reclaiming += bool(k.vmstat[:, (PGSCAN_KSWAPD, PGSCAN_DIRECT)].any())
        seen.update(EVENTS[code] for code in np.unique(k.events["code"][: k.vm[0].events_used]))
        seen["allocstall"] += bool(k.vmstat[:, ALLOCSTALL].any())
        seen["major fault"] += bool(k.vmstat[:, PGMAJFAULT].any())
        seen["shoot-down"] += bool(k.cpus.ipis_received.any())
        seen["queueing"] += bool(k.time_parts[:, PART_QUEUEING].any())
        seen["daemon's time"] += bool(k.time_parts[:, PART_DAEMON].any())
        seen["curve"] += any(topology_curves(config))
        if k.vmstat[:, PSWPOUT].any():
            seen.update(drive.model.device for drive in config.machine.placing().drives)
            seen["shared disk"] += bool(config.machine.disk)
            seen["plug"] += bool(k.disks["plugs"].any())
            seen["merge"] += bool(k.disks["write_merges"].any())
    assert not rare
    assert reclaiming >= SEEDS / 2


def test_kswapd_of_2_4_0_gives_way_at_the_same_instants() -> None:
    """Memory stays short for long: kswapd goes round and round, and the only CPU's tasks need their turns."""
    config = random_config(1007, accesses=500).varied(lambda document: document["run"].update(until="120ms"))
    k, _ = compare(config, random_topology(config))
    assert k.time_parts[KSWAPD, PART_DAEMON] > 10 * config.kernel.time_slice, "kswapd used up many slices"
    assert (k.tasks["state"][2:] == TASK_DEAD).any(), "and tasks came to their ends"


def test_out_of_memory() -> None:
    """Two tasks, too little swap: the victim dies at the same instant, and the other one goes on."""
    k, _ = compare(*machine_of(swap=[{"device": "nvme", "size": "64KiB"}], pages=(1100, 900)))
    assert sorted(k.tasks["killed"][2:4].tolist()) == [0, 1]


def test_kill_while_asleep() -> None:
    """The victim sleeps when the signal comes."""
    config, topology = machine_of(
        swap=[{"device": "nvme", "size": "64KiB"}],
        pages=(1100, 900),
        first=[{"op": "sleep", "for": "3600s"}],
    )
    k, _ = compare(config, topology)
    assert k.tasks[2].killed
    assert k.tasks[2].end_ns < 60 * 10**9


@pytest.mark.parametrize("device", ["nvme", "zram", "hdd"])
def test_without_tlb(device: str) -> None:
    """Every access walks."""
    k, _ = compare(*machine_of(swap=[{"device": device, "size": "16MiB"}], switches={"tlb": False}))
    assert int(k.cpus.tlb_misses.sum()) == int(k.tasks.accesses_done.sum())


def machine_of(
    swap: list[dict[str, Any]],
    pages: tuple[int, int] = (700, 900),
    first: list[dict[str, Any]] | None = None,
    switches: dict[str, bool] | None = None,
) -> tuple[Config, Topology]:
    """Two CPUs on one node with some 1200 free pages, and two tasks that fill `pages` and use them at random."""
    config = Config.of(
        machine={
            "nodes": [{"memory": "8MiB", "cpus": "0,1"}],
            "distances": [[10]],
            "swap": swap,
        },
        kernel={"time_slice": "100us", "switches": switches or {}},
        workload=[
            {
                "name": f"task{i}",
                "cpus": str(i),
                "start": f"{i * 10}us",
                "program": [
                    {"op": "mmap", "as": "heap", "size": f"{n * 4096}B"},
                    {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": n, "write": 1.0},
                    *((first or []) if i == 0 else []),
                    {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 2000, "write": 0.5},
                ],
            }
            for i, n in enumerate(pages)
        ],
        run={"record_events": 200_000, "sample": "1s"},
    )
    return config, random_topology(config)


def topology_curves(config: Config) -> tuple[Any, ...]:
    return random_topology(config).curves
