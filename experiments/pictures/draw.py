"""Draw the pictures of docs/pictures.md again: ``python experiments/pictures/draw.py [NAME ...]``.

Runs ``gallery.toml`` and a small sweep of it, and writes ``docs/images/pictures/NAME.png``.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numa_sim import Config, Machine, Run, miss_ratio_curve, open_sweep, preset
from numa_sim.results.pictures import ALL, memory_curve, topology, two_runs
from numa_sim.results.pictures.facets import facets
from numa_sim.results.pictures.figure import Picture, save
from numa_sim.results.sweep import Sweep
from numa_sim.sweep import run_sweep

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGET = ROOT / "docs" / "images" / "pictures"
TRACE = ROOT / "configs" / "traces" / "sort-text.npz"
MEMORY, POLICY = "machine.memory_per_node", "kernel.reclaim"
DESIGN = {"replicas": 4, "grid": {MEMORY: ["24MiB", "32MiB", "40MiB"], POLICY: ["kernel", "lru"]}}
DPI = 90


def document() -> dict[str, dict[str, object]]:
    """The configuration's tables."""
    return tomllib.loads((HERE / "gallery.toml").read_text())


@cache
def run(policy: str = "kernel") -> Run:
    """The run of ``gallery.toml``, under one policy."""
    tables = document()
    tables["kernel"]["reclaim"] = policy
    return Run.of(Machine(Config.of(**tables)).run_to_end())


@cache
def sweep() -> Sweep:
    """Memory sizes by policies, four replicas each."""
    folder = Path(tempfile.mkdtemp(prefix="numa-sim-gallery-")) / "sweep"
    tables = document() | {"run": {}, "sweep": DESIGN}
    run_sweep(Config.of(**tables), folder, jobs=0)
    return open_sweep(folder)


def machines() -> Figure:
    """Machines of two, four, eight and sixteen nodes."""
    names = ("xeon-platinum-8269cy-2s", "xeon-4s-ring", "xeon-platinum-8160-8s", "itanium-9140n-16n")
    figure = Picture(figsize=(7.4, 6.6), layout="constrained")
    for name, axes in zip(names, figure.subplots(2, 2).flat, strict=True):
        topology.plot(preset(name), axes)
    return figure


def miss_ratios() -> Axes:
    """Three policies on a recorded program."""
    return memory_curve.plot([miss_ratio_curve(TRACE, policy=policy) for policy in ("fifo", "clock", "lru")])


PICTURES: dict[str, Callable[[], Axes | Figure]] = {
    **{name: lambda each=each: each.plot(run()) for name, each in ALL.items() if each.source == "run"},
    "overview": lambda: run().plot(),
    "topology": machines,
    "two_runs": lambda: two_runs.plot((run(), run("lru")), column="pswpin", names=("kernel", "lru")),
    "facets": lambda: sweep().plot.facets(metric="pgmajfault", x=MEMORY, by=POLICY),
    "facets_panels": lambda: facets(sweep(), metric="end_ns", x=MEMORY, panels=POLICY),
    "memory_curve": lambda: sweep().plot.memory_curve(metric="pswpin"),
    "miss_ratios": miss_ratios,
    "difference": lambda: sweep().plot.difference(
        metric="pgmajfault", factor=POLICY, a="lru", b="kernel", relative=True
    ),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        save(PICTURES[name](), TARGET / f"{name}.png", dpi=DPI)
