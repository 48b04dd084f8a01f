"""Charging kernel work to whoever runs it."""

from __future__ import annotations

from numa_sim.compiled import part
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@part
def charge(k: Kernel, cost_ns: int) -> None:
    """Add CPU time to the current task's ``cost_ns``; without a current task nobody pays."""
    t = k.vm[0].current_task
    if t != NIL:
        k.tasks[t].cost_ns += cost_ns
