"""How long each task's page faults took, by kind, from the histograms of a run with ``run.fault_latency``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from numa_sim.kernel.fault_latency import FAULT_KINDS, STEPS
from numa_sim.state.kernel import Kernel

__all__ = ["bucket_bounds", "fault_histogram", "fault_rows"]


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """Shortest and longest time, ns, that falls into a bucket of `Kernel.fault_latency`."""
    if bucket < 2 * STEPS:
        return bucket, bucket
    octave = bucket // STEPS - 1
    step = bucket - octave * STEPS
    return step << octave, (step + 1 << octave) - 1


def fault_rows(k: Kernel, tasks: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """One row per task and kind of fault that it had; empty if nothing was recorded.

    Parameters
    ----------
    tasks : iterable of (str, int)
        Names and rows of tasks.

    Returns
    -------
    list of dict
        ``task``, ``kind`` (see `numa_sim.kernel.fault_latency.FAULT_KINDS`), ``count``, ``total_ns``, ``max_ns``,
        ``p50_ns`` and ``p99_ns``: upper bounds of the histogram's buckets, at most a quarter too large.
    """
    if not k.vm[0].fault_latency:
        return []
    rows = []
    for name, task in tasks:
        for kind, label in enumerate(FAULT_KINDS):
            counts = np.asarray(k.fault_latency[task, kind])
            if not counts.any():
                continue
            total, longest = (int(x) for x in k.fault_time[task, kind])
            percentiles = {f"p{percent}_ns": min(_percentile(counts, percent), longest) for percent in (50, 99)}
            row = {"task": name, "kind": label, "count": int(counts.sum()), "total_ns": total, "max_ns": longest}
            rows.append({**row, **percentiles})
    return rows


def fault_histogram(k: Kernel, tasks: Iterable[tuple[str, int]]) -> list[tuple[str, str, int, int, int]]:
    """What `fault_rows` sums up: (task, kind, low_ns, high_ns, count) for each time span that holds any fault.

    A fault took ``low_ns`` to ``high_ns``, both included; rows in the order of tasks, kinds and times.
    """
    if not k.vm[0].fault_latency:
        return []
    return [
        (name, label, *bucket_bounds(int(bucket)), int(k.fault_latency[task, kind, bucket]))
        for name, task in tasks
        for kind, label in enumerate(FAULT_KINDS)
        for bucket in np.flatnonzero(np.asarray(k.fault_latency[task, kind]))
    ]


def _percentile(counts: Any, percent: int) -> int:
    """Upper bound of the bucket that holds the fault below which `percent` of all are."""
    wanted = -(-int(counts.sum()) * percent // 100)
    return bucket_bounds(int(np.searchsorted(np.cumsum(counts), max(wanted, 1))))[1]
