"""``numa-sim show levels``: where data can be, from the registers to the disks: the bigger, the slower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from numa_sim.units import PAGE_BYTES, format_bytes, format_ns

if TYPE_CHECKING:
    from numa_sim.config.model import Config
    from numa_sim.topology import Topology

_REGISTER_BYTES: Final = {"x86-64": 16 * 8, "i386": 8 * 4}
"""General registers of a CPU: 16 of 8 bytes, 8 of 4."""


class Level(NamedTuple):
    """One level: what a single access to it takes, ns, and how much it holds, bytes (None: not modelled)."""

    name: str
    latency_ns: int
    capacity_bytes: int | None


def storage_levels(config: Config, topology: Topology) -> list[Level]:
    """All levels of a machine, the quickest first.

    What is done in registers is computing and takes no access.  The CPUs' caches are a hit ratio
    (``machine.cache_hit_ratio``), so they have a latency (``costs.cache_hit``) and no size.
    """
    levels = [
        Level("registers", 0, _REGISTER_BYTES[config.machine.arch]),
        Level("CPU caches", int(config.costs.cache_hit), None),
    ]
    homes = [node.id for node in topology.nodes if node.cpus]
    banks = [node for node in topology.nodes if node.memory_bytes]
    near = [node for node in banks if node.id in homes] or banks
    own_ns = min(topology.latency_ns[node.id if node.id in homes else homes[0]][node.id] for node in near)
    levels.append(Level("memory of a node", own_ns, max(node.memory_bytes for node in near)))
    if len(banks) > 1:
        far_ns = max(topology.latency_ns[home][bank.id] for home in homes for bank in banks)
        levels.append(Level("memory of all nodes", far_ns, sum(node.memory_bytes for node in banks)))
    for drive in config.machine.placing().drives:
        model = drive.model
        page_ns = int(model.seek) if model.device == "hdd" else int(model.latency)
        levels.append(Level(f"{model.device} {drive.name}", page_ns, drive.blocks * PAGE_BYTES))
    return sorted(levels, key=lambda level: level.latency_ns)


def levels_text(config: Config, topology: Topology) -> str:
    """The levels as a table: latency, how many times that of memory, capacity."""
    levels = storage_levels(config, topology)
    memory_ns = next(level.latency_ns for level in levels if level.name == "memory of a node")
    rows = [("level", "latency", "of memory's", "capacity")]
    for level in levels:
        capacity = "not modelled" if level.capacity_bytes is None else format_bytes(level.capacity_bytes)
        rows.append((level.name, format_ns(level.latency_ns), f"{level.latency_ns / max(memory_ns, 1):.3g}", capacity))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "".join(
        f"{name:<{widths[0]}}  {latency:>{widths[1]}}  {times:>{widths[2]}}  {capacity:>{widths[3]}}\n"
        for name, latency, times, capacity in rows
    )
