"""How far the figures of a report can be trusted: what they rest on, and what was left out of this run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from numa_sim.errors import StatisticsError
from numa_sim.results.pictures.series import sample_ns
from numa_sim.results.text_tables import percent
from numa_sim.state.counters import TIME_PARTS

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["MEASURED_PARTS", "ORDINAL_PARTS", "by_request", "confidence_of", "time_rests_on"]

MEASURED_PARTS: Final = ("local", "remote", "queueing", "tlb_walk", "swap_wait", "file_wait")
"""Parts of time made of latencies measured on real machines and devices."""
GIVEN_PARTS: Final = ("compute", "sleep", "run_queue")
"""Parts the workload asks for, and waiting for a CPU that is busy with them."""
ORDINAL_PARTS: Final = tuple(part for part in TIME_PARTS if part not in (*MEASURED_PARTS, *GIVEN_PARTS))
"""Parts that rest on the cost table, ``[costs]``."""

WHAT_IS_WHAT: Final = (
    "Exact: counters, which page is on which node and in which slot, and that the parts of time sum up. Given the "
    "configuration, the rules alone decide them.",
    "Calibrated: latency of memory, bandwidth, latency under load, swap devices and disks. They come from public "
    "measurements of real machines.",
    "Ordinal: what kernel code costs a CPU (the table costs). It tells which of two runs is slower, not by how many "
    "percent.",
)


def time_rests_on(totals: Mapping[str, Any]) -> str:
    """One sentence: which share of the tasks' time is measured, asked for, and guessed."""
    parts, whole = totals["parts_ns"], totals["run_ns"]
    shares = [
        percent(sum(parts[part] for part in of), whole).strip() for of in (MEASURED_PARTS, GIVEN_PARTS, ORDINAL_PARTS)
    ]
    return (
        f"Of the tasks' time, {shares[0]} are measured latencies, {shares[1]} are what the workload asks for "
        f"(computing, sleeping, waiting for a CPU), and {shares[2]} rest on the cost table (ordinal)."
    )


def by_request(config: Mapping[str, Any]) -> list[str]:
    """What this configuration has otherwise than the kernel it names."""
    kernel = config["kernel"]
    said = []
    off = sorted(name for name, on in kernel["switches"].items() if not on and name not in ("locks", "table_cache"))
    if off:
        said.append(f"Switched off, which no real kernel does: {', '.join(off)}.")
    if kernel["reclaim"] != "kernel":
        said.append(f"Pages are chosen by the policy {kernel['reclaim']}, not by {kernel['profile']}.")
    if not kernel["switches"]["locks"]:
        said.append("Spinlocks cost nothing (kernel.switches.locks is off): CPUs that fault at once look too good.")
    if not kernel["oom_killer"]:
        said.append("Nobody is killed when memory is out (kernel.oom_killer is off).")
    if kernel["numa_fallback"] == "nearest" and kernel["profile"] != "linux-2.2":
        said.append("Memory falls back to the nearest node; 2.4 itself goes by node numbers (kernel.numa_fallback).")
    if config["run"]["until"] is not None:
        said.append("The run may end by its time limit (run.until): tasks need not have finished.")
    return said


FEW_SAMPLES: Final = 10
"""Fewer than this say little about what happened in between."""
_STEADY: Final = ("mean_latency_ns", "pgfault", "pgmajfault", "pswpout")


def confidence_of(run: Run) -> list[str]:
    """What one run says about means over time: those with a steady part, and that one run has no replicas."""
    said = ["This is one run of one seed. How much chance matters, only replicas tell: sweep.replicas."]
    if (n := len(sample_ns(run))) < FEW_SAMPLES:
        said.append(
            f"Pictures over time are drawn from {n} samples, start and end included; for more, lower run.sample."
        )
    counters = run.summary["totals"]["vmstat"]
    for column in _STEADY:
        if column in counters and not counters[column]:
            continue
        try:
            said.append(f"In the steady part, {run.steady(column)!r}.")
        except StatisticsError as error:
            said.append(f"No interval for {error}.")
    return said
