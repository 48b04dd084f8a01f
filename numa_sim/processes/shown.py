"""A machine as a notebook shows it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from numa_sim.state.constants import NR_ZONES, PAGE_SIZE, TASK_DEAD, TASK_RUNNING
from numa_sim.units import format_bytes, format_ns

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine

__all__ = ["machine_html"]

_MOST = 16
"""Rows of a table; more are counted."""


def machine_html(machine: Machine) -> str:
    """Nodes and tasks of a machine at this moment, as small tables; every name is escaped."""
    k, topology = machine.kernel, machine.topology
    nodes = []
    for number, node in enumerate(topology.nodes):
        zones = k.zones[number * NR_ZONES : (number + 1) * NR_ZONES]
        free = format_bytes(int(zones.free_pages.sum()) * PAGE_SIZE)
        cpus = ", ".join(str(cpu) for cpu in node.cpus) or "none"
        distances = " ".join(str(int(distance)) for distance in topology.distance[number])
        nodes.append((f"node{node.os_id}", cpus, format_bytes(node.memory_bytes), free, distances))
    tasks = []
    for task in machine.tasks:
        record = task.record
        state = {TASK_RUNNING: "running", TASK_DEAD: "gone"}.get(int(record.state), "sleeping")
        cpus = ", ".join(str(cpu) for cpu in task.allowed)
        tasks.append((task.name, int(record.pid), state, cpus, int(record.min_flt), int(record.maj_flt)))
    title = f"{topology.name or 'machine'}, {machine.config.kernel.profile}, at {format_ns(machine.now_ns)}"
    return (
        f"<p><b>{html.escape(title)}</b></p>"
        + _table(("node", "CPUs", "memory", "free", "distances"), nodes)
        + (_table(("task", "pid", "state", "CPUs", "minor faults", "major faults"), tasks) if tasks else "")
    )


def _table(heads: Iterable[str], rows: Sequence[tuple[object, ...]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows[:_MOST]
    )
    more = f"<p>and {len(rows) - _MOST} more</p>" if len(rows) > _MOST else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>{more}"
