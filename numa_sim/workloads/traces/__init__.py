"""Recorded traces of page accesses: readers, a writer, and the program that replays one."""

from numa_sim.workloads.traces.canonical_writer import write_canonical
from numa_sim.workloads.traces.formats import FORMATS, describe, import_trace, read_accesses, read_items
from numa_sim.workloads.traces.items import Accesses, MapCall, MoveCall, ProtectCall, Runs, UnmapCall, Wait
from numa_sim.workloads.traces.replay import TraceSource, trace_program

__all__ = [
    "FORMATS",
    "Accesses",
    "MapCall",
    "MoveCall",
    "ProtectCall",
    "Runs",
    "TraceSource",
    "UnmapCall",
    "Wait",
    "describe",
    "import_trace",
    "read_accesses",
    "read_items",
    "trace_program",
    "write_canonical",
]
