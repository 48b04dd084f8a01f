"""The smallest sweeps that reach reclaim and swap, and what makes two sets of results the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numa_sim.config.model import Config
from numa_sim.results.verify import verify_run

TEXT = """
[machine]
nodes = [{ memory = "4MiB", cpus = "0" }, { memory = "4MiB", cpus = "1" }]
distances = [[10, 21], [21, 10]]
[[machine.swap]]
device = "nvme"
size = "8MiB"
[kernel]
max_tasks = 4
[[workload]]
name = "hog"
program = [
  { op = "mmap", as = "heap", size = "8MiB" },
  { op = "touch", on = "heap", pattern = { kind = "uniform" }, accesses = 2000, write = 0.5 },
]
[run]
seed = 7
"""
DOCUMENT: dict[str, Any] = {
    "machine": {
        "nodes": [{"memory": "4MiB", "cpus": "0"}, {"memory": "4MiB", "cpus": "1"}],
        "distances": [[10, 21], [21, 10]],
        "swap": [{"device": "nvme", "size": "8MiB"}],
    },
    "kernel": {"max_tasks": 4},
    "workload": [
        {
            "name": "hog",
            "program": [
                {"op": "mmap", "as": "heap", "size": "8MiB"},
                {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 2000, "write": 0.5},
            ],
        }
    ],
    "run": {"seed": 7},
}
FORTY = {
    "replicas": 5,
    "grid": {"workload.0.program.1.write": [0.0, 1.0], "kernel.sysctl.vm.vm_passes": [5, 60]},
    "cases": [
        {"label": "nvme", "machine": {"swap": [{"device": "nvme", "size": "8MiB"}]}},
        {"label": "zram", "machine": {"swap": [{"device": "zram", "size": "8MiB"}]}},
    ],
}
"""A sweep of 8 points and 40 runs."""


def config(**sweep: Any) -> Config:
    """The tiny machine with a sweep."""
    return Config.of(**DOCUMENT, sweep=sweep)


def write(folder: Path, sweep: str) -> Path:
    """The tiny machine with a sweep, as a file."""
    file = folder / "tiny.toml"
    file.write_text(f"{TEXT}\n[sweep]\n{sweep}\n")
    return file


def result_set(folder: Path) -> str:
    """One checksum over everything that must be equal between equal sweeps; every run is whole."""
    digest = hashlib.sha256()
    for run in sorted((folder / "runs").iterdir()):
        assert verify_run(run) == []
        digest.update(run.name.encode() + (run / "manifest.json").read_bytes())
    for name in ("sweep.json", "results.parquet"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
