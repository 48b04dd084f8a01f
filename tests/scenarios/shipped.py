"""The shipped configurations, run with changes, and what their summaries say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numa_sim.config import load
from numa_sim.processes.machine import Machine
from numa_sim.results import Run

CONFIGS = Path(__file__).parents[2] / "configs"


def run(name: str, *settings: str) -> Run:
    """Run ``configs/NAME.toml`` with `settings` as given to ``--set``."""
    return Run.of(Machine(load(CONFIGS / f"{name}.toml", settings)).run_to_end())


def total(result: Run, counter: str) -> int:
    """A counter, all nodes together."""
    return int(result.summary["totals"]["vmstat"][counter])


def by_node(result: Run, counter: str) -> list[int]:
    """A counter of each node."""
    return [int(node["vmstat"][counter]) for node in result.summary["nodes"]]


def part_ns(result: Run, part: str) -> int:
    """Where the time of all tasks went."""
    return int(result.summary["totals"]["parts_ns"][part])


def task(result: Run, name: str) -> dict[str, Any]:
    """The summary of one task."""
    found: dict[str, Any] = next(task for task in result.summary["tasks"] if task["name"] == name)
    return found


def end_ns(result: Run) -> int:
    """Simulated time at the end of the run."""
    return int(result.summary["run"]["end_ns"])
