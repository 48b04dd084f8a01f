"""The block layer: drives, the request queue of each, and what takes the rules' requests to them."""

from __future__ import annotations

from numa_sim.processes.block.elevator import Request
from numa_sim.processes.block.layer import BlockLayer

__all__ = ["BlockLayer", "Request"]
