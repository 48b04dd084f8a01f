"""Columns of a sweep's tables: their names, units, meanings, and where in a run's summary they come from.

Names are stable: columns may be added, none is renamed or removed (``tests/data/formats/sweep_columns.tsv``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from numa_sim.observe.meanings import COUNTERS, PARTS
from numa_sim.results.summary import faults_that_read
from numa_sim.state.counters import TIME_PARTS, VMSTAT

__all__ = [
    "DESIGN_COLUMNS",
    "METRIC_COLUMNS",
    "NODE_FIGURES",
    "RESERVED_COLUMNS",
    "TASK_FIGURES",
    "Figure",
    "metrics_of",
]


@dataclass(frozen=True)
class Figure:
    """A column, and how its value is read from a summary, or from one node or task in it.

    A summary of an older format may lack it: then its value is None, null in tables.
    """

    name: str
    unit: str
    about: str
    read: Callable[[Mapping[str, Any]], Any]
    kind: Literal["int", "float", "text"] = "int"

    def of(self, part: Mapping[str, Any]) -> Any:
        """Its value; None where there is none."""
        try:
            return self.read(part)
        except KeyError:
            return None


def _at(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    """Reader of the value at `path`."""

    def read(part: Mapping[str, Any]) -> Any:
        value: Any = part
        for key in path:
            value = value[key]
        return value

    return read


def _sum(rows: str, *path: str) -> Callable[[Mapping[str, Any]], Any]:
    """Reader of a sum over the rows of a list."""
    each = _at(*path)
    return lambda summary: sum(each(row) for row in summary[rows])


def _fault_mean_ns(summary: Mapping[str, Any]) -> float | None:
    count = sum(row["count"] for row in summary["faults"])
    return round(sum(row["total_ns"] for row in summary["faults"]) / count, 3) if count else None


def _fault_max_ns(summary: Mapping[str, Any]) -> int | None:
    return max((row["max_ns"] for row in summary["faults"]), default=None)


def _per_access(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Reader of a mean over accesses to memory: there is none without accesses."""

    def read(summary: Mapping[str, Any]) -> Any:
        totals = summary["totals"]
        return None if totals.get("memory_accesses") == 0 else totals[name]

    return read


_RECLAIM: Final = (
    ("efficiency_percent", "percent", "pages reclaimed of 100 scanned"),
    ("kswapd_efficiency_percent", "percent", "pages kswapd reclaimed of 100 it scanned"),
    ("direct_efficiency_percent", "percent", "pages direct reclaim got of 100 it scanned"),
    ("velocity_pages_per_s", "pages/s", "pages scanned per second of simulated time"),
    ("kswapd_velocity_pages_per_s", "pages/s", "pages kswapd scanned per second of simulated time"),
    ("direct_velocity_pages_per_s", "pages/s", "pages direct reclaim scanned per second of simulated time"),
    ("direct_percent", "percent", "pages of 100 scanned ones that direct reclaim scanned"),
)


def _counters(where: str, *path: str) -> Iterator[Figure]:
    for name in VMSTAT:
        unit = "ns" if name.endswith("_ns") else "1"
        yield Figure(name, unit, f"{COUNTERS[name]}, {where}", _at(*path, "vmstat", name))


def _reclaim(where: str, *path: str) -> Iterator[Figure]:
    for name, unit, about in _RECLAIM:
        yield Figure(f"reclaim_{name}", unit, f"{about}, {where}", _at(*path, "reclaim", f"mean_{name}"), "float")


DESIGN_COLUMNS: Final = (
    ("run", "", "id of the run and name of its folder", "text"),
    ("point", "1", "number of its point in the design", "int"),
    ("replica", "1", "which replica of its point; replicas of one number share their seed in all points", "int"),
    ("seed", "1", "root of the run's random streams", "int"),
)
"""Name, unit, meaning and kind of the columns before those of the factors."""

METRIC_COLUMNS: Final = (
    Figure("exit_state", "", "how the run ended: ok, oom or until", _at("run", "exit_state"), "text"),
    Figure("end_ns", "ns", "simulated time of the end", _at("run", "end_ns")),
    Figure("event_count", "1", "events that happened", _at("run", "event_count")),
    Figure("event_hash", "", "hash of all events", _at("run", "event_hash"), "text"),
    Figure("state_hash", "", "hash of the machine's state at the end", _at("run", "state_hash"), "text"),
    Figure("task_run_ns", "ns", "run time, sum over all tasks", _at("totals", "run_ns")),
    *(
        Figure(f"task_time_{part}_ns", "ns", f"time of all tasks: {PARTS[part]}", _at("totals", "parts_ns", part))
        for part in TIME_PARTS
    ),
    *(
        Figure(f"{daemon}_time_ns", "ns", f"CPU time of {daemon}", _at(daemon, "parts_ns", "daemon"))
        for daemon in ("kswapd", "kreclaimd", "bdflush", "kupdate")
    ),
    Figure("oom_killed_tasks", "1", "tasks killed for lack of memory", lambda summary: len(summary["oom_kills"])),
    Figure("min_flt", "1", "minor faults of all tasks", _sum("tasks", "min_flt")),
    Figure("maj_flt", "1", "major faults of all tasks", _sum("tasks", "maj_flt")),
    Figure(
        "faults_read",
        "1",
        "faults that had to read their page from a disk, whatever the kernel calls them",
        lambda summary: faults_that_read(summary["totals"]["vmstat"]),
    ),
    Figure("fault_mean_ns", "ns", "mean time of a page fault, if run.fault_latency is on", _fault_mean_ns, "float"),
    Figure("fault_max_ns", "ns", "longest page fault, if run.fault_latency is on", _fault_max_ns),
    Figure("accesses", "1", "accesses of all tasks", _at("totals", "accesses")),
    Figure("memory_accesses", "1", "accesses of all CPUs that went to memory", _at("totals", "memory_accesses")),
    Figure("accesses_local", "1", "of these, to the CPU's own node", _sum("nodes", "accesses_local")),
    Figure("accesses_remote", "1", "of these, to another node", _sum("nodes", "accesses_remote")),
    Figure(
        "mean_latency_ns", "ns", "latency per access to memory, queueing too", _per_access("mean_latency_ns"), "float"
    ),
    Figure(
        "mean_queue_ns", "ns", "the part of mean_latency_ns that is queueing", _per_access("mean_queue_ns"), "float"
    ),
    Figure("frames", "pages", "memory", _at("machine", "frames")),
    Figure("free_pages", "pages", "free pages at the end", _sum("nodes", "free_pages")),
    Figure("swap_used_pages", "pages", "swap slots in use at the end", _sum("swap_areas", "used_pages")),
    Figure("swap_read_pages", "pages", "pages read from swap areas", _sum("swap_areas", "pages_read")),
    Figure("swap_written_pages", "pages", "pages written to swap areas", _sum("swap_areas", "pages_written")),
    *(
        Figure(name, "1", f"{about}, sum over all CPUs", _sum("cpus", name))
        for name, about in (
            ("tlb_hits", "TLB hits"),
            ("tlb_misses", "TLB misses"),
            ("tlb_flushes", "flushes of a whole TLB"),
            ("ipis_sent", "inter-processor interrupts"),
            ("context_switches", "context switches"),
        )
    ),
    Figure("cpu_busy_ns", "ns", "time CPUs were not idle, sum", _sum("cpus", "busy_ns")),
    *_counters("all nodes", "totals"),
    *_reclaim("all nodes", "totals"),
)
"""Columns of ``results.parquet`` after those of the factors: one row per run."""

RESERVED_COLUMNS: Final = frozenset({name for name, *_ in DESIGN_COLUMNS} | {figure.name for figure in METRIC_COLUMNS})
"""Names that no factor may have."""

NODE_FIGURES: Final = (
    Figure("node", "1", "node number", _at("node")),
    Figure("name", "", "the node's name", _at("name"), "text"),
    Figure("frames", "pages", "memory", _at("frames")),
    *(
        Figure(name, "pages", about, _at(name))
        for name, about in (
            ("free_pages", "free at the end"),
            ("reserved_pages", "reserved at boot"),
            ("active_pages", "on the active list at the end"),
            ("inactive_pages", "on the inactive list at the end"),
            ("cache_pages", "in a page cache at the end"),
        )
    ),
    *(
        Figure(name, "1", about, _at(name))
        for name, about in (
            ("accesses_local", "accesses of this node's CPUs to its own memory"),
            ("accesses_remote", "accesses of this node's CPUs to other nodes' memory"),
            ("accesses_served", "accesses of all CPUs to this node's memory"),
        )
    ),
    Figure("lines_served", "lines", "cache lines moved from or to this node's memory", _at("lines_served")),
    *_counters("this node"),
    *_reclaim("this node"),
)
"""Columns of the table with a row per run and node, after its ``run``."""

TASK_FIGURES: Final = (
    Figure("task", "1", "number of the task", _at("task")),
    Figure("name", "", "its name", _at("name"), "text"),
    Figure("program", "", "kind of program it ran", _at("program"), "text"),
    Figure("pid", "1", "process id", _at("pid")),
    Figure("state", "", "exited, killed or running at the end", _at("state"), "text"),
    Figure("start_ns", "ns", "simulated time of its start", _at("start_ns")),
    Figure("end_ns", "ns", "simulated time of its end, or of the run's", _at("end_ns")),
    Figure("run_ns", "ns", "from start to end", _at("run_ns")),
    *(Figure(f"time_{part}_ns", "ns", f"of run_ns: {PARTS[part]}", _at("parts_ns", part)) for part in TIME_PARTS),
    Figure("min_flt", "1", "minor faults", _at("min_flt")),
    Figure("maj_flt", "1", "major faults", _at("maj_flt")),
    Figure("accesses", "1", "accesses", _at("accesses")),
)
"""Columns of the table with a row per run and task, after its ``run``."""


def metrics_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics of a run by column name: int, float or text; None where the run has none.

    Parameters
    ----------
    summary : mapping
        See `numa_sim.results.summary.summarise`.
    """
    return {figure.name: figure.of(summary) for figure in METRIC_COLUMNS}
