"""Thirty tiny runs that between them use every kernel profile and every kind of input, and what writes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twin.random_machines import random_config, random_topology

from numa_sim.config import load
from numa_sim.processes.machine import Machine
from numa_sim.results import write_run

ROOT = Path(__file__).parents[2]
TWO_NODES = {
    "nodes": [{"memory": "4MiB", "cpus": "0"}, {"memory": "4MiB", "cpus": "1"}],
    "distances": [[10, 20], [20, 10]],
    "swap": [{"device": "nvme", "size": "16MiB", "priority": 5}, {"device": "zram", "size": "4MiB"}],
}
RUN = {"seed": 7, "sample": "1ms"}


def hog(mib: int = 6, uses: int = 500) -> dict[str, Any]:
    """A task that fills `mib` MiB and then uses them at random."""
    program = [
        {"op": "mmap", "as": "heap", "size": f"{mib}MiB"},
        {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": mib * 256, "write": 1.0},
        {"op": "touch", "on": "heap", "pattern": {"kind": "zipf", "s": 0.9}, "accesses": uses, "write": 0.3},
    ]
    return {"name": "hog", "cpus": "0", "program": program}


def pressed(kernel: dict[str, Any] | None = None, mib: int = 6, **machine: Any) -> dict[str, Any]:
    """Two nodes and a task that wants `mib` of their 8 MiB."""
    tables = {"machine": {**TWO_NODES, **machine}, "kernel": kernel or {}, "workload": [hog(mib)], "run": RUN}
    return {**tables, "costs": {"context_switch": "100us"}}  # so that waiting for memory takes fewer turns


FILES = [
    {"op": "open", "file": "data", "as": "fd"},
    {"op": "read", "on": "fd", "size": "512KiB"},
    {"op": "write", "on": "fd", "size": "256KiB"},
    {"op": "mmap", "as": "view", "file": "fd", "shared": True},
    {"op": "touch", "on": "view", "pattern": {"kind": "uniform"}, "accesses": 300, "write": 0.5},
    {"op": "fsync", "on": "fd"},
]
CHILD = [{"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 200, "write": 1.0}]
CRASH = [{"op": "mmap", "as": "heap", "size": "64KiB"}, *CHILD, {"op": "access", "at": "0x50001234"}]
MODULE = [
    {"op": "churn", "of": "kmalloc", "requests": 200, "smallest": "32B", "largest": "4KiB", "live": 50},
    {"op": "churn", "of": "vmalloc", "requests": 50, "smallest": "4KiB", "largest": "64KiB", "live": 9},
    {"op": "look_up", "names": 200},
]
DISK = {"disk": [{"device": "hdd", "name": "sda", "size": "16MiB"}]}
DATA = {"file": [{"name": "data", "size": "1MiB", "disk": "sda", "fragments": 5}], **DISK}


def replaying(**trace: Any) -> dict[str, Any]:
    """A machine on which a recorded trace is replayed."""
    return {"machine": TWO_NODES, "workload": [{"name": "recorded", "trace": trace}, hog(3)], "run": RUN}


DOCUMENTS: dict[str, dict[str, Any]] = {
    "linux-2.2": pressed({"profile": "linux-2.2"}),
    "linux-2.4.0": pressed({"profile": "linux-2.4.0"}),
    "linux-2.4.22": pressed({"profile": "linux-2.4.22", "numa_fallback": "nearest"}),
    "linux-2.4.37": pressed({"numa_fallback": "nearest"}),
    "out of memory": pressed(mib=9, swap=[]),
    "policy": pressed({"reclaim": "clock"}),
    "files": {**pressed(**DATA), "workload": [hog(5), {"name": "files", "program": FILES}]},
    "watched": {
        **pressed({"switches": {"locks": True}}),
        "run": {**RUN, "snapshot": "1ms", "fault_latency": True, "record_events": 5000, "check": "cheap"},
    },
    "children": {
        **pressed({"rmap": True}),
        "workload": [{**hog(3), "program": [*hog(3)["program"], {"op": "fork", "program": CHILD}, {"op": "wait"}]}],
    },
    "core": {
        **pressed(arch="i386"),
        "workload": [{"name": "wild", "limits": {"core": "unlimited"}, "program": CRASH}, hog(2)],
    },
    "modules": {**pressed(arch="i386"), "workload": [{"name": "module", "program": MODULE}, hog(3)]},
    "preset": {
        **pressed({"numa_fallback": "nearest"}),
        "machine": {"preset": "xeon-gold-6230-2s-snc2", "memory_per_node": "4MiB", "cpus_per_node": 1},
    },
    "machine file": {**pressed(mib=4), "machine": {"from": "numactl:box.txt", "memory_per_node": "8MiB"}},
    "header": pressed(swap=[{"device": "nvme", "size": "400KiB", "image": "images/header.bin"}, *TWO_NODES["swap"]]),
    "text trace": replaying(file="traces/short.txt", format="lackey"),
    "csv trace": replaying(file="traces/short.csv", format="csv"),
    "shipped trace": replaying(file="traces/sqlite-query.npz", limit=300),
}
RANDOM = range(30 - len(DOCUMENTS))


def write_inputs(folder: Path) -> None:
    """The files that the documents name."""
    traces = folder / "traces"
    traces.mkdir(parents=True)
    (folder / "images").mkdir()
    lines = [(("L", "S")[i % 3 == 0], 0x4000000 + i * 37 % 64 * 4096) for i in range(200)]
    (traces / "short.txt").write_text("".join(f" {kind} {at:08x},8\n" for kind, at in lines))
    (traces / "short.csv").write_text(
        "address,op\n" + "".join(f"{at:#x},{'w' if kind == 'S' else 'r'}\n" for kind, at in lines)
    )
    shutil.copy(ROOT / "configs" / "traces" / "sqlite-query.npz", traces)
    shutil.copy(ROOT / "tests" / "data" / "topology" / "four_nodes.numactl.txt", folder / "box.txt")
    shutil.copy(ROOT / "tests" / "data" / "swap" / "mkswap-100-pages.bin", folder / "images" / "header.bin")


NAMES = (*DOCUMENTS, *(f"random {seed}" for seed in RANDOM))


def machine_of(name: str, folder: Path) -> Machine:
    """One of the thirty machines; its inputs are in `folder`."""
    if name in DOCUMENTS:
        file = folder / f"{name}.json"
        file.write_text(json.dumps(DOCUMENTS[name]))
        return Machine(load(file))
    config = random_config(int(name.removeprefix("random ")), accesses=800)
    return Machine(config, random_topology(config))


def write_all(inputs: Path, runs: Path, names: Iterable[str] = NAMES) -> None:
    """Run them, one after the other, each into a folder of its name."""
    write_inputs(inputs)
    for name in names:
        write_run(machine_of(name, inputs).run_to_end(), runs / name, picture=False)
