"""The summary of a run: what happened on each node, swap area and CPU, and where each task's time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from numa_sim.observe.fault_rows import fault_rows
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.observe.latency import check_sums, pair_rows, run_ns, task_parts
from numa_sim.observe.lock_rows import lock_rows
from numa_sim.observe.reclaim_figures import reclaim_figures
from numa_sim.observe.result import RunResult, TaskRow
from numa_sim.observe.sampler import DISK_COLUMNS
from numa_sim.observe.watermarks import watermark_rows
from numa_sim.state.constants import (
    KERNEL_2_4_0,
    NR_ZONES,
    PAGE_SIZE,
    SI_KERNEL,
    SIGKILL,
    SIGNALS,
    TASK_BDFLUSH,
    TASK_DEAD,
    TASK_KRECLAIMD,
    TASK_KUPDATE,
)
from numa_sim.state.counters import TIME_PARTS, VMSTAT
from numa_sim.state.kernel import Kernel

__all__ = ["EXITED", "FORMAT_VERSION", "KILLED", "RUNNING", "faults_that_read", "summarise"]

FORMAT_VERSION: Final = 1
_KSWAPD: Final = 1
EXITED: Final = "exited"
KILLED: Final = "killed (out of memory)"
RUNNING: Final = "running at the end"


def summarise(result: RunResult) -> dict[str, Any]:
    """Summary of a finished run, of JSON types: integers and strings; floats only where a name begins with ``mean_``.

    There, and nowhere else, null stands for a mean over nothing.

    Raises
    ------
    InvariantViolation
        If a task's time parts do not sum to its run time.

    Notes
    -----
    Times in ns, sizes in pages of 4096 bytes unless a name says bytes; counters have the kernel's names and count
    from boot.
    """
    k = result.kernel
    check_sums(k, [row.task for row in result.tasks], result.end_ns)
    tasks = [_task(k, row, result.end_ns) for row in result.tasks]
    nodes = [_node(k, node, result) for node in range(int(k.vm[0].nr_nodes))]
    return {
        "format_version": FORMAT_VERSION,
        "machine": _machine(k, result),
        "run": {
            "end_ns": result.end_ns,
            "event_count": int(k.vm[0].event_count),
            "event_hash": event_hash(k),
            "exit_state": result.exit_state,
            "seed": result.seed,
            "state_hash": state_hash(k),
        },
        "nodes": nodes,
        "watermarks": watermark_rows(k),
        "pairs": pair_rows(k),
        "swap_areas": _swap_areas(k, result),
        "disks": _disks(k, result),
        "tasks": tasks,
        "kswapd": {"parts_ns": task_parts(k, _KSWAPD)},
        "bdflush": {"parts_ns": task_parts(k, len(k.tasks) + TASK_BDFLUSH)},
        **(
            {"kreclaimd": {"parts_ns": task_parts(k, len(k.tasks) + TASK_KRECLAIMD)}}
            if k.vm[0].profile == KERNEL_2_4_0
            else {}
        ),
        "kupdate": {"parts_ns": task_parts(k, len(k.tasks) + TASK_KUPDATE)},
        "cpus": [_cpu(k, cpu) for cpu in range(int(k.vm[0].nr_cpus))],
        "locks": lock_rows(k),
        "faults": fault_rows(k, [(row.name, row.task) for row in result.tasks]),
        "totals": _totals(k, tasks, nodes, result.end_ns),
        "oom_kills": [
            {"task": task["name"], "pid": task["pid"], "t_ns": task["end_ns"]}
            for task in tasks
            if task["state"] == KILLED
        ],
        "warnings": list(result.warnings),
    }


def _machine(k: Kernel, result: RunResult) -> dict[str, Any]:
    vm = k.vm[0]
    frames = int(k.zones.realsize.sum())
    return {
        "name": result.machine_name,
        "nodes": int(vm.nr_nodes),
        "cpus": int(vm.nr_cpus),
        "frames": frames,
        "memory_bytes": frames * PAGE_SIZE,
        "swap_pages": int(vm.total_swap_pages),
    }


def _node(k: Kernel, node: int, result: RunResult) -> dict[str, Any]:
    zones = k.zones[node * NR_ZONES : (node + 1) * NR_ZONES]
    traffic = k.traffic
    counters = {name: int(value) for name, value in zip(VMSTAT, k.vmstat[node], strict=True)}
    return {
        "node": node,
        "name": result.node_names[node] if node < len(result.node_names) else f"node{node}",
        "frames": int(zones.realsize.sum()),
        "free_pages": int(zones.free_pages.sum()),
        "reserved_pages": int(k.nodes[node].reserved_pages),
        "active_pages": int(zones.nr_active_pages.max()),
        "inactive_pages": int(zones.nr_inactive_pages.max()),
        "cache_pages": int(zones.nr_cache_pages.max()),
        "accesses_local": int(traffic.accesses[node, node]),
        "accesses_remote": int(traffic.accesses[node].sum() - traffic.accesses[node, node]),
        "accesses_served": int(traffic.accesses[:, node].sum()),
        "lines_served": int(traffic.lines[:, node].sum()),
        "vmstat": counters,
        "reclaim": reclaim_figures(counters, result.end_ns),
        **(_lists_of_2_4_0(k, node) if k.vm[0].profile == KERNEL_2_4_0 else {}),
    }


def _lists_of_2_4_0(k: Kernel, node: int) -> dict[str, int]:
    """The two kinds of inactive pages of 2.4.0."""
    zones = k.zones[node * NR_ZONES : (node + 1) * NR_ZONES]
    return {name: int(zones[name].sum()) for name in ("inactive_dirty_pages", "inactive_clean_pages")}


def _swap_areas(k: Kernel, result: RunResult) -> list[dict[str, Any]]:
    rows = []
    for area in range(int(k.vm[0].nr_swapfiles)):
        info = k.swap_info[area]
        known = result.swap_areas[area] if area < len(result.swap_areas) else None
        rows.append(
            {
                "area": area,
                "name": known.name if known else f"swap{area}",
                "device": known.device if known else "",
                "priority": int(info.prio),
                "pages": int(info.pages),
                "used_pages": int(info.inuse_pages),
                "peak_used_pages": _peak(result, area),
                "pages_read": int(info.pages_read),
                "pages_written": int(info.pages_written),
            }
        )
    return rows


_DISK_COUNTERS: Final = tuple(column.name for column in DISK_COLUMNS[2:])


def _disks(k: Kernel, result: RunResult) -> list[dict[str, Any]]:
    """Per disk what it has done; the mean wait of a request and the mean number of requests over the whole run."""
    rows = []
    for number, disk in enumerate(result.disks):
        record = k.disks[number]
        requests = int(record.reads + record.writes)
        rows.append(
            {
                "disk": number,
                "name": disk.name,
                "device": disk.device,
                **{name: int(record[name]) for name in _DISK_COUNTERS},
                "plugs": int(record.plugs),
                "mean_await_ns": round(int(record.await_ns) / requests, 3) if requests else 0.0,
                "mean_in_flight": round(int(record.await_ns) / result.end_ns, 3) if result.end_ns else 0.0,
            }
        )
    return rows


def _peak(result: RunResult, area: int) -> int:
    """Most slots an area had in use at any sample."""
    series = result.timeseries.swap
    used = series.column("used_pages")[series.column("area") == area]
    return int(used.max(initial=0))


def _task(k: Kernel, row: TaskRow, end_ns: int) -> dict[str, Any]:
    task = k.tasks[row.task]
    dead = int(task.state) == TASK_DEAD
    return {
        "name": row.name,
        "program": row.kind,
        "task": row.task,
        "pid": int(task.pid),
        "state": _state(task) if dead else RUNNING,
        "start_ns": int(task.start_ns),
        "end_ns": int(task.end_ns) if dead else end_ns,
        "run_ns": run_ns(k, row.task, end_ns),
        "parts_ns": task_parts(k, row.task),
        "min_flt": int(task.min_flt),
        "maj_flt": int(task.maj_flt),
        "accesses": int(task.accesses_done),
    }


def _state(task: Any) -> str:
    """How a task that is gone ended, from what wait(2) would give of it."""
    signal = int(task.exit_code) & 0x7F
    if not signal:
        return EXITED
    if signal == SIGKILL and int(task.si_code) == SI_KERNEL:
        return KILLED
    return f"killed ({SIGNALS[signal]}{', core dumped' if int(task.exit_code) & 0x80 else ''})"


def _cpu(k: Kernel, cpu: int) -> dict[str, Any]:
    record = k.cpus[cpu]
    names = (
        "node", "busy_ns", "accesses", "context_switches", "tlb_hits", "tlb_misses", "tlb_flushes", "tlb_invlpg",
        "ipis_sent", "ipis_received", "lazy_leaves", "ipis_spared",
    )  # fmt: skip
    return {"cpu": cpu, **{name: int(getattr(record, name)) for name in names}}


def faults_that_read(counters: Mapping[str, int]) -> int:
    """Page faults that had to read their page, from swap or a file; what the kernel calls major is another matter.

    2.2 and 2.4.0 count every swap-in as minor, and all kernels every first touch of a mapped file's page as major.

    Parameters
    ----------
    counters : mapping of str to int
        Named as `VMSTAT`.
    """
    return counters["swap_cache_miss"] + counters["file_faults_read"]


def _totals(k: Kernel, tasks: list[dict[str, Any]], nodes: list[dict[str, Any]], end_ns: int) -> dict[str, Any]:
    counters = {name: sum(node["vmstat"][name] for node in nodes) for name in VMSTAT}
    accesses, latency, queue = (int(k.traffic[name].sum()) for name in ("accesses", "latency_ns", "queue_ns"))
    return {
        "accesses": sum(task["accesses"] for task in tasks),
        "memory_accesses": accesses,
        "mean_latency_ns": round((latency + queue) / accesses, 3) if accesses else 0.0,
        "mean_queue_ns": round(queue / accesses, 3) if accesses else 0.0,
        "parts_ns": {name: sum(task["parts_ns"][name] for task in tasks) for name in TIME_PARTS},
        "run_ns": sum(task["run_ns"] for task in tasks),
        "vmstat": counters,
        "reclaim": reclaim_figures(counters, end_ns),
    }
