"""What happened when, as spans: who ran on which CPU, faults, reclaim, waits, disk requests; and instants.

| module | what is in it |
|---|---|
| `spans` | what a span is: its kinds, its columns, a finished timeline |
| `recorder` | takes spans in a window of time, up to a number |
| `from_events` | spans and instants that the kernel's event log tells |

`numa_sim.processes.timeline` records them while a machine runs; `numa_sim.results.timelines` writes them for viewers.
"""

from __future__ import annotations

from numa_sim.observe.timeline.spans import COLUMNS, DETAILS, KINDS, Timeline

__all__ = ["COLUMNS", "DETAILS", "KINDS", "Timeline"]
