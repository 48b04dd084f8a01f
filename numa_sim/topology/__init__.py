"""Machines: nodes, CPUs, memory, links; distance, latency and bandwidth; presets and readers for real ones."""

from numa_sim.topology.build import build_topology
from numa_sim.topology.document import from_document, to_document
from numa_sim.topology.model import Curve, Link, Matrix, Node, Topology
from numa_sim.topology.numactl import to_numactl
from numa_sim.topology.presets import describe, from_table, preset, preset_names, preset_tags
from numa_sim.topology.readers import load

__all__ = [
    "Curve",
    "Link",
    "Matrix",
    "Node",
    "Topology",
    "build_topology",
    "describe",
    "from_document",
    "from_table",
    "load",
    "preset",
    "preset_names",
    "preset_tags",
    "to_document",
    "to_numactl",
]
