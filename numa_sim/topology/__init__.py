"""Machines: nodes, CPUs, memory, links; distance, latency and bandwidth; presets and readers for real ones."""

from numa_sim.topology.build import build_topology
from numa_sim.topology.model import Curve, Link, Matrix, Node, Topology

__all__ = ["Curve", "Link", "Matrix", "Node", "Topology", "build_topology"]
