"""Where each task's time went, and how far each node's memory was from each node's CPUs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numa_sim.errors import InvariantViolation
from numa_sim.state.constants import TASK_DEAD
from numa_sim.state.counters import TIME_PARTS
from numa_sim.state.kernel import Kernel

__all__ = ["check_sums", "pair_rows", "run_ns", "task_parts"]


def run_ns(k: Kernel, task: int, end_ns: int) -> int:
    """Time from the start of `task` to its end, or to the end of its account if the run ended first, ns.

    An account ends with the run, at `end_ns`, or (``end_ns`` of the task) with the access under way at that instant.
    """
    record = k.tasks[task]
    end = int(record.end_ns) if int(record.state) == TASK_DEAD or int(record.end_ns) > 0 else end_ns
    return end - int(record.start_ns)


def task_parts(k: Kernel, task: int) -> dict[str, int]:
    """Time of `task` by what it was spent on, ns; keys are `TIME_PARTS`, in their order."""
    return {name: int(ns) for name, ns in zip(TIME_PARTS, k.time_parts[task], strict=True)}


def check_sums(k: Kernel, tasks: Iterable[int], end_ns: int) -> None:
    """Check that the parts of each task's time sum exactly to its run time.

    Raises
    ------
    InvariantViolation
        Naming the first task for which they do not, or a part that is negative.
    """
    for task in tasks:
        parts, whole = task_parts(k, task), run_ns(k, task, end_ns)
        negative = [name for name, ns in parts.items() if ns < 0]
        if negative:
            raise InvariantViolation("no part of a task's time is negative", end_ns, f"task {task}: {negative[0]}")
        if (total := sum(parts.values())) != whole:
            details = f"task {task} ran {whole} ns, its parts sum to {total} ns ({total - whole:+d})"
            raise InvariantViolation("the parts of a task's time sum to its run time", end_ns, details)


def pair_rows(k: Kernel) -> list[dict[str, Any]]:
    """Traffic of each (CPU node, memory node) pair that saw any.

    Returns
    -------
    list of dict
        ``cpu_node``, ``memory_node``, ``accesses``, ``lines``, ``latency_ns`` (time without queueing) and ``queue_ns``
        (time waited at controllers and links), both sums; and per access ``mean_latency_ns`` (queueing included) and
        ``mean_queue_ns`` (floats, rounded to 1 ps).
    """
    rows = []
    n_nodes = int(k.vm[0].nr_nodes)
    for i in range(n_nodes):
        for j in range(n_nodes):
            pair = k.traffic[i, j]
            accesses, latency, queue = int(pair.accesses), int(pair.latency_ns), int(pair.queue_ns)
            if accesses == 0:
                continue
            row = {"cpu_node": i, "memory_node": j, "accesses": accesses, "lines": int(pair.lines)}
            means = {
                "mean_latency_ns": round((latency + queue) / accesses, 3),
                "mean_queue_ns": round(queue / accesses, 3),
            }
            rows.append({**row, "latency_ns": latency, "queue_ns": queue, **means})
    return rows
